//! Reads the JSON of any logger: level, message and the rest.
//!
//! It knows the keys of parselog itself, of Python's `logging` (`levelname`), structlog
//! (`event`), loguru (a nested `record`), the Elastic Common Schema (`log.level`), bunyan and pino
//! (levels in numbers) and the cloud loggers (`severity`). A record that is only partly readable keeps the
//! readable part and says that it is damaged: it never becomes text without a level. Other files decide
//! what a record means for a run.

use serde_json::{Map, Value};

use super::{Level, lenient};

/// The keys for the level; the first one present counts.
const LEVELS: [&str; 7] = ["level", "levelname", "severity", "log.level", "lvl", "loglevel", "levelno"];
/// The keys for the message.
const MESSAGES: [&str; 3] = ["message", "msg", "event"];

type Members = Vec<(String, Value)>;

/// A record of another process's logger.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Foreign {
    /// `None` without a level, or with an unknown one.
    pub level: Option<Level>,
    /// Empty without a message.
    pub message: String,
    /// All other keys, in order.
    pub rest: Map<String, Value>,
    /// Why it is only partly readable.
    pub damage: Option<String>,
}

impl Foreign {
    /// Reads a line. `None` if it is not a record: not a JSON object, or a whole one without level
    /// and message.
    pub fn read(line: &str) -> Option<Self> {
        let lenient::Object { mut members, mut damage, torn } = lenient::object(line)?;
        unfold_loguru(&mut members);
        unfold_ecs(&mut members);
        let scale = Scale::of(&members);
        let level = take_level(&mut members, scale);
        let message = MESSAGES.iter().find_map(|name| take(&mut members, name));
        if level.is_none() && message.is_none() && !torn {
            return None;
        }
        let known = level.as_ref().and_then(|level| level_of(level, scale));
        if let (Some(level), None) = (level, known) {
            damage.get_or_insert(format!("unknown level {level}"));
        }
        if let Some(Value::Object(fields)) = take(&mut members, "fields") {
            members.extend(fields);
        }
        // A torn line may have lost its message: then show the whole line.
        let message = message.map_or_else(|| if torn { line.to_owned() } else { String::new() }, plain);
        Some(Self { level: known, message, rest: lenient::fold(members), damage })
    }
}

/// The scales of numeric levels.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    /// 10 debug, 20 info, 30 warning, 40 error, 50 critical.
    Python,
    /// 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal.
    Bunyan,
}

impl Scale {
    /// Bunyan and pino write `msg` and identify themselves; otherwise the more severe scale counts.
    fn of(members: &Members) -> Self {
        let has = |name: &str| members.iter().any(|(known, _)| known == name);
        if has("msg") && (has("pid") || has("hostname") || has("v")) { Self::Bunyan } else { Self::Python }
    }
}

/// Loguru wraps its record: `{"text": "…", "record": {"level": {"name": "ERROR", "no": 40}, …}}`.
fn unfold_loguru(members: &mut Members) {
    let wraps = |(name, value): &(String, Value)| {
        name == "record" && value.get("message").is_some() && value.get("level").is_some()
    };
    if let Some(at) = members.iter().position(wraps)
        && let (_, Value::Object(record)) = members.remove(at)
    {
        members.retain(|(name, _)| name != "text");
        members.extend(record);
    }
}

/// The Elastic Common Schema may nest: `{"log": {"level": "error", "logger": "x"}}`.
fn unfold_ecs(members: &mut Members) {
    if let Some((_, Value::Object(log))) = members.iter_mut().find(|(name, _)| name == "log")
        && let Some(level) = log.remove("level")
    {
        members.push(("log.level".to_owned(), level));
    }
}

/// Takes the level out. If there are two, the more severe counts.
fn take_level(members: &mut Members, scale: Scale) -> Option<Value> {
    let name = LEVELS.iter().find(|name| members.iter().any(|(known, _)| known == *name))?;
    let (found, others): (Members, Members) = members.drain(..).partition(|(known, _)| known == name);
    *members = others;
    found.into_iter().map(|(_, level)| level).max_by_key(|level| level_of(level, scale))
}

