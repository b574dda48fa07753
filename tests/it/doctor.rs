//! The doctor and `verify`: quiet where all is well, and every difference is named.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chrono::Utc;
use parselog::doctor::verify;
use parselog::gzip::ArchiveMark;
use parselog::ids::RunId;
use parselog::objects::{FolderStore, Objects};
use parselog::queue;
use parselog::record::{Head, LogCount};
use parselog::spool::Spool;
use parselog::store::part::{self, NotedPart, NotedUpload};
use parselog::store::{self, LogState, NewFile, Request, Run, RunFilter, RunStatus};
use serde_json::Value;

use crate::support::{Desk, head_of_run, new_file, request_by, sample};

/// A desk with two archived runs, the newest first.
async fn two_runs() -> (Desk, Vec<Run>) {
    let desk = Desk::new().await;
    for file in ["tanf-active-2021-q1.txt", "tanf-active-2021-q1-corrected.txt"] {
        assert!(desk.output(&["run", &sample(file)]).status.code().is_some());
    }
    let runs = store::find(&desk.db.pool, &RunFilter::default()).await.unwrap();
    assert!(runs.iter().all(|run| run.log_state == LogState::Archived));
    (desk, runs)
}

/// What the doctor finds, as `(kind, run)`, and its exit code.
fn examine(desk: &Desk, arguments: &[&str]) -> (Vec<(String, Option<String>)>, Option<i32>) {
    let output = desk.output(&[&["doctor", "--json", "--grace", "1s"], arguments].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let text_of = |value: &Value| value.as_str().map(ToOwned::to_owned);
    let mut findings: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|finding| (text_of(&finding["kind"]).unwrap(), text_of(&finding["run"])))
        .collect();
    findings.sort();
    (findings, output.status.code())
}

fn object_of(run: &Run) -> PathBuf {
    let uri = run.logs_uri.as_deref().unwrap();
    let path = uri.strip_prefix("file://").unwrap().split('?').next().unwrap().into();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    path
}

fn objects(desk: &Desk) -> Objects {
    Objects::Folder(FolderStore::open(&desk.home.path().join("objects")).unwrap())
}

