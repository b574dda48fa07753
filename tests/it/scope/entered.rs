//! A thread's events go by the span that is current for it, however spans are entered and left.

use super::*;

/// A log's events as (span, message).
fn places(log: &SealedLog) -> Vec<(String, String)> {
    events(log.path()).into_iter().map(|event| (event.span, event.message)).collect()
}

#[test]
fn an_event_is_under_the_span_that_the_registry_calls_current_in_whatever_order_spans_are_left() {
    let desk = Desk::new(1 << 30);
    let scopes = [desk.open(), desk.open()];
    let mut spans = vec![];
    for scope in &scopes {
        spans.push(scope.span().clone());
        spans.push(scope.span().in_scope(|| tracing::info_span!("outer")));
        spans.push(spans[spans.len() - 1].in_scope(|| tracing::info_span!("inner")));
    }
    let names = ["run", "run:outer", "run:outer:inner"];
    let mut wanted = [vec![], vec![]];
    let mut entered = Vec::new();
    let mut random = 7u64;
    for step in 0..3_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = usize::try_from(random >> 33).unwrap();
        if entered.len() < 8 && pick % 2 == 0 {
            entered.push(spans[pick / 2 % spans.len()].enter());
        } else if !entered.is_empty() {
            drop(entered.swap_remove(pick / 2 % entered.len()));
        }
        tracing::info!("entered step {step}");
        let current = tracing::Span::current();
        if let Some(place) = spans.iter().position(|span| span.id() == current.id()) {
            wanted[place / 3].push((names[place % 3].to_owned(), format!("entered step {step}")));
        }
    }
    drop(entered);
    tracing::info!("entered nothing");
    drop(spans);
    assert!(wanted.iter().all(|wanted| wanted.len() > 500), "both scopes had many events");
    for (scope, wanted) in scopes.into_iter().zip(wanted) {
        assert_eq!(places(&seal(scope)), wanted);
    }
    assert_eq!(global("entered nothing").len(), 1);
}

#[test]
fn what_a_span_records_is_on_the_next_line_of_each_thread_that_is_in_it() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    let span = scope.span().in_scope(|| tracing::info_span!("rows", done = tracing::field::Empty));
    let (said, heard) = (Barrier::new(2), Barrier::new(2));
    span.in_scope(|| {
        std::thread::scope(|threads| {
            let other = carry::once(|| {
                tracing::info!("before");
                said.wait();
                heard.wait();
                tracing::info!("after");
            });
            #[expect(clippy::disallowed_methods, reason = "the closure carries its span")]
            threads.spawn(other);
            said.wait();
            span.record("done", 3);
            tracing::info!("here");
            heard.wait();
        });
    });
    drop(span);
    let texts = |places: Vec<(String, String)>| -> Vec<String> {
        places.into_iter().map(|(span, message)| format!("{span} {message}")).collect()
    };
    let wanted = ["run:rows before", "run:rows{done=3} here", "run:rows{done=3} after"];
    assert_eq!(texts(places(&seal(scope))), wanted);
}

#[test]
fn a_subscriber_inside_a_scope_has_its_own_events_and_the_scope_those_before_and_behind_it() {
    let desk = Desk::new(1 << 30);
    let (scope, inner) = (desk.open(), tempfile::tempdir().unwrap());
    let others = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&others);
    let layer =
        telemetry::layer(levels("info"), levels("info"), move |record| kept.lock().unwrap().push(record));
    let other = tracing::Dispatch::new(Registry::default().with(layer));
    let inner_log = scope.span().in_scope(|| {
        tracing::info!("before");
        let log = tracing::dispatcher::with_default(&other, || {
            tracing::info!("outside of the other's scopes");
            let spool = Spool::open(&inner.path().join("spool"), 1 << 30).unwrap();
            let (scope, _) = LogScope::open(&spool, &Syncer::start(), &head());
            scope.span().in_scope(|| tracing::info!("inside"));
            seal(scope)
        });
        tracing::info!(parent: None, "of nobody");
        tracing::info!("behind");
        log
    });
    let messages = |log: &SealedLog| places(log).into_iter().map(|(_, message)| message).collect::<Vec<_>>();
    assert_eq!(messages(&seal(scope)), ["before", "behind"]);
    assert_eq!(messages(&inner_log), ["inside"]);
    assert_eq!(others.lock().unwrap().len(), 1);
    assert_eq!(global("of nobody").len(), 1);
}
