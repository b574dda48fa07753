//! Which events come into which log, and as what.

use std::sync::mpsc;

use super::*;

#[test]
fn an_event_in_a_scope_is_in_its_log_and_nowhere_else() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    tracing::info!("outside of every scope");
    scope.span().in_scope(|| {
        let span = tracing::info_span!("segment", number = 2, name = "a b");
        let _entered = span.enter();
        tracing::warn!(record = 12u64, category = 2, field = "SEX", ratio = 0.5, ok = true, "item {}", 30);
    });
    let log = seal(scope);
    assert_eq!((global("outside of every scope").len(), global("item 30").len()), (1, 0));
    let events = events(log.path());
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((event.level, event.message.as_str(), event.record), (Level::Warn, "item 30", Some(12)));
    assert_eq!(event.span, "run:segment{number=2 name=a b}");
    assert_eq!(event.target, module_path!());
    assert!(event.source.starts_with(file!()), "{}", event.source);
    assert_eq!(event.fields["field"], "SEX");
    assert_eq!(event.fields["ratio"], 0.5);
    assert_eq!(event.fields["ok"], true);
    assert_accounts(&log, 1);
}

#[test]
fn a_library_that_uses_the_log_crate_and_a_panic_land_in_the_scope() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    scope.span().in_scope(|| {
        log::warn!(target: "some::library", "from the {} crate", "log");
        log::debug!("hidden");
        std::panic::catch_unwind(|| panic!("a parser broke")).unwrap_err();
    });
    let events = events(seal(scope).path());
    let [library, panic] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((library.target.as_str(), library.message.as_str()), ("some::library", "from the log crate"));
    assert!(library.fields.is_empty() && library.source.starts_with(file!()), "{library:?}");
    assert_eq!((panic.level, panic.message.as_str()), (Level::Error, "panicked: a parser broke"));
    assert!(panic.fields["location"].as_str().unwrap().starts_with(file!()));
}

#[test]
fn events_below_the_level_are_not_kept_and_a_span_below_it_does_not_hide_the_scope() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    scope.span().in_scope(|| {
        tracing::debug!("hidden");
        tracing::debug_span!("hidden").in_scope(|| tracing::info!("seen under a hidden span"));
    });
    let messages: Vec<_> = events(seal(scope).path()).into_iter().map(|event| event.message).collect();
    assert_eq!(messages, ["seen under a hidden span"]);
    assert!(global("seen under a hidden span").is_empty());
}

#[test]
fn hostile_text_forges_no_line_and_reaches_no_terminal() {
    let desk = Desk::new(1 << 30);
    let hostile = "a\nb\r\0\x1b[31mred\u{202e}evil\u{2028}\u{85}\"}\\";
    let scope = desk.open();
    scope.span().in_scope(|| tracing::error!(value = hostile, "{hostile}"));
    let log = seal(scope);
    let raw = fs::read_to_string(log.path()).unwrap();
    assert_eq!(raw.lines().count(), 3);
    assert!(!raw.chars().any(|c| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c)));
    let event = &events(log.path())[0];
    assert_eq!((event.message.as_str(), event.fields["value"].as_str()), (hostile, Some(hostile)));
    let shown =
        parselog::record::Text { record: event, style: parselog::record::TextStyle::default() }.to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
}

#[test]
fn a_megabyte_value_is_cut_and_says_so() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    scope.span().in_scope(|| tracing::info!("{}", "é".repeat(1 << 20)));
    let event = &events(seal(scope).path())[0];
    assert!(
        event.message.len() < 70_000 && event.message.ends_with("more bytes]"),
        "{}",
        event.message.len()
    );
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads of no scope that take jobs from whoever sends them; they end with the last sender.
#[expect(clippy::disallowed_methods, reason = "the threads of a pool belong to no scope")]
fn pool(threads: usize) -> mpsc::Sender<Job> {
    let (jobs, queue) = mpsc::channel::<Job>();
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..threads {
        let queue = Arc::clone(&queue);
        std::thread::spawn(move || {
            loop {
                let job = queue.lock().unwrap().recv();
                let Ok(job) = job else { break };
                job();
            }
        });
    }
    jobs
}

