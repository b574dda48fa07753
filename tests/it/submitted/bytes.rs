//! Every run is held to the bytes that were submitted.

use aws_sdk_s3::types::BucketVersioningStatus;
use parselog::store::{self, RunStatus};

use super::{Place, hash, of_state, texts};

#[tokio::test]
async fn a_corrected_file_of_the_same_name_overwrites_nothing_in_any_store() {
    let texts = texts();
    for place in Place::all().await {
        for (text, by) in texts.iter().zip(["ann", "bo"]) {
            let file = place.file(by, "a.txt", text);
            place.ok(&["submit", &file, "--by", by, "--email", &format!("{by}@example.org")]);
        }
        place.ok(&["worker", "--drain"]);
        place.ok(&["reparse", "1", "--yes"]);
        place.ok(&["worker", "--drain"]);

        let runs = place.runs().await;
        let counted: Vec<_> = runs.iter().map(|run| (run.status, run.error_count, run.sha256)).collect();
        let [first, second] = [(9, hash(&texts[0])), (0, hash(&texts[1]))];
        let expected = [first, second, first].map(|(errors, hash)| (RunStatus::Success, Some(errors), hash));
        assert_eq!(counted, expected, "{:?}", place.name());
        for (run, by) in runs.iter().zip(["ann", "bo"]) {
            let file = store::data_file::get(&place.desk.db.pool, run.data_file_id).await.unwrap().unwrap();
            assert_eq!((&*file.submitted_by, file.submitter_emails), (by, vec![format!("{by}@example.org")]));
        }
        assert_eq!(place.ok(&["history", "a.txt", "--json"]).json().len(), 3, "one file over time");
        assert_eq!(place.run(&["diff", "--exit-code", "a.txt"]).code, 1);
    }
}

#[tokio::test]
async fn submits_of_one_name_at_once_are_parsed_each_as_it_was_submitted() {
    for place in Place::all().await {
        let texts: Vec<String> =
            (0..4).map(|number| format!("{}{}", texts()[0], "\n".repeat(number))).collect();
        let submits: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(number, text)| {
                let file = place.file(&number.to_string(), "a.txt", text);
                place.command(&["submit", &file]).spawn().unwrap()
            })
            .collect();
        for mut submit in submits {
            assert!(submit.wait().unwrap().success());
        }
        place.ok(&["worker", "--drain"]);
        let runs = place.runs().await;
        assert!(runs.iter().all(|run| run.status == RunStatus::Success), "{runs:#?}");
        let (mut parsed, mut given): (Vec<_>, Vec<_>) =
            (runs.iter().map(|run| run.sha256).collect(), texts.iter().map(|text| hash(text)).collect());
        parsed.sort();
        given.sort();
        assert_eq!(parsed, given);
    }
}

#[tokio::test]
async fn an_object_that_was_replaced_after_it_was_submitted_fails_once_and_says_so() {
    let [text, corrected] = texts();
    for (status, other, why) in [
        (None, corrected.clone(), " bytes instead of "),
        (None, of_state("07"), "SHA-256 differs"),
        (Some(BucketVersioningStatus::Suspended), corrected, " bytes instead of "),
    ] {
        let place = Place::s3(status).await;
        place.put("in/a.txt", &text).await;
        let said = place.ok(&["submit", &format!("s3://{}/in/a.txt", place.name().unwrap())]);
        assert!(said.err.contains("keeps no versions"), "{}", said.err);
        place.put("in/a.txt", &other).await;
        place.ok(&["worker", "--drain"]);
        let runs = place.runs().await;
        assert_eq!((runs.len(), runs[0].status), (1, RunStatus::Fail));
        let failure = runs[0].failure.clone().unwrap();
        assert!(failure.contains("not the one that was submitted") && failure.contains(why), "{failure}");
    }
}

#[tokio::test]
async fn a_version_that_nobody_named_goes_on_the_row_and_a_reparse_reads_it() {
    let [text, corrected] = texts();
    let place = Place::s3(Some(BucketVersioningStatus::Enabled)).await;
    place.put("in/a.txt", &text).await;
    place.enqueue("in/a.txt", "ann").await;
    place.ok(&["worker", "--drain"]);
    let first = place.runs().await.remove(0);
    assert!(!first.version_id.is_empty());
    assert_eq!((first.size_bytes, first.sha256), (Some(text.len() as i64), hash(&text)));
    assert_eq!((first.state.as_deref(), first.error_count), (Some("06"), Some(9)));

    place.put("in/a.txt", &corrected).await;
    place.ok(&["reparse", "1", "--yes"]);
    place.ok(&["worker", "--drain"]);
    assert_eq!(place.run(&["diff", "--exit-code", "1"]).code, 0);

    // Submitted again, it is the next version of the same file.
    place.enqueue("in/a.txt", "ann").await;
    place.ok(&["worker", "--drain"]);
    let runs = place.runs().await;
    assert_ne!(runs[2].version_id, first.version_id);
    let counts: Vec<_> = runs.iter().map(|run| run.error_count).collect();
    assert_eq!(counts, [Some(9), Some(9), Some(0)]);
    assert_eq!(place.ok(&["history", "a.txt", "--json"]).json().len(), 3);
}

#[tokio::test]
async fn of_two_submissions_of_one_key_without_versions_the_first_does_not_read_the_second() {
    let [text, corrected] = texts();
    let place = Place::s3(None).await;
    place.put("in/a.txt", &text).await;
    place.enqueue("in/a.txt", "ann").await;
    place.put("in/a.txt", &corrected).await;
    place.enqueue("in/a.txt", "bo").await;
    place.ok(&["worker", "--drain"]);
    let runs = place.runs().await;
    assert_eq!((runs[0].status, runs[0].sha256), (RunStatus::Fail, None));
    assert!(runs[0].failure.as_ref().unwrap().contains("submitted again before it was first read"));
    assert_eq!((runs[1].status, runs[1].sha256), (RunStatus::Success, hash(&corrected)));
    assert_eq!(runs.len(), 2, "it is not tried again");

    // What was first seen counts from then on.
    place.put("in/a.txt", &text).await;
    place.ok(&["reparse", "2", "--yes"]);
    place.ok(&["worker", "--drain"]);
    let last = place.runs().await.pop().unwrap();
    assert_eq!(last.status, RunStatus::Fail);
    assert!(last.failure.unwrap().contains("not the one that was submitted"));
}
