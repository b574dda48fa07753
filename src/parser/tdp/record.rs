//! Reads one record by its layout, and names its problems.
//!
//! The bytes a record was read from are kept in one form: numbers with leading zeros, blanks as
//! blanks, social security numbers deciphered. So two records with the same values have the same
//! bytes, and hashing them is hashing the values.

use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;

use foldhash::fast::FixedState;

use super::layout::{
    Cell, Cipher, Condition, Fault, FieldKind, Hot, LineSegment, Precheck, Quiet, Rule, RuleKind, Submitter,
};
use super::period::Period;
use super::value::{At, Month, SourceLine, Span, Value, digits, is_blank, whole_number};

/// A record's values and the bytes they point into; reused from record to record.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub values: Vec<Value>,
    pub bytes: Vec<u8>,
    pub month: Option<Month>,
}

impl LineSegment {
    /// Names every pre-check that fails. True when none does.
    pub(super) fn precheck<'s>(
        &'s self,
        line: &SourceLine<'_>,
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
    pub(super) fn is_quiet(&self, line: &SourceLine<'_>) -> bool {
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

    fn holds(&self, precheck: &Precheck, line: &SourceLine<'_>, period: Period) -> bool {
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
    pub(super) fn month_of(&self, line: &SourceLine<'_>) -> Option<Month> {
        let field = &self.fields[self.month?];
        let bytes = line.get(field.at).filter(|bytes| !is_blank(bytes))?;
        match field.kind {
            FieldKind::MonthOfQuarter(nth) => month_of_quarter(bytes, nth),
            _ => whole_number(bytes).and_then(Month::from_number),
        }
    }

    /// The bytes of the case number, unless they are blank.
    pub(super) fn case_of<'a>(&self, line: &SourceLine<'a>) -> Option<&'a [u8]> {
        line.get(self.fields[self.case?].at).filter(|bytes| !is_blank(bytes))
    }

    /// True if the case number begins with a blank, as in a line with a blank too many.
    pub(super) fn case_begins_blank(&self, line: &SourceLine<'_>) -> bool {
        self.case_of(line).and_then(<[u8]>::first).is_some_and(u8::is_ascii_whitespace)
    }

    /// Reads all values of the record.
    pub(super) fn read(&self, line: &SourceLine<'_>, cipher: Option<&Cipher>, record: &mut Values) {
        record.bytes.clear();
        record.bytes.extend_from_slice(line.bytes);
        // So that a whole word can be read from wherever a field starts.
        record.bytes.extend_from_slice(&[b' '; 8]);
        record.values.resize(self.hot.cells.len(), Value::Blank);
        let (bytes, in_bytes) = (&mut record.bytes, line.offsets.is_empty());
        for (cell, value) in self.hot.cells.iter().zip(&mut record.values) {
            match line.span(cell.at) {
                Some(span) if !(in_bytes && read_word(cell, span, bytes, value)) => {
                    *value = read_cell(cell.kind, span, cipher, bytes);
                }
                Some(_) => {}
                None => {
                    // The rest of a cut field is not a value.
                    let cut = line.clipped(At { start: cell.at.start, end: usize::MAX }).len();
                    bytes[line.bytes.len() - cut..].fill(b' ');
                    *value = Value::Blank;
                }
            }
        }
        record.month = match self.month.map(|month| record.values[month]) {
            Some(Value::Number(number)) => Month::from_number(number),
            Some(Value::Blank | Value::Text(_)) | None => None,
        };
    }

    /// Names everything that is wrong with a record that was read. True when nothing is.
    pub(super) fn check<'s>(
        &'s self,
        record: &Values,
        place: Submitter,
        mut found: impl FnMut(Fault<'s>),
    ) -> bool {
        let mut sound = true;
        let mut report = |finding| {
            sound = false;
            found(finding);
        };
        for (field, tests) in &self.hot.required {
            let value = record.values[*field];
            if matches!(value, Value::Blank) {
                report(Fault::Missing(&self.fields[*field]));
                continue;
            }
            for (nth, test) in self.hot.tests[tests.clone()].iter().enumerate() {
                if !test.passes(value, &record.bytes, record.month) {
                    let field = &self.fields[*field];
                    report(Fault::Failed(field, &field.checks[nth]));
                }
            }
        }
        let mut applies = true;
        for rule in &self.rules {
            match &rule.kind {
                RuleKind::Demand { when, then } => {
                    if !rule.repeats {
                        applies = all_hold(when, record);
                    }
                    if applies && !then.holds(record) {
                        report(Fault::Broken(rule));
                    }
                }
                _ if !rule.holds(record) => report(Fault::Broken(rule)),
                _ => {}
            }
        }
        for (_, rule) in self.deprecated_rules.iter().filter(|(of, rule)| *of == place && !rule.holds(record))
        {
            report(Fault::Deprecated(rule));
        }
        sound
    }

    /// Hashes of all values and of the partial key; the latter 0 for a record without one.
    pub(super) fn hashes(&self, line: &SourceLine<'_>, record: &Values, seed: &FixedState) -> (u64, u64) {
        let hash = |ranges: &[At]| {
            let mut hasher = seed.build_hasher();
            for &range in ranges {
                let end = range.end.min(line.len());
                let span = line.span(At { start: range.start.min(end), end });
                hasher.write(span.map_or(&[], |span| span.of(&record.bytes)));
            }
            hasher.finish()
        };
        let Hot { all, partial, .. } = &self.hot;
        let has_key = !partial.is_empty()
            && (self.partial_except.is_empty() || !all_hold(&self.partial_except, record));
        (hash(all), if has_key { hash(partial).max(1) } else { 0 })
    }

