//! Clients that send over HTTP, while `parselog serve` is killed and started again.

use std::process::Command;

use rustix::process::Signal;

use super::Installed;
use super::page::block;
use super::sending::Sending;
use super::stored::{assert_stored, stored};
use crate::http::Served;
use crate::support::{Desk, KeptPort};

const RECORDS: &str = "60";

/// The sections of the page whose blocks are run here.
pub(super) const TESTED: [&str; 5] =
    ["Python's HTTPHandler", "requests", "OpenTelemetry", "python-logging-loki", "curl"];

/// Sends through the client of this section of the page; what it sent is stored, in order, although the server
/// was killed when it had answered half.
async fn through(title: &str) {
    let Some(mut client) = Installed::find().and_then(|installed| installed.python("send.py")) else {
        return;
    };
    let desk = Desk::new().await;
    let port = KeptPort::new();
    let (listen, number) = (port.address().to_string(), port.number().to_string());
    let mut served = Served::start_with(&desk, &["--listen", &listen], &[]);
    let mut sending = Sending::start(&mut client, &[title, "127.0.0.1", &number, RECORDS]);
    sending.half();
    served.signal(Signal::KILL);
    served.child.wait().unwrap();
    let served = Served::start_with(&desk, &["--listen", &listen], &[]);
    let sent = sending.rest();
    served.stop();
    assert_stored(&sent, &stored(&desk, "shop"));
}

#[tokio::test]
async fn pythons_http_handler() {
    through("Python's HTTPHandler").await;
}

#[tokio::test]
async fn requests() {
    through("requests").await;
}

#[tokio::test]
async fn opentelemetry_for_python() {
    through("OpenTelemetry").await;
}

#[tokio::test]
async fn python_logging_loki() {
    through("python-logging-loki").await;
}

#[tokio::test]
async fn curl_sends_a_file_of_records() {
    let desk = Desk::new().await;
    let served = Served::start(&desk);
    let lines: String = (0..100)
        .map(|order| format!("{{\"service\":\"shop\",\"level\":\"info\",\"message\":\"order {order}\"}}\n"))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("records.ndjson"), lines).unwrap();
    let script = block("curl").replace("8005", &served.address.port().to_string());
    let output = Command::new("sh").args(["-c", &script]).current_dir(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    served.stop();
    let messages: Vec<_> = stored(&desk, "shop").iter().map(|record| record["message"].clone()).collect();
    assert_eq!(messages, (0..100).map(|order| format!("order {order}")).collect::<Vec<_>>());
}
