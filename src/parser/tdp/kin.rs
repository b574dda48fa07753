//! The intended record of a refused line, so that the other records of its case do not report it as missing.
//!
//! A line that begins with a blank, in small letters or with a blank too many is read as if it did not;
//! nothing but the wording of problems depends on it.

use super::index::Lost;
use super::job::Job;
use super::value::SourceLine;

/// Bytes of a line that say which record it is.
const START: usize = 64;

/// The start of a line, moved to the position that the layouts expect.
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

/// The intended record of a line, as far as it is recognisable.
pub(super) fn lost(job: &Job<'_>, line: &SourceLine<'_>) -> Option<Lost> {
    let start = realigned(job, line);
    let line = start.line();
    let (kind, record_type) = job.record_type(&line).filter(|_| job.has_cases())?;
    let month = record_type.segments[0].month_of(&line).and_then(|month| job.reading.period.index_of(month));
    Some((job.case_of(&line, record_type)?, month, kind as u8))
}
