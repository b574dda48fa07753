//! The parse of a claimed run: fetches the file, parses it inside the run's log scope, and seals the log.
//!
//! It works in the worker's own process, or in a parse process, so that a hostile file can end only that. It
//! needs no database: it tells a [`RunRow`] everything that belongs on the run's row.

mod door;
mod ending;
mod fetch;
mod job;
mod message;
mod parsers;
mod scratch;
mod serve;
mod story;
mod wire;

use std::path::Path;
use std::sync::Arc;

pub use door::DoorVisitor;
pub use ending::{lifecycle, tail_words};
pub use job::{Flight, ParseJob, STOP_GRACE};
pub use message::{Order, ParseNews, Sealed};
pub use parsers::Parsers;
pub use scratch::{LocalCopy, prepare_scratch};
pub use serve::{confine, serve};
pub use story::{Parsed, RunRow};
pub use wire::{Ear, Received, Wire};

use crate::objects::Objects;
use crate::redact::Redactor;
use crate::spool::{Spool, Syncer};

/// The tools of a parse. Cheap to clone.
#[derive(Clone)]
pub struct ParseTools {
    /// Where the log is written.
    pub spool: Spool,
    /// Makes open logs durable.
    pub syncer: Arc<Syncer>,
    /// Where the submitted file is.
    pub objects: Objects,
    /// Removes private shapes from reasons.
    pub redactor: Redactor,
    /// The folder for the local copy.
    pub scratch: Arc<Path>,
    /// The parsers.
    pub parsers: Arc<Parsers>,
}
