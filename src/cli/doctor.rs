//! `parselog doctor`: compare rows, objects and spool, and make safe repairs.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::{Common, Exit, open, show};
use crate::config::duration;
use crate::desk::DeskError;
use crate::desk::submit::Intake;
use crate::desk::words::counted;
use crate::doctor::{self, Finding};
use crate::record::Safe;
use crate::store;

/// Compare rows, objects and spool both ways, and name every difference.
///
/// The exit code is 0 if there is no difference, and 1 if some remain.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Make safe repairs: archive abandoned logs, abort stale uploads, end runs without a worker.
    #[arg(long)]
    fix: bool,
    /// No other machine has a spool: with --fix, mark a log that is not in this one as lost.
    #[arg(long)]
    sole_spool: bool,
    /// Ignore anything younger than this: a worker may still be at it.
    #[arg(long, default_value = "10m", value_parser = duration, value_name = "TIME")]
    grace: Duration,
    /// Print one JSON object per difference.
    #[arg(long)]
    json: bool,
}

impl DoctorArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let system = open::open(common).await?;
        let doctor = doctor::Doctor::new(&system, self.grace).with_sole_spool(self.sole_spool);
        let intake = Intake::new(system.clone(), show::note);
        let used = store::health::buckets(&system.pool).await?;
        for bucket in used.iter().map(String::as_str).chain([&*system.bucket]) {
            match intake.keeps_versions(bucket).await {
                // What is missing with it, the findings say.
                Ok(_) | Err(DeskError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut findings = doctor.examine().await?;
        if self.fix && findings.iter().any(|finding| finding.repairable) {
            let before = findings.len();
            doctor.repair(&findings).await?;
            findings = doctor.examine().await?;
            show::note(&format!("{} found, {} left", counted(before as u64, "difference"), findings.len()));
        }
        for finding in &findings {
            if self.json { show::json(finding)? } else { show::line(text(finding))? }
        }
        if findings.is_empty() {
            show::note("rows, objects and spool fit together");
        }
        Ok(if findings.is_empty() { Exit::Ok } else { Exit::Failed })
    }
}

fn text(finding: &Finding) -> String {
    let about = match (finding.run, finding.batch) {
        (Some(run), _) => format!("run {run}  "),
        (None, Some(batch)) => format!("batch {batch}  "),
        (None, None) => String::new(),
    };
    format!("{:18}  {about}{}", finding.kind.code(), Safe(&finding.what))
}
