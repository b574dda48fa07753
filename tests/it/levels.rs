//! What the levels of a run's log may take away, and what not, as the program's user sees it.

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
