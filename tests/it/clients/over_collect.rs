//! Clients that send over TCP to `parselog collect`, while its receiver is killed.

use std::fs;
use std::process::Command;

use rustix::process::{Signal, kill_process};

use super::sending::{Sending, Sent};
use super::stored::{assert_shop, assert_stored, stored, streams};
use super::{Installed, here, over_run};
use crate::support::Collector;

const RECORDS: &str = "60";

/// Sends through the client of this section of the page; what it sent is stored, in order, although the receiver was
/// killed when it had sent half.
async fn through(title: &str) {
    let Some(installed) = Installed::find() else { return };
    let (mut client, first) = if title == "pino" {
        let Some(modules) = installed.path("node/node_modules") else { return };
        let script = modules.with_file_name("pino-collect.js");
        fs::copy(here("tests/clients/pino.js"), &script).unwrap();
        let mut node = Command::new("node");
        node.arg(script);
        (node, here("docs/INTAKE.md").to_str().unwrap().to_owned())
    } else {
        let Some(python) = installed.python("send.py") else { return };
        (python, title.to_owned())
    };
    let mut collector = Collector::start(&[]).await;
    let port = collector.address.port().to_string();
    let mut sending = Sending::start(&mut client, &[&first, "127.0.0.1", &port, RECORDS]);
    sending.half();
    kill_process(collector.receivers()[0], Signal::KILL).unwrap();
    let sent: Vec<Sent> = sending.rest();
    collector.end(&[]);
    assert_stored(&sent, &stored(&collector.desk, "shop"));
}

#[tokio::test]
async fn each_client_over_tcp_sends_across_a_kill_of_the_receiver() {
    for title in &over_run::TESTED[..7] {
        eprintln!("{title}");
        through(title).await;
    }
}

#[tokio::test]
async fn django_celery_and_gunicorn_log_into_their_streams_from_nine_processes_with_stock_handlers() {
    let Some(mut client) = Installed::find().and_then(|installed| installed.python("shop/drive.py")) else {
        return;
    };
    let mut collector = Collector::start(&[]).await;
    let port = collector.address.port().to_string();
    let mut sending = Sending::start(&mut client, &["SocketHandler", "127.0.0.1", &port, "40"]);
    sending.half();
    kill_process(collector.receivers()[0], Signal::KILL).unwrap();
    let expected = sending.rest();
    collector.end(&[]);
    let streams = streams(&collector.desk);
    for known in ["celery", "gunicorn.error", "gunicorn", "shop"] {
        assert!(streams.contains_key(known), "{known}: {:?}", streams.keys());
    }
    assert_shop(&expected, &streams.into_values().flatten().collect::<Vec<_>>(), false);
}
