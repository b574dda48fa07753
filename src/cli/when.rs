//! Reads times as people write them: a moment, or how long ago.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone, Utc};

use crate::config::duration;

/// Help text: how to write a time.
pub(super) const WHEN: &str = "TIME";

/// Reads `2026-11-21T06:30:00Z`, `2026-11-21 06:30[:00]` or `2026-11-21` (UTC), or a length of time
/// such as `10m` or `7d`, counted back from now.
///
/// # Errors
/// The text is none of these.
pub(super) fn when(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let plain = text.replace('T', " ");
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(&plain, format) {
            return Ok(Utc.from_utc_datetime(&time));
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(Utc.from_utc_datetime(&day.into()));
    }
    let ago = duration(text).ok().and_then(|ago| chrono::Duration::from_std(ago).ok());
    ago.and_then(|ago| Utc::now().checked_sub_signed(ago)).ok_or_else(|| {
        "use a time such as 2026-11-21T06:30:00Z or 2026-11-21, or how long ago: 10m, 7d".into()
    })
}

#[cfg(test)]
mod tests {
    use super::when;

    #[test]
    fn times_are_read_as_people_write_them() {
        for text in
            ["2026-11-21T06:30:00Z", "2026-11-21T08:30:00+02:00", "2026-11-21 06:30", "2026-11-21T06:30:00"]
        {
            assert_eq!(when(text).map(|time| time.timestamp()), Ok(1_795_242_600), "{text}");
        }
        assert_eq!(when("2026-11-21").map(|time| time.timestamp()), Ok(1_795_219_200));
        assert!(when("10m").is_ok_and(|time| (chrono::Utc::now() - time).num_minutes() == 10));
        assert!(when("yesterday").is_err());
    }
}
