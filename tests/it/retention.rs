//! History and actions of a file, and letting its logs go.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use parselog::ids::RunId;
use parselog::store::{self, LogState, Run};

use crate::support::{Desk, sample_text};

async fn desk_with_runs() -> (Desk, Vec<Run>) {
    let desk = Desk::new().await;
    let text = sample_text("tanf-active-2021-q1.txt");
    let file = desk.file("a.txt", &text);
    desk.ok(&["run", &file]);
    desk.file("a.txt", &sample_text("tanf-active-2021-q1-corrected.txt"));
    desk.ok(&["run", &file]);
    desk.ok(&["run", &desk.file("b.txt", &text)]);
    let mut runs = store::find(&desk.db.pool, &store::RunFilter::default()).await.unwrap();
    runs.reverse();
    (desk, runs)
}

/// What of the log is still below the home.
fn stored(desk: &Desk, run: RunId) -> usize {
    let mut folders = vec![desk.home.path().join("objects")];
    let mut found = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.path().to_str().unwrap().contains(&run.to_string()) {
                found += 1;
            }
        }
    }
    found
}

#[tokio::test]
async fn history_shows_every_parse_of_a_file_in_all_its_versions() {
    let (desk, runs) = desk_with_runs().await;
    desk.ok(&["reparse", "a.txt", "--yes", "--reason", "new rules"]);
    desk.ok(&["worker", "--drain"]);
    let said = desk.ok(&["history", "a.txt", "--json"]).json();
    assert_eq!(said.len(), 3);
    assert_eq!((&said[0]["kind"], &said[0]["reason"]), (&"reparse".into(), &"new rules".into()));
    assert_eq!(said[2]["id"], runs[0].id.to_string());
    assert_ne!(said[1]["version_id"], said[2]["version_id"]);
    let text = desk.ok(&["history", "1"]).out;
    assert!(text.contains("reparse 4") && text.contains("submission 1"), "{text}");
    assert!(text.contains("2:2 3:2 4:3 7:2") && text.contains("none"), "{text}");
    assert_eq!(desk.run(&["history", "nothing"]).code, 4);
}

#[tokio::test]
async fn actions_are_listed_and_counted_for_people_and_for_programs() {
    let (desk, runs) = desk_with_runs().await;
    let said = desk.ok(&["actions", "--json"]).json();
    assert_eq!(said.len(), 6);
    assert_eq!((&said[0]["action"], &said[0]["task"]), (&"success".into(), &"parse".into()));
    assert_eq!(desk.ok(&["actions", "--json", "--action", "run"]).json().len(), 3);
    assert_eq!(desk.ok(&["actions", "--json", "--run", &runs[0].id.to_string()]).json().len(), 2);
    assert_eq!(desk.ok(&["actions", "--json", "--until", "1h"]).json().len(), 0);
    let counts = desk.ok(&["actions", "--counts", "--json"]).json();
    assert_eq!((&counts[0]["count"], &counts[1]["count"]), (&3.into(), &3.into()));
    let csv = desk.ok(&["actions", "--csv", "--task", "parse", "-n", "1"]).out;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "id,run_id,task,action,at,worker,detail");
    assert!(lines.len() == 2 && lines[1].contains(",parse,success,"), "{csv}");
}

#[tokio::test]
async fn prune_deletes_old_logs_but_not_held_ones_and_the_rows_keep_the_rest() {
    let (desk, runs) = desk_with_runs().await;
    assert!(
        desk.ok(&["prune", "--older-than", "1d"]).out.starts_with("0 logs"),
        "nothing is asked for nothing"
    );
    desk.ok(&["hold", "b.txt", "--reason", "inquiry"]);
    let said = desk.ok(&["prune", "--older-than", "0s", "--force", "--dry-run"]).out;
    assert!(said.contains("2 logs") && said.contains("would be deleted"), "{said}");
    assert!(runs.iter().all(|run| stored(&desk, run.id) > 0), "a dry run deleted");
    assert!(
        desk.ok(&["prune", "--older-than", "0s", "--force", "--yes", "--by", "bea"]).out.contains("2 logs")
    );

    for run in &runs[..2] {
        let now = desk.db.run(run.id).await;
        assert_eq!((now.log_state, now.logs_uri, stored(&desk, run.id)), (LogState::Pruned, None, 0));
        assert_eq!((now.summary_status, now.error_counts), (run.summary_status, run.error_counts.clone()));
        assert_eq!((now.log_raw_sha256, now.log_lines), (run.log_raw_sha256, run.log_lines));
        assert!(desk.db.entries(run.id).await.ends_with(&["deleting".to_owned(), "pruned".to_owned()]));
        let said = desk.run(&["logs", &run.id.to_string()]);
        assert!(said.code == 1 && said.err.contains("was pruned"), "{}", said.err);
    }
    let held = desk.ok(&["logs", "b.txt"]).out.lines().count();
    assert_eq!(Some(held as i64), runs[2].log_lines);
    assert_eq!(desk.run(&["erase", "b.txt", "--yes"]).code, 2, "a held log was erased");
    desk.ok(&["hold", "b.txt", "--release"]);
    assert!(desk.ok(&["prune", "--older-than", "0s", "--force", "--yes"]).out.contains("1 log,"));
    let said = desk.ok(&["diff", "a.txt"]);
    assert!(said.err.contains("only statuses and counts are compared"), "{}", said.err);
    assert!(said.out.contains("Partially Accepted with Errors -> Accepted"), "{}", said.out);
}

