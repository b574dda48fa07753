//! A collector under stock handlers of Python, whose receivers are killed at random moments.

use std::thread;
use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::rng::Rng;
use crate::support::Collector;
use crate::turn;

/// Kills without `PARSELOG_CRASHES`.
const KILLS: u64 = 30;

/// Connections that never send anything, which each receiver gets too.
const IDLE: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_are_killed_under_stock_senders_lose_nothing_and_store_nothing_twice() {
    let _turn = turn().await;
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (kills, seed) = (number("PARSELOG_CRASHES").unwrap_or(KILLS), number("PARSELOG_SEED").unwrap_or(1));
    let mut rng = Rng::new(seed);
    let mut collector = Collector::start(&[]).await;
    let _idle: Vec<_> = (0..IDLE).map(|_| collector.connect()).collect();
    let mut senders = ["one", "two", "three", "four"].map(|name| (name, collector.sender(name)));
    let (mut killed, mut both) = (0, 0);
    while killed < kills {
        thread::sleep(Duration::from_millis(rng.below(400)));
        // Where every process is killed before it is ready, nobody can store anything.
        collector.wait("one is in charge, and another one starts", || collector.receivers().len() > 1);
        let receivers = collector.receivers();
        // Now and then the one that is ready to take over too, or it alone.
        let doomed = match rng.below(12) {
            0 => &receivers[..],
            1 => receivers.get(1..).unwrap_or_default(),
            _ => receivers.get(..1).unwrap_or_default(),
        };
        both += u64::from(doomed.len() > 1);
        for receiver in doomed {
            // It may have died meanwhile.
            killed += u64::from(kill_process(*receiver, Signal::KILL).is_ok());
        }
    }
    let sent = collector.compare(&mut senders);
    for sent in &sent {
        assert!(sent.connections == 1 && sent.dropped.is_empty(), "{sent:?}: {}", collector.said());
    }
    let records: usize = sent.iter().map(|sent| sent.records).sum();
    eprintln!("{records} records after {killed} kills (seed {seed}), both receivers {both} times: {sent:?}");
}
