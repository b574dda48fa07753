//! The second reading: problems are logged in line order, and accepted records are handed out.
//!
//! Everything was decided before; this file only says it.

use anyhow::Context as _;
use serde_json::{Map, Value as Json};

use super::index::{CaseProblem, EntryRun, RecordEntry, RecordIndex, What};
use super::job::realigned;
use super::job::{Job, PROGRESS_EVERY};
use super::layout::{Fault, Header, LineSegment, RecordType};
use super::record::Values;
use super::source::Source;
use super::survey::is_trailer;
use super::tally::ParseTally;
use super::value::{Month, SourceLine, Value};
use super::wording;
use crate::parser::{Category, Context, ParseError, Problem};

/// Walks the lines of a share beside its entries and problems.
pub(super) struct Emitter<'e, 'j, 'p> {
    job: &'e Job<'j>,
    share: u64,
    entries: &'e [RecordEntry],
    runs: &'e [EntryRun],
    /// The number of the next entry.
    at: u32,
    problems: &'e [CaseProblem],
    tally: &'e mut ParseTally<'p>,
    record: Values,
    /// Records accepted of each type of the section.
    created: Vec<u64>,
    trailers: u64,
    /// The file is empty on purpose: no detail, and one sound trailer that counts 0.
    pub is_empty_file: bool,
}

impl<'e, 'j, 'p> Emitter<'e, 'j, 'p> {
    /// `problems` come in order of line and segment.
    pub(super) fn new(
        job: &'e Job<'j>,
        share: u64,
        index: &'e RecordIndex,
        problems: &'e [CaseProblem],
        tally: &'e mut ParseTally<'p>,
    ) -> Self {
        let (entries, runs, record) = (&index.entries[..], &index.runs[..], Values::default());
        let (at, trailers, is_empty_file) = (0, 0, false);
        let created = vec![0; job.section.records.len()];
        Self { job, share, entries, runs, at, problems, tally, record, created, trailers, is_empty_file }
    }

    /// Reads the file and logs its problems.
    ///
    /// # Errors
    /// The file cannot be read, a record cannot be handed out, or the parse is to stop.
    pub(super) fn run(&mut self, context: &mut Context<'_>) -> Result<(), ParseError> {
        let job = self.job;
        let mut source = Source::open(&job.kind, job.path)?.context("the file is of unknown kind")?;
        while let Some(line) = source.next()? {
            context.cancel.check()?;
            self.line(&line, context)?;
            if line.number % PROGRESS_EVERY == 0 {
                job.show_progress(context, &source, self.share, 1);
            }
        }
        for (record_type, &records) in job.section.records.iter().zip(&self.created) {
            self.tally.accept(&record_type.name, records);
        }
        Ok(())
    }

    fn line(&mut self, line: &SourceLine<'_>, context: &mut Context<'_>) -> Result<(), ParseError> {
        let job = self.job;
        if let Some(header) = job.header.filter(|_| self.share == 0)
            && (line.number == job.survey.lines || is_trailer(header, line))
        {
            self.trailer(header, line);
        }
        if !job.is_detail(line) {
            return Ok(());
        }
        let Some((kind, record_type)) = job.record_type(line).filter(|_| line.flaw.is_none()) else {
            if self.share == 0 {
                self.unknown(line);
            }
            return Ok(());
        };
        let reports = job.share_of(job.case_of(line, record_type)) == self.share;
        if job.has_cases() && !reports {
            return Ok(());
        }
        let here = self.entries.iter().take_while(|entry| entry.line == line.number).count();
        let (entries, rest) = self.entries.split_at(here);
        self.entries = rest;
        let from = self.at;
        self.at += here as u32;
        let is_plain =
            |entry: &RecordEntry| !entry.noted && !entry.deleted && entry.links == 0 && !entry.flawed;
        if context.records.is_none()
            && here == record_type.segments.len()
            && self.problems.first().is_none_or(|problem| problem.line != line.number)
            && entries.iter().all(is_plain)
        {
            self.created[kind] += here as u64;
            return Ok(());
        }
        let passed = self.runs.iter().take_while(|run| run.to <= from).count();
        self.runs = &self.runs[passed..];
        for (number, segment) in record_type.segments.iter().enumerate() {
            match entries.iter().find(|entry| usize::from(entry.segment) == number) {
                Some(entry) => self.entry(line, record_type, segment, entry, context)?,
                None if reports => self.refused(line, record_type, segment),
                None => {}
            }
        }
        Ok(())
    }