fn take(members: &mut Members, name: &str) -> Option<Value> {
    let at = members.iter().position(|(known, _)| known == name)?;
    Some(members.remove(at).1)
}

/// A value as a person writes it: a string without its quotes.
pub fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}

fn level_of(value: &Value, scale: Scale) -> Option<Level> {
    let number = match value {
        Value::Object(level) => {
            let named = level.get("name").and_then(Value::as_str).and_then(|name| name.parse().ok());
            return named.or_else(|| level.get("no").and_then(|number| level_of(number, scale)));
        }
        Value::String(text) => match text.trim().parse() {
            Ok(level) => return Some(level),
            Err(_) => text.trim().parse().ok()?,
        },
        value => value.as_f64()?,
    };
    let number = if scale == Scale::Bunyan { number - 10.0 } else { number };
    Some(match number {
        40.0.. => Level::Error,
        30.0.. => Level::Warn,
        20.0.. => Level::Info,
        10.0.. => Level::Debug,
        _ => Level::Trace,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(line: &str, level: Level, message: &str) -> Foreign {
        let read = Foreign::read(line).unwrap();
        assert_eq!((read.level, read.message.as_str()), (Some(level), message), "{line}");
        read
    }

    #[test]
    fn the_json_of_the_usual_loggers_is_read_as_what_it_means() {
        for (line, level, message) in [
            (
                r#"{"asctime":"t","name":"fra","levelname":"WARNING","message":"python"}"#,
                Level::Warn,
                "python",
            ),
            (r#"{"event":"structlog","level":"warning","row":3}"#, Level::Warn, "structlog"),
            (
                r#"{"name":"a","hostname":"h","pid":1,"level":50,"msg":"bunyan","v":0}"#,
                Level::Error,
                "bunyan",
            ),
            (r#"{"level":40,"pid":1,"hostname":"h","msg":"pino"}"#, Level::Warn, "pino"),
            (r#"{"level":40,"message":"python's number"}"#, Level::Error, "python's number"),
            (r#"{"@timestamp":"t","log.level":"error","message":"ecs"}"#, Level::Error, "ecs"),
            (
                r#"{"@timestamp":"t","log":{"level":"error","logger":"x"},"message":"ecs"}"#,
                Level::Error,
                "ecs",
            ),
            (
                r#"{"text":"t\n","record":{"level":{"name":"ERROR","no":40},"message":"loguru"}}"#,
                Level::Error,
                "loguru",
            ),
            (r#"{"severity":"CRITICAL","message":"gcp"}"#, Level::Error, "gcp"),
            (
                r#"{"timestamp":"t","level":"DEBUG","fields":{"a":1},"message":"parselog"}"#,
                Level::Debug,
                "parselog",
            ),
        ] {
            assert_eq!(reads(line, level, message).damage, None, "{line}");
        }
        assert_eq!(Foreign::read(r#"{"no":"log line"}"#), None);
    }

    #[test]
    fn what_can_not_be_read_whole_keeps_its_level_and_says_why() {
        for line in [
            r#"{"level":"error","message":"cut","rate":1.5,"name":"ab"#,
            r#"{"level":"error","message":"cut","a":{"level":"info","b":["#,
            r#"{"level":"error","message":"cut","level":"info"}"#,
            r#"{"level":"error","message":"cut"} and more"#,
        ] {
            assert!(reads(line, Level::Error, "cut").damage.is_some(), "{line}");
        }
        let unknown = Foreign::read(r#"{"level":"loud","message":"x"}"#).unwrap();
        assert_eq!((unknown.level, unknown.damage.is_some()), (None, true));
        let headless = Foreign::read(r#"{"data":"xxx"#).unwrap();
        assert_eq!((headless.level, headless.message.as_str()), (None, r#"{"data":"xxx"#));
    }
}