#[tokio::test]
async fn prune_says_what_goes_and_up_to_when_and_deletes_nothing_unasked() {
    let (desk, runs) = desk_with_runs().await;
    sqlx::query("update log set archived_at = now() - interval '3 days'")
        .execute(&desk.db.pool)
        .await
        .unwrap();
    let said = desk.run(&["prune", "--older-than", "2d"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("nothing was deleted") && said.err.contains("--yes"), "{}", said.err);
    let cut = (chrono::Utc::now() - chrono::Duration::days(2)).format("%Y-%m-%d").to_string();
    assert!(said.out.contains("3 logs") && said.out.contains(&format!("before {cut}")), "{}", said.out);
    assert!(runs.iter().all(|run| said.out.contains(&run.id.to_string())), "{}", said.out);

    for (age, why) in [("6m", "minutes or months"), ("6M", "minutes or months"), ("6min", "--force")] {
        let said = desk.run(&["prune", "--older-than", age, "--yes"]);
        assert!(said.code == 2 && said.err.contains(why), "{age}: {}", said.err);
    }
    assert!(runs.iter().all(|run| stored(&desk, run.id) > 0), "a log was deleted unasked");
    assert!(desk.ok(&["prune", "--older-than", "2d", "--yes"]).out.contains("3 logs"));
    assert!(runs.iter().all(|run| stored(&desk, run.id) == 0));
}

#[tokio::test]
async fn erasing_takes_the_log_and_the_first_error_and_keeps_the_counts() {
    let (desk, runs) = desk_with_runs().await;
    let run = &runs[0];
    let id = run.id.to_string();
    assert_eq!(desk.run(&["erase", &id]).code, 2, "without --yes");
    desk.ok(&["erase", &id, "--yes", "--reason", "a name in it"]);
    let now = desk.db.run(run.id).await;
    assert_eq!((now.log_state, now.first_error, now.first_error_record), (LogState::Pruned, None, None));
    assert_eq!((now.error_count, now.log_gzip_sha256), (run.error_count, run.log_gzip_sha256));
    assert_eq!(stored(&desk, run.id), 0);
    let last = store::entry::of_run(&desk.db.pool, run.id).await.unwrap().pop().unwrap();
    assert_eq!((last.entry.as_str(), last.actor.as_str()), ("erased", "ann"));
    assert_eq!(last.detail.as_deref(), Some("a name in it"));
    assert_eq!(desk.run(&["erase", &id, "--yes"]).code, 1, "twice");
}

#[tokio::test]
async fn erasing_a_failed_run_takes_its_reason_from_the_row_and_from_its_actions() {
    let desk = Desk::new().await;
    let file = desk.file("a.txt", &sample_text("tanf-active-2021-q1.txt"));
    assert_eq!(desk.run(&["run", &file, "--parser", "sh -c 'exit 3' {file}"]).code, 1);
    assert!(desk.ok(&["actions"]).out.contains("exited with code 3"));
    desk.ok(&["erase", "@latest", "--yes"]);
    for command in ["actions", "history a.txt", "runs"] {
        let words: Vec<&str> = command.split(' ').chain(["--json"]).collect();
        let said = desk.ok(&words).out;
        assert!(said.contains("[erased]") && !said.contains("code 3"), "{said}");
    }
}

#[tokio::test]
async fn the_report_beside_a_log_goes_with_it() {
    let desk = Desk::new().await;
    let file = desk.file("a.txt", &sample_text("tanf-active-2021-q1.txt"));
    desk.ok(&["run", &file, "--reports", "xlsx"]);
    let run = store::latest(&desk.db.pool, &store::RunFilter::default()).await.unwrap().unwrap();
    assert_eq!(stored(&desk, run.id), 4, "log and report, each also under its version");
    desk.ok(&["erase", "@latest", "--yes"]);
    assert_eq!(stored(&desk, run.id), 0);
}

#[tokio::test]
async fn a_log_in_a_folder_has_no_link() {
    let (desk, _) = desk_with_runs().await;
    let said = desk.run(&["url", "@latest"]);
    assert!(said.code == 2 && said.err.contains("links need an S3 bucket"), "{}", said.err);
}
