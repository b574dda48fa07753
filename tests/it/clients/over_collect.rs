//! Clients that send over TCP to `parselog collect`, while its receiver is killed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use super::page::block;
use super::sending::{Sending, Sent};
use super::stored::{assert_shop, assert_stored, stored, streams};
use super::{Installed, here, over_run};
use crate::support::Collector;

const RECORDS: &str = "60";

/// The sections of the page whose blocks are run here alone.
pub(super) const TESTED: [&str; 1] = ["rsyslog"];

/// rsyslog, which listens on the socket `log` of a folder; ended when dropped.
struct Rsyslog(Child);

impl Rsyslog {
    /// Starts it with the block of the page; `None` if the test is left out.
    fn start(installed: &Installed, port: &str, folder: &Path) -> Option<Self> {
        let (program, libraries) = installed.rsyslog()?;
        let place = folder.to_str().unwrap();
        let own = fs::read_to_string(here("tests/clients/rsyslog.conf")).unwrap().replace("FOLDER", place);
        let code = block("rsyslog").replace("9020", port);
        fs::write(folder.join("conf"), format!("{own}\n{code}\n")).unwrap();
        let mut command = Command::new(program);
        command.args(["-n", "-f", &format!("{place}/conf"), "-i", &format!("{place}/pid")]);
        if let Some(libraries) = libraries {
            command.arg("-M").arg(libraries.join("rsyslog")).env("LD_LIBRARY_PATH", libraries);
        }
        Some(Self(command.spawn().unwrap()))
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
    collector.kill_receiver();
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
async fn rsyslog_forwards_what_programs_log_across_a_kill_of_the_receiver() {
    let Some(installed) = Installed::find() else { return };
    let Some(mut client) = installed.python("send.py") else { return };
    let (mut collector, folder) = (Collector::start(&[]).await, tempfile::tempdir().unwrap());
    let port = collector.address.port().to_string();
    let Some(_rsyslog) = Rsyslog::start(&installed, &port, folder.path()) else { return };
    let socket = folder.path().join("log");
    collector.wait("rsyslog listens", || socket.exists());
    let mut sending = Sending::start(&mut client, &["rsyslog", socket.to_str().unwrap(), "0", RECORDS]);
    sending.half();
    collector.kill_receiver();
    let sent: Vec<Sent> = sending.rest();
    // It sends by itself, whenever it likes.
    collector.wait("rsyslog has sent all", || stored(&collector.desk, "shop").len() >= sent.len());
    collector.end(&[]);
    assert_stored(&sent, &stored(&collector.desk, "shop"));
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
    collector.kill_receiver();
    let expected = sending.rest();
    collector.end(&[]);
    let streams = streams(&collector.desk);
    for known in ["celery", "gunicorn.error", "gunicorn", "shop"] {
        assert!(streams.contains_key(known), "{known}: {:?}", streams.keys());
    }
    assert_shop(&expected, &streams.into_values().flatten().collect::<Vec<_>>(), false);
}
