//! parselog gives every data-file parse run its own log.
//!
//! The program is `parselog`: see its README. With the library you put your own parser into your own program,
//! which has every command of parselog: submit, worker, logs, reparse, diff and the others.
//!
//! ```no_run
#![doc = include_str!("../examples/letters.rs")]
//! ```
//!
//! A parser receives one submitted file, logs with `tracing`, and returns an [`Outcome`]. Its events, and those
//! of the crates that it uses, go to the log of its run and nowhere else. Start threads and tasks with the
//! helpers of [`carry`], which carry the run's span.
//!
//! # Inside
//!
//! Everything that is not on this page may change without notice. The rooms, highest first; imports go downward
//! only (`tests/it/architecture` checks it):
//!
//! ```text
//! main cli telemetry > http > collector desk publish > worker report doctor intake > recovery
//!   > archive dataset reader diff notify oidc parse > scope queue system clock > config
//!   > spool objects store cluster parser > ids record frames redact gzip carry durable faults
//! ```

// The rooms are public for the tests and benches of this package alone.
#[doc(hidden)]
pub mod archive;
pub mod carry;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod cluster;
#[doc(hidden)]
pub mod collector;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod dataset;
#[doc(hidden)]
pub mod desk;
#[doc(hidden)]
pub mod diff;
#[doc(hidden)]
pub mod doctor;
#[doc(hidden)]
pub mod durable;
#[doc(hidden)]
pub mod faults;
#[doc(hidden)]
pub mod frames;
#[doc(hidden)]
pub mod gzip;
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod ids;
#[doc(hidden)]
pub mod intake;
#[doc(hidden)]
pub mod notify;
#[doc(hidden)]
pub mod objects;
#[doc(hidden)]
pub mod oidc;
#[doc(hidden)]
pub mod parse;
#[doc(hidden)]
pub mod parser;
#[doc(hidden)]
pub mod publish;
#[doc(hidden)]
pub mod queue;
#[doc(hidden)]
pub mod reader;
#[doc(hidden)]
pub mod record;
#[doc(hidden)]
pub mod recovery;
#[doc(hidden)]
pub mod redact;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod scope;
#[doc(hidden)]
pub mod spool;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod system;
#[doc(hidden)]
pub mod telemetry;
#[doc(hidden)]
pub mod worker;

pub use cli::App;
pub use ids::{DataFileId, RunId};
pub use parser::{
    Cancel, CancelReason, CaseTotals, Category, Context, FirstError, MonthCases, Outcome, ParseError, Parser,
    Problem, Progress, RecordSink, Submission, SummaryStatus,
};