#[test]
fn two_hundred_runs_on_tasks_threads_and_pools_misplace_no_line() {
    const RUNS: usize = 200;
    const EACH: usize = 25;
    let desk = Desk::new(1 << 30);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let pool = pool(2);
    let started = Arc::new(tokio::sync::Barrier::new(RUNS));
    let work = |number: usize, how: &str| {
        for event in 0..EACH {
            tracing::info!(run = number, event, "{how}");
        }
    };
    let scopes: Vec<_> = (0..RUNS).map(|number| (number, desk.open())).collect();
    let finished = runtime.block_on(async {
        let mut tasks = Vec::new();
        for (number, scope) in scopes {
            let (started, pool) = (Arc::clone(&started), pool.clone());
            let task = async move {
                started.wait().await;
                work(number, "task");
                tokio::task::yield_now().await;
                carry::spawn(async move { work(number, "spawned") }).await.unwrap();
                let thread = carry::thread(move || work(number, "thread"));
                let pooled = carry::spawn_blocking(move || {
                    work(number, "blocking");
                    let each = Arc::new(carry::each(move |done: mpsc::Sender<()>| {
                        work(number, "pool");
                        done.send(()).unwrap();
                    }));
                    let (done, both) = mpsc::channel();
                    for _ in 0..2 {
                        let (each, done) = (Arc::clone(&each), done.clone());
                        pool.send(Box::new(move || each(done))).unwrap();
                    }
                    drop(done);
                    assert_eq!(both.iter().count(), 2);
                });
                pooled.await.unwrap();
                carry::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
            };
            let span = scope.span().clone();
            tasks.push((number, scope, runtime.handle().spawn(task.instrument(span))));
        }
        let mut done = Vec::new();
        for (number, scope, task) in tasks {
            task.await.unwrap();
            done.push((number, scope));
        }
        done
    });
    for (number, scope) in finished {
        let log = seal(scope);
        let events = events(log.path());
        assert!(
            events.iter().all(|event| event.fields["run"] == number),
            "a line of another run in run {number}"
        );
        for (how, times) in [("task", 1), ("spawned", 1), ("blocking", 1), ("thread", 1), ("pool", 2)] {
            assert_eq!(events.iter().filter(|event| event.message == how).count(), times * EACH, "{how}");
            assert!(global(how).is_empty());
        }
        assert_accounts(&log, 6 * EACH as u64);
    }
}

#[test]
fn threads_that_log_at_once_lose_and_tear_nothing() {
    let desk = Desk::new(1 << 30);
    let barrier = Arc::new(Barrier::new(8));
    let scope = desk.open();
    scope.span().in_scope(|| {
        let log = |thread: usize, barrier: Arc<Barrier>| {
            barrier.wait();
            for event in 0..2_000 {
                tracing::info!(thread, event, "{}", "x".repeat(event % 300));
            }
        };
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let barrier = Arc::clone(&barrier);
                carry::thread(move || log(thread, barrier))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_accounts(&seal(scope), 16_000);
}

#[test]
fn a_value_whose_debug_code_logs_does_not_stop_the_event() {
    struct Chatty;
    impl std::fmt::Debug for Chatty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            tracing::info!("from within");
            f.write_str("chatty")
        }
    }
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    scope.span().in_scope(|| tracing::info!(value = ?Chatty, "around"));
    let messages: Vec<_> = events(seal(scope).path()).into_iter().map(|event| event.message).collect();
    assert_eq!(messages.last().map(String::as_str), Some("around"));
}

#[test]
fn what_spans_say_is_bounded_however_long_and_however_deep() {
    let desk = Desk::new(1 << 30);
    let scope = desk.open();
    let long = "\u{1b}é".repeat(1 << 20);
    scope.span().in_scope(|| {
        let outer =
            tracing::info_span!("outer", long, again = long, more = long, last = tracing::field::Empty);
        let _outer = outer.enter();
        for n in 0..100 {
            outer.record("last", n);
        }
        let deep: Vec<_> = (0..100).map(|n| tracing::info_span!("deep", n, name = "a b").entered()).collect();
        tracing::info!("said at the bottom");
        deep.into_iter().rev().for_each(drop);
    });
    let log = seal(scope);
    let event = &events(log.path())[0];
    assert!(fs::metadata(log.path()).unwrap().len() < 16 << 10);
    assert!(
        event.span.starts_with("run:outer{long=") && event.span.contains("more bytes]"),
        "{}",
        event.span
    );
    assert!(event.span.ends_with(":…:deep{n=99 name=a b}"), "{}", event.span);
}
