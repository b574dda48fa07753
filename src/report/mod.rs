//! The error report: the problems in a run's log, as a work list for a data analyst.
//!
//! A report is made of the records of the log and nothing else, so the two can't disagree: a
//! summary, the problems in groups of the same kind, and every problem. It is read in one pass and
//! in bounded memory. Where it is stored, and under which key, is decided elsewhere.

mod builder;
mod csv;
mod groups;
mod pattern;
mod problem;
mod summary;
mod xlsx;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use serde::Serialize;
use tempfile::SpooledTempFile;

pub use groups::ProblemGroup;
pub use problem::ReportedProblem;
pub use summary::Summary;

use crate::config::ReportFormat;
use crate::objects::Objects;
use crate::reader::{LogLines, LogSource, Selection};
use crate::record::push_json_escaped;
use crate::redact::Redactor;
use builder::ReportBuilder;

/// The report of a run's log on the submission.
#[derive(Debug)]
pub struct Report {
    /// The facts about the run as a whole.
    pub summary: Summary,
    /// The problems by kind, the most frequent first.
    pub groups: Vec<ProblemGroup>,
    /// Every problem as one line of JSON, in the order of the log.
    problems: SpooledTempFile,
    scratch: PathBuf,
}

impl Report {
    /// Reads a log wherever it is. Problems beyond the first thousands wait in a nameless file in
    /// the folder `scratch`; texts pass the `redactor`.
    ///
    /// # Errors
    /// The log can't be read, or the folder not written to.
    pub async fn of_log(
        log: LogSource,
        objects: &Objects,
        redactor: Redactor,
        scratch: &Path,
    ) -> Result<Self> {
        let builder = Arc::new(Mutex::new(ReportBuilder::new(redactor, scratch)));
        let filled = Arc::clone(&builder);
        let each = move |line: &[u8]| filled.lock().unwrap_or_else(PoisonError::into_inner).line(line);
        log.read(objects, Selection::default(), each).await?;
        let builder = Arc::into_inner(builder).context("the log is still being read")?;
        builder.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
    }

    /// As [`of_log`](Self::of_log), for a log in an open file.
    ///
    /// # Errors
    /// The log can't be read, or the folder not written to.
    pub fn of_file(log: File, redactor: Redactor, scratch: &Path) -> Result<Self> {
        let mut builder = ReportBuilder::new(redactor, scratch);
        let mut lines = LogLines::new(BufReader::with_capacity(1 << 18, log), 0);
        let mut line = Vec::new();
        while lines.next(&mut line)? {
            builder.line(&line)?;
        }
        builder.finish()
    }

    /// Writes the report.
    ///
    /// # Errors
    /// `out` can't be written to.
    pub fn write(&mut self, format: ReportFormat, out: impl Write + Send) -> Result<()> {
        let mut out = BufWriter::with_capacity(1 << 16, out);
        match format {
            ReportFormat::Csv => csv::write(self, &mut out),
            ReportFormat::Xlsx => xlsx::write(self, &mut out, xlsx::MOST_ROWS),
            ReportFormat::Json => write_whole_json(self, &mut out),
        }?;
        out.flush().map_err(|error| anyhow!(error))
    }

    /// Every problem, in the order of the log.
    fn problems(&mut self) -> io::Result<impl Iterator<Item = io::Result<ReportedProblem>>> {
        self.problems.rewind()?;
        let lines = BufReader::with_capacity(1 << 16, &mut self.problems).lines();
        Ok(lines.map(|line| Ok(serde_json::from_str(&line?)?)))
    }
}

/// Writes one JSON object: `summary`, `groups` and `problems`, a problem on each line.
fn write_whole_json(report: &mut Report, out: &mut impl Write) -> Result<()> {
    out.write_all(b"{\"summary\":")?;
    write_json(out, &report.summary)?;
    out.write_all(b",\n\"groups\":")?;
    write_json(out, &report.groups)?;
    out.write_all(b",\n\"problems\":[")?;
    for (nth, problem) in report.problems()?.enumerate() {
        out.write_all(if nth == 0 { b"\n" } else { b",\n" })?;
        write_json(out, &problem?)?;
    }
    out.write_all(b"\n]}\n")?;
    Ok(())
}

/// Writes a value, with what would fool a terminal escaped.
fn write_json(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    let mut text = Vec::new();
    push_json_escaped(&mut text, &serde_json::to_string(value)?);
    Ok(out.write_all(&text)?)
}
