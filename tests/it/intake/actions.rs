//! What foreign schedulers say of their tasks, as it is asked for.

use parselog::archive::Archiver;
use parselog::config::IntakeConfig;
use parselog::intake::Streams;
use parselog::record::Incoming;
use parselog::recovery::Recovery;
use parselog::store::Action;
use parselog::store::action::{self, ActionFilter};

use super::{Place, blocking, until};
use crate::support::unheld;

/// A record as Rocketry's logger sends it.
fn said(task: &str, action: &str, created: f64) -> Incoming {
    let object = serde_json::json!({
        "name": "rocketry.task", "levelname": "INFO", "message": "", "action": action, "task_name": task,
        "created": created, "start": created, "runtime": 2.5,
    });
    Incoming::of_object(object.as_object().unwrap().clone()).unwrap()
}

async fn store(streams: &Streams, said: Vec<Incoming>) {
    let streams = streams.clone();
    blocking(move || said.iter().for_each(|record| streams.store(record, None).unwrap())).await;
}

/// What happened to a task, in order.
async fn happened(place: &Place, task: &str) -> Vec<Action> {
    let filter = ActionFilter { task: Some(task.to_owned()), limit: Some(100), ..ActionFilter::default() };
    let mut rows = action::list(&place.db.pool, &filter).await.unwrap();
    rows.reverse();
    assert!(rows.iter().all(|row| row.worker.as_deref() == Some("rocketry") && row.run_id.is_none()));
    rows.into_iter().map(|row| row.action).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedulers_records_are_actions_and_a_task_that_never_ended_has_crashed() {
    let place = Place::new().await;
    let kept = place.kept(IntakeConfig::default());
    let (task, other) = ("app.tasks:clean up()", "mail");
    store(
        &kept.streams,
        vec![
            said(task, "run", 100.0),
            said(task, "success", 101.0),
            said(other, "run", 101.5),
            said(task, "run", 102.0),
            said(task, "run", 103.0),
            said(task, "fail", 104.0),
            said(task, "dance", 105.0),
        ],
    )
    .await;
    let all = [Action::Run, Action::Success, Action::Run, Action::Crash, Action::Run, Action::Fail];
    until(async || happened(&place, task).await == all).await;
    assert_eq!(happened(&place, other).await, [Action::Run]);
    kept.end().await;
    assert_eq!(happened(&place, task).await, all, "the archive says the same, and nothing twice");
    let records: Vec<serde_json::Value> =
        sqlx::query_scalar("select record from run_action where action = 'success'")
            .fetch_all(&place.db.pool)
            .await
            .unwrap();
    assert_eq!(records[0]["runtime"], 2.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_had_stored_of_a_scheduler_is_recorded_by_who_recovers_it() {
    let place = Place::new().await;
    let dying = place.streams();
    store(&dying, vec![said("task", "run", 100.0), said("task", "terminate", 101.0)]).await;
    drop(dying);
    unheld(&place.system.spool).await;
    let recovery = Recovery::new(place.system.clone(), Archiver::new(place.system.clone()));
    assert_eq!(recovery.sweep().await.unwrap().archived, 1);
    assert_eq!(happened(&place, "task").await, [Action::Run, Action::Terminate]);
}
