//! Finding runs and their actions.

use super::*;
use crate::support::request_by;

#[tokio::test]
async fn runs_are_found_by_what_they_are_about() {
    let db = TestDb::new().await;
    let closed = NewFile { section: "closed".to_owned(), fiscal_quarter: 2, ..new_file("b.txt") };
    let first = db.submit(&["a.txt"]).await.remove(0);
    let second = store::submit(&db.pool, &[closed], &request_by("bob")).await.unwrap().remove(0);
    let third = db.submit(&["a.txt"]).await.remove(0);
    let claimed = db.claim("w").await.unwrap();
    db.finish(&claimed, Ending::Success(outcome())).await;

    let find = async |filter: RunFilter| -> Vec<RunId> {
        store::find(&db.pool, &filter).await.unwrap().into_iter().map(|run| run.id).collect()
    };
    assert_eq!(find(RunFilter::default()).await, [third.run_id, second.run_id, first.run_id]);
    assert_eq!(find(RunFilter { limit: Some(2), ..Default::default() }).await, [third.run_id, second.run_id]);
    let of_file = RunFilter { data_file: Some(first.data_file_id), ..Default::default() };
    assert_eq!(find(of_file.clone()).await, [third.run_id, first.run_id]);
    let previous = RunFilter { before: Some(third.run_id), ..of_file.clone() };
    assert_eq!(store::latest(&db.pool, &previous).await.unwrap().unwrap().id, first.run_id);
    assert_eq!(
        find(RunFilter { section: Some("closed".to_owned()), ..Default::default() }).await,
        [second.run_id]
    );
    let period = RunFilter {
        program: Some("tanf".to_owned()),
        fiscal_year: Some(2024),
        fiscal_quarter: Some(2),
        since: Some(db.run(first.run_id).await.queued_at),
        ..Default::default()
    };
    assert_eq!(find(period).await, [second.run_id]);
    let ended = RunFilter { status: vec![RunStatus::Success, RunStatus::Fail], ..Default::default() };
    assert_eq!(find(ended).await, [first.run_id]);
    let batch = RunFilter { batch: Some(db.run(second.run_id).await.batch_id), ..Default::default() };
    assert_eq!(find(batch).await, [second.run_id]);

    let ids = async |text: &str| -> Vec<DataFileId> {
        store::data_file::matching(&db.pool, text, 20)
            .await
            .unwrap()
            .into_iter()
            .map(|file| file.id)
            .collect()
    };
    for text in ["b.txt", "submissions/b.txt", "s3://submissions/b.txt", &second.data_file_id.to_string()] {
        assert_eq!(ids(text).await, [second.data_file_id], "{text}");
    }
    assert!(ids("other/b.txt").await.is_empty());
}

#[tokio::test]
async fn a_run_is_found_by_the_beginning_or_the_end_of_its_id() {
    let db = TestDb::new().await;
    let run = db.submit(&["a.txt"]).await.remove(0).run_id;
    db.submit(&["b.txt"]).await;
    let id = run.to_string();
    let bare = id.replace('-', "");
    let matching = async |piece: &str| store::matching(&db.pool, piece, 20).await.unwrap();
    for length in 8..=32 {
        assert_eq!(matching(&bare[32 - length..]).await, [run], "the last {length} digits");
    }
    for length in 20..=36 {
        assert_eq!(matching(&id[..length]).await, [run], "the first {length} characters");
    }
    assert_eq!(matching(&id[18..].to_uppercase()).await, [run]);
    assert_eq!(matching(&bare[..6]).await.len(), 2, "both runs are of this moment");
    for piece in ["", "abc", "xyzz", "%", "a.txt", &bare.repeat(2)] {
        assert!(matching(piece).await.is_empty(), "{piece}");
    }
}

#[tokio::test]
async fn actions_are_listed_counted_and_filtered() {
    let db = TestDb::new().await;
    db.submit(&["a.txt", "b.txt"]).await;
    let first = db.claim("w1").await.unwrap();
    db.finish(&first, Ending::Success(outcome())).await;
    let second = db.claim("w2").await.unwrap();
    db.finish(&second, Ending::Fail { reason: "no such object".to_owned(), retry: false }).await;
    sqlx::query(
        "insert into run_action (run_id, task, action, worker) values ($1, 'archive', 'success', 'w1')",
    )
    .bind(first.run.id)
    .execute(&db.pool)
    .await
    .unwrap();

    assert_eq!(db.actions(second.run.id).await, ["run", "fail"]);
    let failed = ActionFilter { action: Some(Action::Fail), ..Default::default() };
    let rows = action::list(&db.pool, &failed).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].task.as_str(), rows[0].worker.as_deref()), ("parse", Some("w2")));
    assert_eq!(rows[0].detail.as_deref(), Some("no such object"));

    let counts = action::counts(&db.pool, &ActionFilter::default()).await.unwrap();
    let counts: Vec<_> = counts.iter().map(|row| (row.task.as_str(), row.action, row.count)).collect();
    assert_eq!(
        counts,
        [
            ("archive", Action::Success, 1),
            ("parse", Action::Fail, 1),
            ("parse", Action::Run, 2),
            ("parse", Action::Success, 1),
        ]
    );
    let none = ActionFilter { until: Some(rows[0].at), since: Some(rows[0].at), ..Default::default() };
    assert!(action::list(&db.pool, &none).await.unwrap().is_empty());
    let archives = ActionFilter { task: Some("archive".to_owned()), limit: Some(5), ..Default::default() };
    assert_eq!(action::list(&db.pool, &archives).await.unwrap().len(), 1);
}

#[test]
fn codes_read_back_what_they_write_and_name_the_choices() {
    for status in RunStatus::ALL {
        assert_eq!(status.as_str().parse::<RunStatus>().unwrap(), *status);
    }
    let error = "done".parse::<RunStatus>().unwrap_err();
    assert!(error.starts_with("unknown run status 'done'; expected one of queued, running"), "{error}");
}
