//! Checks of one value: their demands, and the wording.
//!
//! A check never sees a field's name and never holds a value. A blank satisfies only the checks that
//! bar something; whether a field must be filled is the layout's matter.

use super::value::{Month, Value, whole_number};

/// A compiled check, with its demand in words.
#[derive(Debug)]
pub(super) struct Check {
    pub test: Test,
    /// Completes "… must", for instance `be between 0 and 99`.
    pub demand: String,
}

/// The test. Number tests on a text field read the text as a number first.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Between(i64, i64),
    /// One of the numbers from 0 to 63 whose bits are set.
    NumberOf(u64),
    NumberIn(Box<[i64]>),
    NumberNotIn {
        barred: Box<[i64]>,
        blank_passes: bool,
    },
    TextIn(Box<[Box<[u8]>]>),
    TextNotIn(Box<[Box<[u8]>]>),
    /// Digits only, blanks around them allowed.
    Numeric,
    Filled,
    AllBlank,
    Alphanumeric,
    /// This many digits, whatever is between them.
    Digits(usize),
    YearAbove(i64),
    /// Positions 4 to 6 are a month.
    Month,
    /// Position 6 and on are a day.
    Day,
    /// The last character is a quarter.
    Quarter,
    /// This month (`YYYYMM`) or a later one.
    From(i64),
    /// Not one digit nine times.
    NotRepeated,
    Ssn,
    /// Age at the first of the reporting month, in years.
    AgeBelow(f64),
    AgeFrom(f64),
    AnyOf(Box<[Test]>),
}

impl Test {
    /// True when the value passes. Text values point into `bytes`.
    #[inline]
    pub(super) fn passes(&self, value: Value, bytes: &[u8], month: Option<Month>) -> bool {
        match (self, value) {
            (Self::Between(least, most), Value::Number(n)) => (*least..=*most).contains(&n),
            (Self::NumberOf(allowed), Value::Number(n)) => has_bit(*allowed, n),
            _ => self.passes_other(value, bytes, month),
        }
    }

    fn passes_other(&self, value: Value, bytes: &[u8], month: Option<Month>) -> bool {
        match self {
            Self::Between(least, most) => number(value, bytes).is_some_and(|n| (*least..=*most).contains(&n)),
            Self::NumberOf(allowed) => number(value, bytes).is_some_and(|n| has_bit(*allowed, n)),
            Self::NumberIn(allowed) => number(value, bytes).is_some_and(|n| allowed.contains(&n)),
            Self::NumberNotIn { barred, blank_passes } => match value {
                Value::Blank => *blank_passes,
                _ => number(value, bytes).is_some_and(|n| !barred.contains(&n)),
            },
            Self::TextIn(allowed) => text(value, bytes).is_some_and(|t| allowed.iter().any(|a| same(a, t))),
            Self::TextNotIn(barred) => text(value, bytes).is_none_or(|t| !barred.iter().any(|b| same(b, t))),
            Self::AnyOf(tests) => tests.iter().any(|test| test.passes(value, bytes, month)),
            _ => match value {
                Value::Blank => matches!(self, Self::NotRepeated),
                Value::Text(span) => self.passes_text(span.of(bytes), month),
                Value::Number(number) => self.passes_text(decimal(number, &mut [0; 20]), month),
            },
        }
    }

