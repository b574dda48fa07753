//! One line or row as the layouts see it, and the values read from it.
//!
//! Positions count characters (or cells, in a sheet), not bytes. Nothing here allocates per field.
//! This file knows no layout and no rule.

/// A half-open range of positions: characters of a line, or cells of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub start: usize,
    pub end: usize,
}

/// A range of bytes in [`SourceLine::bytes`] or in its rewritten copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
}

/// One line or row of the submitted file, without its line end.
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceLine<'a> {
    /// Line or row number, from 1.
    pub number: u64,
    /// The bytes; `offsets` says where each position starts.
    pub bytes: &'a [u8],
    /// Byte offsets of all positions and of the end; empty when each byte is a position (ASCII).
    pub offsets: &'a [u32],
    /// Why it is never read further.
    pub flaw: Option<Flaw>,
}

/// Why a line is unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// So many characters stand before the first byte that is not UTF-8.
    NotUtf8 { after: usize },
    /// A quote of a csv cell is not closed in the line.
    OpenQuote,
}

impl<'a> SourceLine<'a> {
    /// True for a line of nothing but blanks, NULs and the sign for the end of a file (^Z).
    pub(super) fn is_filler(&self) -> bool {
        self.bytes.iter().all(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x1a))
    }

    /// Length in positions.
    pub(super) fn len(&self) -> usize {
        if self.offsets.is_empty() { self.bytes.len() } else { self.offsets.len() - 1 }
    }

    /// The bytes of a field, or `None` if the line is too short for all of it.
    #[inline]
    pub(super) fn span(&self, at: At) -> Option<Span> {
        if self.offsets.is_empty() {
            let holds = at.end <= self.bytes.len();
            return holds.then_some(Span { start: at.start as u32, end: at.end as u32 });
        }
        Some(Span { start: *self.offsets.get(at.start)?, end: *self.offsets.get(at.end)? })
    }

    /// The bytes of a range, or `None` if the line is too short for all of it.
    #[inline]
    pub(super) fn get(&self, at: At) -> Option<&'a [u8]> {
        self.span(at).map(|span| span.of(self.bytes))
    }

    /// The part of a range that the line does hold.
    pub(super) fn clipped(&self, at: At) -> &'a [u8] {
        let end = at.end.min(self.len());
        self.get(At { start: at.start.min(end), end }).unwrap_or_default()
    }
}

impl Span {
    #[inline]
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// The content of a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    /// Nothing: blank, all `#`, all `_`, cut off, or a number field that holds no number.
    Blank,
    Number(i64),
    Text(Span),
}

/// True for nothing at all, or nothing but blanks, `#` or `_`.
#[inline]
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    match bytes.first() {
        None => true,
        Some(&fill @ (b' ' | b'#' | b'_')) => bytes.iter().all(|&byte| byte == fill),
        Some(_) => false,
    }
}

/// Reads a number of nothing but digits, at most 18 of them.
#[inline]
pub(super) fn digits(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > 18 {
        return None;
    }
    let mut sum = 0;
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum = sum * 10 + i64::from(digit);
    }
    Some(sum)
}

/// Reads a whole number as the real system's language does: blanks around it, a sign and single
/// underscores between digits are allowed. `None` for anything else, or beyond 18 digits.
#[inline]
pub(super) fn whole_number(bytes: &[u8]) -> Option<i64> {
    digits(bytes).or_else(|| signed_number(bytes))
}

#[cold]
fn signed_number(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.trim_ascii() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mut sum, mut count, mut after_digit) = (0_i64, 0, false);
    for &byte in digits {
        match byte {
            b'0'..=b'9' if count < 18 => {
                sum = sum * 10 + i64::from(byte - b'0');
                count += 1;
                after_digit = true;
            }
            b'_' if after_digit => after_digit = false,
            _ => return None,
        }
    }
    after_digit.then_some(if negative { -sum } else { sum })
}

/// A month as `YYYYMM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(pub u32);

impl Month {
    /// The month of a number, if it is one.
    pub(super) fn from_number(number: i64) -> Option<Self> {
        let month = u32::try_from(number).ok()?;
        ((190_001..=999_912).contains(&month) && (1..=12).contains(&(month % 100))).then_some(Self(month))
    }

    /// Years from a birth date (`YYYYMMDD`) to the first of this month; `None` for an impossible date.
    pub(super) fn years_since(self, birth: &[u8]) -> Option<f64> {
        if birth.len() != 8 || !birth.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let part = |range: std::ops::Range<usize>| whole_number(&birth[range]);
        let born = day_number(part(0..4)?, part(4..6)?, part(6..8)?)?;
        let first = day_number(i64::from(self.0 / 100), i64::from(self.0 % 100), 1)?;
        Some((first - born) as f64 / 365.25)
    }
}

/// Days since a fixed day, in the Gregorian calendar; `None` for a day that does not exist.
fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    use chrono::Datelike as _;
    let date =
        chrono::NaiveDate::from_ymd_opt(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?)?;
    (year > 0).then(|| i64::from(date.num_days_from_ce()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_real_system_reads_them() {
        for (text, number) in
            [("007", Some(7)), (" 12 ", Some(12)), ("-5", Some(-5)), ("+5", Some(5)), ("1_0", Some(10))]
        {
            assert_eq!(whole_number(text.as_bytes()), number, "{text}");
        }
        for text in ["", " ", "1 2", "_1", "1_", "1__0", "-", "1.0", "A", "9999999999999999999", "\u{663}"] {
            assert_eq!(whole_number(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn blank_means_only_one_kind_of_filler() {
        assert!(is_blank(b"") && is_blank(b"   ") && is_blank(b"###") && is_blank(b"__"));
        assert!(!is_blank(b"# #") && !is_blank(b"0") && !is_blank(b"\0"));
    }

    #[test]
    fn age_is_counted_to_the_first_of_the_month() {
        let month = Month(202_010);
        assert!(month.years_since(b"20011001").is_some_and(|age| (18.9..19.1).contains(&age)));
        assert!(month.years_since(b"20010230").is_none() && month.years_since(b"99999999").is_none());
    }
}
