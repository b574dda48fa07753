//! The compiled schema: programs, sections, record types, and how one record is read and checked.
//!
//! The engine above asks a [`Segment`] to read a line and to name what is wrong with it; it knows no
//! field by name. How findings are worded is in `wording`, how schemas are read in `compile`.

use std::hash::{BuildHasher as _, Hasher as _};

use super::check::Check;
use super::period::Period;
use super::value::{At, Line, Month, Span, Value, is_blank, whole_number};

/// One program: its sections and its header.
#[derive(Debug)]
pub(super) struct Program {
    pub code: String,
    /// `None` for a program whose files are sheets.
    pub header: Option<Header>,
    pub sections: Vec<Section>,
}

/// What the first and last line of a program's files must look like.
#[derive(Debug)]
pub(super) struct Header {
    pub record: RecordType,
    pub trailer: RecordType,
    /// The trailer's field that counts records.
    pub count: Option<usize>,
    /// Program types the header may name.
    pub programs: Vec<String>,
    /// Whether the header must name a tribe.
    pub tribe: bool,
    /// The program type of which a header without a state must name a tribe.
    pub tribal_program: String,
    /// Which field of the header says what.
    pub roles: Roles,
}

/// Fields of the header, by what they say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Roles {
    pub year: usize,
    pub quarter: usize,
    pub section: usize,
    pub fips: usize,
    pub tribe: usize,
    pub program: usize,
    pub encryption: usize,
}

/// One section of a program: the records a file of it may hold.
#[derive(Debug)]
pub(super) struct Section {
    pub code: String,
    /// Its letter in the header; empty for sheets.
    pub letter: String,
    pub records: Vec<RecordType>,
    pub duplicates: Duplicates,
    /// Records one case may have in one month.
    pub most_records: Option<usize>,
    pub relations: Vec<Relation>,
    pub links: Vec<Link>,
}

/// What happens to records that are there twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// The whole case of that month is deleted.
    DeleteCase,
    /// All records of that type are deleted.
    DeleteType,
    /// All copies are deleted.
    DeleteCopies,
    /// They are reported and kept.
    Keep,
}

/// Every record of one type needs another one in its case and month.
#[derive(Debug)]
pub(super) struct Relation {
    /// Bit of [`Segment::marks`] of those that need something.
    pub every: u8,
    /// Record types that are looked for.
    pub types: Vec<u8>,
    /// Bit of those that fulfil it.
    pub needs: u8,
    pub deprecated: bool,
    /// The schema's own words for the need.
    pub needs_text: String,
    pub every_text: String,
}

/// Records of one type must pass a check where their case number has another record.
#[derive(Debug)]
pub(super) struct Link {
    /// Bit of records that fail the check.
    pub fails: u8,
    /// Bit of records that ask for it.
    pub when: u8,
    pub when_text: String,
    pub demand: Condition,
}

/// One record type: the segments a line of it holds, one record each.
#[derive(Debug)]
pub(super) struct RecordType {
    pub name: String,
    pub segments: Vec<Segment>,
}

/// One record within a line.
#[derive(Debug, Default)]
pub(super) struct Segment {
    pub prechecks: Vec<Precheck>,
    pub quiet: Quiet,
    pub fields: Vec<Field>,
    pub rules: Vec<Rule>,
    /// Rules that are reported but no longer count, with the kind of place they are for.
    pub deprecated_rules: Vec<(Place, Rule)>,
    /// The field that holds the reporting month.
    pub month: Option<usize>,
    /// The field that holds the case number.
    pub case: Option<usize>,
    pub partial_key: Vec<usize>,
    /// Records for which this holds are never partial duplicates.
    pub partial_except: Vec<Condition>,
    /// Records for which this holds are never exact duplicates.
    pub exact_except: Vec<Condition>,
    /// Bits that rules between records ask for.
    pub marks: Vec<Mark>,
}

/// By what a rule between records recognises a record.
#[derive(Debug)]
pub(super) struct Mark {
    pub bit: u8,
    pub when: Vec<Condition>,
    /// Only records that are filled there, and fail it.
    pub fails: Option<Condition>,
}

/// Kinds of submitter that rules distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    State,
    Territory,
    Tribe,
}

/// What a line must look like before it is read.
#[derive(Debug)]
pub(super) enum Precheck {
    LengthAtLeast(usize),
    LengthExactly(usize),
    StartsWith(String),
    Filled(At),
    FilledNotZeros(At),
    MonthInQuarter,
    Quarter(At),
}

/// When a failed pre-check drops the record without a word.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Quiet {
    #[default]
    Never,
    Always,
    UnlessData(At),
}

/// One field of a record.
#[derive(Debug)]
pub(super) struct Field {
    pub item: String,
    pub name: String,
    pub at: At,
    pub kind: Kind,
    pub required: bool,
    /// Its problems do not stop anything (header only).
    pub warning: bool,
    pub sensitive: bool,
    pub checks: Vec<Check>,
}

