//! `parselog sample`: write an invented submission of any size, sound or broken.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytesize::ByteSize;
use clap::Args;
use indicatif::ProgressBar;

use super::{CliError, Exit, show};
use crate::parser::tdp::{sample, sections};

/// Write an invented submission of any size, sound or broken. The same options give the same bytes.
#[derive(Debug, Args)]
pub(super) struct SampleArgs {
    /// The file to write; by default stdout.
    #[arg(value_name = "OUT")]
    out: Option<PathBuf>,
    /// Program: tanf, ssp, tribal, audit, fra.
    #[arg(long, default_value = "tanf")]
    program: String,
    /// Section: active, closed, aggregate, stratum, work-outcomes.
    #[arg(long, default_value = "active")]
    section: String,
    /// Fiscal year.
    #[arg(long, default_value_t = 2024, value_parser = clap::value_parser!(i32).range(1900..=9998))]
    year: i32,
    /// Fiscal quarter, 1 to 4.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    quarter: u8,
    /// Approximate size, such as 10M or 1G: the case that reaches it is the last.
    #[arg(long, default_value = "1M", value_name = "SIZE", conflicts_with = "cases")]
    size: ByteSize,
    /// Number of cases, or of lines in sections without cases.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    cases: Option<u64>,
    /// The share of cases with an error, from 0 to 1.
    #[arg(long, default_value_t = 0.05, value_name = "SHARE", value_parser = share)]
    error_rate: f64,
    /// Another seed gives another submission.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Overwrite an existing file.
    #[arg(long)]
    force: bool,
}

impl SampleArgs {
    pub(super) fn run(self) -> Result<Exit> {
        if !sections().any(|known| known == (self.program.as_str(), self.section.as_str())) {
            let known: Vec<String> =
                sections().map(|(program, section)| format!("{program} {section}")).collect();
            return Err(CliError::usage(format!(
                "no sample of {} {}: there are {}",
                self.program,
                self.section,
                known.join(", ")
            )));
        }
        let Some(path) = &self.out else {
            self.write(show::Out)?;
            return Ok(Exit::Ok);
        };
        let written = self.write(self.create(path)?);
        if written.is_err() && path.is_file() {
            // Half a submission looks like a whole one that is broken.
            let _ = fs::remove_file(path);
        }
        let bytes = written.with_context(|| format!("failed to write {}", path.display()))?;
        show::note(&format!("{}: {}", path.display(), ByteSize(bytes).display().si()));
        Ok(Exit::Ok)
    }

    fn create(&self, path: &Path) -> Result<File> {
        let created = if self.force { File::create(path) } else { File::create_new(path) };
        created.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                CliError::usage(format!("{} exists: --force overwrites it", path.display()))
            }
            _ => anyhow::Error::new(error).context(format!("failed to create {}", path.display())),
        })
    }

    fn write(&self, out: impl Write) -> Result<u64> {
        let size = self.cases.map_or(sample::Size::Bytes(self.size.as_u64()), sample::Size::Cases);
        let bar = if self.out.is_some() { bar(size) } else { ProgressBar::hidden() };
        let sample = sample::Sample {
            program: &self.program,
            section: &self.section,
            fiscal_year: self.year,
            fiscal_quarter: self.quarter,
            size,
            error_rate: self.error_rate,
            seed: self.seed,
        };
        let bytes = sample.write(BufWriter::with_capacity(1 << 18, bar.wrap_write(out)));
        bar.finish_and_clear();
        bytes
    }
}

/// A bar for a known size, else a count of bytes.
fn bar(size: sample::Size) -> ProgressBar {
    match size {
        sample::Size::Bytes(bytes) => {
            let bar = show::bar([
                (
                    60,
                    "{bar:20} {percent:>3}%  {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}",
                ),
                (0, "{percent:>3}%  {decimal_bytes} of {decimal_total_bytes}"),
            ]);
            bar.set_length(bytes);
            bar
        }
        sample::Size::Cases(_) => show::bar([(0, "{spinner} {decimal_bytes}  {decimal_bytes_per_sec}")]),
    }
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "use 0 to 1, such as 0.05".to_owned())
}
