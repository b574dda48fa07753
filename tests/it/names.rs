//! A file is named as people name it; a name that means several is refused with a list.

use parselog::store::{self, NewFile};

use crate::support::{Desk, new_file, request_by, sample, sample_text};

fn id_shown(desk: &Desk, target: &str) -> String {
    desk.ok(&["show", target, "--json"]).json()[0]["run"]["id"].as_str().unwrap().to_owned()
}

async fn submit(desk: &Desk, file: NewFile) {
    store::submit(&desk.db.pool, &[file], &request_by("ann")).await.unwrap();
}

#[tokio::test]
async fn a_file_is_found_by_path_base_name_case_and_every_uri_that_is_printed() {
    let desk = Desk::new().await;
    let run = desk.ok(&["run", "--json", &sample("tanf-active-2021-q1.txt")]).json().remove(0);
    let (id, log) = (run["id"].as_str().unwrap(), run["logs_uri"].as_str().unwrap());
    let (bucket, key) = (run["bucket"].as_str().unwrap(), run["key"].as_str().unwrap());
    let object = format!("file://{}/objects/{bucket}/{key}", desk.home.path().display());
    let versioned = format!("{object}?versionId={}", run["version_id"].as_str().unwrap());
    let unversioned_log = log.split('?').next().unwrap();
    for name in [
        "tanf-active-2021-q1.txt",
        "TANF-Active-2021-Q1.TXT",
        "./tanf-active-2021-q1.txt",
        "/some/where/else/Tanf-active-2021-q1.txt",
        key,
        &format!("s3://{bucket}/{key}"),
        &object,
        &versioned,
        log,
        unversioned_log,
    ] {
        assert_eq!(id_shown(&desk, name), id, "{name}");
    }
    assert_eq!(desk.ok(&["history", "TANF-ACTIVE-2021-Q1.txt", "--json"]).json().len(), 1);
    let other = format!("{object}?versionId=another");
    assert_eq!(desk.run(&["show", &other]).code, 4);
}

#[tokio::test]
async fn a_name_that_nobody_knows_gets_the_nearest_ones() {
    let desk = Desk::new().await;
    desk.db.submit(&["wisconsin-active.txt", "wisconsin-closed.txt", "quite/other.csv"]).await;
    for command in ["show", "history", "hold"] {
        let said = desk.run(&[command, "wisconsin-actve.txt"]);
        assert_eq!(said.code, 4);
        assert!(said.err.contains("did you mean 'wisconsin-active.txt'"), "{}", said.err);
        assert!(!said.err.contains("other.csv"), "{}", said.err);
        assert!(!desk.run(&[command, "nothing"]).err.contains("did you mean"));
    }
}

#[tokio::test]
async fn a_name_of_two_periods_or_two_states_is_listed_and_refused_by_every_command() {
    let desk = Desk::new().await;
    let file = |key: &str, quarter, state: &str| NewFile {
        name: "active.txt".to_owned(),
        fiscal_quarter: quarter,
        state: Some(state.to_owned()),
        ..new_file(key)
    };
    submit(&desk, file("q1/active.txt", 1, "WI")).await;
    submit(&desk, file("q2/active.txt", 2, "WI")).await;
    for command in [&["show"][..], &["logs"], &["history"], &["hold"], &["reparse", "--yes"], &["cancel"]] {
        let said = desk.run(&[command, &["active.txt"]].concat());
        assert_eq!(said.code, 2, "{command:?}: {}", said.err);
        let listed = "1 (tanf active 2024 Q1, state WI)";
        assert!(
            said.err.contains("2 (tanf active 2024 Q2, state WI)") && said.err.contains(listed),
            "{}",
            said.err
        );
    }
    desk.ok(&["history", "q2/active.txt"]);
    for (key, state) in [("wi/state.txt", "WI"), ("il/state.txt", "IL")] {
        submit(&desk, NewFile { name: "state.txt".to_owned(), ..file(key, 1, state) }).await;
    }
    let said = desk.run(&["hold", "state.txt"]);
    assert_eq!(
        (said.code, said.err.contains("4 (tanf active 2024 Q1, state IL)")),
        (2, true),
        "{}",
        said.err
    );
    desk.ok(&["hold", "4"]);
}

#[tokio::test]
async fn the_log_of_a_file_is_that_of_the_latest_run_that_has_one_and_says_so() {
    let desk = Desk::new().await;
    let text = sample_text("tanf-active-2021-q1.txt");
    let file = desk.file("a.txt", &text);
    let first = desk.ok(&["run", "--json", &file]).json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(desk.ok(&["logs", "a.txt"]).err, "");
    desk.file("a.txt", &sample_text("tanf-active-2021-q1-corrected.txt"));
    let second = desk.ok(&["submit", "--json", &file]).json()[0]["run_id"].as_str().unwrap().to_owned();
    let said = desk.ok(&["logs", "a.txt"]);
    assert!(said.out.contains("FAMILY_TYPE is 7"), "{}", said.out);
    let note = format!("this is the log of run {first}: the latest run, {second}, is queued and has none");
    assert_eq!(said.err.trim_end(), note);
    assert_eq!(desk.run(&["logs", &second]).code, 1, "a run that is named itself is not exchanged");
}