/// How a field's text becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    /// Leading blanks become zeros.
    ZeroPadded,
    /// Deciphered when the header says that the file is encrypted.
    Ciphered,
    /// A quarter, `YYYYQ`, of which the value is the n-th month.
    MonthOfQuarter(u8),
}

/// A check on one field of a record.
#[derive(Debug)]
pub(super) struct Condition {
    pub field: usize,
    pub check: Check,
}

/// A rule about the fields of one record.
#[derive(Debug)]
pub(super) struct Rule {
    pub kind: RuleKind,
}

#[derive(Debug)]
pub(super) enum RuleKind {
    Demand { when: Vec<Condition>, then: Condition },
    SumAbove { parts: Vec<usize>, least: i64 },
    SumEquals { total: usize, parts: Vec<usize> },
}

/// One thing that is wrong with a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Finding<'s> {
    Missing(&'s Field),
    Failed(&'s Field, &'s Check),
    Broken(&'s Rule),
    Deprecated(&'s Rule),
}

/// Bytes that stand for others in ciphered fields.
#[derive(Debug)]
pub(super) struct Cipher {
    pub flag: String,
    pub table: Box<[u8; 256]>,
}

/// What one file is read with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'s> {
    pub period: Period,
    /// Given when the header says that the file is encrypted.
    pub cipher: Option<&'s Cipher>,
    pub place: Place,
}

/// A record's values and the bytes they point into; reused from record to record.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub values: Vec<Value>,
    pub bytes: Vec<u8>,
    pub month: Option<Month>,
}

impl Segment {
    /// Names every pre-check that fails. True when none does.
    pub(super) fn precheck<'s>(
        &'s self,
        line: &Line<'_>,
        period: Period,
        mut failed: impl FnMut(&'s Precheck),
    ) -> bool {
        let mut sound = true;
        for precheck in &self.prechecks {
            if !self.holds(precheck, line, period) {
                sound = false;
                failed(precheck);
            }
        }
        sound
    }

    /// True when a failed pre-check of this line is not to be reported.
    pub(super) fn is_quiet(&self, line: &Line<'_>) -> bool {
        match self.quiet {
            Quiet::Never => false,
            Quiet::Always => true,
            Quiet::UnlessData(at) => {
                let data = line.clipped(at);
                let zeros = line.get(at).is_some_and(|whole| whole.iter().all(|&byte| byte == b'0'));
                is_blank(data) || zeros
            }
        }
    }

    fn holds(&self, precheck: &Precheck, line: &Line<'_>, period: Period) -> bool {
        match precheck {
            Precheck::LengthAtLeast(least) => line.len() >= *least,
            Precheck::LengthExactly(length) => line.len() == *length,
            Precheck::StartsWith(start) => line.bytes.starts_with(start.as_bytes()),
            Precheck::Filled(at) => line.get(*at).is_some_and(|bytes| !is_blank(bytes)),
            Precheck::FilledNotZeros(at) => {
                line.get(*at).is_some_and(|bytes| !is_blank(bytes) && bytes.iter().any(|&byte| byte != b'0'))
            }
            Precheck::MonthInQuarter => {
                self.month_of(line).is_some_and(|month| period.index_of(month).is_some())
            }
            Precheck::Quarter(at) => line.get(*at).is_some_and(|bytes| {
                bytes.iter().all(u8::is_ascii_digit)
                    && whole_number(&bytes[..4]).is_some_and(|year| year >= 2020)
                    && matches!(bytes.last(), Some(b'1'..=b'4'))
            }),
        }
    }

    /// The reporting month a line gives for this record, if it gives one at all.
    pub(super) fn month_of(&self, line: &Line<'_>) -> Option<Month> {
        let field = &self.fields[self.month?];
        let bytes = line.get(field.at).filter(|bytes| !is_blank(bytes))?;
        match field.kind {
            Kind::MonthOfQuarter(nth) => month_of_quarter(bytes, nth),
            _ => whole_number(bytes).and_then(Month::from_number),
        }
    }

