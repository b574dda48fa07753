//! The worker: claims runs, N at once, and takes each from its claim to its archived log.
//!
//! `run_one` is the whole story of a run, top to bottom; `service` is the loop around it.

mod drain;
mod ending;
mod fetch;
mod helpers;
mod notices;
mod parsers;
mod report;
mod run_one;
mod scratch;
mod service;
mod ship;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use helpers::{HelperDied, Helpers};
pub use parsers::Parsers;
pub use run_one::RunReport;
pub use scratch::prepare_scratch;
pub use watch::Watch;

use tokio::task::JoinSet;
use tracing::Instrument;

use crate::archive::Archiver;
use crate::config::ReportFormat;
use crate::notify::Notifier;
use crate::objects::Objects;
use crate::queue::Claimant;
use crate::recovery::Recovery;
use crate::redact::Redactor;
use crate::spool::{Spool, Syncer};
use crate::store::PgPool;

/// Everything a worker works with. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    /// The database.
    pub pool: PgPool,
    /// Submitted files and archived logs.
    pub objects: Objects,
    /// Unfinished logs.
    pub spool: Spool,
    /// Makes open logs durable.
    pub syncer: Arc<Syncer>,
    /// Takes sealed logs to the object store.
    pub archiver: Archiver,
    /// Who parses what.
    pub parsers: Arc<Parsers>,
    /// Takes private shapes out of what goes on a row.
    pub redactor: Redactor,
    /// Who claims, and on what terms.
    pub claimant: Claimant,
    /// Folder for local copies of submitted files, made by [`prepare_scratch`].
    pub scratch: PathBuf,
    /// Tells people by mail; `None` for no mail.
    pub notifier: Option<Notifier>,
    /// The form of the error report that is stored beside each log; `None` for no report.
    pub reports: Option<ReportFormat>,
}

/// How a worker serves.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Runs at once.
    pub slots: usize,
    /// How often leases are prolonged.
    pub heartbeat: Duration,
    /// How often the queue is looked at when no notification comes.
    pub poll: Duration,
    /// How often the logs that are left in the spool are archived.
    pub sweep: Duration,
    /// How long runs may go on after the signal to stop, before they are handed back.
    pub shutdown_grace: Duration,
    /// Stop once nothing is left to do; wait at most this long at a time for retries that are not due, and
    /// for runs of workers that may be dead.
    pub drain: Option<Duration>,
}

impl Worker {
    /// Recovers what dead processes left in this worker's spool.
    pub fn recovery(&self) -> Recovery {
        Recovery::new(self.pool.clone(), self.spool.clone(), self.archiver.clone())
    }
}

/// Spawns into a set, which `carry::spawn` can't, inside the current span as it does.
#[expect(clippy::disallowed_methods, reason = "the future carries its span")]
fn spawn_in<T: Send + 'static>(set: &mut JoinSet<T>, future: impl Future<Output = T> + Send + 'static) {
    set.spawn(future.in_current_span());
}
