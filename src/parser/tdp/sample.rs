//! Writes submissions of any size, valid or broken, from the same layouts that the parser reads by.
//!
//! Values are invented: social security numbers have areas that are never issued. The same seed gives
//! the same bytes. Lines are written as they are made, so size costs no memory.

use std::io::{self, Write};

use anyhow::{Context as _, Result};

use super::CATALOGUE;
use super::check::Test;
use super::invent::Random;
use super::layout::{
    Condition, Fault, Field, FieldKind, Header, LineSegment, Program, Reading, RecordType, RuleKind, Section,
    Submitter,
};
use super::period::Period;
use super::record::Values;
use super::source::text_line;
use super::value::{At, Value};

/// How much to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// So many cases; lines, in sections without cases.
    Cases(u64),
    /// The first case that reaches this size is the last.
    Bytes(u64),
}

/// The sample to write.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Program code, such as `tanf`.
    pub program: &'a str,
    /// Section code, such as `active`.
    pub section: &'a str,
    /// Fiscal year, four digits.
    pub fiscal_year: i32,
    /// Fiscal quarter, 1 to 4.
    pub fiscal_quarter: u8,
    /// How much.
    pub size: Size,
    /// The share of cases that something is wrong with, from 0 to 1.
    pub error_rate: f64,
    /// The same seed gives the same file.
    pub seed: u64,
}

impl Sample<'_> {
    /// Writes the submission; returns its size in bytes.
    ///
    /// # Errors
    /// The program and section have no layout, or `out` can't be written.
    pub fn write(&self, out: impl Write) -> Result<u64> {
        let (program, section) =
            CATALOGUE.find(self.program, self.section).context("no layout for this program and section")?;
        let period = Period::from_fiscal(self.fiscal_year, self.fiscal_quarter);
        let mut writer = Writer {
            section,
            reading: Reading { period, cipher: None, place: Submitter::State },
            random: Random::new(self.seed),
            out: CountedWriter { out, bytes: 0, lines: 0 },
        };
        writer.all(program, self).context("failed to write the sample")
    }
}

struct Writer<'s, W> {
    section: &'s Section,
    reading: Reading<'s>,
    random: Random,
    out: CountedWriter<W>,
}

