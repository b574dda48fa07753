//! Loki's push requests, in protobuf and in JSON: lines of text under labels.
//!
//! A line that is the JSON of a logger is read as such. The labels tell the service and, for other lines, the
//! level.

use prost::Message;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::walk::{elements, from_json, parsed};
use super::wire::{self, WireFields};
use super::{BodyItem, BodySink, check_length};
use crate::record::Incoming;

/// The labels that name the service; the first one counts.
const SERVICES: [&str; 7] = ["service_name", "service", "app", "application", "name", "container", "job"];

/// The label that Loki itself finds out, and the one that loggers send.
const LEVELS: (&str, &str) = ("detected_level", "level");

type LabelMap = Map<String, Value>;

/// A line.
#[derive(Clone, PartialEq, Message)]
struct LokiEntry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<LokiTime>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<LokiLabel>,
}

#[derive(Clone, PartialEq, Message)]
struct LokiTime {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct LokiLabel {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// Reads a `PushRequest`, unpacked.
///
/// # Errors
/// It is torn or damaged; then no record was handed on.
pub fn read_protobuf(body: &[u8], sink: &mut BodySink<'_>) -> Result<(), String> {
    wire::check(body, &[1])?;
    for stream in WireFields::of(body).numbered(1) {
        let labels = WireFields::of(stream).numbered(1).last().unwrap_or_default();
        let labels = check_length(labels).and_then(|()| Labels::read(&String::from_utf8_lossy(labels)));
        for raw in WireFields::of(stream).numbered(2) {
            let record = labels.as_ref().map_err(Clone::clone).and_then(|labels| {
                check_length(raw)?;
                let entry = LokiEntry::decode(raw).map_err(|error| error.to_string())?;
                let time = entry.timestamp.and_then(|at| {
                    at.seconds.checked_mul(1_000_000)?.checked_add(i64::from(at.nanos) / 1000)
                });
                let metadata = entry.metadata.into_iter().map(|label| (label.name, label.value.into()));
                Ok(labels.incoming(entry.line, time, metadata.collect()))
            });
            hand_on(record, labels.as_ref().ok(), raw, sink);
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct PushRequest<'a> {
    #[serde(borrow)]
    streams: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LabelledLines<'a> {
    #[serde(default)]
    stream: LabelMap,
    #[serde(borrow)]
    values: Option<&'a RawValue>,
}

/// Reads a push request in JSON.
///
/// # Errors
/// It is not JSON, or not an object; then no record was handed on.
pub fn read_json(body: &[u8], sink: &mut BodySink<'_>) -> Result<(), String> {
    let push: PushRequest<'_> = from_json(body)?;
    for raw in elements(push.streams) {
        let Some(LabelledLines { stream, values }) = parsed(raw, None, sink) else { continue };
        let labels = Labels::of(stream);
        for raw in elements(values) {
            let record = check_length(raw).and_then(|()| {
                let mut parts = from_json::<Vec<Value>>(raw)?.into_iter();
                let (Some(time), Some(Value::String(line))) = (parts.next(), parts.next()) else {
                    return Err("expected a time and a line".to_owned());
                };
                let metadata = match parts.next() {
                    Some(Value::Object(metadata)) => metadata,
                    _ => LabelMap::new(),
                };
                Ok(labels.incoming(line, micros(&time), metadata))
            });
            hand_on(record, Some(&labels), raw, sink);
        }
    }
    Ok(())
}

fn hand_on(record: Result<Incoming, String>, labels: Option<&Labels>, raw: &[u8], sink: &mut BodySink<'_>) {
    sink(match record {
        Ok(record) => BodyItem::Record(record),
        Err(reason) => {
            BodyItem::Bad { service: labels.and_then(|labels| labels.service.as_deref()), raw, reason }
        }
    });
}

/// Nanoseconds since 1970, as a text, in microseconds.
fn micros(time: &Value) -> Option<i64> {
    let nanos: i64 = match time {
        Value::String(text) => text.parse().ok()?,
        time => time.as_i64()?,
    };
    Some(nanos / 1000)
}

/// The labels of a stream, but for the one that names its service.
#[derive(Debug)]
struct Labels {
    service: Option<String>,
    others: LabelMap,
}

impl Labels {
    fn of(mut labels: LabelMap) -> Self {
        let names =
            |name: &&&str| labels.get(**name).and_then(Value::as_str).is_some_and(|name| !name.is_empty());
        let service = SERVICES.iter().find(names).and_then(|name| labels.shift_remove(*name));
        Self { service: service.map(crate::record::plain), others: labels }
    }

    /// Reads `{app="web", level="info"}`, with the escapes of Go in the values.
    fn read(text: &str) -> Result<Self, String> {
        let wrong = || "the labels can't be read".to_owned();
        let mut rest = text.trim().strip_prefix('{').ok_or_else(wrong)?.trim_start();
        let mut labels = LabelMap::new();
        while rest != "}" {
            let (name, behind) = rest.split_once('=').ok_or_else(wrong)?;
            let mut values = serde_json::Deserializer::from_str(behind).into_iter::<String>();
            let value = values.next().and_then(Result::ok).ok_or_else(wrong)?;
            labels.insert(name.trim().to_owned(), value.into());
            rest = behind[values.byte_offset()..].trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        Ok(Self::of(labels))
    }

    fn incoming(&self, line: String, time: Option<i64>, metadata: LabelMap) -> Incoming {
        let mut record = self.of_logger(&line, &metadata).unwrap_or_else(|| {
            let mut members = self.beside(LabelMap::new(), metadata);
            members.insert("message".to_owned(), line.into());
            Incoming::of_object(members).expect("it has a message")
        });
        record.service = self.service.clone().or(record.service);
        record.time = record.time.or(time);
        record
    }

    /// The record of a line that is the JSON of a logger.
    fn of_logger(&self, line: &str, metadata: &LabelMap) -> Option<Incoming> {
        let members = Some(line).filter(|line| line.starts_with('{'));
        let members = members.and_then(|line| serde_json::from_str(line).ok())?;
        let record = Incoming::of_object(self.beside(members, metadata.clone())).ok()?;
        (!record.message.is_empty()).then_some(record)
    }

    /// The members of a line; metadata and labels stand behind them, and count where the line says nothing.
    fn beside(&self, mut members: LabelMap, metadata: LabelMap) -> LabelMap {
        for (name, value) in metadata.into_iter().chain(self.others.clone()) {
            members.entry(name).or_insert(value);
        }
        if let Some(level) = members.shift_remove(LEVELS.0) {
            members.entry(LEVELS.1).or_insert(level);
        }
        members
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::Level;

    type Read = fn(&[u8], &mut BodySink<'_>) -> Result<(), String>;

    fn found(read: Read, body: &[u8]) -> (Vec<Incoming>, Vec<(Option<String>, String)>) {
        let (mut records, mut bad) = (Vec::new(), Vec::new());
        let all = read(body, &mut |found| match found {
            BodyItem::Record(record) => records.push(record),
            BodyItem::Bad { service, reason, .. } => bad.push((service.map(str::to_owned), reason)),
        });
        all.expect("a body that can be read");
        (records, bad)
    }

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(content.len()).expect("a short one")], content].concat()
    }

    #[test]
    fn a_line_says_the_same_in_protobuf_and_in_json() {
        let line = "no \"row\" \u{1f980}";
        let body = json!({"streams": [{
            "stream": {"app": "web", "job": "j", "severity": "error", "logger": "app.views"},
            "values": [["1764237600123456789", line, {"trace_id": "7"}]],
        }]});
        let (records, bad) = found(read_json, body.to_string().as_bytes());
        let [record] = &records[..] else { panic!("{records:?} {bad:?}") };
        assert_eq!((record.service.as_deref(), record.level), (Some("web"), Level::Error));
        assert_eq!((record.message.as_str(), record.logger.as_str()), (line, "app.views"));
        assert_eq!(record.time, Some(1_764_237_600_123_456));
        assert_eq!(Value::Object(record.rest.clone()), json!({"trace_id": "7", "job": "j"}));

        let entry = LokiEntry {
            timestamp: Some(LokiTime { seconds: 1_764_237_600, nanos: 123_456_789 }),
            line: line.to_owned(),
            metadata: vec![LokiLabel { name: "trace_id".to_owned(), value: "7".to_owned() }],
        };
        let labels = r#"{app="web", job="j", severity="error",logger="app.views"}"#;
        let stream = [field(1, labels.as_bytes()), field(2, &entry.encode_to_vec())].concat();
        assert_eq!(found(read_protobuf, &field(1, &stream)), (records, bad));
    }

    #[test]
    fn a_line_of_a_logger_is_its_record_and_labels_fill_what_it_does_not_say() {
        let line = json!({"level": "warning", "event": "x", "row": 3, "timestamp": "2026-11-28T09:00:00Z"});
        let body = json!({"streams": [
            {"values": [["5000", line.to_string()], ["6000", "{\"no\": \"record\"}"], ["7000", "{broken"]],
             "stream": {"service_name": "s", "detected_level": "debug", "pod": "p"}},
            {"stream": {}, "values": [["8000", "plain"]]},
        ]});
        let (records, bad) = found(read_json, body.to_string().as_bytes());
        assert!(bad.is_empty(), "{bad:?}");
        let said: Vec<_> = records.iter().map(|record| (record.level, record.message.as_str())).collect();
        let expected = [
            (Level::Warn, "x"),
            (Level::Debug, "{\"no\": \"record\"}"),
            (Level::Debug, "{broken"),
            (Level::Info, "plain"),
        ];
        assert_eq!(said, expected);
        assert_eq!((&records[0].rest["row"], &records[0].rest["pod"]), (&json!(3), &json!("p")));
        assert_eq!(records[0].time, Some(1_795_856_400_000_000));
        assert_eq!((records[1].time, records[3].service.as_deref()), (Some(6), None));
    }

    #[test]
    fn a_bad_line_spoils_no_other_one_and_a_bad_body_hands_on_nothing() {
        let body = json!({"streams": [
            {"stream": {"app": "web"}, "values": [["1"], 7, ["1", 2], ["1", "good"]]},
            {"stream": 3, "values": []},
        ]});
        let (records, bad) = found(read_json, body.to_string().as_bytes());
        assert_eq!((records.len(), bad.len()), (1, 4), "{bad:?}");
        assert_eq!(bad[0].0.as_deref(), Some("web"));
        let stream = [field(1, b"no labels"), field(2, b"\x12\x01x")].concat();
        assert_eq!(found(read_protobuf, &field(1, &stream)).1.len(), 1);
        for body in ["", "[]", "{\"streams\":"] {
            assert!(read_json(body.as_bytes(), &mut |found| panic!("{found:?}")).is_err(), "{body}");
        }
        assert!(read_protobuf(b"\x0a\x05x", &mut |found| panic!("{found:?}")).is_err());
    }

    #[test]
    fn labels_are_read_with_their_escapes() {
        let labels = Labels::read(r#" { a="x\"},\\n\n" , name="n",} "#).expect("labels");
        assert_eq!((labels.service.as_deref(), &labels.others["a"]), (Some("n"), &json!("x\"},\\n\n")));
        assert!(Labels::read("{}").is_ok_and(|labels| labels.service.is_none()));
        for text in ["", "{", "{a}", "{a=b}", "{a=\"b\"", "a=\"b\"}"] {
            assert!(Labels::read(text).is_err(), "{text}");
        }
    }
}
