//! A record of another process on its way into a log: what it means, and its line.
//!
//! It builds on what [`Foreign`](super::Foreign) knows of loggers' keys, and reads more of them: who logged it,
//! when, where, and for which run. Nothing of it is trusted: every text is bounded and escaped on its line.

use std::borrow::Cow;
use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value};

use super::foreign::{Foreign, Parts, pythons_level};
use super::members::{Members, free};
use super::moment::moment;
use super::{Arrival, Encoder, Level, MAX_LINE_BYTES, Origin};
use crate::ids::RunId;

/// The keys for the logger's name; the first text counts.
const LOGGERS: [&str; 6] = ["logger", "logger_name", "loggerName", "log.logger", "name", "target"];
/// The keys for the service.
const SERVICES: [&str; 2] = ["service", "service.name"];
/// The keys for the sender's time; the first readable one counts.
const TIMES: [&str; 5] = ["created", "timestamp", "@timestamp", "time", "ts"];
/// The keys for the source: the file and the line.
const SOURCES: [(&str, &str); 3] = [("pathname", "lineno"), ("filename", "lineno"), ("file", "line")];
/// What Python derives from a record's time.
const DERIVED: [&str; 3] = ["msecs", "relativeCreated", "asctime"];

/// Longer names (bytes) are cut: of keys, loggers, services and files.
const MAX_NAME_BYTES: usize = 1024;
/// When the fields of a line are longer than this (bytes), the others are left out; the line says how many.
const MAX_FIELDS_BYTES: usize = MAX_LINE_BYTES / 4;

/// A record of another process, as its sender says it; nothing of it is trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Incoming {
    /// The service that it says it is of, unchecked.
    pub service: Option<String>,
    /// Who logged it; empty if it does not say.
    pub logger: String,
    /// INFO without a level, or with an unknown one; then `damage` names it.
    pub level: Level,
    /// When the sender logged it, in microseconds since 1970, by its own clock.
    pub time: Option<i64>,
    /// What happened.
    pub message: String,
    /// File and line of the log call.
    pub source: Option<(String, u32)>,
    /// The run that it says it is of.
    pub run: Option<RunId>,
    /// All other keys, in order, without nulls and without what only repeats the above.
    pub rest: Map<String, Value>,
    /// Why it is only partly readable.
    pub damage: Option<String>,
}

impl Incoming {
    /// A record from the members of an object: of JSON, or of a pickled `LogRecord`.
    ///
    /// # Errors
    /// It is not a record: it has neither level nor message.
    pub fn of_object(object: Map<String, Value>) -> Result<Self, String> {
        Self::of_members(object.into_iter().collect())
    }

    /// The same from members that are no map yet.
    ///
    /// # Errors
    /// It is not a record: it has neither level nor message.
    pub fn of_members(members: Vec<(String, Value)>) -> Result<Self, String> {
        let parts = Parts::of(Members::new(members), None, None);
        parts.map(Self::of).ok_or_else(|| "it has neither level nor message".to_owned())
    }

    /// A record from a line of JSON, which need not be whole.
    ///
    /// # Errors
    /// It is not a record: not an object, or one with neither level nor message.
    pub fn of_line(line: &str) -> Result<Self, String> {
        let parts = Parts::of_line(line).map(Self::of);
        parts.ok_or_else(|| "it is not a JSON object with a level or a message".to_owned())
    }

