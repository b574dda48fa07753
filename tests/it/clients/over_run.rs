//! Programs that log into the run that they parse for, through the port that they find in their environment.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::sending::Sent;
use super::stored::{assert_shop, assert_stored};
use super::{Installed, here};
use crate::support::{Desk, sample};

/// The sections of the page whose blocks are run here.
pub(super) const TESTED: [&str; 10] = [
    "Python's SocketHandler",
    "parselog_handler",
    "JSON frames",
    "JSON lines",
    "structlog",
    "loguru",
    "pino",
    "Django",
    "Celery",
    "gunicorn",
];

/// Runs a program for a submission. `client` is its command without host, port and number of records. Returns what
/// it said about what it sent, and the records of the run.
fn run<T: DeserializeOwned>(desk: &Desk, client: &str, records: usize) -> (Vec<T>, Vec<Value>) {
    let sent = desk.path("sent");
    let script =
        format!("exec {client} $PARSELOG_LOG_HOST $PARSELOG_LOG_PORT {records} </dev/null >{sent}\n");
    let parser = format!("sh {}", desk.file("parser", &script));
    let said = desk.run(&["run", "--parser", &parser, &sample("tanf-active-2021-q1.txt")]);
    let sent = fs::read_to_string(sent).unwrap_or_default();
    let sent = sent.lines().filter(|line| !line.contains("\"pause\""));
    let sent: Vec<T> = sent.map(|line| serde_json::from_str(line).unwrap()).collect();
    let log = desk.ok(&["logs", "@latest", "--json"]);
    assert!(!sent.is_empty(), "{}{}{}", said.out, said.err, log.out);
    (sent, log.json().into_iter().filter_map(plain).collect())
}

/// An event of the program as it would stand in a stream: with its logger, and its fields as they are.
fn plain(mut event: Value) -> Option<Value> {
    let mut fields = event.get_mut("fields")?.get_mut("context")?.take();
    event["target"] = fields["logger"].take();
    event["fields"] = fields;
    Some(event)
}

fn python(script: &Path, argument: &str) -> Option<String> {
    let python = Installed::find()?.path("python/bin/python")?;
    Some(format!("{} -B {} \"{argument}\"", python.display(), script.display()))
}

#[tokio::test]
async fn a_program_in_python_logs_into_its_run_with_the_handler_that_it_has() {
    let desk = Desk::new().await;
    for title in &TESTED[..6] {
        let Some(client) = python(&here("tests/clients/send.py"), title) else { return };
        let (sent, logged) = run::<Sent>(&desk, &client, 60);
        assert_stored(&sent, &logged);
    }
}

#[tokio::test]
async fn a_program_in_javascript_logs_into_its_run_with_pino() {
    let Some(modules) = Installed::find().and_then(|installed| installed.path("node/node_modules")) else {
        return;
    };
    let script = modules.with_file_name("pino.js");
    fs::copy(here("tests/clients/pino.js"), &script).unwrap();
    let client = format!("node {} {}", script.display(), here("docs/INTAKE.md").display());
    let desk = Desk::new().await;
    let (sent, logged) = run::<Sent>(&desk, &client, 60);
    assert_stored(&sent, &logged);
}

#[tokio::test]
async fn django_celery_and_gunicorn_log_into_a_run_from_nine_processes_with_stock_handlers() {
    let desk = Desk::new().await;
    let Some(client) = python(&here("tests/clients/shop/drive.py"), "SocketHandler") else { return };
    let (expected, logged) = run(&desk, &client, 40);
    assert_shop(&expected, &logged, false);
}

#[tokio::test]
async fn with_the_handler_file_the_errors_of_djangos_requests_are_logged_too() {
    let desk = Desk::new().await;
    let Some(client) = python(&here("tests/clients/shop/drive.py"), "parselog_handler") else { return };
    let (expected, logged) = run(&desk, &client, 40);
    assert_shop(&expected, &logged, true);
}
