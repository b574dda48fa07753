//! The doctor: compares rows, objects and spool both ways, names every difference, and makes safe repairs.
//! Also `verify`, which reads archived logs again and compares them with their rows.
//!
//! It finds and repairs with the means of other rooms: the sweep, the reaper, the abort of an upload. It
//! deletes a log only if a person let it go and the deletion was interrupted.

mod objects;
mod rows;
mod spool;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

pub use verify::verify;

use crate::archive::{self, Archiver};
use crate::faults;
use crate::ids::{BatchId, LogId, RunId};
use crate::objects::StaleUpload;
use crate::queue;
use crate::recovery::Recovery;
use crate::store;
use crate::system::System;

/// An upload younger than this may still be under way, whoever does it.
const UPLOAD_AGE: Duration = Duration::from_secs(24 * 3600);

/// Looks after one system.
#[derive(Debug, Clone)]
pub struct Doctor {
    system: System,
    recovery: Recovery,
    grace: Duration,
    sole_spool: bool,
}

/// The kinds of difference. The names are the codes that scripts read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The row has a URI, but the object is missing.
    ArchiveMissing,
    /// The size of the object differs from the row.
    ArchiveSize,
    /// The run is over, and its log is neither archived nor in this spool.
    LogNotHere,
    /// An archived log without a row.
    ObjectWithoutRow,
    /// A file that `parselog submit` stored but nobody queued.
    SubmissionWithoutRow,
    /// A log in the spool whose run is not in the database.
    SpoolWithoutRow,
    /// A log in the spool without a process.
    SpoolAbandoned,
    /// A file in the spool that belongs to no log.
    SpoolStray,
    /// Pieces of the remote tail whose log is archived or was let go.
    PieceLeft,
    /// An old, unfinished upload.
    StaleUpload,
    /// A running run with an expired lease.
    LeaseOver,
    /// A running run past its deadline.
    PastDeadline,
    /// A batch past its deadline, with runs that have not ended.
    BatchOverdue,
    /// A mail or a call that was given up, waits for long, or may or may not have been taken.
    NoticeUnsent,
    /// A Parquet file of problems whose last writing failed.
    ProblemsUnwritten,
}

/// One difference.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
    /// One line with names and reasons, without content of a log.
    pub what: String,
    /// Whether [`Doctor::repair`] can repair it.
    pub repairable: bool,
    #[serde(skip)]
    repair: Option<Repair>,
}

/// The safe repairs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Repair {
    Sweep,
    Reap,
    AbortUpload { bucket: String, upload: StaleUpload },
    MarkLost { run: RunId },
    RemoveStray { path: PathBuf },
    EndDeletion { run: RunId },
    DropPieces { log: LogId },
}

impl FindingKind {
    /// The code, such as `archive-missing`.
    pub fn code(self) -> &'static str {
        match self {
            Self::ArchiveMissing => "archive-missing",
            Self::ArchiveSize => "archive-size",
            Self::LogNotHere => "log-not-here",
            Self::ObjectWithoutRow => "object-without-row",
            Self::SubmissionWithoutRow => "submission-without-row",
            Self::SpoolWithoutRow => "spool-without-row",
            Self::SpoolAbandoned => "spool-abandoned",
            Self::SpoolStray => "spool-stray",
            Self::PieceLeft => "piece-left",
            Self::StaleUpload => "stale-upload",
            Self::LeaseOver => "lease-over",
            Self::PastDeadline => "past-deadline",
            Self::BatchOverdue => "batch-overdue",
            Self::NoticeUnsent => "notice-unsent",
            Self::ProblemsUnwritten => "problems-unwritten",
        }
    }
}

impl Finding {
    fn new(kind: FindingKind, run: Option<RunId>, what: impl Into<String>) -> Self {
        Self { kind, run, batch: None, what: what.into(), repairable: false, repair: None }
    }

    fn repaired_by(self, repair: Repair) -> Self {
        Self { repairable: true, repair: Some(repair), ..self }
    }
}

impl Doctor {
    /// A doctor for this system. It ignores anything younger than `grace`, which may still be in progress.
    pub fn new(system: &System, grace: Duration) -> Self {
        let recovery = Recovery::new(system.clone(), Archiver::new(system.clone()));
        Self { system: system.patient(), recovery, grace, sole_spool: false }
    }

    /// The same; with `sole` no other machine has a spool, so a log that is not in this one is lost.
    #[must_use]
    pub fn with_sole_spool(self, sole: bool) -> Self {
        Self { sole_spool: sole, ..self }
    }

    /// Checks everything; finds nothing on a healthy system, however busy.
    ///
    /// # Errors
    /// The database, the object store or the spool does not answer, so the result is unknown.
    pub async fn examine(&self) -> Result<Vec<Finding>> {
        let mut findings = self.examine_rows().await?;
        findings.extend(self.examine_spool().await?);
        findings.extend(self.examine_objects().await?);
        findings.extend(self.examine_submissions().await?);
        Ok(findings)
    }

    /// Makes the safe repairs among these. A second examination shows whether they worked.
    ///
    /// # Errors
    /// The first repair that failed; the others were made, or will be made the next time.
    pub async fn repair(&self, findings: &[Finding]) -> Result<()> {
        faults::point("doctor-examined");
        let repairs = || findings.iter().filter_map(|finding| finding.repair.as_ref());
        for repair in repairs() {
            match repair {
                Repair::AbortUpload { bucket, upload } => {
                    self.system
                        .objects
                        .abort_upload(bucket, upload)
                        .await
                        .context("failed to abort an upload")?;
                }
                Repair::MarkLost { run } => {
                    let reason = "doctor: the log is neither archived nor in the spool";
                    store::log::lost(&self.system.pool, (*run).into(), reason, None).await?;
                }
                Repair::RemoveStray { path } => {
                    tokio::fs::remove_file(path)
                        .await
                        .context("failed to remove a stray file of the spool")?;
                }
                Repair::EndDeletion { run } => {
                    let run = store::run::get(&self.system.pool, *run).await?.context("a run is gone")?;
                    archive::remove(&self.system.objects, &run, None).await?;
                }
                Repair::DropPieces { log } => store::piece::drop_all(&self.system.pool, &[*log]).await?,
                Repair::Sweep | Repair::Reap => continue,
            }
            faults::point("doctor-repaired");
        }
        // These two repair all of their kind at once. The sweep already ends runs with abandoned logs as
        // crashed, so the leases come after it.
        if repairs().any(|repair| *repair == Repair::Sweep) {
            self.recovery.sweep().await?;
            faults::point("doctor-swept");
        }
        if repairs().any(|repair| *repair == Repair::Reap) {
            queue::reap_long_expired(&self.system.pool, self.grace).await?;
            faults::point("doctor-reaped");
        }
        Ok(())
    }
}