    fn of(Parts { level, message, mut members, damage }: Parts) -> Self {
        let level = level.unwrap_or(Level::Info);
        let created = TIMES.iter().find(|name| members.get(name).and_then(moment).is_some());
        let time = created.and_then(|name| members.take(name)).as_ref().and_then(moment);
        let source = take_source(&mut members);
        let logger = LOGGERS.iter().find_map(|name| members.take_text(name)).unwrap_or_default();
        let service = take_service(&mut members);
        let run = members.get("run_id").and_then(|run| run.as_str()?.parse().ok());
        if run.is_some() {
            members.take("run_id");
        }
        members.drop_nulls();
        for name in DERIVED.iter().filter(|_| created == Some(&"created")) {
            members.take_if(name, |value| !value.is_object() && !value.is_array());
        }
        for name in ["levelname", "levelno"] {
            members.take_if(name, |value| pythons_level(value) == Some(level));
        }
        for name in ["message", "msg"] {
            members.take_if(name, |value| *value == *message);
        }
        if let Some((file, _)) = &source {
            let file = Path::new(file);
            members
                .take_if("filename", |name| name.as_str() == file.file_name().and_then(|name| name.to_str()));
            members
                .take_if("module", |name| name.as_str() == file.file_stem().and_then(|name| name.to_str()));
        }
        Self { service, logger, level, time, message, source, run, rest: members.fold(), damage }
    }

    /// The part of its line behind time and number.
    pub fn encode<'a>(&self, encoder: &'a mut Encoder, from: Option<Arrival>) -> &'a [u8] {
        let source = self.source.as_ref().map(|(file, line)| (short(file), *line));
        let source = source.as_ref().map(|(file, line)| (file.as_ref(), *line));
        let origin = Origin::new(self.level, &short(&self.logger), source);
        encoder.start(&origin);
        if let Some(time) = self.time {
            encoder.own_time(time);
        }
        encoder.message(format_args!("{}", self.message));
        if let Some(from) = from {
            encoder.from(from);
        }
        let own = |name: &str| free(&self.rest, name.to_owned());
        if let Some(service) = &self.service {
            encoder.text(&own("service"), &short(service));
        }
        if let Some(run) = self.run {
            encoder.formatted(&own("run_id"), format_args!("{run}"));
        }
        let mut left_out = 0;
        for (name, value) in &self.rest {
            if encoder.fields_bytes() > MAX_FIELDS_BYTES {
                left_out += 1;
                continue;
            }
            encoder.value(&short(name), value);
        }
        if left_out > 0 {
            encoder.formatted(&own("left_out"), format_args!("{left_out} fields: the record is too long"));
        }
        if let Some(damage) = &self.damage {
            encoder.text(&own("damage"), damage);
        }
        encoder.finish(&origin, b"")
    }
}

impl From<Incoming> for Foreign {
    /// The same record where level and message alone have places of their own.
    fn from(record: Incoming) -> Self {
        let Incoming { service, logger, level, time, message, source, run, mut rest, damage } = record;
        let time = time.and_then(DateTime::from_timestamp_micros);
        let time = time.map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true));
        let source = source.map(|(file, line)| format!("{file}:{line}"));
        let logger = Some(logger).filter(|logger| !logger.is_empty());
        let run = run.map(|run| run.to_string());
        for (name, value) in
            [("service", service), ("logger", logger), ("time", time), ("source", source), ("run_id", run)]
        {
            if let Some(value) = value {
                rest.insert(free(&rest, name.to_owned()), value.into());
            }
        }
        Self { level: Some(level), message, rest, damage }
    }
}

/// Takes file and line out, if both are there.
fn take_source(members: &mut Members) -> Option<(String, u32)> {
    for (file, line) in SOURCES {
        let Some(number) = members.get(line).and_then(line_number) else { continue };
        let Some(path) = members.get_mut(file).and_then(path) else { continue };
        members.take(file);
        members.take(line);
        return Some((path, number));
    }
    None
}

fn line_number(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.parse().ok(),
        value => u32::try_from(value.as_u64()?).ok(),
    }
}

/// The path of a file; loguru has it beside the file's name.
fn path(value: &mut Value) -> Option<String> {
    match value {
        Value::String(path) => (!path.is_empty()).then(|| std::mem::take(path)),
        Value::Object(file) => match file.get_mut("path") {
            Some(Value::String(path)) => Some(std::mem::take(path)),
            _ => None,
        },
        _ => None,
    }
}

