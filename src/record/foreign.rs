//! Reads the JSON of any logger: level, message and the rest.
//!
//! It knows the keys of parselog itself, of Python's `logging` (`levelname`), structlog
//! (`event`), loguru (a nested `record`), the Elastic Common Schema (`log.level`), bunyan and pino
//! (levels in numbers) and the cloud loggers (`severity`). A record that is only partly readable keeps the
//! readable part and says that it is damaged: it never becomes text without a level. Other files decide
//! what a record means for a run.

use serde_json::{Map, Value};

use super::members::Members;
use super::{Level, lenient};

/// The keys for the level; the first one with a known level counts.
const LEVELS: [&str; 7] = ["level", "levelname", "severity", "log.level", "lvl", "loglevel", "levelno"];
/// The keys for the message.
const MESSAGES: [&str; 3] = ["message", "msg", "event"];
/// The keys for an exception; a list of its lines becomes a text.
pub const EXCEPTIONS: [&str; 4] = ["exc_text", "exc_info", "stack_trace", "exception"];

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

/// A record whose level and message are read; the rest is still open.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) level: Option<Level>,
    pub(super) message: String,
    pub(super) members: Members,
    pub(super) damage: Option<String>,
}

impl Foreign {
    /// Reads a line. `None` if it is not a record: not a JSON object, or a whole one without level
    /// and message.
    pub fn read(line: &str) -> Option<Self> {
        let Parts { level, message, members, damage } = Parts::of_line(line)?;
        Some(Self { level, message, rest: members.fold(), damage })
    }
}

impl Parts {
    /// Reads a line; `None` if it is not a record.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        let lenient::Object { members, damage, torn } = lenient::object(line)?;
        Self::of(Members::new(members), damage, torn.then_some(line))
    }

    /// Reads the members of a record. A `torn` line may have lost its message, and then is it.
    pub(super) fn of(mut members: Members, mut damage: Option<String>, torn: Option<&str>) -> Option<Self> {
        unfold_loguru(&mut members);
        unfold_ecs(&mut members);
        let scale = Scale::of(&members);
        let level = take_level(&mut members, scale);
        let message = MESSAGES.iter().find_map(|name| members.take(name));
        if level.is_none() && message.is_none() && torn.is_none() {
            return None;
        }
        let known = level.as_ref().and_then(|level| level_of(level, scale));
        if let (Some(level), None) = (level, known) {
            damage.get_or_insert(format!("unknown level {level}"));
        }
        if let Some(Value::Object(fields)) = members.take("fields") {
            members.extend(fields);
        }
        for name in EXCEPTIONS {
            if let Some(value) = members.get_mut(name) {
                join_lines(value);
            }
        }
        let message = message.map_or_else(|| torn.unwrap_or_default().to_owned(), plain);
        Some(Self { level: known, message, members, damage })
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
        let names_itself = ["pid", "hostname", "v"].iter().any(|name| members.has(name));
        if members.has("msg") && names_itself { Self::Bunyan } else { Self::Python }
    }
}

/// Loguru wraps its record: `{"text": "…", "record": {"level": {"name": "ERROR", "no": 40}, …}}`.
fn unfold_loguru(members: &mut Members) {
    let wraps = |value: &Value| value.get("message").is_some() && value.get("level").is_some();
    if let Some(Value::Object(record)) = members.take_if("record", wraps) {
        members.take_all("text");
        members.extend(record);
    }
}

/// The Elastic Common Schema may nest: `{"log": {"level": "error", "logger": "x"}}`.
fn unfold_ecs(members: &mut Members) {
    if let Some(Value::Object(log)) = members.get_mut("log")
        && let Some(level) = log.remove("level")
    {
        members.push("log.level", level);
    }
}

/// Takes the level out. If its key stands there twice, the more severe counts.
fn take_level(members: &mut Members, scale: Scale) -> Option<Value> {
    let is_known = |name: &&&str| members.get(name).is_some_and(|level| level_of(level, scale).is_some());
    let name = LEVELS.iter().find(is_known).or_else(|| LEVELS.iter().find(|name| members.has(name)))?;
    members.take_all(name).into_iter().max_by_key(|level| level_of(level, scale))
}

/// Makes a list of lines a text, whether they end in a newline or not.
fn join_lines(value: &mut Value) {
    let Value::Array(lines) = value else { return };
    let Some(lines) = lines.iter().map(Value::as_str).collect::<Option<Vec<&str>>>() else { return };
    let lines: Vec<&str> = lines.into_iter().map(|line| line.strip_suffix('\n').unwrap_or(line)).collect();
    *value = lines.join("\n").into();
}

/// A value as a person writes it: a string without its quotes.
pub fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        value => value.to_string(),
    }
}

/// The level that a name or a number in Python's scale stands for.
pub(super) fn pythons_level(value: &Value) -> Option<Level> {
    level_of(value, Scale::Python)
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
