//! What somebody wants of a log: `?from=123`, `?before=123`, `?at=first-error`, `?at=end`, and the conditions on its
//! lines, `?level=`, `?q=`, `?field=` and `?record=`. Lines count from 1, as people read them.

use regex::{Regex, RegexBuilder};
use url::form_urlencoded;

use super::super::error::{Answered, HttpError};
use crate::reader::{LinesWanted, PageFrom, Selection};
use crate::record::Level;

/// Lines of a page, if nobody says how many, and at most.
const USUAL: usize = 200;
const MOST: usize = 500;

/// Conditions on fields, at most.
const FIELDS: usize = 8;

/// The most memory (bytes) that a pattern takes.
const PATTERN: usize = 1 << 20;

/// What somebody wants.
#[derive(Debug, Clone)]
pub(super) struct LogQuery {
    pub(super) place: LogPlace,
    pub(super) count: usize,
    pub(super) level: Option<Level>,
    /// The text as somebody wrote it, and what it matches.
    pub(super) text: Option<(String, Regex)>,
    pub(super) record: Option<u64>,
    /// The fields that a line must have, with their values.
    pub(super) fields: Vec<(String, String)>,
    /// How a log is downloaded.
    pub(super) form: LogForm,
}

/// Where in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogPlace {
    /// From this line on.
    From(u64),
    Before(u64),
    FirstError,
    End,
}

/// The form of a downloaded log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogForm {
    /// As people read it.
    Text,
    /// As it is stored, compressed.
    Gzip,
    /// As it is stored: one JSON object a line.
    Ndjson,
}

impl LogQuery {
    /// Reads it.
    ///
    /// # Errors
    /// Names the first option that is wrong or unknown.
    pub(super) fn read(query: Option<&str>) -> Answered<Self> {
        let mut read = Self {
            place: LogPlace::From(1),
            count: USUAL,
            level: None,
            text: None,
            record: None,
            fields: Vec::new(),
            form: LogForm::Text,
        };
        let query = query.unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            let wrong = |reason: String| HttpError::bad(format!("{name}: {reason}"));
            let number = || {
                let number = value.trim().parse::<u64>().ok().filter(|number| *number > 0);
                number.ok_or_else(|| wrong("expected a whole number from 1 on".to_owned()))
            };
            match &*name {
                "from" => read.place = LogPlace::From(number()?),
                "before" => read.place = LogPlace::Before(number()?),
                "at" => {
                    read.place = match &*value {
                        "first-error" => LogPlace::FirstError,
                        "end" => LogPlace::End,
                        _ => return Err(wrong("expected first-error or end".to_owned())),
                    }
                }
                "count" => read.count = usize::try_from(number()?).unwrap_or(MOST).min(MOST),
                "level" => read.level = Some(value.parse().map_err(wrong)?),
                "q" => read.text = Some((value.to_string(), pattern(&value).map_err(wrong)?)),
                "record" => read.record = Some(number()?),
                "field" if read.fields.len() == FIELDS => {
                    return Err(wrong(format!("expected at most {FIELDS}")));
                }
                "field" => read.fields.push(Selection::field_of(value.trim()).map_err(wrong)?),
                "as" => {
                    read.form = match &*value {
                        "log" => LogForm::Text,
                        "log.gz" => LogForm::Gzip,
                        "ndjson" => LogForm::Ndjson,
                        _ => return Err(wrong("expected log, log.gz or ndjson".to_owned())),
                    }
                }
                _ => return Err(HttpError::bad(format!("unknown option '{name}' of a log"))),
            }
        }
        Ok(read)
    }

    /// The conditions on single lines.
    pub(super) fn selection(&self) -> Selection {
        Selection {
            level: self.level,
            grep: self.text.as_ref().map(|(_, pattern)| pattern.clone()),
            record: self.record,
            fields: self.fields.clone(),
            ..Selection::default()
        }
    }

    /// Whether not every line is wanted.
    pub(super) fn is_filtered(&self) -> bool {
        self.level.is_some() || self.text.is_some() || self.record.is_some() || !self.fields.is_empty()
    }

    /// The conditions on fields as a form has them: with room for one if there is none.
    pub(super) fn shown_fields(&self) -> Vec<String> {
        match self.fields.is_empty() {
            true => vec![String::new()],
            false => self.fields.iter().map(|(key, value)| format!("{key}={value}")).collect(),
        }
    }

    /// The lines that somebody wants from here, or before here.
    pub(super) fn wanted(&self, from: PageFrom) -> LinesWanted {
        LinesWanted { from, count: self.count, selection: self.selection() }
    }

    /// The conditions, as they stand in an address.
    pub(super) fn conditions(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(level) = self.level {
            query.append_pair("level", &level.as_str().to_lowercase());
        }
        if let Some((text, _)) = &self.text {
            query.append_pair("q", text);
        }
        if let Some(record) = self.record {
            query.append_pair("record", &record.to_string());
        }
        for (key, value) in &self.fields {
            query.append_pair("field", &format!("{key}={value}"));
        }
        query.finish()
    }
}

/// A text matches wherever it stands, whatever its case; between slashes it is a regular expression.
fn pattern(text: &str) -> Result<Regex, String> {
    let expression =
        text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|it| !it.is_empty());
    let expression = expression.map_or_else(|| regex::escape(text), str::to_owned);
    let built = RegexBuilder::new(&expression).case_insensitive(true).size_limit(PATTERN).build();
    built.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_of_a_log_is_read_and_what_is_wrong_is_named() {
        let read = |query| LogQuery::read(Some(query)).expect(query);
        assert_eq!(read("").place, LogPlace::From(1));
        assert_eq!(read("from=7&count=100000").count, MOST);
        assert_eq!(read("at=first-error").place, LogPlace::FirstError);
        let filtered = read("level=warn&q=a+b%26&field=item%3D12&record=17&field=a.b%3Dx%3Dy&before=9");
        let conditions = "level=warn&q=a+b%26&record=17&field=item%3D12&field=a.b%3Dx%3Dy";
        assert_eq!(filtered.conditions(), conditions);
        assert_eq!(read(conditions).fields, [("item".into(), "12".into()), ("a.b".into(), "x=y".into())]);
        assert!(filtered.is_filtered() && filtered.place == LogPlace::Before(9));
        let found = |query, text| read(query).text.is_some_and(|(_, pattern)| pattern.is_match(text));
        assert!(found("q=A.B", "xa.by") && !found("q=A.B", "acb") && found("q=/a.b/", "ACB"));
        for wrong in [
            "from=0",
            "from=x",
            "at=start",
            "level=loud",
            "q=/(/",
            "record=-1",
            "as=exe",
            "line=3",
            "field=x",
            "field==x",
        ] {
            assert!(LogQuery::read(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
