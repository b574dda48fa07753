//! What a reader asks for: `?limit=100&since=1h&level=warn&grep=…&before=…`.

use chrono::{DateTime, Utc};
use regex::{Regex, RegexBuilder};
use url::form_urlencoded;

use super::super::error::{Answered, HttpError};
use crate::config::duration;
use crate::reader::{Selection, StreamPlace};
use crate::record::Level;

/// Records of an answer, if the reader does not say how many, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// The most memory (bytes) that a pattern takes.
const PATTERN: usize = 1 << 20;

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) limit: usize,
    /// Only records before this one.
    pub(super) before: Option<StreamPlace>,
    /// Conditions on single records.
    pub(super) selection: Selection,
}

impl Query {
    /// Reads it.
    ///
    /// # Errors
    /// Names the first option that is wrong or unknown.
    pub(super) fn read(query: &str) -> Answered<Self> {
        let mut read = Self { limit: USUAL, before: None, selection: Selection::default() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            let wrong = |reason: String| HttpError::bad(format!("{name}: {reason}"));
            match &*name {
                "limit" => read.limit = limit(&value).map_err(wrong)?,
                "before" => read.before = Some(place(&value).map_err(wrong)?),
                "since" => read.selection.since = Some(time(&value).map_err(wrong)?),
                "level" => read.selection.level = Some(value.parse::<Level>().map_err(wrong)?),
                "grep" => read.selection.grep = Some(pattern(&value).map_err(wrong)?),
                _ => return Err(wrong("expected limit, since, level, grep or before".to_owned())),
            }
        }
        Ok(read)
    }

    /// The place from which on somebody follows who names a time.
    pub(super) fn after(&self) -> Option<StreamPlace> {
        self.selection.since.map(|since| StreamPlace::before_time(since.timestamp_micros()))
    }
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| format!("expected a whole number from 1 to {MOST}"))
}

/// The `id` of a record, or a time.
fn place(text: &str) -> Result<StreamPlace, String> {
    let of_time = || time(text).ok().map(|time| StreamPlace::before_time(time.timestamp_micros()));
    text.parse().ok().or_else(of_time).ok_or_else(|| "expected the id of a record, or a time".to_owned())
}

/// A time, or how long ago it was.
fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let ago = duration(text)
        .ok()
        .and_then(|ago| Utc::now().checked_sub_signed(chrono::Duration::from_std(ago).ok()?));
    ago.ok_or_else(|| "expected a time such as 2026-11-28T09:00:00Z, or how long ago, such as 1h".to_owned())
}

fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(PATTERN).build().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_and_what_is_wrong_is_named() {
        let read = Query::read("limit=7&since=2026-11-28T09%3A00%3A00Z&level=warn&grep=a%20b&before=")
            .expect("a query");
        assert_eq!((read.limit, read.selection.level, read.before), (7, Some(Level::Warn), None));
        assert_eq!(
            read.after().map(|place| place.to_string().starts_with("1795856400000000-0-")),
            Some(true)
        );
        assert!(read.selection.grep.is_some_and(|pattern| pattern.is_match("a b")));
        let place = "1795856400000000-7-01a22034e9a1723d9f498de8cdff0771";
        assert_eq!(
            Query::read(&format!("before={place}"))
                .expect("a query")
                .before
                .map(|place| place.to_string())
                .as_deref(),
            Some(place)
        );
        for wrong in
            ["limit=0", "limit=1001", "limit=x", "level=loud", "grep=(", "before=x", "since=x", "page=2"]
        {
            let error = Query::read(wrong).expect_err(wrong);
            assert!(error.message.starts_with(wrong.split('=').next().expect("a name")), "{error}");
        }
    }
}
