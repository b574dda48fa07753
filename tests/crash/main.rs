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

use tokio::runtime;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Tests at a time. Each waits for its processes most of the time; more would only keep each other waiting.
const AT_ONCE: u32 = 3;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE as usize);

/// Waits until a test may go on.
pub(crate) async fn turn() -> SemaphorePermit<'static> {
    TURNS.acquire().await.unwrap()
}

/// Waits until a test may go on alone, as what looks at all that this process does must.
pub(crate) fn turn_alone() -> SemaphorePermit<'static> {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(TURNS.acquire_many(AT_ONCE)).unwrap()
}
