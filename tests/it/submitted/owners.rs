//! The state, or the submitter where none is known, is part of what makes a file the same file.

use parselog::store::{self, NewFile};

use super::{Place, of_state, texts};
use crate::support::{TestDb, new_file, request_by};

#[tokio::test]
async fn files_of_two_states_with_one_name_are_two_files() {
    let place = Place::folder().await;
    let files = ["06", "55"].map(|state| place.file(state, "a.txt", &of_state(state)));
    place.ok(&["submit", &files[0], &files[1]]);
    place.ok(&["worker", "--drain"]);
    let runs = place.runs().await;
    let states: Vec<_> = runs.iter().map(|run| run.state.as_deref()).collect();
    assert_eq!(states, [Some("06"), Some("55")]);
    assert_eq!(runs[0].key, "data_files/2021/Q1/06/tanf/active/a.txt");

    for command in ["history", "report", "diff", "logs"] {
        let said = place.run(&[command, "a.txt"]);
        assert_eq!(said.code, 2, "{command}: {}", said.err);
        assert!(
            said.err.contains("state 55), 1 (tanf active 2021 Q1, state 06): give the id"),
            "{}",
            said.err
        );
    }
    let history = place.ok(&["history", "2", "--json"]).json();
    assert_eq!((history.len(), &history[0]["state"]), (1, &"55".into()));
    assert_eq!(place.run(&["diff", "2"]).code, 4, "it has no run before");
    assert!(place.ok(&["reparse", "--all", "--yes"]).out.contains("2 files"));

    // Tribes name no state.
    let tribe = of_state("00").replacen("HEADER20204A00000TAN", "HEADER20204A00142TAN", 1);
    place.ok(&["submit", &place.file("tribe", "a.txt", &tribe)]);
    let runs = place.runs().await;
    let last = runs.last().unwrap();
    assert_eq!((last.program.as_str(), last.state.as_deref()), ("tribal", Some("142")));
}

#[tokio::test]
async fn two_files_of_one_command_that_would_be_one_are_refused_before_anything_is_stored() {
    let place = Place::folder().await;
    let [text, corrected] = texts();
    let files = [place.file("one", "a.txt", &text), place.file("two", "a.txt", &corrected)];
    for command in ["submit", "run"] {
        let said = place.run(&[command, &files[0], &files[1]]);
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(files.iter().all(|file| said.err.contains(file)), "{}", said.err);
    }
    assert_eq!((place.runs().await.len(), place.desk.files("objects").len()), (0, 0));
}

#[tokio::test]
async fn a_file_whose_header_cannot_be_read_is_taken_for_no_other() {
    let place = Place::folder().await;
    let said = ["--program", "tanf", "--section", "active", "--year", "2021", "--quarter", "1"];
    for broken in ["HEADER of the first\n", "HEADER of the second\n"] {
        let file = place.file("in", "a.txt", broken);
        assert_eq!(place.run(&[&["run", &file], &said[..]].concat()).code, 3);
    }
    for id in ["1", "2"] {
        assert_eq!(place.ok(&["history", id, "--json"]).json().len(), 1);
    }
    assert!(place.ok(&["reparse", "--all", "--yes"]).out.contains("2 files"));
}

#[tokio::test]
async fn a_file_without_a_header_is_its_submitters_unless_a_state_is_said() {
    let place = Place::folder().await;
    let said = ["--program", "fra", "--section", "work-outcomes", "--year", "2024", "--quarter", "2"];
    let submit = |by: &str, state: &[&str], text: &str| {
        let file = place.file("in", "a.csv", text);
        place.ok(&[&["submit", &file, "--by", by], &said[..], state].concat());
    };
    submit("ann", &[], "one");
    submit("bo", &[], "two");
    submit("ann", &[], "one, corrected");
    submit("ann", &["--state", "55"], "Wisconsin's");
    submit("bo", &["--state", "55"], "Wisconsin's, corrected");
    let versions = |id: &str| place.ok(&["history", id, "--json"]).json().len();
    assert_eq!(["1", "2", "3", "4", "5"].map(versions), [2, 1, 2, 2, 2]);
    assert!(place.ok(&["reparse", "--all", "--yes"]).out.contains("3 files"));
    assert!(place.runs().await[3].key.starts_with("data_files/2024/Q2/55/fra/"));
    let refused =
        place.run(&[&["submit", &place.file("in", "b.csv", "b"), "--state", "../x"], &said[..]].concat());
    assert_eq!(refused.code, 2, "{}", refused.err);
}

#[tokio::test]
async fn a_version_that_another_person_submits_is_theirs_and_is_not_taken_for_something_else() {
    let db = TestDb::new().await;
    let file = |email: &str| NewFile { submitter_emails: vec![email.to_owned()], ..new_file("a.txt") };
    let submit = async |file: NewFile, by: &str| {
        store::submit(&db.pool, &[file], &request_by(by))
            .await
            .map(|mut queued| queued.remove(0).data_file_id)
    };
    let anns = submit(file("ann@example.org"), "ann").await.unwrap();
    let bos = submit(file("bo@example.org"), "bo").await.unwrap();
    assert_ne!(anns, bos);
    assert_eq!(submit(file("ann@example.org"), "ann").await.unwrap(), anns);
    for (file, of) in [(anns, "ann"), (bos, "bo")] {
        let row = store::data_file::get(&db.pool, file).await.unwrap().unwrap();
        assert_eq!(
            (row.submitted_by.as_str(), row.submitter_emails),
            (of, vec![format!("{of}@example.org")])
        );
    }

    let known = NewFile {
        state: Some("55".to_owned()),
        size_bytes: Some(7),
        sha256: Some([1; 32]),
        ..new_file("known.txt")
    };
    submit(known.clone(), "ann").await.unwrap();
    for other in [
        NewFile { state: Some("06".to_owned()), ..known.clone() },
        NewFile { size_bytes: Some(8), ..known.clone() },
        NewFile { sha256: Some([2; 32]), ..known.clone() },
        NewFile { section: "closed".to_owned(), ..known.clone() },
    ] {
        for by in ["ann", "bo"] {
            let error = submit(other.clone(), by).await.unwrap_err().to_string();
            assert!(
                error.contains("known.txt is known as tanf active 2024 Q1 of 55 with 7 bytes already"),
                "{error}"
            );
        }
    }
}
