//! Python's dates, times and spans, from the form in which its pickles hold them, as its `isoformat` and `str`
//! write them.

use std::fmt::Write as _;

/// The zone of a time.
#[derive(Debug)]
pub(super) enum Zone {
    None,
    /// Days, seconds and microseconds from UTC.
    Offset([i64; 3]),
    Named(String),
}

impl Zone {
    /// What stands behind a time.
    pub(super) fn on_a_time(self) -> String {
        match self {
            Self::None => String::new(),
            Self::Offset(span) => offset(span),
            Self::Named(name) => format!("[{name}]"),
        }
    }

    /// The zone alone.
    pub(super) fn name(self) -> String {
        match self {
            Self::None | Self::Offset([0, 0, 0]) => "UTC".to_owned(),
            Self::Offset(span) => format!("UTC{}", offset(span)),
            Self::Named(name) => name,
        }
    }
}

/// A date from its four bytes.
pub(super) fn date(state: &[u8]) -> Option<String> {
    let [high, low, month, day] = *state else { return None };
    let year = u16::from_be_bytes([high, low]);
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && (1..=9999).contains(&year);
    fits.then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// A date with its time from their ten bytes; the highest bit of the month only tells which of two equal times
/// of an autumn it is.
pub(super) fn date_time(state: &[u8]) -> Option<String> {
    let (date_state, time_state) = state.split_at_checked(4)?;
    let mut date_state = <[u8; 4]>::try_from(date_state).ok()?;
    date_state[2] &= 0x7f;
    Some(format!("{}T{}", date(&date_state)?, time(time_state)?))
}

/// A time from its six bytes.
pub(super) fn time(state: &[u8]) -> Option<String> {
    let [hour, minute, second, micros @ ..] = <[u8; 6]>::try_from(state).ok()?;
    let hour = hour & 0x7f;
    let [high, middle, low] = micros;
    let micros = u32::from_be_bytes([0, high, middle, low]);
    if hour > 23 || minute > 59 || second > 59 || micros > 999_999 {
        return None;
    }
    let mut text = format!("{hour:02}:{minute:02}:{second:02}");
    if micros > 0 {
        let _ = write!(text, ".{micros:06}");
    }
    Some(text)
}

/// A span of days, seconds and microseconds.
pub(super) fn span([days, seconds, micros]: [i64; 3]) -> String {
    let mut text = String::new();
    if days != 0 {
        let plural = if days.abs() == 1 { "" } else { "s" };
        let _ = write!(text, "{days} day{plural}, ");
    }
    let _ = write!(text, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if micros != 0 {
        let _ = write!(text, ".{micros:06}");
    }
    text
}

/// `+01:00`, with seconds and microseconds if it has some.
fn offset([days, seconds, micros]: [i64; 3]) -> String {
    let micros = (days * 86_400 + seconds) * 1_000_000 + micros;
    let (sign, micros) = (if micros < 0 { '-' } else { '+' }, micros.abs());
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let mut text = format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    if seconds % 60 != 0 || micros != 0 {
        let _ = write!(text, ":{:02}", seconds % 60);
    }
    if micros != 0 {
        let _ = write!(text, ".{micros:06}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_python_writes_them() {
        assert_eq!(date(&[7, 234, 11, 28]).unwrap(), "2026-11-28");
        let state = [7, 234, 0x8b, 28, 10, 0, 5, 0, 0, 1];
        assert_eq!(date_time(&state).unwrap(), "2026-11-28T10:00:05.000001");
        assert_eq!(date(&[0, 0, 1, 1]).or_else(|| time(&[24, 0, 0, 0, 0, 0])), None);
        assert_eq!(span([-1, 82_800, 5]), "-1 day, 23:00:00.000005");
        assert_eq!(span([2, 61, 0]), "2 days, 0:01:01");
        assert_eq!(Zone::Offset([-1, 82_800, 0]).on_a_time(), "-01:00");
        assert_eq!(Zone::Offset([0, 3630, 0]).name(), "UTC+01:00:30");
    }
}
