//! What is sent, what is answered, and what is stored.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use parselog::record::{Level, Record};
use serde_json::json;

use super::{Client, Served, spooled};
use crate::support::Desk;

const JSON: &str = "application/json";

fn messages(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.message.as_str()).collect()
}

#[tokio::test]
async fn objects_arrays_and_lines_are_stored_in_order_and_answered_alike() {
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    let mut client = Client::to(served.address);
    for (kind, body) in [
        (JSON, json!({"service": "web", "level": "info", "message": "one"}).to_string()),
        (
            JSON,
            json!([{"service": "web", "message": "two"}, {"service": "web", "message": "three"}]).to_string(),
        ),
        (
            "application/x-ndjson",
            "{\"service\":\"web\",\"msg\":\"four\"}\n{\"service\":\"web\",\"event\":\"five\"}\n".to_owned(),
        ),
        // As `curl --data` sends it.
        ("application/x-www-form-urlencoded", r#"{"service":"web","message":"six"}"#.to_owned()),
    ] {
        let answer = client.post("/logs", &[("Content-Type", kind)], body.as_bytes());
        assert_eq!((answer.status, answer.text()), (201, r#"{"status":"logged"}"#), "{body}");
    }
    let records = spooled(&desk, "web");
    assert_eq!(messages(&records), ["one", "two", "three", "four", "five", "six"]);
    served.stop();
}

#[tokio::test]
async fn what_is_no_record_is_kept_with_the_reason_and_never_an_error_of_the_server() {
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    let body = r#"[{"service":"web","message":"good","rate":NaN},{"no":"record"},17]"#;
    let answer = served.post("/logs", JSON, body);
    assert_eq!(answer.status, 201);
    let said = answer.json();
    assert_eq!(
        (&said["status"], &said["stored"], &said["rejected"]),
        (&json!("logged"), &json!(1), &json!(2))
    );
    assert!(said["reason"].as_str().is_some_and(|reason| reason.contains("level or a message")), "{said}");
    assert_eq!(messages(&spooled(&desk, "web")), ["good"]);
    let rejected = spooled(&desk, "_rejected");
    assert_eq!(rejected.len(), 2);
    assert_eq!(rejected[0].fields["raw"], r#"{"no":"record"}"#);
    for (path, kind, body) in [
        ("/logs", JSON, ""),
        ("/v1/logs", JSON, "no JSON"),
        ("/v1/logs", "application/x-protobuf", "no protobuf"),
        ("/loki/api/v1/push", JSON, "[]"),
        ("/loki/api/v1/push", "application/x-protobuf", "no snappy"),
    ] {
        assert_eq!(served.post(path, kind, body).status, 400, "{path} {kind}");
    }
    served.stop();
}

#[tokio::test]
async fn packed_bodies_are_unpacked() {
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    let body = |name: &str| json!({"service": "web", "message": name}).to_string().into_bytes();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&body("gzip")).unwrap();
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::fast());
    deflate.write_all(&body("deflate")).unwrap();
    for (coding, packed) in [
        ("gzip", gzip.finish().unwrap()),
        ("deflate", deflate.finish().unwrap()),
        ("zstd", zstd::encode_all(&body("zstd")[..], 3).unwrap()),
        ("identity", body("identity")),
    ] {
        let headers = [("Content-Type", JSON), ("Content-Encoding", coding)];
        assert_eq!(Client::to(served.address).post("/logs", &headers, &packed).status, 201, "{coding}");
    }
    assert_eq!(messages(&spooled(&desk, "web")), ["gzip", "deflate", "zstd", "identity"]);
    let headers = [("Content-Type", JSON), ("Content-Encoding", "br")];
    assert_eq!(Client::to(served.address).post("/logs", &headers, b"x").status, 415);
    let headers = [("Content-Type", JSON), ("Content-Encoding", "gzip")];
    assert_eq!(Client::to(served.address).post("/logs", &headers, b"no gzip").status, 400);
}

#[tokio::test]
async fn opentelemetry_hears_of_success_of_a_part_and_of_failure_in_its_own_form() {
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    let record =
        json!({"severityNumber": 17, "body": {"stringValue": "an error"}, "timeUnixNano": "5000000000"});
    let request = |records| {
        json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}], "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "web"}}]}}]})
    };
    let whole = served.post("/v1/logs", JSON, request(json!([record])).to_string());
    assert_eq!((whole.status, whole.text(), whole.header("content-type")), (200, "{}", Some(JSON)));
    let part = served.post("/v1/logs", JSON, request(json!([record, {"traceId": "?"}])).to_string());
    assert_eq!((part.status, &part.json()["partialSuccess"]["rejectedLogRecords"]), (200, &json!("1")));
    let bad = served.post("/v1/logs", JSON, "{");
    assert_eq!((bad.status, &bad.json()["code"]), (400, &json!(3)));

    // One resource with nothing in it; then a length beyond the end.
    let kind = "application/x-protobuf";
    let whole = served.post("/v1/logs", kind, b"\x0a\x00");
    assert_eq!((whole.status, whole.body.len(), whole.header("content-type")), (200, 0, Some(kind)));
    let bad = served.post("/v1/logs", kind, b"\x0a\x7f");
    assert_eq!((bad.status, &bad.body[..2]), (400, &b"\x08\x03"[..]), "the code of a google.rpc.Status");
    let records = spooled(&desk, "web");
    assert_eq!((records[0].level, messages(&records)), (Level::Error, vec!["an error", "an error"]));
}

#[tokio::test]
async fn loki_hears_204_and_nothing_else() {
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    let body = json!({"streams": [{"stream": {"app": "web"}, "values": [["1764237600123456789", "a line"], ["x"]]}]});
    let answer = served.post("/loki/api/v1/push", JSON, body.to_string());
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let line = [&b"\x0a\x0b{app=\"web\"}"[..], b"\x12\x09\x12\x07by wire"].concat();
    let push = [&[0x0a, line.len() as u8][..], &line].concat();
    let packed = snap::raw::Encoder::new().compress_vec(&push).unwrap();
    assert_eq!(served.post("/loki/api/v1/push", "application/x-protobuf", packed).status, 204);
    assert_eq!(messages(&spooled(&desk, "web")), ["a line", "by wire"]);
    assert_eq!(spooled(&desk, "_rejected").len(), 1);
}

#[tokio::test]
async fn health_and_readiness_tell_who_watches() {
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    let mut client = Client::to(served.address);
    assert_eq!(client.get("/health", &[]).json(), json!({"status": "healthy", "service": "parselog"}));
    assert_eq!(client.get("/ready", &[]).json(), json!({"status": "ready", "database": "reachable"}));
    assert_eq!((client.get("/nothing", &[]).status, client.get("/v1/logs", &[]).status), (404, 405));
    served.stop();
}
