//! Times as people read and write them: in the machine's zone, which is always named, or in UTC with `--utc`. JSON
//! has UTC in every place.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{
    DateTime, FixedOffset, Local, NaiveDate, NaiveDateTime, Offset, SecondsFormat, TimeDelta, TimeZone, Utc,
};

use crate::config::duration;

/// The flag for UTC. The arguments are searched for it before they are read, since times among them mean a zone.
pub const UTC_FLAG: &str = "--utc";

/// Help text: how to write a time.
pub const WHEN: &str = "TIME";

static IN_UTC: AtomicBool = AtomicBool::new(false);

/// From now on people read and write UTC.
pub fn use_utc() {
    IN_UTC.store(true, Ordering::Relaxed);
}

/// The zone now, as headings name it: `UTC`, or `+01:00`.
pub fn zone() -> String {
    name(offset_at(Utc::now()))
}

/// A time in a table whose heading names the zone: `2026-11-21 06:30`. A time at which another offset held, as in
/// summer, names its own.
pub fn minute(time: DateTime<Utc>) -> String {
    in_table(time, "%Y-%m-%d %H:%M")
}

/// As [`minute`], with seconds.
pub fn second(time: DateTime<Utc>) -> String {
    in_table(time, "%Y-%m-%d %H:%M:%S")
}

/// As [`minute`], with milliseconds.
pub fn millisecond(time: DateTime<Utc>) -> String {
    in_table(time, "%Y-%m-%d %H:%M:%S%.3f")
}

/// A time outside of tables, with its zone: `2026-11-21 06:30 UTC`.
pub fn moment(time: DateTime<Utc>) -> String {
    with_zone(time, "%Y-%m-%d %H:%M")
}

/// As [`moment`], with seconds.
pub fn exact_moment(time: DateTime<Utc>) -> String {
    with_zone(time, "%Y-%m-%d %H:%M:%S")
}

/// A time for people and programs, in RFC 3339 with its offset: `2026-11-21T06:30:00-07:00`, or `Z` for UTC.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.with_timezone(&offset_at(time)).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The offset of the zone at a time.
pub fn offset_at(time: DateTime<Utc>) -> FixedOffset {
    if IN_UTC.load(Ordering::Relaxed) { Utc.fix() } else { Local.offset_from_utc_datetime(&time.naive_utc()) }
}

fn in_table(time: DateTime<Utc>, format: &str) -> String {
    let offset = offset_at(time);
    let shown = time.with_timezone(&offset).format(format);
    if offset == offset_at(Utc::now()) { shown.to_string() } else { with_zone(time, format) }
}

fn with_zone(time: DateTime<Utc>, format: &str) -> String {
    let offset = offset_at(time);
    format!("{} {}", time.with_timezone(&offset).format(format), name(offset))
}

fn name(offset: FixedOffset) -> String {
    if offset == Utc.fix() { "UTC".to_owned() } else { offset.to_string() }
}

/// Reads `2026-11-21T06:30:00Z`, `2026-11-21 06:30[:00]` or `2026-11-21` in the zone, or a length of time such as
/// `10m` or `7d`, counted back from now.
///
/// # Errors
/// The text is none of these.
pub fn when(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let plain = text.replace('T', " ");
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(&plain, format) {
            return in_zone(time);
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return in_zone(day.into());
    }
    let ago = duration(text).ok().and_then(|ago| TimeDelta::from_std(ago).ok());
    ago.and_then(|ago| Utc::now().checked_sub_signed(ago)).ok_or_else(|| {
        "use a time such as 2026-11-21T06:30:00Z or 2026-11-21, or how long ago: 10m, 7d".into()
    })
}

/// A time that the clocks of the zone show; of one that they show twice, the earlier.
fn in_zone(time: NaiveDateTime) -> Result<DateTime<Utc>, String> {
    if IN_UTC.load(Ordering::Relaxed) {
        return Ok(time.and_utc());
    }
    let local = Local.from_local_datetime(&time).earliest();
    local
        .map(|local| local.to_utc())
        .ok_or_else(|| format!("no clock showed {time}: it was put forward then"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        use_utc(); // The other tests of this file read no zone.
        for text in
            ["2026-11-21T06:30:00Z", "2026-11-21T08:30:00+02:00", "2026-11-21 06:30", "2026-11-21T06:30:00"]
        {
            assert_eq!(when(text).map(|time| time.timestamp()), Ok(1_795_242_600), "{text}");
        }
        assert_eq!(when("2026-11-21").map(|time| time.timestamp()), Ok(1_795_219_200));
        assert!(when("10m").is_ok_and(|time| (Utc::now() - time).num_minutes() == 10));
        assert!(when("yesterday").is_err());
    }

    #[test]
    fn a_time_outside_of_a_table_names_its_zone() {
        use_utc();
        let time = DateTime::from_timestamp(1_795_242_607, 0).unwrap();
        assert_eq!(moment(time), "2026-11-21 06:30 UTC");
        assert_eq!(exact_moment(time), "2026-11-21 06:30:07 UTC");
        assert_eq!(rfc3339(time), "2026-11-21T06:30:07Z");
    }
}