impl<W: Write> Writer<'_, W> {
    fn all(&mut self, program: &Program, sample: &Sample<'_>) -> io::Result<u64> {
        if let Some(header) = &program.header {
            let line = self.header(header);
            self.out.line(&line)?;
        }
        let before = self.out.lines;
        for case in 1.. {
            let broken = self.random.chance(sample.error_rate);
            self.case(case, broken)?;
            let done = match sample.size {
                Size::Cases(cases) => case >= cases,
                Size::Bytes(bytes) => self.out.bytes >= bytes,
            };
            if done {
                break;
            }
        }
        if let Some(header) = &program.header {
            let count = self.out.lines - before;
            self.out.line(format!("{}{count:07}         ", header.trailer.name).as_bytes())?;
        }
        self.out.out.flush()?;
        Ok(self.out.bytes)
    }

    fn header(&mut self, header: &Header) -> Vec<u8> {
        let (segment, roles, period) = (&header.record.segments[0], &header.roles, self.reading.period);
        let mut line = vec![b' '; width(&header.record)];
        for field in segment.fields.iter().filter(|field| field.required) {
            self.fill(&mut line, field, &[]);
        }
        let mut set = |field: usize, text: &str| put(&mut line, segment.fields[field].at, text.as_bytes());
        set(roles.year, &period.year.to_string());
        set(roles.quarter, &period.quarter.to_string());
        set(roles.section, &self.section.letter);
        set(roles.program, &header.programs[0]);
        set(roles.fips, if header.tribe { "00" } else { "06" });
        set(roles.tribe, if header.tribe { "142" } else { "000" });
        line
    }

    /// One case, or one line in sections without cases.
    fn case(&mut self, number: u64, broken: bool) -> io::Result<()> {
        let section = self.section;
        let fault = broken.then(|| self.random.below(7));
        for (kind, record) in section.records.iter().enumerate() {
            // The last kind of record is there once or twice; which one is missing breaks the case.
            let again = if kind + 1 == section.records.len() && kind > 0 { self.random.below(2) } else { 0 };
            if fault == Some(0) && kind == 0 && section.records.len() > 1 {
                continue;
            }
            for nth in 0..=again {
                let mut line = self.line(record, number, nth == 0);
                if kind == 0 {
                    self.damage(&mut line, record, fault);
                }
                self.out.line(&line)?;
                if fault == Some(1) && kind == 0 {
                    self.out.line(&line)?;
                }
            }
        }
        Ok(())
    }

    /// Makes one thing wrong with a line.
    fn damage(&mut self, line: &mut Vec<u8>, record: &RecordType, fault: Option<u64>) {
        let fields = &record.segments[0].fields;
        let of = self.random.below(fields.len() as u64) as usize;
        let required: Vec<&Field> = fields.iter().filter(|field| field.required).collect();
        match fault {
            Some(2) if self.section.letter.is_empty() => line.insert(0, b'9'),
            Some(2) => line.truncate(20),
            Some(3) if !self.section.letter.is_empty() => line[..2].copy_from_slice(b"X9"),
            Some(4) => put(line, required[of % required.len()].at, &[b' '; 64]),
            Some(5 | 6) => put(line, required[of % required.len()].at, &[b'9'; 64]),
            _ => {}
        }
    }

    /// One sound line of a record type. `leads` records meet the needs of the others in the case.
    fn line(&mut self, record: &RecordType, number: u64, leads: bool) -> Vec<u8> {
        if self.section.letter.is_empty() {
            return self.row(record, number);
        }
        let mut line = vec![b' '; width(record)];
        let months = if record.segments.len() > 2 { 3 } else { 1 };
        let blocks = record.segments.len() / months;
        let used = 1 + self.random.below(blocks as u64) as usize;
        for segment in &record.segments[..used * months] {
            self.segment(&mut line, record, segment, number, leads);
        }
        line
    }

    fn segment(
        &mut self,
        line: &mut [u8],
        record: &RecordType,
        segment: &LineSegment,
        number: u64,
        leads: bool,
    ) {
        for field in &segment.fields {
            self.fill(line, field, &[]);
        }
        let period = self.reading.period;
        put(line, segment.fields[0].at, record.name.as_bytes());
        if let Some(case) = segment.case {
            let at = segment.fields[case].at;
            put(line, at, format!("{number:0width$}", width = at.end - at.start).as_bytes());
        }
        let month = period.month((number % 3) as u8).0.to_string();
        let quarter = format!("{}{}", period.year, period.quarter);
        for (nth, field) in segment.fields.iter().enumerate() {
            let is_quarter = segment
                .fields
                .iter()
                .any(|f| matches!(f.kind, FieldKind::MonthOfQuarter(_)) && f.at == field.at);
            if is_quarter {
                put(line, field.at, quarter.as_bytes());
            } else if segment.month == Some(nth) {
                put(line, field.at, month.as_bytes());
            }
        }
        if leads {
            for condition in
                segment.marks.iter().filter(|mark| mark.fails.is_none()).flat_map(|mark| &mark.when)
            {
                let field = &segment.fields[condition.field];
                self.fill(line, field, &[&condition.check.test]);
            }
        }
        self.mend(line, segment);
    }

    /// Changes values until all rules accept them.
    fn mend(&mut self, line: &mut [u8], segment: &LineSegment) {
        let (mut record, mut offsets) = (Values::default(), Vec::new());
        for _ in 0..20 {
            segment.read(&text_line(line, 1, &mut offsets), None, &mut record);
            let mut findings = Vec::new();
            segment.check(&record, self.reading.place, |finding| findings.push(finding));
            if findings.is_empty() {
                return;
            }
            for finding in findings {
                match finding {
                    Fault::Missing(field) | Fault::Failed(field, _) => self.fill(line, field, &[]),
                    Fault::Broken(rule) | Fault::Deprecated(rule) => match &rule.kind {
                        RuleKind::Demand { then: Condition { field, check }, .. } => {
                            self.fill(line, &segment.fields[*field], &[&check.test]);
                        }
                        RuleKind::SumAbove { parts, least } => {
                            put_number(line, segment.fields[parts[0]].at, least + 1);
                        }
                        RuleKind::SumEquals { total, parts } => {
                            let number = |&part: &usize| match record.values[part] {
                                Value::Number(number) => number,
                                Value::Blank | Value::Text(_) => 0,
                            };
                            put_number(line, segment.fields[*total].at, parts.iter().map(number).sum());
                        }
                    },
                }
            }
        }
    }

    /// Gives a field a value that passes its own checks and the further ones.
    fn fill(&mut self, line: &mut [u8], field: &Field, further: &[&Test]) {
        let value = self.random.value(field, further);
        put(line, field.at, &value);
    }

    /// A row of a sheet: cells joined by commas.
    fn row(&mut self, record: &RecordType, number: u64) -> Vec<u8> {
        let segment = &record.segments[0];
        let month = self.reading.period.month((number % 3) as u8).0.to_string();
        let cells = segment.fields.iter().enumerate().map(|(nth, field)| match segment.month == Some(nth) {
            true => month.clone().into_bytes(),
            false => self.random.value(field, &[]),
        });
        cells.collect::<Vec<_>>().join(&b',')
    }
}

/// Counts the written bytes.
struct CountedWriter<W> {
    out: W,
    bytes: u64,
    lines: u64,
}

impl<W: Write> CountedWriter<W> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.bytes += line.len() as u64 + 1;
        self.lines += 1;
        self.out.write_all(line)?;
        self.out.write_all(b"\n")
    }
}

fn width(record: &RecordType) -> usize {
    record.segments.iter().flat_map(|segment| &segment.fields).map(|field| field.at.end).max().unwrap_or(0)
}

/// Writes as much of `text` as the range holds.
fn put(line: &mut [u8], at: At, text: &[u8]) {
    let length = (at.end - at.start).min(text.len());
    if let Some(target) = line.get_mut(at.start..at.start + length) {
        target.copy_from_slice(&text[..length]);
    }
}

fn put_number(line: &mut [u8], at: At, number: i64) {
    put(line, at, format!("{number:0width$}", width = at.end - at.start).as_bytes());
}
