//! `parselog submit`: store files, then register all of them and queue them for the workers. Also the
//! submitter's options, which `run` shares.

use anyhow::Result;
use clap::Args;

use super::value::{attempts, priority, year};
use super::wait::wait_and_print;
use super::{Common, Exit, open, show};
use crate::config::Address;
use crate::desk::Description;
use crate::desk::submit::{self, Candidate, Intake};
use crate::store::Request;

/// Queue files for the workers.
#[derive(Debug, Args)]
pub(super) struct SubmitArgs {
    /// Local files, or objects as `s3://bucket/key`, with `?versionId=…` for an exact version
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    what: SubmissionArgs,
    /// Lower numbers go first.
    #[arg(long, default_value_t = submit::PRIORITY, value_parser = priority)]
    priority: i32,
    /// Attempts at a run before it fails.
    #[arg(long, default_value_t = submit::ATTEMPTS, value_name = "N", value_parser = attempts)]
    max_attempts: i32,
    /// Wait until the runs end, print what came of them, and exit as `run` does; ^C ends only the wait.
    #[arg(long)]
    wait: bool,
    /// Print one JSON object per queued run; with --wait per run that has ended, with every column.
    #[arg(long)]
    json: bool,
}

/// The submitter's description of the files. A file's own header fills the gaps.
#[derive(Debug, Clone, Args)]
pub(super) struct SubmissionArgs {
    /// Program: tanf, ssp, tribal, audit, fra, or one that a configured parser reads.
    #[arg(long, value_parser = code)]
    program: Option<String>,
    /// Section: active, closed, aggregate, stratum, work-outcomes.
    #[arg(long, value_parser = code)]
    section: Option<String>,
    /// Fiscal year.
    #[arg(long, value_parser = year)]
    year: Option<i32>,
    /// Fiscal quarter: 1 to 4, or Q1 to Q4.
    #[arg(long, value_parser = quarter)]
    quarter: Option<i16>,
    /// State, territory or tribe that owns the file, such as 55; for files without a header (FRA), which
    /// do not say so.
    #[arg(long, value_parser = state)]
    state: Option<String>,
    /// Who submits; by default the user's name.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Address that gets the result by mail; repeatable.
    #[arg(long, value_parser = address, value_name = "ADDRESS")]
    email: Vec<String>,
    /// The reason, for the audit log.
    #[arg(long)]
    reason: Option<String>,
}

impl SubmitArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        let intake = Intake::new(open::open(common).await?, show::note);
        let (what, request) = self.what.split(self.priority, self.max_attempts);
        let files = Candidate::all(&self.files, &what).await?;
        let bar = show::bar([
            (70, "{bar:20} {pos} of {len} stored  {per_sec}  eta {eta}"),
            (0, "{pos} of {len} stored"),
        ]);
        bar.set_length(files.len() as u64);
        let stored = intake.store_all(files, &what, || bar.inc(1)).await?;
        bar.finish_and_clear();
        let pool = &intake.system().pool;
        let queued = submit::queue(pool, &stored, &request).await?;
        if self.wait {
            let runs: Vec<_> = queued.iter().map(|queued| queued.run_id).collect();
            return wait_and_print(&pool.patient(), &runs, self.json).await;
        }
        for queued in queued {
            if self.json {
                show::json(&queued)?;
            } else {
                show::line(format_args!("{}  data file {}", queued.run_id, queued.data_file_id))?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl SubmissionArgs {
    /// What the files are, and the terms of their runs.
    pub(super) fn split(self, priority: i32, max_attempts: i32) -> (Description, Request) {
        let description = Description {
            program: self.program,
            section: self.section,
            fiscal_year: self.year,
            fiscal_quarter: self.quarter,
            state: self.state,
            emails: self.email,
        };
        let request = Request {
            submitted_by: self.by.unwrap_or_else(user),
            reason: self.reason,
            priority,
            max_attempts,
            run_after: None,
            deadline: None,
        };
        (description, request)
    }
}

/// The user of this command, if nobody is named.
pub(super) fn user() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    user.unwrap_or_else(|| "parselog".to_owned())
}

fn address(text: &str) -> Result<String, String> {
    text.parse::<Address>().map(|address| address.to_string())
}

pub(super) fn code(text: &str) -> Result<String, String> {
    let code = text.to_ascii_lowercase();
    let code = if code == "tan" { "tanf".to_owned() } else { code };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if code.starts_with(|c: char| c.is_ascii_lowercase()) && code.chars().all(plain) {
        Ok(code)
    } else {
        Err("use letters, digits and hyphens, such as 'work-outcomes'".to_owned())
    }
}

fn state(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if (1..=16).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("use at most 16 letters, digits and hyphens, such as '55' or 'WI'".to_owned())
    }
}

pub(super) fn quarter(text: &str) -> Result<i16, String> {
    let digits = text.strip_prefix(['Q', 'q']).unwrap_or(text);
    digits
        .parse()
        .ok()
        .filter(|quarter| (1..=4).contains(quarter))
        .ok_or_else(|| "use 1 to 4, or Q1 to Q4".to_owned())
}
