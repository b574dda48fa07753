//! Which streams a record goes to.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::ids::ServiceName;
use crate::record::{Incoming, Level};

/// The rules that parselog comes with.
const BUILT_IN: &str = include_str!("rules.toml");

/// A service that a rule names to match every record.
const ANY: &str = "*";

/// The stream of a record that names neither service nor logger.
const UNNAMED: &str = "_unnamed";

/// The rules, in TOML: any number of `[[rule]]`.
///
/// A record goes to the stream of each rule that matches it. One that no rule matches, or only rules that copy,
/// goes to the stream of the service that it names, else of the first part of its logger's name. So no record is
/// left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules(Vec<StreamRule>);

/// A record matches if it meets all conditions that are there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamRule {
    /// This logger and those below it.
    logger: Option<String>,
    /// The service that the record names, or `*` for any and none. Without it, the rule is for records that name
    /// none: a service that names itself has its stream.
    service: Option<String>,
    /// At least this level.
    #[serde(default, deserialize_with = "level")]
    level: Option<Level>,
    /// The stream.
    #[serde(deserialize_with = "name")]
    stream: ServiceName,
    /// The record goes on as if this rule were not there.
    #[serde(default)]
    copy: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    #[serde(default)]
    rule: Vec<StreamRule>,
}

impl Default for Rules {
    fn default() -> Self {
        Self::parse(BUILT_IN).expect("the built-in rules are tested")
    }
}

impl Rules {
    /// The rules of a file, in place of the built-in ones.
    ///
    /// # Errors
    /// The file can't be read, or is wrong; the text names the line.
    pub fn read(path: &Path) -> Result<Self> {
        let of_file = || format!("the rules for streams in {}", path.display());
        let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", of_file()))?;
        Self::parse(&text).with_context(of_file)
    }

    fn parse(text: &str) -> Result<Self> {
        let file: RulesFile = toml::from_str(text)?;
        Ok(Self(file.rule))
    }

    /// The streams of a record, at least one and each once.
    pub(super) fn streams<'a>(&'a self, record: &'a Incoming) -> Vec<Cow<'a, str>> {
        let mut streams: Vec<Cow<'a, str>> = Vec::with_capacity(1);
        let mut add = |name: Cow<'a, str>| {
            if !streams.contains(&name) {
                streams.push(name);
            }
        };
        let mut is_known = false;
        for rule in self.0.iter().filter(|rule| rule.matches(record)) {
            is_known |= !rule.copy;
            add(Cow::Borrowed(rule.stream.as_str()));
        }
        if !is_known {
            add(own(record));
        }
        streams
    }
}

impl StreamRule {
    fn matches(&self, record: &Incoming) -> bool {
        let is_below = |logger: &str| {
            let rest = record.logger.strip_prefix(logger);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let is_of = match &self.service {
            Some(service) => service == ANY || record.service.as_ref() == Some(service),
            None => record.service.is_none(),
        };
        is_of
            && self.level.is_none_or(|least| record.level >= least)
            && self.logger.as_deref().is_none_or(is_below)
    }
}

/// The stream of a record's own.
fn own(record: &Incoming) -> Cow<'_, str> {
    match record.service.as_deref().or_else(|| record.logger.split('.').next()) {
        None | Some("") => Cow::Borrowed(UNNAMED),
        Some(name) => ServiceName::escaped(name),
    }
}

fn name<'de, D: serde::Deserializer<'de>>(from: D) -> Result<ServiceName, D::Error> {
    String::deserialize(from).map(|text| ServiceName::of(&text))
}

fn level<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Level>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(service: Option<&str>, logger: &str, level: Level) -> Incoming {
        Incoming {
            service: service.map(str::to_owned),
            logger: logger.to_owned(),
            level,
            time: None,
            message: String::new(),
            source: None,
            run: None,
            rest: serde_json::Map::new(),
            damage: None,
        }
    }

    #[track_caller]
    fn goes(rules: &Rules, record: &Incoming, streams: &[&str]) {
        assert_eq!(rules.streams(record), streams);
    }

    #[test]
    fn the_built_in_rules_leave_no_record_out() {
        let rules = Rules::default();
        for (service, logger, stream) in [
            (None, "info", "info"),
            (None, "error", "error"),
            (None, "celery", "celery"),
            (None, "celery.app.trace", "celery"),
            (None, "celerybeat", "celerybeat"),
            (None, "gunicorn.error", "gunicorn.error"),
            (None, "gunicorn.access", "gunicorn"),
            (None, "django.request", "django"),
            (None, "_rejected", "=5Frejected"),
            (None, "", "_unnamed"),
            (Some(""), ".x", "_unnamed"),
            (Some("web"), "celery.app.trace", "web"),
            (Some("../x"), "", "=2E.=2Fx"),
        ] {
            goes(&rules, &record(service, logger, Level::Debug), &[stream]);
        }
    }

    #[test]
    fn a_record_goes_to_each_stream_whose_rule_it_matches_and_a_copy_takes_it_from_none() {
        let rules = r#"
            [[rule]]
            service = "*"
            level = "error"
            stream = "all errors"
            copy = true
            [[rule]]
            logger = "celery"
            stream = "celery"
            [[rule]]
            logger = "celery.beat"
            level = "warn"
            stream = "schedule"
            [[rule]]
            service = "web"
            stream = "celery"
        "#;
        let rules = Rules::parse(rules).expect("rules");
        goes(&rules, &record(None, "celery.beat", Level::Warn), &["celery", "schedule"]);
        goes(&rules, &record(None, "celery.beat", Level::Info), &["celery"]);
        goes(&rules, &record(Some("web"), "x", Level::Error), &["all=20errors", "celery"]);
        goes(&rules, &record(Some("api"), "x", Level::Error), &["all=20errors", "api"]);
    }

    #[test]
    fn a_wrong_rule_is_refused_with_its_place() {
        for (text, named) in [
            ("[[rule]]\nlogger = 'a'", "stream"),
            ("[[rule]]\nstream = 'a'\nlevel = 'loud'", "loud"),
            ("[[rule]]\nstream = 'a'\nloger = 'b'", "loger"),
            ("[[rules]]\nstream = 'a'", "rules"),
        ] {
            let error = format!("{:#}", Rules::parse(text).expect_err("a wrong rule"));
            assert!(error.contains(named) && error.contains("line"), "{error}");
        }
    }
}