    fn passes_text(&self, text: &[u8], month: Option<Month>) -> bool {
        let part = |start: usize, end: usize| whole_number(&text[start.min(text.len())..end.min(text.len())]);
        let age = |passes: &dyn Fn(f64) -> bool| {
            month.and_then(|month| month.years_since(text)).is_some_and(passes)
        };
        match self {
            Self::Numeric => {
                let digits = text.trim_ascii();
                !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
            }
            Self::Filled => true,
            Self::AllBlank => text.iter().all(u8::is_ascii_whitespace),
            Self::Alphanumeric => text.iter().all(u8::is_ascii_alphanumeric),
            Self::Digits(count) => text.iter().filter(|byte| byte.is_ascii_digit()).count() == *count,
            Self::YearAbove(year) => part(0, 4).is_some_and(|n| n > *year),
            Self::Month => part(4, 6).is_some_and(|n| (1..=12).contains(&n)),
            Self::Day => part(6, text.len()).is_some_and(|n| (1..=31).contains(&n)),
            Self::Quarter => matches!(text.last(), Some(b'1'..=b'4')),
            Self::From(month) => whole_number(text).is_some_and(|n| n >= *month),
            Self::NotRepeated => {
                text.len() != 9 || !text[0].is_ascii_digit() || text.iter().any(|&byte| byte != text[0])
            }
            Self::Ssn => is_ssn(text),
            Self::AgeBelow(years) => age(&|age| age < *years),
            Self::AgeFrom(years) => age(&|age| age >= *years),
            _ => false,
        }
    }
}

/// Nine digits that can be a social security number: no part all zeros, area not 666.
fn is_ssn(text: &[u8]) -> bool {
    let digits = text.trim_ascii();
    digits.len() == 9
        && digits.iter().all(u8::is_ascii_digit)
        && !matches!(&text[..3], b"000" | b"666")
        && text[3..5] != *b"00"
        && text[5..] != *b"0000"
}

/// The number in decimal, as text checks see it.
fn decimal(number: i64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut rest = number.unsigned_abs();
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        start -= 1;
        buffer[start] = b'-';
    }
    &buffer[start..]
}

#[inline]
fn has_bit(bits: u64, number: i64) -> bool {
    (0..64).contains(&number) && bits >> number & 1 == 1
}

/// Equality of a few bytes, for which a call costs more than the comparison.
#[inline]
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a == b)
}

#[inline]
fn number(value: Value, bytes: &[u8]) -> Option<i64> {
    match value {
        Value::Blank => None,
        Value::Number(number) => Some(number),
        Value::Text(span) => whole_number(span.of(bytes)),
    }
}

#[inline]
fn text(value: Value, bytes: &[u8]) -> Option<&[u8]> {
    match value {
        Value::Text(span) => Some(span.of(bytes)),
        Value::Blank | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::tdp::value::Span;

    fn passes(test: &Test, text: &str) -> bool {
        let span = Span { start: 0, end: text.len() as u32 };
        test.passes(Value::Text(span), text.as_bytes(), Some(Month(202_010)))
    }

    #[test]
    fn a_social_security_number_has_no_impossible_part() {
        assert!(passes(&Test::Ssn, "123456789") && passes(&Test::Ssn, "999999999"));
        for bad in [
            "000456789",
            "666456789",
            "123006789",
            "123450000",
            "12345678",
            "12345678A",
            "1234567890",
            " 12345678",
        ] {
            assert!(!passes(&Test::Ssn, bad), "{bad}");
        }
    }

    #[test]
    fn blank_passes_only_what_bars_something() {
        let blank = |test: &Test| test.passes(Value::Blank, b"", None);
        assert!(blank(&Test::NotRepeated) && blank(&Test::TextNotIn(Box::new([]))));
        assert!(!blank(&Test::Between(0, 9)) && !blank(&Test::Numeric) && !blank(&Test::AllBlank));
    }

    #[test]
    fn parts_of_a_date_are_checked_each_on_its_own() {
        assert!(passes(&Test::YearAbove(1900), "19010000") && !passes(&Test::YearAbove(1900), "19000101"));
        assert!(passes(&Test::Month, "20201201") && !passes(&Test::Month, "20201301"));
        assert!(
            passes(&Test::Day, "20201231")
                && !passes(&Test::Day, "20201232")
                && !passes(&Test::Day, "202012")
        );
        assert!(passes(&Test::Digits(8), "20201231") && !passes(&Test::Digits(8), "2020123 "));
        assert!(passes(&Test::AgeFrom(19.0), "20010930") && passes(&Test::AgeBelow(19.0), "20011002"));
    }
}
