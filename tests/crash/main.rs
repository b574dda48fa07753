//! Nothing is lost: a real worker is killed, stopped and cut off, and an oracle looks at what is left.
//!
//! It needs the feature `faults`, for the parser that acknowledges events and for the named points.
//! `PARSELOG_CRASHES` says how many seeded kills (60 without it), and each hundred is one more round of power
//! losses; `PARSELOG_MACHINES` how many machines are lost (20), and `PARSELOG_PARTITIONS` how many are cut off (10);
//! `PARSELOG_SEED` repeats a plan.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod collector;
mod commands;
mod deaths;
mod disk;
#[expect(dead_code, reason = "the other test binary uses all of it")]
#[path = "../it/fault_server.rs"]
mod fault_server;
mod fenced;
mod folder_sync;
mod given;
mod growing;
mod helpers;
mod machine;
mod notices;
mod oracle;
mod orphans;
mod output;
mod output_disk;
mod partition;
mod parts;
mod points;
mod postgres;
mod power;
mod problem_files;
mod rng;
mod s3;
mod seeded;
mod streams;
#[expect(dead_code, unused_imports, reason = "the other test binary uses all of it")]
#[path = "../it/support/mod.rs"]
mod support;
mod way;
mod worker;
mod world;
mod wreck;

use tokio::sync::{Mutex, MutexGuard};

/// One test at a time. A process that one test starts has the locks of all others' logs for a moment, until it is
/// another program; so what looks at locks in this process has to be alone.
static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until a test may go on.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// The same, for a test without a runtime.
pub(crate) fn blocking_turn() -> MutexGuard<'static, ()> {
    TURN.blocking_lock()
}