    /// The bits of the rules between records that this record answers.
    pub(super) fn marks_of(&self, record: &Values) -> u16 {
        let fails = |condition: &Condition| {
            !matches!(record.values[condition.field], Value::Blank) && !condition.holds(record)
        };
        let marks = self.marks.iter().filter(|mark| all_hold(&mark.when, record));
        let marks = marks.filter(|mark| mark.fails.as_ref().is_none_or(fails));
        marks.fold(0, |bits, mark| bits | 1 << mark.bit)
    }
}

impl Rule {
    /// True if the record keeps the rule.
    pub(super) fn holds(&self, record: &Values) -> bool {
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
    pub(super) fn holds(&self, record: &Values) -> bool {
        self.check.test.passes(record.values[self.field], &record.bytes, record.month)
    }
}

#[inline]
pub(super) fn all_hold(conditions: &[Condition], record: &Values) -> bool {
    conditions.iter().all(|condition| condition.holds(record))
}

/// Reads a field of up to eight bytes in one go; false for one that takes a closer look.
///
/// The value is written where it belongs, part by part: returned, it would be copied as a whole,
/// which the processor can do only after waiting for the parts.
#[inline]
fn read_word(cell: &Cell, span: Span, bytes: &[u8], value: &mut Value) -> bool {
    const BLANKS: u64 = u64::from_ne_bytes([b' '; 8]);
    let Some(word) = bytes[span.start as usize..].first_chunk() else { return false };
    let word = u64::from_le_bytes(*word) & cell.mask;
    if cell.mask == 0 || matches!(word as u8, b'#' | b'_') {
        return false;
    }
    if word == BLANKS & cell.mask {
        *value = Value::Blank;
        return true;
    }
    match cell.kind {
        FieldKind::Text => *value = Value::Text(span),
        FieldKind::Number => match eight_digits(word, cell.mask) {
            Some(number) => *value = Value::Number(number),
            None => return false,
        },
        FieldKind::ZeroPadded | FieldKind::Ciphered | FieldKind::MonthOfQuarter(_) => return false,
    }
    true
}

/// The number that up to eight digits in the low bytes of a word make, all computed at once.
#[inline]
fn eight_digits(word: u64, mask: u64) -> Option<i64> {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0xf0; 8]);
    // Zeros in front make it eight.
    let digits = (word | (ZEROS & !mask)).rotate_left(mask.leading_zeros());
    let carried = digits.wrapping_add(u64::from_ne_bytes([6; 8]));
    if digits & HIGH != ZEROS || carried & HIGH != ZEROS {
        return None;
    }
    let pairs = (digits & !HIGH).wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    Some(((fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32) as i64)
}

fn read_cell(kind: FieldKind, span: Span, cipher: Option<&Cipher>, bytes: &mut [u8]) -> Value {
    let bytes = &mut bytes[span.start as usize..span.end as usize];
    if is_blank(bytes) {
        bytes.fill(b' ');
        return Value::Blank;
    }
    match (kind, cipher) {
        (FieldKind::Number, _) => match digits(bytes) {
            Some(number) => Value::Number(number),
            None => odd_number(bytes),
        },
        (FieldKind::MonthOfQuarter(nth), _) => {
            month_of_quarter(bytes, nth).map_or(Value::Blank, |month| Value::Number(i64::from(month.0)))
        }
        (FieldKind::ZeroPadded, _) => {
            bytes.iter_mut().take_while(|byte| **byte == b' ').for_each(|byte| *byte = b'0');
            Value::Text(span)
        }
        (FieldKind::Ciphered, Some(cipher)) => {
            bytes.iter_mut().for_each(|byte| *byte = cipher.table[usize::from(*byte)]);
            Value::Text(span)
        }
        (FieldKind::Text | FieldKind::Ciphered, _) => Value::Text(span),
    }
}

/// A number that is not just digits, or none at all; either is given its one form.
#[cold]
fn odd_number(bytes: &mut [u8]) -> Value {
    let number = whole_number(bytes);
    let width = bytes.len();
    match number {
        // Digits and a sign fit where they came from.
        Some(number) => drop(write!(&mut bytes[..], "{number:0width$}")),
        None => bytes.fill(b' '),
    }
    number.map_or(Value::Blank, Value::Number)
}

fn month_of_quarter(bytes: &[u8], nth: u8) -> Option<Month> {
    let quarter = whole_number(bytes)?;
    let (year, quarter) = (quarter / 10, quarter % 10);
    let month = (1..=4).contains(&quarter).then_some(quarter * 3 - 2 + i64::from(nth))?;
    Month::from_number(year * 100 + month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_digits_is_the_number_they_make_and_nothing_else_is_one() {
        for text in ["0", "7", "10", "099", "1234", "98765", "000000", "7654321", "12345678", "99999999"] {
            let mut bytes = text.as_bytes().to_vec();
            bytes.extend_from_slice(b"9 #x/:0A");
            let mask = u64::MAX >> (64 - 8 * text.len());
            let word = u64::from_le_bytes(*bytes.first_chunk().expect("word")) & mask;
            assert_eq!(eight_digits(word, mask), text.parse().ok(), "{text}");
            for odd in [b' ', b'/', b':', b'-', b'A', 0, 0xff] {
                for at in 0..text.len() {
                    let shift = 8 * at as u32;
                    let changed = word & !(0xff << shift) | u64::from(odd) << shift;
                    assert_eq!(eight_digits(changed, mask), None, "{text} with {odd} at {at}");
                }
            }
        }
    }
}
