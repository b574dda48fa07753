//! The worker: claims N runs at once, and takes each from its claim to its archived log.
//!
//! `run_one` is the whole story of a run, top to bottom; `service` is the loop around it. It parses in other
//! processes, if there is a plan for them, and supervises these: a file that ends one of them ends its own run
//! and no other.

mod apart;
mod death;
mod drain;
mod helpers;
mod in_flight;
mod notices;
mod presence;
mod process;
mod processes;
mod report;
mod row;
mod run_one;
mod service;

use std::sync::Arc;
use std::time::Duration;

pub use helpers::{HelperDied, Helpers};
pub use in_flight::RunsInFlight;
pub use process::ProcessPlan;
pub use run_one::{RecordsTo, RunReport};

use self::processes::ParseProcesses;

use crate::archive::{Archiver, KeptTail};
use crate::config::{ReportFormat, SpoolKeep, WorkerConfig};
use crate::notify::Notifier;
use crate::parse::{ParseTools, Parsers};
use crate::queue::{Claimant, Takes};
use crate::recovery::Recovery;
use crate::spool::Syncer;
use crate::system::System;

/// Everything a worker works with. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    system: System,
    /// Makes open logs durable.
    syncer: Arc<Syncer>,
    archiver: Archiver,
    parsers: Arc<Parsers>,
    parses_in: ParsesIn,
    config: WorkerConfig,
    claimant: Claimant,
    /// Time between heartbeats.
    heartbeat: Duration,
    /// Stop once nothing is left to do; wait at most this long at a time.
    drain: Option<Duration>,
    notifier: Option<Notifier>,
    reports: Option<ReportFormat>,
}

/// Where a worker parses.
#[derive(Clone)]
enum ParsesIn {
    /// In its own process.
    This(Box<ParseTools>),
    /// In others, which it supervises.
    Others(Arc<ParseProcesses>),
}

impl Worker {
    /// A worker of this system with the default settings and these parsers, without notices and reports, which
    /// parses in its own process. Call [`prepare_scratch`](crate::parse::prepare_scratch) first to make the
    /// system's scratch folder.
    pub fn new(system: System, parsers: Parsers) -> Self {
        let config = WorkerConfig::default();
        let (syncer, parsers) = (Arc::new(Syncer::start()), Arc::new(parsers));
        let tools = ParseTools {
            spool: system.spool.clone(),
            syncer: Arc::clone(&syncer),
            objects: system.objects.clone(),
            redactor: system.redactor.clone(),
            scratch: Arc::clone(&system.scratch),
            parsers: Arc::clone(&parsers),
        };
        Self {
            syncer,
            archiver: Archiver::new(system.clone()),
            claimant: claimant_of(&config, &parsers),
            parsers,
            parses_in: ParsesIn::This(Box::new(tools)),
            heartbeat: config.heartbeat(),
            config,
            drain: None,
            notifier: None,
            reports: None,
            system,
        }
    }

    /// The same with these settings, and with the heartbeat that fits them.
    #[must_use]
    pub fn with_config(self, config: WorkerConfig) -> Self {
        Self { claimant: claimant_of(&config, &self.parsers), heartbeat: config.heartbeat(), config, ..self }
    }

    /// The same, which parses in processes of this plan; set its slots before.
    #[must_use]
    pub fn with_processes(self, plan: ProcessPlan) -> Self {
        let processes = ParseProcesses::new(plan, self.config.slots);
        Self { parses_in: ParsesIn::Others(Arc::new(processes)), ..self }
    }

    /// The same, with this time between heartbeats.
    #[must_use]
    pub fn with_heartbeat(self, heartbeat: Duration) -> Self {
        Self { heartbeat, ..self }
    }

    /// The same; with `drain` it stops once nothing is left to do. It waits at most this long at a time for
    /// retries that are not due, and for runs of workers that may be dead.
    #[must_use]
    pub fn with_drain(self, drain: Option<Duration>) -> Self {
        Self { drain, ..self }
    }

    /// The same, with notices by `notifier`.
    #[must_use]
    pub fn with_notifier(self, notifier: Option<Notifier>) -> Self {
        Self { notifier, ..self }
    }

    /// The same, with an error report of this form beside each log.
    #[must_use]
    pub fn with_reports(self, reports: Option<ReportFormat>) -> Self {
        Self { reports, ..self }
    }

    /// The same, whose logs are to outlive its machine.
    #[must_use]
    pub fn with_remote_tail(self, kept: Option<KeptTail>) -> Self {
        let gives_back = self.config.spool_keep == SpoolKeep::Tail;
        Self { archiver: self.archiver.keeping(kept).giving_back(gives_back), ..self }
    }

    /// Its system.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Its name and terms for claims.
    pub fn claimant(&self) -> &Claimant {
        &self.claimant
    }

    /// Its parsers.
    pub fn parsers(&self) -> &Parsers {
        &self.parsers
    }

    /// Its archiver, which takes sealed logs to the object store in turns with the runs.
    pub fn archiver(&self) -> &Archiver {
        &self.archiver
    }

    /// Recovers the logs and runs of dead processes in this worker's spool.
    pub fn recovery(&self) -> Recovery {
        Recovery::new(self.system.clone(), self.archiver.clone())
    }
}

fn claimant_of(config: &WorkerConfig, parsers: &Parsers) -> Claimant {
    let takes = Takes::of(parsers.kinds());
    Claimant { worker: config.name(), lease: config.lease, timeout: config.run_timeout, takes }
}
