//! The constants of one parse, and their consequences for one line.

use std::hash::BuildHasher as _;
use std::path::Path;
use std::sync::atomic::Ordering;

use foldhash::fast::FixedState;

use super::index::Lost;
use super::layout::{Duplicates, Header, Reading, RecordType, Section};
use super::source::{FileKind, Source};
use super::survey::{Survey, is_trailer, starts_with};
use super::value::SourceLine;
use crate::parser::Context;

/// Lines after which progress is shown again.
pub(super) const PROGRESS_EVERY: u64 = 1024;

/// One parse of one file.
pub(super) struct Job<'j> {
    pub header: Option<&'j Header>,
    pub section: &'j Section,
    pub reading: Reading<'j>,
    pub path: &'j Path,
    pub kind: FileKind,
    pub survey: Survey,
    pub shares: u64,
    pub seed: FixedState,
}

impl Job<'_> {
    /// True for sections whose records belong to cases.
    pub(super) fn has_cases(&self) -> bool {
        matches!(self.section.duplicates, Duplicates::DeleteCase | Duplicates::Keep)
    }

    /// The record type a line is of, with its place in the section.
    pub(super) fn record_type(&self, line: &SourceLine<'_>) -> Option<(usize, &RecordType)> {
        let records = self.section.records.iter().enumerate();
        if self.header.is_none() {
            return records.into_iter().next();
        }
        records.into_iter().find(|(_, record)| starts_with(line, &record.name))
    }

    /// True for the lines that are neither header nor trailer nor, in a sheet, empty or a remark.
    pub(super) fn is_detail(&self, line: &SourceLine<'_>) -> bool {
        match self.header {
            Some(header) => line.number > 1 && line.number <= self.survey.lines && !is_trailer(header, line),
            None => !is_remark(line),
        }
    }

    /// The case of a line, hashed; `None` without a case.
    pub(super) fn case_of(&self, line: &SourceLine<'_>, record: &RecordType) -> Option<u64> {
        let case = record.segments[0].case_of(line).filter(|_| self.has_cases())?;
        Some(self.seed.hash_one(case))
    }

    /// The share in which a line is reported on: that of its case, or the first.
    pub(super) fn share_of(&self, case: Option<u64>) -> u64 {
        // The hash as a fraction of all hashes, times the shares.
        case.map_or(0, |case| ((u128::from(case) * u128::from(self.shares)) >> 64) as u64)
    }

    /// Shows how far all readings together are, as if they were one reading of the file.
    pub(super) fn show_progress(&self, context: &Context<'_>, source: &Source, share: u64, half: u64) {
        let size = context.progress.total_bytes.load(Ordering::Relaxed);
        let done = (share * 2 + half) * size + source.consumed();
        context.progress.bytes.store(done / (self.shares * 2), Ordering::Relaxed);
    }
}

/// True for a row of a sheet that is empty or begins with `#`.
fn is_remark(row: &SourceLine<'_>) -> bool {
    row.bytes.first() == Some(&b'#') || row.bytes.iter().all(u8::is_ascii_whitespace)
}

/// Bytes of a line that say which record it is.
const START: usize = 64;

/// The start of a line, moved to the position that the layouts expect: a line that begins with a blank, in small
/// letters or with a blank too many is read as if it did not. Only the wording of problems depends on it.
pub(super) struct Realigned(Vec<u8>);

impl Realigned {
    pub(super) fn line(&self) -> SourceLine<'_> {
        SourceLine { number: 0, bytes: &self.0, offsets: &[], flaw: None }
    }
}

/// Takes out blanks that stand before the record type, the month and the case number.
pub(super) fn realigned(job: &Job<'_>, line: &SourceLine<'_>) -> Realigned {
    let mut start: Vec<u8> = line.bytes[..line.bytes.len().min(START)].to_vec();
    let segment = &job.section.records[0].segments[0];
    let fields =
        [segment.month, segment.case].into_iter().flatten().map(|field| segment.fields[field].at.start);
    for at in [0].into_iter().chain(fields) {
        let at = at.min(start.len());
        let blanks = start[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        start.drain(at..at + blanks);
    }
    let name = job.section.records[0].name.len().min(start.len());
    start[..name].make_ascii_uppercase();
    Realigned(start)
}

/// The intended record of a refused line, as far as it is recognisable, so that the other records of its case do not
/// report it as missing.
pub(super) fn lost(job: &Job<'_>, line: &SourceLine<'_>) -> Option<Lost> {
    let start = realigned(job, line);
    let line = start.line();
    let (kind, record_type) = job.record_type(&line).filter(|_| job.has_cases())?;
    let month = record_type.segments[0].month_of(&line).and_then(|month| job.reading.period.index_of(month));
    Some((job.case_of(&line, record_type)?, month, kind as u8))
}