/// Takes the service out; the Elastic Common Schema nests its name.
fn take_service(members: &mut Members) -> Option<String> {
    if let Some(name) = SERVICES.iter().find_map(|name| members.take_text(name)) {
        return Some(name);
    }
    let Some(Value::Object(service)) = members.get_mut("service") else { return None };
    let name = service.get("name")?.as_str().filter(|name| !name.trim().is_empty())?.to_owned();
    service.shift_remove("name");
    if service.is_empty() {
        members.take("service");
    }
    Some(name)
}

fn short(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_NAME_BYTES {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("{}…", &name[..name.floor_char_boundary(MAX_NAME_BYTES)]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Record;
    use super::*;

    #[track_caller]
    fn incoming(value: Value) -> Incoming {
        let Value::Object(object) = value else { panic!("not an object: {value}") };
        Incoming::of_object(object).unwrap()
    }

    /// A whole line, decoded.
    fn on_a_line(record: &Incoming, from: Option<Arrival>) -> Record {
        let mut encoder = Encoder::default();
        let mut line = Vec::new();
        super::super::push_prefix(&mut line, 0, 1);
        line.extend_from_slice(record.encode(&mut encoder, from));
        Record::decode(&line).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&line)))
    }

    /// What Python's `SocketHandler` sends.
    fn pythons() -> Value {
        json!({"name": "tdpservice.parsers", "msg": "no row", "args": null, "levelname": "ERROR", "levelno": 40,
            "pathname": "/app/parsers/fra.py", "filename": "fra.py", "module": "fra", "exc_info": null,
            "exc_text": "Traceback (most recent call last):\n  File\nKeyError: 'x'", "stack_info": null,
            "lineno": 12, "funcName": "parse", "created": 1_764_237_600.123_456, "msecs": 123.0,
            "relativeCreated": 88.5, "thread": 140_735_268_359_680_u64, "threadName": "MainThread",
            "processName": "MainProcess", "process": 77, "taskName": null, "row": 3})
    }

    #[test]
    fn a_record_of_python_says_who_when_where_and_keeps_what_says_more() {
        let record = incoming(pythons());
        assert_eq!((record.level, record.message.as_str()), (Level::Error, "no row"));
        assert_eq!(record.logger, "tdpservice.parsers");
        assert_eq!(record.time, Some(1_764_237_600_123_456));
        assert_eq!(record.source, Some(("/app/parsers/fra.py".to_owned(), 12)));
        let kept: Vec<&str> = record.rest.keys().map(String::as_str).collect();
        assert_eq!(
            kept,
            ["exc_text", "funcName", "thread", "threadName", "processName", "process", "row"],
            "the rest only repeats"
        );
        assert_eq!(record.damage, None);
        let line = on_a_line(&record, Some(Arrival { connection: 7, end: 512 }));
        assert_eq!(line.time.map(|time| time.timestamp_micros()), record.time);
        assert_eq!((line.target.as_str(), line.source.as_str()), (&*record.logger, "/app/parsers/fra.py:12"));
        assert_eq!(line.from, Some(Arrival { connection: 7, end: 512 }));
        assert_eq!(line.fields["exc_text"], record.rest["exc_text"]);
        assert_eq!(line.fields["row"], 3);
    }

    #[test]
    fn what_looks_like_pythons_keys_but_says_something_else_is_kept() {
        let record =
            incoming(json!({"msg": "stored", "levelname": "AUDIT", "levelno": 35, "filename": "upload.txt",
            "module": 3, "msecs": 5, "message": "another", "created": "by hand", "run_id": "mine"}));
        assert_eq!((record.level, record.time), (Level::Warn, None));
        assert_eq!((record.message.as_str(), record.damage.as_deref()), ("another", None));
        let kept: Vec<&str> = record.rest.keys().map(String::as_str).collect();
        assert_eq!(kept, ["msg", "levelname", "filename", "module", "msecs", "created", "run_id"]);
    }

    #[test]
    fn service_run_source_and_time_of_other_loggers_are_found() {
        let run = RunId::new();
        let record = incoming(json!({"service": "celery", "run_id": run.to_string(), "event": "x",
            "level": "warning", "timestamp": "2026-11-28T09:00:00.5Z"}));
        assert_eq!((record.service.as_deref(), record.run), (Some("celery"), Some(run)));
        assert_eq!(record.time, Some(1_795_856_400_500_000));
        let line = on_a_line(&record, None);
        assert_eq!(
            (&line.fields["service"], &line.fields["run_id"]),
            (&"celery".into(), &run.to_string().into())
        );
        let loguru = incoming(json!({"text": "t\n", "record": {"level": {"name": "ERROR", "no": 40},
            "message": "m", "name": "app", "file": {"name": "a.py", "path": "/a.py"}, "line": 3,
            "time": {"repr": "…", "timestamp": 1.5}, "exception": null}}));
        assert_eq!((loguru.logger.as_str(), loguru.time), ("app", Some(1_500_000)));
        assert_eq!(loguru.source, Some(("/a.py".to_owned(), 3)));
        let ecs = incoming(json!({"@timestamp": "2026-11-28T10:00:00+01:00", "log": {"level": "error"},
            "message": "m", "service": {"name": "web", "version": "3"}, "log.logger": "django"}));
        assert_eq!((ecs.service.as_deref(), ecs.logger.as_str()), (Some("web"), "django"));
        assert_eq!(ecs.time, Some(1_795_856_400_000_000));
        assert_eq!(ecs.rest["service"], json!({"version": "3"}));
    }

    #[test]
    fn a_list_of_lines_is_a_traceback_with_its_lines() {
        let record = incoming(json!({"level": "error", "message": "m", "exc_text": ["a\n", "b", "c\n"]}));
        assert_eq!(record.rest["exc_text"], "a\nb\nc");
    }

    #[test]
    fn what_is_no_record_says_so_and_an_unknown_level_is_damage() {
        assert!(Incoming::of_object(Map::new()).is_err());
        assert!(Incoming::of_line("no record").is_err());
        let unknown = Incoming::of_line(r#"{"level":"loud","message":"x"}"#).unwrap();
        assert_eq!((unknown.level, unknown.damage.as_deref()), (Level::Info, Some("unknown level \"loud\"")));
        assert_eq!(on_a_line(&unknown, None).fields["damage"], "unknown level \"loud\"");
        let torn = Incoming::of_line(r#"{"level":"error","message":"cut off"#).unwrap();
        assert_eq!((torn.level, torn.message.as_str()), (Level::Error, "cut off"));
    }

    #[test]
    fn a_line_is_bounded_and_escaped_whatever_the_record_holds() {
        let mut object = json!({"message": "\u{1b}[2J\u{202e}", "name": "n".repeat(5000), "damage": "mine",
            "nested": {"a": ["\u{1b}", 1.5, null]}, "level": "loud", "x".repeat(9000): 1});
        for number in 0..400 {
            object[format!("big{number}")] = "\u{1}".repeat(100_000).into();
        }
        let record = incoming(object);
        let mut encoder = Encoder::default();
        let line = record.encode(&mut encoder, None);
        assert!(line.len() < MAX_LINE_BYTES, "{}", line.len());
        assert!(!line.contains(&0x1b) && !String::from_utf8_lossy(line).contains('\u{202e}'));
        let line = on_a_line(&record, None);
        assert!(line.target.len() < 2 * MAX_NAME_BYTES && line.fields.keys().all(|key| key.len() < 2048));
        assert_eq!(line.fields["nested"], json!({"a": ["\u{1b}", 1.5, null]}));
        assert_eq!((&line.fields["damage"], line.fields["damage'"].is_string()), (&"mine".into(), true));
        assert!(line.fields["left_out"].as_str().unwrap().ends_with("fields: the record is too long"));
    }
}