#[tokio::test]
async fn a_healthy_system_is_met_with_silence() {
    let (desk, _) = two_runs().await;
    desk.output(&["submit", &sample("tanf-active-2021-q1.txt")]);
    assert_eq!(examine(&desk, &[]), (Vec::new(), Some(0)));
    assert_eq!(examine(&desk, &["--fix", "--sole-spool"]), (Vec::new(), Some(0)));
    let output = desk.output(&["verify", "--all"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2 of 2 logs match their rows\n");
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn a_missing_and_a_cut_object_are_named_and_not_repaired() {
    let (desk, runs) = two_runs().await;
    let cut = object_of(&runs[0]);
    File::options().write(true).open(cut).unwrap().set_len(100).unwrap();
    let gone = object_of(&runs[1]);
    fs::remove_file(&gone).unwrap();
    fs::remove_dir_all(desk.home.path().join("objects/files/.versions")).unwrap();
    // Without its versions no URI that names one leads anywhere.
    let expected = [runs[0].id, runs[1].id].map(|run| ("archive-missing".to_owned(), Some(run.to_string())));
    let (mut found, exit) = examine(&desk, &["--fix"]);
    found.sort_by_key(|(_, run)| std::cmp::Reverse(run.clone()));
    assert_eq!((found, exit), (expected.to_vec(), Some(1)));
    assert_eq!(desk.output(&["verify", "--all"]).status.code(), Some(1));
}

#[tokio::test]
async fn a_log_on_its_way_to_the_row_is_no_difference_until_it_is_late_and_in_no_spool() {
    let (desk, runs) = two_runs().await;
    let run = &runs[0];
    let ended = async |ago: &str| {
        sqlx::query(
            "with not_archived as (
                 update log set state = 'sealed', uri = null, archived_at = null, gzip_sha256 = null,
                                raw_sha256 = null, gzip_bytes = null
                 where run_id = $1
             )
             update parse_file_meta set finished_at = now() - $2::interval where id = $1",
        )
        .bind(run.id)
        .bind(ago)
        .execute(&desk.db.pool)
        .await
        .unwrap();
    };
    let names_it = |grace: &str| {
        let said = desk.output(&["doctor", "--json", "--grace", grace]);
        String::from_utf8(said.stdout).unwrap().contains("object-without-row")
    };
    ended("0").await;
    assert!(!names_it("1h"), "its row may say so in a moment");
    ended("2 hours").await;
    assert!(names_it("1h"));
    let spool = Spool::open(&desk.home.path().join("spool"), 1 << 20).unwrap();
    // The spool's files are not for a thread of the runtime.
    let head = head_of(run.id);
    let journal = parselog::carry::thread(move || spool.create(&head).unwrap()).join().unwrap();
    assert!(!names_it("1h"), "the sweep will bring it to its row");
    drop(journal);
}

#[tokio::test]
async fn an_object_of_another_size_is_named() {
    let (desk, runs) = two_runs().await;
    File::options().write(true).open(object_of(&runs[0])).unwrap().set_len(100).unwrap();
    let expected = vec![("archive-size".to_owned(), Some(runs[0].id.to_string()))];
    assert_eq!(examine(&desk, &[]), (expected, Some(1)));
}

#[tokio::test]
async fn any_flipped_bit_any_cut_and_an_exchanged_object_are_found() {
    let (desk, runs) = two_runs().await;
    let objects = objects(&desk);
    let run = &runs[0];
    let path = object_of(run);
    let sound = fs::read(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let problems = async || verify(&objects, run).await.unwrap();
    assert_eq!(problems().await, Vec::<String>::new());

    for position in (0..sound.len()).step_by(sound.len() / 97 + 1) {
        file.write_all_at(&[sound[position] ^ (1 << (position % 8))], position as u64).unwrap();
        assert!(!problems().await.is_empty(), "a flipped bit in byte {position} is not found");
        file.write_all_at(&sound[position..=position], position as u64).unwrap();
    }
    for length in [0, 1, sound.len() / 2, sound.len() - 1] {
        file.set_len(length as u64).unwrap();
        assert!(!problems().await.is_empty(), "a cut to {length} bytes is not found");
        file.write_all_at(&sound, 0).unwrap();
    }
    file.write_all_at(b"more", sound.len() as u64).unwrap();
    assert!(!problems().await.is_empty(), "bytes behind the end are not found");

    let other = fs::read(object_of(&runs[1])).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(&other, 0).unwrap();
    let found = problems().await.join("\n");
    assert!(found.contains(&format!("it is the log of run {}", runs[1].id)), "{found}");
    fs::write(&path, b"no gzip").unwrap();
    assert!(problems().await.join("\n").contains("it does not unpack"));
}

#[tokio::test]
async fn a_log_of_a_dead_process_a_stray_and_a_stale_upload_are_named_and_repaired() {
    let (desk, runs) = two_runs().await;
    let old = SystemTime::now() - Duration::from_secs(48 * 3600);
    let spool = desk.home.path().join("spool");
    let stray = spool.join(format!("{}.tail-0", runs[0].id));
    File::create(&stray).unwrap().set_modified(old).unwrap();
    let uri = runs[0].logs_uri.as_deref().unwrap().split('?').next().unwrap();
    let key = uri.split_once("/objects/files/").unwrap().1;
    let upload =
        desk.home.path().join("objects/files/.versions").join(key).join(format!("{}.part", RunId::new()));
    File::create(&upload).unwrap().set_modified(old).unwrap();
    let dead = die(&desk, "dead.txt").await;

    let expected = vec![
        ("spool-abandoned".to_owned(), Some(dead.to_string())),
        ("spool-stray".to_owned(), None),
        ("stale-upload".to_owned(), Some(runs[0].id.to_string())),
    ];
    assert_eq!(examine(&desk, &[]), (expected, Some(1)));
    assert_eq!(examine(&desk, &["--fix"]), (Vec::new(), Some(0)));
    let run = desk.db.run(dead).await;
    assert_eq!((run.status, run.log_state), (RunStatus::Crash, LogState::Archived));
    assert!(!stray.exists() && !upload.exists());
}

#[tokio::test]
async fn an_upload_of_a_run_that_goes_on_is_under_way_however_old() {
    let (desk, _) = two_runs().await;
    let running = die(&desk, "running.txt").await;
    unfinished_upload(&desk, running);
    let running = ("spool-abandoned".to_owned(), Some(running.to_string()));
    assert_eq!(examine(&desk, &[]), (vec![running], Some(1)));
}

#[tokio::test]
async fn an_upload_that_is_noted_or_has_what_a_spool_gave_back_is_left_and_any_other_is_aborted() {
    let (desk, _) = two_runs().await;
    let mut left = Vec::new();
    for key in ["noted.txt", "unknown.txt"] {
        let run = die(&desk, key).await;
        fs::remove_file(desk.home.path().join(format!("spool/{run}.open"))).unwrap();
        let part = unfinished_upload(&desk, run);
        left.push((run, part));
    }
    let (noted, unknown) = (left.remove(0), left.remove(0));
    // The database has forgotten an upload that alone has what a spool gave back.
    let given = die(&desk, "given.txt").await;
    fs::write(desk.home.path().join(format!("spool/{given}.given")), "{}").unwrap();
    let needed = unfinished_upload(&desk, given);
    note_upload(&desk, noted.0, noted.1.file_name().unwrap().to_str().unwrap()).await;
    // An upload of the same log that its machine did not get to note.
    let other = unfinished_upload(&desk, noted.0);
    sqlx::query(
        "update parse_file_meta set lease_until = now() - interval '1 hour' where status = 'running'",
    )
    .execute(&desk.db.pool)
    .await
    .unwrap();
    queue::reap(&desk.db.pool, Duration::ZERO).await.unwrap();
    assert!(desk.db.run(noted.0).await.status.is_final());

    let uploads = |arguments: &[&str]| -> Vec<Option<String>> {
        let found = examine(&desk, arguments).0.into_iter();
        found.filter(|(kind, _)| kind == "stale-upload").map(|(_, run)| run).collect()
    };
    let mut expected = vec![Some(noted.0.to_string()), Some(unknown.0.to_string())];
    expected.sort();
    assert_eq!(uploads(&[]), expected);
    assert_eq!(uploads(&["--fix"]), Vec::<Option<String>>::new());
    assert!(noted.1.exists(), "another machine may go on with it");
    assert!(!other.exists() && !unknown.1.exists());
    assert!(needed.exists(), "its log is here without its beginning");
}

/// An upload of a run's log that nobody has gone on with for two days.
fn unfinished_upload(desk: &Desk, run: RunId) -> PathBuf {
    let versions = desk.home.path().join("objects/files/.versions").join(head_of(run).log_key);
    fs::create_dir_all(&versions).unwrap();
    let path = versions.join(format!("{}.part", RunId::new()));
    let old = SystemTime::now() - Duration::from_secs(48 * 3600);
    File::create(&path).unwrap().set_modified(old).unwrap();
    path
}

async fn note_upload(desk: &Desk, run: RunId, upload: &str) {
    let mark = ArchiveMark {
        raw_bytes: 9,
        gzip_bytes: 5,
        lines: 1,
        members: 1,
        latest: None,
        raw_sha256: Vec::new(),
        gzip_sha256: Vec::new(),
    };
    let (upload, count) = (upload.to_owned(), LogCount::default());
    let noted = NotedUpload { upload, parts: 1, mark, count, problems: None, rest: Vec::new() };
    let part = NotedPart { number: 1, bytes: 5, sha256: [1; 32], entries: Vec::new() };
    assert!(part::note(&desk.db.pool, run.into(), &noted, &[part]).await.unwrap());
}

#[tokio::test]
async fn a_log_that_is_nowhere_is_lost_only_where_no_other_spool_may_have_it() {
    let (desk, _) = two_runs().await;
    let dead = die(&desk, "dead.txt").await;
    fs::remove_file(desk.home.path().join(format!("spool/{dead}.open"))).unwrap();
    sqlx::query(
        "update parse_file_meta set lease_until = now() - interval '1 hour' where status = 'running'",
    )
    .execute(&desk.db.pool)
    .await
    .unwrap();
    assert_eq!(examine(&desk, &[]).0, [("lease-over".to_owned(), Some(dead.to_string()))]);
    assert_eq!(examine(&desk, &["--fix"]), (Vec::new(), Some(0)), "it ended only now");
    assert_eq!(desk.db.run(dead).await.status, RunStatus::Crash);
    sqlx::query("update parse_file_meta set finished_at = now() - interval '1 hour' where id = $1")
        .bind(dead)
        .execute(&desk.db.pool)
        .await
        .unwrap();
    let expected = vec![("log-not-here".to_owned(), Some(dead.to_string()))];
    assert_eq!(examine(&desk, &["--fix"]), (expected, Some(1)));
    assert_eq!(examine(&desk, &["--fix", "--sole-spool"]), (Vec::new(), Some(0)));
    let run = desk.db.run(dead).await;
    assert_eq!(run.log_state, LogState::Lost);
    assert!(run.archive_error.unwrap().contains("doctor"));
}

#[tokio::test]
async fn late_runs_late_batches_and_logs_without_a_row_are_named() {
    let (desk, runs) = two_runs().await;
    let request = Request { deadline: Some(Utc::now() - chrono::Duration::hours(1)), ..request_by("ann") };
    store::submit(&desk.db.pool, &[new_file("late.txt")], &request).await.unwrap();
    let late = desk.db.claim("w").await.unwrap().run.id;
    sqlx::query("update parse_file_meta set deadline = now() - interval '1 hour' where id = $1")
        .bind(late)
        .execute(&desk.db.pool)
        .await
        .unwrap();
    let unknown = leave_log(&desk, RunId::new());
    let log = object_of(&runs[0]);
    let unknown_object = RunId::new();
    let name = log.file_name().unwrap().to_str().unwrap();
    let name = name.replace(&runs[0].id.to_string(), &unknown_object.to_string());
    fs::copy(&log, log.with_file_name(name)).unwrap();

    let mut expected = vec![
        ("batch-overdue".to_owned(), None),
        ("object-without-row".to_owned(), Some(unknown_object.to_string())),
        ("past-deadline".to_owned(), Some(late.to_string())),
        ("spool-without-row".to_owned(), Some(unknown.to_string())),
    ];
    expected.sort();
    assert_eq!(examine(&desk, &[]), (expected, Some(1)));
}

/// A run whose worker died in the middle: its log is open, and nobody holds it.
async fn die(desk: &Desk, key: &str) -> RunId {
    let file = NewFile { bucket: "files".to_owned(), ..new_file(key) };
    let request = Request { max_attempts: 1, ..request_by("ann") };
    let run = store::submit(&desk.db.pool, &[file], &request).await.unwrap().remove(0).run_id;
    desk.db.claim("w").await.unwrap();
    store::log::opened(&desk.db.pool, run.into()).await.unwrap();
    leave_log(desk, run)
}

fn leave_log(desk: &Desk, run: RunId) -> RunId {
    let spool = Spool::open(&desk.home.path().join("spool"), 1 << 30).unwrap();
    let head = head_of(run);
    // The spool's files are not for a thread of the runtime.
    parselog::carry::thread(move || drop(spool.create(&head).unwrap())).join().unwrap();
    run
}

fn head_of(run: RunId) -> Head {
    let log_key = format!("parsing_logs/parse-datafile-1-20260101T000000Z-{run}.log.gz");
    Head { bucket: "files".to_owned(), log_key, ..head_of_run(run) }
}
