//! What a log has up to the end of a line: counted while it is written, copied or compressed.

use serde::{Deserialize, Serialize};

use super::{Level, LevelCounts, Record, level_of, seq_of};

/// What a log has up to the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogCount {
    /// Its events.
    pub events: LevelCounts,
    /// The highest number of an event.
    pub last: u64,
    /// Whether it says that events are missing.
    pub has_cut: bool,
    /// Whether it has its tail.
    pub has_tail: bool,
}

impl LogCount {
    /// Counts the next line.
    pub fn line(&mut self, line: &[u8]) {
        match seq_of(line) {
            Some(seq) if seq > 0 => self.event(seq, line),
            _ => {
                let record = Record::decode(line);
                self.has_cut |= record.as_ref().is_some_and(|record| record.cut.is_some());
                self.has_tail |= record.is_some_and(|record| record.tail.is_some());
            }
        }
    }

    /// Counts an event of this number.
    pub fn event(&mut self, seq: u64, line: &[u8]) {
        self.last = self.last.max(seq);
        self.events.add(level_of(line).unwrap_or(Level::Info));
    }

    /// Whether an event before this one is missing.
    pub fn lacks_before(&self, seq: u64) -> bool {
        self.events.total() + 1 < seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &[&str]) -> LogCount {
        let mut count = LogCount::default();
        lines.iter().for_each(|line| count.line(line.as_bytes()));
        count
    }

    #[test]
    fn events_are_counted_by_level_and_what_frames_them_is_noticed() {
        let event = r#"{"timestamp":"2026-01-01T00:00:00.000000Z","seq":4,"level":"WARN","message":"m"}"#;
        let cut = r#"{"timestamp":"2026-01-01T00:00:00.000000Z","seq":0,"cut":{"dropped":2}}"#;
        let count = counted(&[event, cut, "no record at all"]);
        assert_eq!((count.events.warn, count.events.total(), count.last), (1, 1, 4));
        assert!(count.has_cut && !count.has_tail);
        assert!(count.lacks_before(3) && !count.lacks_before(2));
    }
}
