//! What parselog has stored of a service, wherever it is: in the spool or archived.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use parselog::record::Record;
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
