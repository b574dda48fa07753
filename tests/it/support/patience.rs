//! How long a test waits for what must come.

use std::time::Duration;

/// Nobody waits so long on a machine that is well, and what hangs hangs for longer: this is for machines
/// that are ten times slower than ours.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