    /// A record that was read: its problems, and the record itself when it is accepted.
    fn entry(
        &mut self,
        line: &SourceLine<'_>,
        record_type: &RecordType,
        segment: &LineSegment,
        entry: &RecordEntry,
        context: &mut Context<'_>,
    ) -> Result<(), ParseError> {
        let job = self.job;
        segment.read(line, job.reading.cipher, &mut self.record);
        let month = month_text(self.record.month);
        let base = Problem {
            record: Some(line.number),
            record_type: &record_type.name,
            month: &month,
            case: self.runs.first().map(|run| run.case_line).filter(|_| job.has_cases()),
            ..Problem::new(Category::Record)
        };
        if entry.noted {
            let record = &self.record;
            let tally = &mut *self.tally;
            segment.check(record, job.reading.place, |finding| {
                say(tally, segment, finding, (line, record), &base, None);
            });
        }
        while let Some((problem, rest)) = self.problems.split_first() {
            if (problem.line, problem.segment) != (entry.line, entry.segment) {
                break;
            }
            self.problems = rest;
            let deprecated = match problem.what {
                What::Relation { rule, .. } => job.section.relations[rule].deprecated,
                What::Duplicate { .. } | What::Partial { .. } | What::TooMany => false,
            };
            let message = wording::between(job.section, record_type, problem.what, line);
            self.tally.log(&Problem {
                category: Category::Case,
                deprecated,
                message: &message,
                ..base.clone()
            });
        }
        for link in
            (0..).zip(&job.section.links).filter(|(bit, _)| entry.links & (1 << bit) != 0).map(|(_, l)| l)
        {
            let field = &segment.fields[link.demand.field];
            let message = wording::linked(segment, link, &self.record, line);
            let (item, field) = (&field.item, &field.name);
            let category = Category::CrossField;
            self.tally.log(&Problem { category, item, field, message: &message, ..base.clone() });
        }
        if !entry.deleted {
            self.created[usize::from(entry.kind)] += 1;
            if let Some(sink) = &mut context.records {
                sink.accept(&record_type.name, &as_json(segment, &self.record))
                    .context("failed to hand out a record")?;
            }
        }
        Ok(())
    }

    /// A record without an entry: why it was refused, unless that is not worth a word. One that is
    /// sound has its entry in another share.
    fn refused(&mut self, line: &SourceLine<'_>, record_type: &RecordType, segment: &LineSegment) {
        let job = self.job;
        let is_row = job.header.is_none();
        let month = month_text(segment.month_of(line));
        let category = if is_row { Category::Case } else { Category::Record };
        let record_type = &record_type.name;
        let base = Problem {
            category,
            record: Some(line.number),
            record_type,
            month: &month,
            ..Problem::new(Category::Record)
        };
        let tally = &mut *self.tally;
        let mut sound = true;
        if is_row {
            // A row is refused for its values, too.
            segment.read(line, job.reading.cipher, &mut self.record);
            let record = &self.record;
            sound = segment.check(record, job.reading.place, |finding| {
                say(tally, segment, finding, (line, record), &base, Some(Category::Case));
            });
        }
        if segment.is_quiet(line) {
            return;
        }
        sound &= segment.precheck(line, job.reading.period, |failed| {
            let message = wording::precheck(segment, failed, line, job.reading.period);
            tally.log(&Problem { message: &message, ..base.clone() });
        });
        tally.records_in_file += u64::from(is_row && !sound);
    }

