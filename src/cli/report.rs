//! `parselog report`: the error report of a run, made from its log.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::answer::ShowArgs;
use super::value::TARGET_HELP;
use super::{CliError, Common, Exit, open, show};
use crate::config::ReportFormat;
use crate::desk::lookup;
use crate::desk::words::counted;
use crate::faults;
use crate::report;

/// Make the error report of a run from its log: a summary, the problems by kind, and every problem.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    #[arg(value_name = "RUN|FILE", help = TARGET_HELP)]
    target: String,
    /// The form; by default the extension of OUT decides. Without one it is csv, or at a terminal what `show` prints.
    #[arg(long)]
    format: Option<ReportFormat>,
    /// Write to this file and replace it if it exists; by default to stdout.
    #[arg(long, short, value_name = "OUT")]
    out: Option<PathBuf>,
}

impl ReportArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        if self.format.is_none() && self.out.is_none() && show::is_terminal() {
            return ShowArgs::of(self.target).run(common).await;
        }
        let format = self.format()?;
        if format == ReportFormat::Xlsx && self.out.is_none() && show::is_terminal() {
            return Err(CliError::usage("a terminal can't show a workbook: give --out report.xlsx"));
        }
        let system = open::open(common).await?;
        let run = lookup::find_run(&system.pool, &self.target).await?;
        let log = lookup::log(&system, &run).await?;
        open::scratch(&system)?;
        let mut report =
            report::Report::of_log(log, &system.objects, system.redactor.clone(), &system.scratch).await?;
        report.summary.log = run.logs_uri;
        match &self.out {
            None => report.write(format, show::Out)?,
            Some(path) => {
                let shown = path.display();
                write_whole(path, |file| report.write(format, file))
                    .with_context(|| format!("failed to write {shown}"))?;
                let (problems, kinds) = (report.summary.problems, report.groups.len());
                show::note(&format!(
                    "{shown}: {} of {}",
                    counted(problems, "problem"),
                    counted(kinds as u64, "kind")
                ));
            }
        }
        Ok(Exit::Ok)
    }

    /// The requested form, else the one that the file name implies.
    fn format(&self) -> Result<ReportFormat> {
        let ending = self.out.as_ref().and_then(|path| path.extension());
        match (self.format, ending.map(|ending| ending.to_string_lossy())) {
            (Some(format), _) => Ok(format),
            (None, None) => Ok(ReportFormat::Csv),
            (None, Some(ending)) => ReportFormat::from_str(&ending, true).map_err(|_| {
                CliError::usage(format!(
                    "unknown ending '.{ending}': expected .csv, .xlsx or .json, or say --format"
                ))
            }),
        }
    }
}

/// Writes a file whole or not at all: beside it first, so that a command that dies leaves what was there. The
/// name beside it is always the same, so that the next command takes it over.
fn write_whole(path: &Path, write: impl FnOnce(File) -> Result<()>) -> Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // Neither a device nor a pipe can be replaced.
    if path.exists() && !path.is_file() {
        return write(File::create(path)?);
    }
    let mut beside = path.clone().into_os_string();
    beside.push(".part");
    let file = File::create(&beside)?;
    if let Ok(there) = fs::metadata(&path) {
        file.set_permissions(there.permissions())?;
    }
    // No sync: what a power loss takes is made again from the log.
    if let Err(error) = write(file) {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    faults::point("report-written");
    fs::rename(&beside, path)?;
    faults::point("report-in-place");
    Ok(())
}
