//! Logs that are longer than one mapped stretch of their file.

use super::*;

/// Lengths of events, in bytes, from a few to more than a stretch overlaps the one before.
const LENGTHS: [usize; 7] = [1, 40, 300, 300, 5_000, 64_000, 64_000];

#[test]
fn a_log_that_ends_anywhere_in_a_stretch_has_each_event_whole_and_not_a_byte_behind_the_last() {
    let desk = Desk::new(1 << 30);
    for (round, last) in [1, 60, 61, 62, 150, 300, 301, 500].into_iter().enumerate() {
        let scope = desk.open();
        let values: Vec<String> =
            (0..last).map(|n| "x".repeat(LENGTHS[(n * 5 + round) % LENGTHS.len()])).collect();
        scope.span().in_scope(|| {
            for (number, value) in values.iter().enumerate() {
                // Some events are longer than the room that a stretch shares with the one before.
                let more = if number % 40 == 39 { value.as_str() } else { "" };
                tracing::info!(number, more, "{value}");
            }
        });
        let log = seal(scope);
        let raw = fs::read(log.path()).unwrap();
        assert!(!raw.contains(&0) && raw.ends_with(b"}\n"), "round {round}");
        let stored: Vec<String> = events(log.path()).into_iter().map(|event| event.message).collect();
        assert!(stored == values, "round {round}: {} of {last} events are as they were", stored.len());
        assert_accounts(&log, last as u64);
    }
}

#[test]
fn many_threads_fill_many_long_logs_at_once_and_each_event_stands_where_its_number_says() {
    const EVENTS: u64 = 4_000;
    let desk = Desk::new(1 << 30);
    let scopes: Vec<LogScope> = (0..4).map(|_| desk.open()).collect();
    let start = Barrier::new(8);
    std::thread::scope(|threads| {
        for number in 0..8_usize {
            let (scope, start) = (&scopes[number / 2], &start);
            #[expect(clippy::disallowed_methods, reason = "each thread enters the span that it is given")]
            threads.spawn(move || {
                start.wait();
                scope.span().in_scope(|| {
                    for own in 0..EVENTS {
                        tracing::warn!(thread = number, own, "{}", "y".repeat(200));
                    }
                });
            });
        }
    });
    for scope in scopes {
        let log = seal(scope);
        let events = events(log.path());
        let mut next = [0; 8];
        for event in &events {
            let thread = usize::try_from(event.fields["thread"].as_u64().unwrap()).unwrap();
            assert_eq!(event.fields["own"], next[thread], "events of a thread are in order");
            next[thread] += 1;
        }
        assert!(events.is_sorted_by_key(|event| event.timestamp));
        assert_accounts(&log, 2 * EVENTS);
    }
}
