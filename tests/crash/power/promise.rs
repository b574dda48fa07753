//! What was promised at a moment, and whether a disk keeps it.

use std::path::Path;

use super::logs::{Log, Retained};
use super::objects::Shelf;

/// Promises grow with each call that returns.
#[derive(Debug, Clone, Default)]
pub(super) struct Promise {
    pub(super) log: Log,
    pub(super) shelf: Shelf,
}

impl Promise {
    /// Differs where the promises differ.
    pub(super) fn fingerprint(&self) -> impl std::fmt::Debug {
        let Log { id, synced, sealed, is_marked, is_archived, .. } = &self.log;
        (id.is_some(), *synced, sealed.is_some(), *is_marked, *is_archived, self.shelf.fingerprint())
    }

    /// Recovers what is below `root` and holds it against the promises. `whole` is what a disk that lost
    /// nothing gave at this moment; returns what this one gave.
    pub(super) fn check(&self, root: &Path, whole: Option<&Retained>) -> Result<Retained, String> {
        self.shelf.check(root)?;
        self.log.check(root, whole)
    }
}
