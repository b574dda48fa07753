//! Events that a log lacks, and that only others can count.

/// So many events are missing in a log beyond what its records show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MissingEvents {
    /// All events that were emitted, stored or not; 0 if unknown.
    pub emitted: u64,
    /// Events on top of that which were never emitted, because nobody could store them.
    pub more: u64,
}

impl MissingEvents {
    /// All events of a log whose records show `emitted`.
    pub(super) fn emitted_in_all(self, emitted: u64) -> u64 {
        self.emitted.max(emitted) + self.more
    }
}
