//! The compiled schema: programs, sections, record types, fields and rules.
//!
//! How a record is read and checked by it is in `record`, how schemas are read in `compile`.

use super::check::{Check, Test};
use super::period::Period;
use super::value::At;

/// One program: its sections and its header.
#[derive(Debug)]
pub(super) struct Program {
    pub code: String,
    /// `None` for a program whose files are sheets.
    pub header: Option<Header>,
    pub sections: Vec<Section>,
}

/// The form of the first and last line of a program's files.
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

/// Fields of the header, by meaning.
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

/// The treatment of duplicate records.
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
    /// Bit of [`LineSegment::marks`] of those that need something.
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

/// Records of one type must pass a check if their case number has another record.
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
    pub segments: Vec<LineSegment>,
}

/// One record within a line.
#[derive(Debug, Default)]
pub(super) struct LineSegment {
    pub prechecks: Vec<Precheck>,
    pub quiet: Quiet,
    pub fields: Vec<Field>,
    /// The parts of the fields that reading and checking needs, close together.
    pub hot: Hot,
    pub rules: Vec<Rule>,
    /// Rules that are reported but no longer count, with the kind of place they are for.
    pub deprecated_rules: Vec<(Submitter, Rule)>,
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

/// The fields again, without the parts for messages: small enough to stay in the fastest memory.
#[derive(Debug, Default)]
pub(super) struct Hot {
    pub cells: Vec<Cell>,
    /// Required fields, each with its range of `tests`.
    pub required: Vec<(usize, std::ops::Range<usize>)>,
    pub tests: Vec<Test>,
    /// The positions of all fields, and of those of the partial key, in as few ranges as possible.
    pub all: Vec<At>,
    pub partial: Vec<At>,
}

/// The position of a field, and its kind of value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub at: At,
    pub kind: FieldKind,
    /// Ones for each of its bytes in a word; 0 for a field longer than a word.
    pub mask: u64,
}

/// How a rule between records recognises a record.
#[derive(Debug)]
pub(super) struct Mark {
    pub bit: u8,
    pub when: Vec<Condition>,
    /// Only records that are filled there, and fail it.
    pub fails: Option<Condition>,
}

/// Kinds of submitter that rules distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Submitter {
    State,
    Territory,
    Tribe,
}

/// The form that a line must have before it is read.
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
    pub kind: FieldKind,
    pub required: bool,
    /// Its problems do not stop anything (header only).
    pub warning: bool,
    pub sensitive: bool,
    pub checks: Vec<Check>,
}

/// How a field's text becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
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
    /// It applies when the rule before it does.
    pub repeats: bool,
}

#[derive(Debug)]
pub(super) enum RuleKind {
    Demand { when: Vec<Condition>, then: Condition },
    SumAbove { parts: Vec<usize>, least: i64 },
    SumEquals { total: usize, parts: Vec<usize> },
}

/// One thing that is wrong with a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault<'s> {
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

/// The layouts for one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'s> {
    pub period: Period,
    /// Given when the header says that the file is encrypted.
    pub cipher: Option<&'s Cipher>,
    pub place: Submitter,
}
