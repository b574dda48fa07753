//! One parse of one file, in the real system's order of checks.
//!
//! A record that a later line gets deleted must not be handed out, so the file is read twice: the
//! first reading keeps an entry of hashes per record, then cases and duplicates are judged, and the
//! second reading logs problems in line order and hands out what is left. A record without a problem
//! is read again only where somebody asked for records.
//!
//! Memory: entries are of fixed size, and no more than [`LINES_PER_SHARE`] lines have theirs at once.
//! A larger file is worked through in shares: everything that records have to do with each other is
//! decided within one case number (or one record, where there are no cases), so a share is the case
//! numbers that hash to it. Then problems come in line order within each share.

use std::collections::HashSet;
use std::hash::BuildHasher as _;
use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use foldhash::fast::FixedState;

use super::compile::Catalogue;
use super::emit::Emitter;
use super::header::{self, HeaderProblem};
use super::index::{RecordEntry, RecordIndex, judge};
use super::job::lost;
use super::job::{Job, PROGRESS_EVERY};
use super::layout::{Duplicates, Fault, Program, Reading, Section, Submitter};
use super::period::Period;
use super::record::{Values, all_hold};
use super::source::{FileKind, Source};
use super::survey::survey;
use super::tally::ParseTally;
use super::value::SourceLine;
use super::wording;
use crate::parser::{Category, Context, Outcome, ParseError, Problem, Submission};

/// Lines whose records are kept track of at once; about 45 bytes each.
pub(super) const LINES_PER_SHARE: u64 = 4 << 20;

/// Parses a submission that the catalogue knows the program and section of.
pub(super) fn parse(
    catalogue: &Catalogue,
    (program, section): (&Program, &Section),
    submission: &Submission<'_>,
    context: &mut Context<'_>,
    lines_per_share: u64,
) -> Result<Outcome, ParseError> {
    let period = Period::from_fiscal(submission.fiscal_year, submission.fiscal_quarter);
    let mut tally = ParseTally::new(period, context.progress);
    let kind = FileKind::of(submission.path, submission.name)?;
    let size = std::fs::metadata(submission.path).context("failed to look at the submitted file")?.len();
    context.progress.total_bytes.store(size, Ordering::Relaxed);
    if let Some(why) = wrong_kind(program, &kind) {
        tally.refuse(None, why);
        return Ok(tally.into_outcome());
    }
    if let FileKind::Sheet(sheet) = &kind {
        tracing::info!("the sheet '{}' is read, {} others are not", sheet.name, sheet.others);
    }
    let (reading, warnings) = match open(catalogue, program, section, period, submission.path, &kind)? {
        Ok(opened) => opened,
        Err(problems) => {
            log_header(&mut tally, program, &problems);
            tally.is_refused();
            return Ok(tally.into_outcome());
        }
    };
    let survey = survey(program.header.as_ref(), submission.path, &kind, context)?;
    if let Some(row) = survey.second_header {
        tally.refuse(Some(row), "this is a second header; a file holds one header, in its first line");
        return Ok(tally.into_outcome());
    }
    log_header(&mut tally, program, &warnings);
    if survey.behind > 0 {
        tracing::info!("{} lines behind the trailer hold nothing and are passed over", survey.behind);
    }
    let shares = survey.details.div_ceil(lines_per_share).max(1);
    let (path, header) = (submission.path, program.header.as_ref());
    let job = Job { header, section, reading, path, kind, survey, shares, seed: FixedState::default() };

    let mut doomed = HashSet::new();
    if section.duplicates == Duplicates::DeleteType && shares > 1 {
        for share in 0..shares {
            let mut index = index(&job, share, context)?;
            doomed.extend(judge(section, &mut index, &doomed).doomed);
        }
    }
    let mut is_empty_file = false;
    for share in 0..shares {
        let mut index = index(&job, share, context)?;
        let verdicts = judge(section, &mut index, &doomed);
        tally.records_in_file += index.entries.len() as u64;
        let mut emitter = Emitter::new(&job, share, &index, &verdicts.problems, &mut tally);
        emitter.run(context)?;
        is_empty_file |= emitter.is_empty_file;
        if job.has_cases() {
            tally.count_cases(verdicts.cases);
        }
    }
    if tally.records_created() == 0 && !is_empty_file {
        tally.refuse(None, "no record of the file could be accepted");
    }
    context.progress.bytes.store(size, Ordering::Relaxed);
    Ok(tally.into_outcome())
}

/// Why a file of this kind cannot be one of this program.
fn wrong_kind<'k>(program: &Program, kind: &'k FileKind) -> Option<&'k str> {
    match (program.header.is_some(), kind) {
        (_, FileKind::Unknown(why)) => Some(why),
        (true, FileKind::Csv | FileKind::Sheet(_)) => {
            Some("a file of this program must be plain text, not csv or xlsx")
        }
        (false, FileKind::Text) => Some("a file of this program must be csv or xlsx"),
        (true, FileKind::Text) | (false, FileKind::Csv | FileKind::Sheet(_)) => None,
    }
}

type Opened<'s> = Result<(Reading<'s>, Vec<HeaderProblem>), Vec<HeaderProblem>>;

