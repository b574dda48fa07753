//! What parselog has stored of a service, wherever it is: in the spool or archived.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use parselog::record::Record;
use serde::Deserialize;
use serde_json::Value;

use super::sending::Sent;
use crate::support::Desk;

/// The records of a service in their order, as `--json` prints them.
pub(super) fn stored(desk: &Desk, service: &str) -> Vec<Value> {
    streams(desk).remove(service).unwrap_or_default()
}

/// The records of all services, by service.
pub(super) fn streams(desk: &Desk) -> BTreeMap<String, Vec<Value>> {
    // A segment may be in two places while it is archived, and objects have versions.
    let mut segments = BTreeMap::new();
    for path in [desk.files("spool"), desk.files("objects")].concat() {
        // It may have gone to its next place meanwhile.
        let Ok(mut bytes) = fs::read(&path) else { continue };
        if path.ends_with(".log.gz") {
            let packed = std::mem::take(&mut bytes);
            MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
        }
        let content = bytes.split(|byte| *byte == 0).next().unwrap();
        let mut lines = content.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let head: Value = lines.next().and_then(|line| serde_json::from_slice(line).ok()).unwrap_or_default();
        if let (Some(service), Some(log)) = (head["head"]["service"].as_str(), head["head"]["log"].as_str()) {
            let records = lines.filter_map(Record::decode).filter(|record| record.seq > 0);
            let records = records.map(|record| serde_json::to_value(record).unwrap()).collect::<Vec<_>>();
            segments.insert((service.to_owned(), log.to_owned()), records);
        }
    }
    let mut streams: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for ((service, _), records) in segments {
        streams.entry(service).or_default().extend(records);
    }
    streams
}

/// Whether the stored records are those that were sent, in their order.
#[track_caller]
pub(super) fn assert_stored(sent: &[Sent], stored: &[Value]) {
    for (at, (sent, stored)) in sent.iter().zip(stored).enumerate() {
        let message = stored["message"].as_str().unwrap().trim_start();
        // Some clients write a traceback behind the message.
        assert!(message.starts_with(&sent.message), "record {at}: {sent:?} is stored as {stored}");
        assert!(sent.level.starts_with(stored["level"].as_str().unwrap()), "record {at}: {sent:?} {stored}");
        if let Some(traceback) = &sent.traceback {
            assert!(has_text(stored, traceback), "record {at}: {traceback}\nis not whole in {stored:#}");
        }
    }
    assert_eq!(stored.len(), sent.len(), "{:?}", stored.last());
}

/// Whether one of its texts has this in it.
pub(super) fn has_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found.contains(text),
        Value::Array(values) => values.iter().any(|value| has_text(value, text)),
        Value::Object(members) => members.values().any(|value| has_text(value, text)),
        _ => false,
    }
}

/// What must be stored of the shop; see tests/clients/shop/drive.py.
#[derive(Debug, Deserialize)]
pub(super) struct Expected {
    logger: String,
    message: Option<String>,
    /// A part of the message.
    contains: Option<String>,
    /// How often; once without it.
    times: Option<usize>,
    /// The end of its traceback.
    traceback: Option<String>,
    /// Python's own handler can't send it.
    #[serde(default)]
    unpicklable: bool,
}

impl Expected {
    fn is(&self, record: &Value) -> bool {
        let message = record["message"].as_str().unwrap();
        record["target"] == self.logger
            && self.message.as_ref().is_none_or(|text| text == message)
            && self.contains.as_ref().is_none_or(|text| message.contains(text))
    }

    fn is_whole(&self, record: &Value) -> bool {
        let traceback = record["fields"]["exc_text"].as_str().unwrap_or_default();
        let is_whole =
            |end| traceback.starts_with("Traceback (most recent call last):\n") && traceback.ends_with(end);
        self.traceback.as_deref().is_none_or(is_whole)
    }
}

/// Whether everything is stored that the shop logged: each record once, with its whole traceback, those of one
/// process in their order, and nothing of a request that is private.
#[track_caller]
pub(super) fn assert_shop(expected: &[Expected], stored: &[Value], sends_requests: bool) {
    for expected in expected {
        let found: Vec<_> = stored.iter().filter(|record| expected.is(record)).collect();
        let times = if expected.unpicklable && !sends_requests { 0 } else { expected.times.unwrap_or(1) };
        assert_eq!(found.len(), times, "{expected:?}: {found:#?}");
        assert!(found.iter().all(|record| expected.is_whole(record)), "{expected:?}: {found:#?}");
    }
    let mut orders: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for fields in
        stored.iter().filter(|record| record["target"] == "shop.web").map(|record| &record["fields"])
    {
        orders
            .entry(fields["process"].as_u64().unwrap())
            .or_default()
            .push(fields["order"].as_u64().unwrap());
    }
    assert!(orders.values().all(|orders| orders.is_sorted()), "{orders:?}");
    assert!(!stored.iter().any(|record| has_text(record, "sessionid")), "a cookie is stored");
}
