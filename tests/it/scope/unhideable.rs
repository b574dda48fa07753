//! No filter hides a run's events, and no level takes its problems away.

use parselog::parser::{Category, Problem};
use tracing::dispatcher::with_default;
use tracing::{Dispatch, Level as At};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};

use super::*;

/// What a subscriber of one test's own sent to its global log.
type Leaked = Arc<Mutex<Vec<Record>>>;

/// A layer that takes everything, for filters beside ours.
struct Neighbour;

impl<S: tracing::Subscriber> Layer<S> for Neighbour {}

/// Ours, and the layers of a host program beside it.
fn subscribers(run: &str, global: &str) -> Vec<(Dispatch, Leaked)> {
    let leaked = || Leaked::default();
    let ours = |leaked: &Leaked| {
        let leaked = Arc::clone(leaked);
        telemetry::layer(levels(run), levels(global), move |record| leaked.lock().unwrap().push(record))
    };
    let targets = || "warn,my_parser=debug".parse::<Targets>().unwrap();
    let build: [&dyn Fn(&Leaked) -> Dispatch; 5] = [
        &|leaked| Dispatch::new(Registry::default().with(ours(leaked))),
        &|leaked| {
            Dispatch::new(Registry::default().with(ours(leaked)).with(Neighbour.with_filter(targets())))
        },
        &|leaked| {
            let (one, two) = (Neighbour.with_filter(targets()), Neighbour.with_filter(LevelFilter::OFF));
            Dispatch::new(Registry::default().with(ours(leaked)).with(one).with(two))
        },
        &|leaked| {
            let none = Neighbour.with_filter(filter_fn(|metadata| metadata.target() == "nobody"));
            Dispatch::new(Registry::default().with(ours(leaked)).with(none))
        },
        // A filter in front of everything, which hides every span.
        &|leaked| {
            let events = filter_fn(|metadata| !metadata.is_span());
            Dispatch::new(Registry::default().with(ours(leaked)).with(events))
        },
    ];
    build
        .iter()
        .map(|build| {
            let leaked = leaked();
            (build(&leaked), leaked)
        })
        .collect()
}

/// What a program asks before it logs; each answer may be remembered by a filter.
fn ask() {
    for target in ["sqlx::query", "my_parser", "hyper", "parselog"] {
        for level in [log::Level::Trace, log::Level::Debug, log::Level::Info, log::Level::Error] {
            let _ = log::log_enabled!(target: target, level);
        }
    }
    let _ = log::log_enabled!(target: "sqlx::query", log::Level::Debug);
}

/// A value that logs, and asks, while it is being logged.
fn talkative() -> u32 {
    ask();
    tracing::debug!(target: "sqlx::query", "hidden");
    7
}

#[test]
fn whatever_was_asked_before_and_whatever_filters_there_are_a_runs_events_are_in_its_log_only() {
    let desk = Desk::new(1 << 30);
    for run in ["info", "warn,my_parser=debug", "error,parselog=warn", "debug,sqlx=off", "off"] {
        for global in ["warn", "info,sqlx=warn", "off,my_parser=trace"] {
            for (number, (subscriber, leaked)) in subscribers(run, global).into_iter().enumerate() {
                let path = with_default(&subscriber, || {
                    ask();
                    let scope = desk.open();
                    ask();
                    scope.span().in_scope(|| {
                        ask();
                        problem(Category::Field);
                        tracing::error!(target: "my_parser", value = talkative(), "my error");
                        ask();
                        let inner = tracing::debug_span!(target: "my_parser", "rows", from = talkative());
                        ask();
                        inner.in_scope(|| log::warn!(target: "my_parser", "my warning"));
                    });
                    seal(scope).path().to_owned()
                });
                let messages: Vec<_> = events(&path).into_iter().map(|event| event.message).collect();
                let what = format!("run {run}, global {global}, subscriber {number}: {messages:?}");
                assert_eq!(leaked.lock().unwrap().as_slice(), [], "{what}");
                assert_eq!(messages[0], "item 30 SEX is not between 1 and 2", "{what}");
                let expected: &[&str] = match run {
                    "off" => &[],
                    "error,parselog=warn" => &["my error"],
                    _ => &["my error", "my warning"],
                };
                assert_eq!(messages[1..], *expected, "{what}");
            }
        }
    }
}

#[test]
fn problems_submission_and_outcome_are_kept_whatever_the_levels() {
    let desk = Desk::new(1 << 30);
    for run in ["off", "error", "info", "error,parselog::problem=off"] {
        let (subscriber, leaked) = subscribers(run, "off").remove(0);
        let path = with_default(&subscriber, || {
            let scope = desk.open();
            scope.span().in_scope(|| {
                tracing::info!(target: "parselog::submission", "submitted");
                problem(Category::Field);
                problem(Category::Record);
                tracing::info!(target: "parselog::outcome", "outcome");
            });
            seal(scope).path().to_owned()
        });
        let kept: Vec<_> = events(&path).into_iter().map(|event| event.level).collect();
        assert_eq!(kept, [Level::Info, Level::Warn, Level::Error, Level::Info], "{run}");
        assert_eq!(leaked.lock().unwrap().as_slice(), []);
    }
}

#[test]
fn what_neither_list_keeps_is_switched_off_at_its_call_site() {
    let (subscriber, leaked) = subscribers("warn,my_parser=debug", "error").remove(0);
    with_default(&subscriber, || {
        assert!(!tracing::enabled!(target: "sqlx::query", At::DEBUG));
        assert!(!tracing::enabled!(target: "my_parser", At::TRACE));
        assert!(tracing::enabled!(target: "my_parser", At::DEBUG));
        assert!(!log::log_enabled!(target: "hyper", log::Level::Info));
        tracing::warn!(target: "my_parser", "outside");
        tracing::error!(target: "hyper", "outside");
    });
    let leaked = leaked.lock().unwrap();
    assert_eq!(leaked.iter().map(|record| record.target.as_str()).collect::<Vec<_>>(), ["hyper"]);
}

fn problem(category: Category) {
    let message = "item 30 SEX is not between 1 and 2";
    let (record_type, item, field, month) = ("T2", "30", "SEX", "202010");
    let (record, case, deprecated) = (Some(3), None, false);
    Problem { category, record, record_type, item, field, month, case, deprecated, message }.log();
}
