//! Moments in microseconds since 1970, UTC: that which a logger's value names, and now.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use serde_json::Value;

/// The years 1 to 9999, which the text form has room for.
const FITTING: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// Now; what `Utc::now` gives, for less than half of its price.
pub(crate) fn micros_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// Reads a time: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds, told apart by
/// their size. A time without its zone is not a moment.
pub(super) fn moment(value: &Value) -> Option<i64> {
    let micros = match value {
        Value::String(text) => match DateTime::parse_from_rfc3339(text.trim()) {
            Ok(time) => time.timestamp_micros(),
            Err(_) => of_number(text.trim().parse().ok()?)?,
        },
        Value::Number(number) => match number.as_i64() {
            Some(whole) => of_whole(whole)?,
            None => of_number(number.as_f64()?)?,
        },
        // Loguru has text and number beside each other.
        Value::Object(time) => of_number(time.get("timestamp")?.as_f64()?)?,
        _ => return None,
    };
    FITTING.contains(&micros).then_some(micros)
}

fn of_whole(number: i64) -> Option<i64> {
    match number.unsigned_abs() {
        0..100_000_000_000 => number.checked_mul(1_000_000),
        100_000_000_000..100_000_000_000_000 => number.checked_mul(1_000),
        100_000_000_000_000..100_000_000_000_000_000 => Some(number),
        _ => Some(number / 1_000),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the value is within the bounds of a year")]
fn of_number(number: f64) -> Option<i64> {
    let micros = match number.abs() {
        0.0..1e11 => number * 1e6,
        1e11..1e14 => number * 1e3,
        1e14..1e17 => number,
        1e17..1e20 => number / 1e3,
        _ => return None,
    };
    Some(micros.round() as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_in_every_unit_are_the_same_moment() {
        for value in [
            json!(1_764_237_600.123_456),
            json!("1764237600.123456"),
            json!(1_764_237_600_123_456_i64),
            json!(1_764_237_600_123_456_000_i64),
            json!("2025-11-27T10:00:00.123456Z"),
            json!("2025-11-27 11:00:00.123456+01:00"),
            json!({"repr": "x", "timestamp": 1_764_237_600.123_456}),
        ] {
            assert_eq!(moment(&value), Some(1_764_237_600_123_456), "{value}");
        }
        assert_eq!(moment(&json!(1_764_237_600_123_i64)), Some(1_764_237_600_123_000));
        for value in [
            json!("2025-11-27 10:00:00,123"),
            json!("by hand"),
            json!(null),
            json!("NaN"),
            json!(1e300),
            json!(true),
            json!("inf"),
        ] {
            assert_eq!(moment(&value), None, "{value}");
        }
    }
}
