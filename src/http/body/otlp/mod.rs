//! OpenTelemetry's logs over HTTP, in protobuf and in its JSON.
//!
//! The messages of one record are decoded as a whole; what holds records is walked through. Both forms are
//! read into the same messages, so that both mean the same.

mod message;

use prost::Message;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use self::message::{AnyValue, KeyValue, LogRecord, OtlpResource, OtlpScope};
use super::walk::{elements, from_json, parsed};
use super::wire::{self, WireFields};
use super::{BodyItem, BodySink, check_length};
use crate::record::{Incoming, Level, plain};

/// The attribute of a resource that names the service.
const SERVICE: &str = "service.name";

/// Attributes of each resource that say nothing about a record.
const OF_THE_SENDER: &str = "telemetry.sdk.";

/// The attributes for file and line of the log call, of today's conventions and of earlier ones.
const SOURCES: [(&str, &str); 2] = [("code.file.path", "code.line.number"), ("code.filepath", "code.lineno")];

/// The attribute with the traceback, and its name in a record of Python.
const TRACEBACK: (&str, &str) = ("exception.stacktrace", "exc_text");

/// Numbers of the fields that lead to the log records.
const WAY: [u64; 2] = [1, 2];

/// Reads an `ExportLogsServiceRequest`.
///
/// # Errors
/// It is torn or damaged; then no record was handed on.
pub fn read_protobuf(body: &[u8], sink: &mut BodySink<'_>) -> Result<(), String> {
    wire::check(body, &WAY)?;
    for resource_logs in WireFields::of(body).numbered(1) {
        let resource = first_field::<OtlpResource>(resource_logs);
        let service = resource.service();
        for scope_logs in WireFields::of(resource_logs).numbered(2) {
            let scope = first_field::<OtlpScope>(scope_logs);
            for raw in WireFields::of(scope_logs).numbered(2) {
                let record = check_length(raw)
                    .and_then(|()| LogRecord::decode(raw).map_err(|error| error.to_string()))
                    .map(|record| record.incoming(&resource, &scope));
                hand_on(record, service, raw, sink);
            }
        }
    }
    Ok(())
}

/// What the first field of a message holds; nothing, if it can't be read.
fn first_field<M: Message + Default>(message: &[u8]) -> M {
    let content = WireFields::of(message).numbered(1).last().filter(|content| check_length(content).is_ok());
    content.and_then(|content| M::decode(content).ok()).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExportRequest<'a> {
    #[serde(borrow)]
    resource_logs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    #[serde(default)]
    resource: OtlpResource,
    #[serde(borrow)]
    scope_logs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    #[serde(default)]
    scope: OtlpScope,
    #[serde(borrow)]
    log_records: Option<&'a RawValue>,
}

/// Reads the same request in JSON.
///
/// # Errors
/// It is not JSON, or not an object; then no record was handed on.
pub fn read_json(body: &[u8], sink: &mut BodySink<'_>) -> Result<(), String> {
    let export: ExportRequest<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    for raw in elements(export.resource_logs) {
        let Some(ResourceLogs { resource, scope_logs }) = parsed(raw, None, sink) else { continue };
        let service = resource.service();
        for raw in elements(scope_logs) {
            let Some(ScopeLogs { scope, log_records }) = parsed(raw, service, sink) else { continue };
            for raw in elements(log_records) {
                let record = check_length(raw).and_then(|()| from_json::<LogRecord>(raw));
                hand_on(record.map(|record| record.incoming(&resource, &scope)), service, raw, sink);
            }
        }
    }
    Ok(())
}

fn hand_on(record: Result<Incoming, String>, service: Option<&str>, raw: &[u8], sink: &mut BodySink<'_>) {
    sink(match record {
        Ok(record) => BodyItem::Record(record),
        Err(reason) => BodyItem::Bad { service, raw, reason },
    });
}

impl OtlpResource {
    fn service(&self) -> Option<&str> {
        let named = self.attributes.iter().find(|attribute| attribute.key == SERVICE)?;
        named.value.as_ref()?.text().filter(|name| !name.is_empty())
    }
}

impl LogRecord {
    fn incoming(self, resource: &OtlpResource, scope: &OtlpScope) -> Incoming {
        let mut rest = Map::new();
        if !self.event_name.is_empty() {
            rest.insert("event_name".to_owned(), self.event_name.into());
        }
        for (name, id) in [("trace_id", self.trace_id), ("span_id", self.span_id)] {
            if !id.is_empty() {
                rest.insert(name.to_owned(), hex::encode(id).into());
            }
        }
        add(&mut rest, self.attributes);
        let source = SOURCES.iter().find_map(|(file, line)| {
            let number = u32::try_from(rest.get(*line)?.as_u64()?).ok()?;
            let path = rest.get(*file)?.as_str()?.to_owned();
            rest.shift_remove(*file);
            rest.shift_remove(*line);
            Some((path, number))
        });
        if let Some(traceback) = rest.shift_remove(TRACEBACK.0) {
            rest.insert(TRACEBACK.1.to_owned(), traceback);
        }
        let run = rest.get("run_id").and_then(|run| run.as_str()?.parse().ok());
        if run.is_some() {
            rest.shift_remove("run_id");
        }
        let says_more =
            |attribute: &&KeyValue| attribute.key != SERVICE && !attribute.key.starts_with(OF_THE_SENDER);
        add(&mut rest, resource.attributes.iter().filter(says_more).cloned());
        let (level, damage) = level(self.severity_number, &self.severity_text);
        Incoming {
            service: resource.service().map(str::to_owned),
            logger: scope.name.clone(),
            level,
            time: micros(self.time_unix_nano).or_else(|| micros(self.observed_time_unix_nano)),
            message: self.body.map(AnyValue::into_json).map(plain).unwrap_or_default(),
            source,
            run,
            rest,
            damage,
        }
    }
}

/// Adds attributes. Of a repeated name the first counts, since a record's own come first.
fn add(rest: &mut Map<String, Value>, attributes: impl IntoIterator<Item = KeyValue>) {
    for KeyValue { key, value } in attributes {
        let value = value.map(AnyValue::into_json).filter(|value| !value.is_null());
        if let Some(value) = value
            && !rest.contains_key(&key)
        {
            rest.insert(key, value);
        }
    }
}

/// The level of a severity: 1 to 4 is trace, and so on to fatal from 21 on. Without a number its text counts.
fn level(number: i32, text: &str) -> (Level, Option<String>) {
    let level = match number {
        1..=4 => Level::Trace,
        5..=8 => Level::Debug,
        9..=12 => Level::Info,
        13..=16 => Level::Warn,
        17..=24 => Level::Error,
        0 if text.is_empty() => Level::Info,
        0 => match text.parse() {
            Ok(level) => level,
            Err(_) => return (Level::Info, Some(format!("unknown level {text:?}"))),
        },
        _ => return (Level::Info, Some(format!("unknown severity {number}"))),
    };
    (level, None)
}

/// Nanoseconds since 1970 as microseconds; zero is no time.
fn micros(nanos: u64) -> Option<i64> {
    (nanos > 0).then_some((nanos / 1000).cast_signed())
}

#[cfg(test)]
mod tests;
