//! Both forms of one request mean the same, and what is damaged in it spoils no more than itself.

use proptest::prelude::{any, prop_assert_eq, proptest};
use prost::Message;
use serde_json::{Value, json};

use super::message::{LogRecord, OtlpResource, OtlpScope};
use super::{BodyItem, BodySink, Incoming, Level, read_json, read_protobuf};

/// A field of a message, as protobuf writes it.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut length = Vec::new();
    prost::encode_length_delimiter(content.len(), &mut length).expect("memory takes all");
    [&[number << 3 | 2], &length[..], content].concat()
}

fn request(records: &[Value]) -> Value {
    json!({"resourceLogs": [{
        "scopeLogs": [{"logRecords": records, "scope": {"name": "app.views", "version": "1"}}],
        "resource": {"attributes": [
            {"key": "telemetry.sdk.name", "value": {"stringValue": "opentelemetry"}},
            {"key": "service.name", "value": {"stringValue": "web"}},
            {"key": "host.name", "value": {"stringValue": "h1"}},
        ]},
        "schemaUrl": "x",
    }]})
}

/// The same request in protobuf.
fn protobuf(request: &Value) -> Vec<u8> {
    let resource_logs = &request["resourceLogs"][0];
    let resource: OtlpResource =
        serde_json::from_value(resource_logs["resource"].clone()).expect("a resource");
    let scope_logs = &resource_logs["scopeLogs"][0];
    let scope: OtlpScope = serde_json::from_value(scope_logs["scope"].clone()).expect("a scope");
    let mut scope_content = field(1, &scope.encode_to_vec());
    for record in scope_logs["logRecords"].as_array().expect("records") {
        let record: LogRecord = serde_json::from_value(record.clone()).expect("a record");
        scope_content.extend(field(2, &record.encode_to_vec()));
    }
    let resource_content = [field(2, &scope_content), field(1, &resource.encode_to_vec())].concat();
    field(1, &resource_content)
}

type Read = fn(&[u8], &mut BodySink<'_>) -> Result<(), String>;

fn found(read: Read, body: &[u8]) -> (Vec<Incoming>, Vec<String>) {
    let (mut records, mut bad) = (Vec::new(), Vec::new());
    let all = read(body, &mut |found| match found {
        BodyItem::Record(record) => records.push(record),
        BodyItem::Bad { reason, .. } => bad.push(reason),
    });
    all.expect("a body that can be read");
    (records, bad)
}

fn full_record() -> Value {
    json!({
        "timeUnixNano": "1764237600123456789",
        "observedTimeUnixNano": 5,
        "severityNumber": 17,
        "severityText": "ERROR",
        "body": {"stringValue": "no row"},
        "attributes": [
            {"key": "row", "value": {"intValue": "9007199254740993"}},
            {"key": "rate", "value": {"doubleValue": 1.5}},
            {"key": "bad", "value": {"doubleValue": "NaN"}},
            {"key": "raw", "value": {"bytesValue": "AAE="}},
            {"key": "none", "value": {}},
            {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}, {"kvlistValue":
                {"values": [{"key": "a", "value": {"intValue": 1}}]}}]}}},
            {"key": "code.file.path", "value": {"stringValue": "/app/a.py"}},
            {"key": "code.line.number", "value": {"intValue": "7"}},
            {"key": "exception.stacktrace", "value": {"stringValue": "Traceback…\n  x"}},
        ],
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "flags": 1,
        "unknownField": {"a": []},
    })
}

#[test]
fn a_record_says_the_same_in_protobuf_and_in_json() {
    let request = request(&[full_record()]);
    let (records, bad) = found(read_json, request.to_string().as_bytes());
    assert!(bad.is_empty(), "{bad:?}");
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((record.service.as_deref(), record.logger.as_str()), (Some("web"), "app.views"));
    assert_eq!((record.level, record.message.as_str()), (Level::Error, "no row"));
    assert_eq!(record.time, Some(1_764_237_600_123_456));
    assert_eq!(record.source, Some(("/app/a.py".to_owned(), 7)));
    let rest = json!({"trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174",
        "row": 9_007_199_254_740_993_i64, "rate": 1.5, "bad": "NaN", "raw": "AAE=", "list": [true, {"a": 1}],
        "exc_text": "Traceback…\n  x", "host.name": "h1"});
    assert_eq!(Value::Object(record.rest.clone()), rest);
    assert_eq!(found(read_protobuf, &protobuf(&request)), (records, bad));
}

#[test]
fn severities_and_their_texts_are_levels() {
    for (number, text, level) in [
        (1, "", Level::Trace),
        (8, "", Level::Debug),
        (9, "", Level::Info),
        (16, "", Level::Warn),
        (24, "", Level::Error),
        (0, "WARNING", Level::Warn),
        (0, "", Level::Info),
    ] {
        let request = request(&[json!({"severityNumber": number, "severityText": text})]);
        let (records, _) = found(read_json, request.to_string().as_bytes());
        assert_eq!((records[0].level, records[0].damage.as_deref()), (level, None), "{number} {text}");
    }
    let (records, _) = found(read_json, request(&[json!({"severityNumber": 99})]).to_string().as_bytes());
    assert_eq!((records[0].level, records[0].damage.is_some()), (Level::Info, true));
}

#[test]
fn a_bad_record_spoils_no_other_one() {
    let good = json!({"body": {"stringValue": "good"}});
    let request = request(&[good.clone(), json!({"traceId": "xyz"}), json!(7), good.clone()]);
    let (records, bad) = found(read_json, request.to_string().as_bytes());
    assert_eq!((records.len(), bad.len()), (2, 2), "{bad:?}");
    let record: LogRecord = serde_json::from_value(good).expect("a record");
    let scope_content =
        [field(2, &record.encode_to_vec()), field(2, b"\x2a\x7fx"), field(2, b"\x1a\x01\xff")];
    let body = field(1, &field(2, &scope_content.concat()));
    let (records, bad) = found(read_protobuf, &body);
    assert_eq!((records.len(), bad.len()), (1, 2), "{bad:?}");
    assert_eq!(records[0].service, None);
}

#[test]
fn a_body_that_is_no_request_is_refused_before_anything_is_handed_on() {
    let body = protobuf(&request(&[full_record()]));
    for end in 1..body.len() {
        let handed_on = &mut |found: BodyItem<'_>| panic!("{end}: {found:?}");
        assert!(read_protobuf(&body[..end], handed_on).is_err(), "{end}");
    }
    for body in ["", "[]", "7", "{\"resourceLogs\":", "no JSON"] {
        assert!(read_json(body.as_bytes(), &mut |found| panic!("{found:?}")).is_err(), "{body}");
    }
    assert_eq!(found(read_json, b"{}"), (Vec::new(), Vec::new()));
    assert_eq!(found(read_protobuf, b""), (Vec::new(), Vec::new()));
}

proptest! {
    #[test]
    fn any_text_and_number_comes_through_both_forms_alike(text in "\\PC{0,40}", number in any::<i64>(), nanos in any::<u64>()) {
        let request = request(&[json!({"timeUnixNano": nanos.to_string(), "body": {"stringValue": text},
            "attributes": [{"key": text, "value": {"intValue": number.to_string()}}]})]);
        let (records, bad) = found(read_json, request.to_string().as_bytes());
        prop_assert_eq!((records.len(), bad.len()), (1, 0));
        prop_assert_eq!(&records[0].message, &text);
        prop_assert_eq!(found(read_protobuf, &protobuf(&request)), (records, bad));
    }
}