/// Reads the first line: the header, or the first row of a sheet.
fn open<'s>(
    catalogue: &'s Catalogue,
    program: &Program,
    section: &Section,
    period: Period,
    path: &Path,
    kind: &FileKind,
) -> anyhow::Result<Opened<'s>> {
    let mut source = Source::open(kind, path)?.context("the file is of unknown kind")?;
    let first = source.next()?;
    let Some(header) = &program.header else {
        let has_data = first.is_some_and(|row| {
            row.number == 1 && row.len() == 2 && row.offsets.windows(2).all(|cell| cell[0] < cell[1])
        });
        let sheet = if let FileKind::Sheet(sheet) = kind { &sheet.name } else { "" };
        let message = wording::first_row(sheet, first.map_or(&[], |row| row.bytes));
        let (item, field) = (String::new(), String::new());
        let problem = HeaderProblem { category: Category::File, item, field, message };
        let reading = Reading { period, cipher: None, place: Submitter::State };
        return Ok(if has_data { Ok((reading, Vec::new())) } else { Err(vec![problem]) });
    };
    let mut offsets = Vec::new();
    let line = header::first_line(first.map_or(&[][..], |line| line.bytes), &mut offsets);
    Ok(header::read(catalogue, (program, header), section, period, &line))
}

fn log_header(tally: &mut ParseTally<'_>, program: &Program, problems: &[HeaderProblem]) {
    let record_type = program.header.as_ref().map_or("", |header| &header.record.name);
    for problem in problems {
        let (category, item, field) = (problem.category, &problem.item, &problem.field);
        tally.log(&Problem {
            category,
            record: Some(1),
            record_type,
            item,
            field,
            message: &problem.message,
            ..Problem::new(Category::Record)
        });
    }
}

/// Reads the file and keeps an entry of each record of the share.
fn index(job: &Job<'_>, share: u64, context: &Context<'_>) -> Result<RecordIndex, ParseError> {
    let mut index = RecordIndex::default();
    let mut shown = 0;
    let mut record = Values::default();
    let mut source = Source::open(&job.kind, job.path)?.context("the file is of unknown kind")?;
    while let Some(line) = source.next()? {
        context.cancel.check()?;
        if job.is_detail(&line) {
            index_line(job, share, &line, &mut record, &mut index);
        }
        if line.number % PROGRESS_EVERY == 0 {
            job.show_progress(context, &source, share, 0);
            let seen = index.entries.len() - std::mem::replace(&mut shown, index.entries.len());
            context.progress.records.fetch_add(seen as u64, Ordering::Relaxed);
        }
    }
    context.progress.records.fetch_add((index.entries.len() - shown) as u64, Ordering::Relaxed);
    Ok(index)
}

fn index_line(
    job: &Job<'_>,
    share: u64,
    line: &SourceLine<'_>,
    record: &mut Values,
    index: &mut RecordIndex,
) {
    let Some((kind, record_type)) = job.record_type(line).filter(|_| line.flaw.is_none()) else {
        note_lost(job, share, line, index);
        return;
    };
    let case = job.case_of(line, record_type);
    if job.has_cases() && job.share_of(case) != share {
        return;
    }
    let period = job.reading.period;
    for (number, segment) in record_type.segments.iter().enumerate() {
        if !segment.precheck(line, period, |_| {}) {
            if !segment.is_quiet(line) {
                let month = segment.month_of(line).and_then(|month| period.index_of(month));
                index.flawed.extend(case.zip(month));
                note_lost(job, share, line, index);
            }
            continue;
        }
        segment.read(line, job.reading.cipher, record);
        let mut flawed = false;
        let sound = segment.check(record, job.reading.place, |finding| {
            flawed |= !matches!(finding, Fault::Deprecated(_));
        });
        if !sound && segment.case_begins_blank(line) {
            note_lost(job, share, line, index);
        }
        // In a sheet, a row with a problem is not a record.
        if !sound && job.header.is_none() {
            continue;
        }
        let (mut exact, partial) = segment.hashes(line, record, &job.seed);
        if !segment.exact_except.is_empty() && all_hold(&segment.exact_except, record) {
            exact = job.seed.hash_one((line.number, number));
        }
        let (owner, month) = match job.section.duplicates {
            Duplicates::DeleteCase | Duplicates::Keep => (case.unwrap_or(0), record.month),
            Duplicates::DeleteType => (kind as u64, None),
            Duplicates::DeleteCopies => (exact, None),
        };
        if job.shares > 1 && !job.has_cases() && job.share_of(Some(exact)) != share {
            continue;
        }
        let entry = RecordEntry {
            exact,
            partial,
            line: line.number,
            marks: segment.marks_of(record),
            kind: kind as u8,
            segment: number as u8,
            flawed,
            noted: !sound,
            deleted: false,
            links: 0,
        };
        index.push(owner, month.and_then(|month| period.index_of(month)).unwrap_or(0), entry);
    }
}

/// Keeps the intended record of a line that is refused or misplaced.
#[cold]
fn note_lost(job: &Job<'_>, share: u64, line: &SourceLine<'_>, index: &mut RecordIndex) {
    if let Some(lost) = lost(job, line).filter(|(case, ..)| job.share_of(Some(*case)) == share) {
        index.lost.entry(lost).or_insert(line.number);
    }
}
