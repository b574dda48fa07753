//! Times of one thing on both databases, and the line about it.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Prints what was measured, line by line.
pub(super) struct Figures {
    only: String,
}

/// The times of one thing on one database.
#[derive(Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// Does it, and takes its time.
    pub(super) async fn take<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let done = work.await?;
        self.0.push(began.elapsed());
        Ok(done)
    }

    fn at(&mut self, share: f64) -> f64 {
        self.0.sort();
        let place = ((self.0.len() as f64 * share).ceil() as usize).clamp(1, self.0.len()) - 1;
        self.0[place].as_secs_f64() * 1000.0
    }
}

impl Figures {
    pub(super) fn new(only: &str) -> Self {
        println!("{:<44} {:>9} {:>9} {:>9} {:>9}", "ms", "empty p50", "p99", "full p50", "p99");
        Self { only: only.to_owned() }
    }

    /// Whether this is to be measured.
    pub(super) fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// Prints the line about one thing.
    pub(super) fn tell(&self, name: &str, mut empty: Times, mut full: Times) {
        if !self.wants(name) || empty.0.is_empty() || full.0.is_empty() {
            return;
        }
        let times =
            [empty.at(0.5), empty.at(0.99), full.at(0.5), full.at(0.99)].map(|ms| format!("{ms:>9.2}"));
        println!("{name:<44} {}", times.join(" "));
    }
}
