//! Reads numbers, days and ages, and refuses those that the database would refuse or that are ambiguous.

use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta, Utc};

use crate::config::duration;

/// Help text: how to name a run.
pub(super) const TARGET_HELP: &str = "Run id or a piece of it; data file id, file name, path, key or URI (its latest run), also with @latest, \
     @previous, @failed or @rejected behind it; or one of these alone";

/// The fiscal years that a file can have.
const YEARS: RangeInclusive<i32> = 1990..=2100;

/// A fiscal year.
pub(super) fn year(text: &str) -> Result<i32, String> {
    let (first, last) = (YEARS.start(), YEARS.end());
    within(text, YEARS).ok_or_else(|| format!("expected all four digits of a year, {first} to {last}"))
}

/// Length of a list.
pub(super) fn limit(text: &str) -> Result<i64, String> {
    within(text, 0..=i64::MAX).ok_or_else(|| "expected a number, 0 or more".to_owned())
}

/// Attempts at a run.
pub(super) fn attempts(text: &str) -> Result<i32, String> {
    within(text, 1..=i32::MAX).ok_or_else(|| "expected a number, 1 or more".to_owned())
}

/// A place in the queue.
pub(super) fn priority(text: &str) -> Result<i32, String> {
    let range = i32::from(i16::MIN)..=i32::from(i16::MAX);
    within(text, range.clone())
        .ok_or_else(|| format!("expected a number from {} to {}", range.start(), range.end()))
}

/// A day of UTC: `2026-11-21`, or one so long ago, such as `90d`.
pub(super) fn day(text: &str) -> Result<NaiveDate, String> {
    let ago =
        || TimeDelta::from_std(duration(text).ok()?).ok().and_then(|ago| Utc::now().checked_sub_signed(ago));
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .or_else(|| ago().map(|time| time.date_naive()))
        .ok_or_else(|| "use a day such as 2026-11-21, or how long ago: 90d".into())
}

/// An age, such as `400d` or `6months`. It refuses a bare `m` or `M`: elsewhere they mean minutes and
/// months, and here the difference is everything.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let mut units = text.split(|c: char| !c.is_alphabetic());
    if let Some(unit) = units.find(|unit| matches!(*unit, "m" | "M")) {
        let number: String = text.chars().take_while(char::is_ascii_digit).collect();
        return Err(format!("'{unit}' may mean minutes or months: write {number}min or {number}months"));
    }
    duration(text).map_err(|error| format!("{error}: expected an age such as 400d, 6months or 2years"))
}

fn within<N: std::str::FromStr + PartialOrd>(text: &str, range: RangeInclusive<N>) -> Option<N> {
    text.parse().ok().filter(|number| range.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_that_may_mean_minutes_or_months_is_refused() {
        for text in ["6m", "6M", "1d 6m", "1y6M"] {
            assert!(age(text).is_err_and(|error| error.contains("minutes or months")), "{text}");
        }
        assert_eq!(age("6min"), Ok(Duration::from_secs(360)));
        assert!(age("6months").is_ok_and(|age| age > Duration::from_secs(180 * 86_400)));
        assert!(age("400d").is_ok() && age("soon").is_err());
    }

    #[test]
    fn a_year_has_four_digits() {
        assert_eq!(year("2026"), Ok(2026));
        assert!(["26", "1989", "2101", "x"].iter().all(|text| year(text).is_err()));
    }
}
