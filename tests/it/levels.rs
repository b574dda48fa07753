//! What the levels of a run's log may take away, and what not, as the program's user sees it.

use std::fs::{self, File};

use crate::support::{Desk, sample};

const LISTS: [&str; 5] = ["info", "error", "off", "warn,my_parser=debug", "error,parselog=error,sqlx=debug"];

#[tokio::test]
async fn with_any_levels_log_report_and_row_have_the_same_problems_and_stderr_has_none() {
    let desk = Desk::new().await;
    for (number, levels) in LISTS.into_iter().enumerate() {
        let mut run = desk.command(&["run", "--json", &sample("tanf-active-2021-q1.txt")]);
        let output = run.env("PARSELOG_LEVEL", levels).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr, "", "{levels}");
        let row: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let counted = row["error_count"].as_u64().unwrap();
        let log = desk.ok(&["logs", "@latest", "--json"]).json();
        let of = |target: &str| log.iter().filter(|record| record["target"] == target).count() as u64;
        assert_eq!(of("parselog::problem"), counted, "{levels}");
        assert!(of("parselog::submission") > 0 && of("parselog::outcome") > 0, "{levels}");
        let report = desk.ok(&["report", "@latest", "--format", "json"]).out;
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["problems"].as_array().unwrap().len() as u64, counted, "{levels}");
        if number > 0 {
            let file = "tanf-active-2021-q1.txt";
            let diff = desk.run(&["diff", "--exit-code", &format!("{file}@previous"), file]);
            assert_eq!((diff.code, diff.out.as_str()), (0, ""), "{levels}: {}", diff.err);
        }
    }
}

#[tokio::test]
async fn a_line_of_the_global_log_that_a_killed_process_left_unfinished_does_not_take_the_next_one_with_it() {
    let desk = Desk::new().await;
    let path = desk.home.path().join("worker.log");
    fs::write(&path, "2026-11-28 23:34:13.518Z WARN  acknowledged event  run=01a22482-59").unwrap();
    for format in ["text", "json"] {
        let log = File::options().append(true).open(&path).unwrap();
        let worker = ["worker", "--drain", "--drain-wait", "0s", "--global-format", format];
        assert!(desk.command(&worker).stderr(log).status().unwrap().success());
    }
    let log = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].ends_with("run=01a22482-59… [unfinished line]"), "{log}");
    assert!(lines[1].contains(" INFO  worker started "), "{log}");
    assert!(lines.iter().any(|line| line.starts_with('{') && line.contains("worker started")), "{log}");
    assert_eq!(log.matches("unfinished line").count(), 1, "{log}");
}
