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

/// One test at a time: each starts processes and measures no time but its own.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