    /// The bytes of the case number, unless they are blank.
    pub(super) fn case_of<'a>(&self, line: &Line<'a>) -> Option<&'a [u8]> {
        line.get(self.fields[self.case?].at).filter(|bytes| !is_blank(bytes))
    }

    /// Reads all values of the record.
    pub(super) fn read(&self, line: &Line<'_>, cipher: Option<&Cipher>, record: &mut Record) {
        record.values.clear();
        record.bytes.clear();
        record.bytes.extend_from_slice(line.bytes);
        record.month = self.month_of(line);
        for field in &self.fields {
            let filled = line.span(field.at).filter(|span| !is_blank(span.of(line.bytes)));
            let value = filled.map_or(Value::Blank, |span| read_field(field.kind, span, cipher, record));
            record.values.push(value);
        }
    }

    /// Names everything that is wrong with a record that was read. True when nothing is.
    pub(super) fn check<'s>(
        &'s self,
        record: &Record,
        place: Place,
        mut found: impl FnMut(Finding<'s>),
    ) -> bool {
        let mut sound = true;
        let mut report = |finding| {
            sound = false;
            found(finding);
        };
        for (field, &value) in self.fields.iter().zip(&record.values).filter(|(field, _)| field.required) {
            if matches!(value, Value::Blank) {
                report(Finding::Missing(field));
                continue;
            }
            for check in &field.checks {
                if !check.test.passes(value, &record.bytes, record.month) {
                    report(Finding::Failed(field, check));
                }
            }
        }
        for rule in self.rules.iter().filter(|rule| !rule.holds(record)) {
            report(Finding::Broken(rule));
        }
        for (_, rule) in self.deprecated_rules.iter().filter(|(of, rule)| *of == place && !rule.holds(record))
        {
            report(Finding::Deprecated(rule));
        }
        sound
    }

    /// Hashes of all values and of the partial key; the latter 0 for a record without one.
    pub(super) fn hashes(&self, record: &Record, seed: &foldhash::fast::FixedState) -> (u64, u64) {
        let hash = |fields: &mut dyn Iterator<Item = usize>| {
            let mut hasher = seed.build_hasher();
            for field in fields {
                match record.values[field] {
                    Value::Blank => hasher.write_u8(0),
                    Value::Number(number) => hasher.write_i64(number),
                    Value::Text(span) => hasher.write(span.of(&record.bytes)),
                }
            }
            hasher.finish()
        };
        let partial = !self.partial_key.is_empty()
            && (self.partial_except.is_empty() || !all_hold(&self.partial_except, record));
        let key = if partial { hash(&mut self.partial_key.iter().copied()).max(1) } else { 0 };
        (hash(&mut (0..record.values.len())), key)
    }

    /// The bits of the rules between records that this record answers.
    pub(super) fn marks_of(&self, record: &Record) -> u16 {
        let fails = |condition: &Condition| {
            !matches!(record.values[condition.field], Value::Blank) && !condition.holds(record)
        };
        let marks = self.marks.iter().filter(|mark| all_hold(&mark.when, record));
        let marks = marks.filter(|mark| mark.fails.as_ref().is_none_or(fails));
        marks.fold(0, |bits, mark| bits | 1 << mark.bit)
    }
}

impl Rule {
    /// True where the record keeps the rule.
    pub(super) fn holds(&self, record: &Record) -> bool {
        let sum = |parts: &[usize]| -> i64 {
            parts
                .iter()
                .map(|&part| if let Value::Number(number) = record.values[part] { number } else { 0 })
                .sum()
        };
        match &self.kind {
            RuleKind::Demand { when, then } => !all_hold(when, record) || then.holds(record),
            RuleKind::SumAbove { parts, least } => sum(parts) > *least,
            RuleKind::SumEquals { total, parts } => {
                matches!(record.values[*total], Value::Number(number) if number == sum(parts))
            }
        }
    }

    /// The field a problem with this rule is filed under.
    pub(super) fn field(&self) -> usize {
        match &self.kind {
            RuleKind::Demand { then, .. } => then.field,
            RuleKind::SumAbove { parts, .. } => parts.first().copied().unwrap_or(0),
            RuleKind::SumEquals { total, .. } => *total,
        }
    }
}

impl Condition {
    #[inline]
    pub(super) fn holds(&self, record: &Record) -> bool {
        self.check.test.passes(record.values[self.field], &record.bytes, record.month)
    }
}

pub(super) fn all_hold(conditions: &[Condition], record: &Record) -> bool {
    conditions.iter().all(|condition| condition.holds(record))
}

fn read_field(kind: Kind, span: Span, cipher: Option<&Cipher>, record: &mut Record) -> Value {
    let bytes = &mut record.bytes[span.start as usize..span.end as usize];
    match (kind, cipher) {
        (Kind::Number, _) => whole_number(bytes).map_or(Value::Blank, Value::Number),
        (Kind::MonthOfQuarter(nth), _) => {
            month_of_quarter(bytes, nth).map_or(Value::Blank, |month| Value::Number(i64::from(month.0)))
        }
        (Kind::ZeroPadded, _) => {
            bytes.iter_mut().take_while(|byte| **byte == b' ').for_each(|byte| *byte = b'0');
            Value::Text(span)
        }
        (Kind::Ciphered, Some(cipher)) => {
            bytes.iter_mut().for_each(|byte| *byte = cipher.table[usize::from(*byte)]);
            Value::Text(span)
        }
        (Kind::Text | Kind::Ciphered, _) => Value::Text(span),
    }
}

fn month_of_quarter(bytes: &[u8], nth: u8) -> Option<Month> {
    let quarter = whole_number(bytes)?;
    let (year, quarter) = (quarter / 10, quarter % 10);
    let month = (1..=4).contains(&quarter).then_some(quarter * 3 - 2 + i64::from(nth))?;
    Month::from_number(year * 100 + month)
}
