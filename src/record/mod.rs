//! The log record: one JSON object per line, the format of every log.
//!
//! ```json
//! {"timestamp":"2026-11-21T06:30:23.123456Z","seq":7,"level":"WARN","target":"parselog::problem",
//!  "message":"…","record":12,"source":"src/parser/problem.rs:80","span":"run:parse","fields":{"category":2}}
//! ```
//!
//! `seq` numbers the emitted events of one log from 1 without a gap, so a reader sees dropped ones.
//! `timestamp` is the time of arrival; an event of another process may keep its own `time` beside it, and say where
//! it came `from`.
//! Head, cut and tail are records too, with `seq` 0 and an object of their own.
//! Pure: no file, no clock, no tracing subscriber.

mod arrival;
mod count;
mod decode;
mod encode;
mod escape;
pub mod event;
mod foreign;
mod frame;
mod incoming;
mod lenient;
mod level;
mod members;
mod moment;
mod text;

pub use arrival::Arrival;
pub use count::LogCount;
pub use decode::{Record, STREAMS, level_of, seq_of, timestamp_of};
pub(crate) use encode::push_cut;
pub use encode::{Encoder, Origin, SCHEMA_VERSION, push_prefix, push_timestamp};
pub use escape::{push_escaped, push_json_escaped};
pub use foreign::{EXCEPTIONS, Foreign, plain};
pub use frame::{Cut, Head, LogEnding, RunSubject, SegmentSubject, Subject, Tail};
pub use incoming::Incoming;
pub use level::{Level, LevelCounts};
pub(crate) use moment::micros_now;
pub use text::{Safe, Text, TextStyle, write_safe};

/// The field that holds what an external program says beside what parselog knows, as an object.
pub const CONTEXT: &str = "context";

/// Longer string values (bytes) are cut, and the record says by how much.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Longer lines (bytes) are not read as records.
pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;