    /// A line that no layout of the section is for.
    fn unknown(&mut self, line: &SourceLine<'_>) {
        let message = match line.flaw {
            Some(flaw) => wording::flaw(flaw),
            None => {
                wording::unknown(self.job.section, self.job.record_type(&realigned(self.job, line).line()))
            }
        };
        let category = if self.job.header.is_none() { Category::Case } else { Category::Record };
        self.tally.log(&Problem {
            category,
            record: Some(line.number),
            message: &message,
            ..Problem::new(Category::Record)
        });
    }

    /// The last line, and every line that says it is the last.
    fn trailer(&mut self, header: &Header, line: &SourceLine<'_>) {
        let line = &without_end_of_file(line);
        let (job, tally) = (self.job, &mut *self.tally);
        let record_type = &header.trailer;
        let segment = &record_type.segments[0];
        let base = Problem {
            record: Some(line.number),
            record_type: &record_type.name,
            ..Problem::new(Category::Record)
        };
        self.trailers += u64::from(is_trailer(header, line));
        if self.trailers > 1 && is_trailer(header, line) {
            let message = "this is a second trailer; a file holds one trailer, in its last line";
            tally.log(&Problem { message, ..base.clone() });
        }
        let sound = segment.precheck(line, job.reading.period, |failed| {
            let message = wording::precheck(segment, failed, line, job.reading.period);
            tally.log(&Problem { message: &message, ..base.clone() });
        });
        if !sound || line.flaw.is_some() {
            return;
        }
        segment.read(line, None, &mut self.record);
        let record = &self.record;
        let sound = segment.check(record, job.reading.place, |finding| {
            say(tally, segment, finding, (line, record), &base, None);
        });
        let count = header.count.map(|count| record.values[count]);
        if job.survey.details > 0 {
            return;
        }
        match count {
            Some(Value::Number(0)) if sound && job.survey.trailers == 1 => self.is_empty_file = true,
            Some(Value::Number(count)) if count != 0 => {
                tally.refuse(
                    Some(line.number),
                    &format!("the trailer counts {count} records, but the file holds none"),
                );
            }
            _ => {}
        }
    }
}

/// The line without NULs and signs for the end of a file that stand behind it.
fn without_end_of_file<'l>(line: &SourceLine<'l>) -> SourceLine<'l> {
    let filler = line.bytes.iter().rev().take_while(|byte| matches!(byte, 0 | 0x1a)).count();
    let is_ascii = line.offsets.is_empty();
    SourceLine { bytes: &line.bytes[..line.bytes.len() - if is_ascii { filler } else { 0 }], ..*line }
}

/// Logs one finding about a record; `category` replaces its own.
fn say(
    tally: &mut ParseTally<'_>,
    segment: &LineSegment,
    finding: Fault<'_>,
    (line, record): (&SourceLine<'_>, &Values),
    base: &Problem<'_>,
    category: Option<Category>,
) {
    let own = match finding {
        Fault::Missing(_) | Fault::Failed(..) => Category::Field,
        Fault::Broken(_) => Category::CrossField,
        Fault::Deprecated(_) => Category::Case,
    };
    let (field, message) = wording::finding(segment, finding, record, line);
    tally.log(&Problem {
        category: category.unwrap_or(own),
        item: &field.item,
        field: &field.name,
        deprecated: matches!(finding, Fault::Deprecated(_)),
        message: &message,
        ..base.clone()
    });
}

/// The record as an object, in layout order.
fn as_json(segment: &LineSegment, record: &Values) -> Map<String, Json> {
    let values = segment.fields.iter().zip(&record.values).map(|(field, value)| {
        let value = match value {
            Value::Blank => Json::Null,
            Value::Number(number) => Json::from(*number),
            Value::Text(span) => Json::from(String::from_utf8_lossy(span.of(&record.bytes))),
        };
        (field.name.clone(), value)
    });
    values.collect()
}

fn month_text(month: Option<Month>) -> String {
    month.map_or_else(String::new, |month| month.0.to_string())
}
