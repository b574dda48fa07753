//! The processes in which files are parsed: how long they live, and how they end.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Desk, PATIENCE, sample};
use crate::tdp_workbook::zipped;

/// Says which process started it, and then sleeps.
fn sleeper(desk: &Desk) -> String {
    format!("tanf/*=sh -c 'echo $PPID > {} && exec sleep 1000'", desk.path("parent"))
}

/// The parse process that started the sleeper.
fn parse_process(desk: &Desk) -> Pid {
    let said = desk.path("parent");
    until("the parser begins", || fs::read_to_string(&said).is_ok_and(|text| text.ends_with('\n')));
    let text = fs::read_to_string(&said).unwrap();
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process is there and no zombie.
fn lives(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parse_process_parses_its_share_of_runs_and_a_new_one_takes_its_place() {
    let desk = Desk::new().await;
    for _ in 0..7 {
        desk.ok(&["submit", &sample("tanf-active-2021-q1.txt")]);
    }
    let parents = desk.path("parents");
    let rule = format!("tanf/*=sh -c 'echo $PPID >> {parents}'");
    desk.ok(&["worker", "--drain", "--slots", "1", "--runs-per-process", "3", "--parser-for", &rule]);
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    fs::read_to_string(&parents)
        .unwrap()
        .lines()
        .for_each(|pid| *runs.entry(pid.to_owned()).or_default() += 1);
    let mut shares: Vec<usize> = runs.into_values().collect();
    shares.sort_unstable();
    assert_eq!(shares, [1, 3, 3]);
    assert_eq!(desk.ok(&["runs", "--json", "--status", "success"]).json().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parse_process_that_stands_still_is_ended_and_its_run_stopped() {
    let desk = Desk::new().await;
    desk.ok(&["submit", &sample("tanf-active-2021-q1.txt")]);
    let worker = ["worker", "--drain", "--parser-for", &sleeper(&desk)];
    let mut worker = desk.command(&worker).env("PARSELOG_LEASE", "9s").stderr(Stdio::null()).spawn().unwrap();
    let process = parse_process(&desk);
    kill_process(process, Signal::STOP).unwrap();
    desk.ok(&["cancel", "@latest"]);
    assert!(worker.wait().unwrap().success());
    assert!(!lives(process), "it stands there still");
    let run = desk.ok(&["runs", "--json"]).json().remove(0);
    assert_eq!((&run["status"], &run["failure"]), (&"terminate".into(), &"cancel was requested".into()));
    assert_eq!(run["log_state"], "archived");
    assert!(desk.files("spool").is_empty() && desk.files("scratch").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_takes_its_parse_processes_with_it() {
    let desk = Desk::new().await;
    desk.ok(&["submit", &sample("tanf-active-2021-q1.txt")]);
    let worker = ["worker", "--parser-for", &sleeper(&desk)];
    let mut worker = desk.command(&worker).stderr(Stdio::null()).spawn().unwrap();
    let process = parse_process(&desk);
    worker.kill().unwrap();
    worker.wait().unwrap();
    until("the parse process ends", || !lives(process));
    sqlx::query("update parse_file_meta set max_attempts = 1").execute(&desk.db.pool).await.unwrap();
    desk.ok(&["worker", "--drain"]);
    let run = desk.ok(&["runs", "--json"]).json().remove(0);
    assert_eq!((&run["status"], &run["log_state"]), (&"crash".into(), &"archived".into()), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_the_log_and_the_answer_say_how_a_parse_died_and_no_core_is_left() {
    let desk = Desk::new().await;
    let rule = "sh -c 'echo the last line; kill -ABRT $PPID; exec sleep 1000' {file}";
    let said = desk.run(&["run", "--parser", rule, &sample("tanf-active-2021-q1.txt")]);
    let reason = "the parser aborted its process (SIGABRT)";
    assert!(said.code == 1 && said.out.contains(reason), "{}{}", said.out, said.err);
    let log = desk.ok(&["logs", "@latest"]).out;
    assert!(log.contains("ending=crash") && log.contains(reason), "{log}");
    assert!(desk.ok(&["show", "@latest"]).out.contains(reason));
    assert!(desk.files("spool").is_empty() && desk.files("scratch").is_empty());
    assert!(!Path::new("core").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_that_claims_without_end_costs_one_run_and_none_of_its_neighbours() {
    let desk = Desk::new().await;
    let parts = crate::tdp_claims::spoilt(
        "xl/sharedStrings.xml",
        r#"uniqueCount="2""#,
        r#"uniqueCount="1000000000000""#,
    );
    let hostile = desk.path("hostile.xlsx");
    fs::write(&hostile, zipped(&parts)).unwrap();
    let about = ["--program", "fra", "--section", "work-outcomes", "--year", "2024", "--quarter", "2"];
    let said = desk.run(&[&["run", &hostile][..], &about].concat());
    assert!(
        said.code == 3 && said.out.contains("claims 1000000000000 shared texts"),
        "{}{}",
        said.out,
        said.err
    );
    desk.ok(&[&["submit", &hostile][..], &about].concat());
    for _ in 0..3 {
        desk.ok(&["submit", &sample("tanf-active-2021-q1.txt")]);
    }
    desk.ok(&["worker", "--drain", "--slots", "4"]);
    let runs = desk.ok(&["runs", "--json"]).json();
    let verdicts: Vec<&str> = runs.iter().map(|run| run["summary_status"].as_str().unwrap()).collect();
    let neighbour = "Partially Accepted with Errors";
    assert_eq!(verdicts, [neighbour, neighbour, neighbour, "Rejected", "Rejected"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_a_worker_starts_a_parse_process() {
    let desk = Desk::new().await;
    for line in [&["parse-process", "worker"][..], &["parse-process", "runs"]] {
        let said = desk.run(line);
        assert!(said.code == 2 && said.err.contains("is started by a worker"), "{}", said.err);
    }
}
