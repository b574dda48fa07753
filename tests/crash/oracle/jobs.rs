//! Jobs, attempts and what is written down about them: nothing that was submitted is forgotten, run
//! twice at once, or ended without a trace.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use parselog::ids::RunId;
use parselog::store::{BatchKind, LogState, Run, RunStatus};
use tokio::io::AsyncReadExt;

use crate::world::World;

pub(super) async fn check(world: &World, runs: &[Run], complaints: &mut String) {
    check_submissions(world, runs, complaints).await;
    check_attempts(runs, complaints);
    check_acknowledgements(world, runs, complaints);
    check_actions(world, runs, complaints).await;
    check_audit(world, runs, complaints).await;
}

/// The problems of each run whose log is archived are counted, and nothing else is: the days are the sum of the runs.
pub(crate) async fn check_counts(world: &mut World) {
    let uncounted: Vec<RunId> = sqlx::query_scalar(
        "select id from log where run_id is not null and state = 'archived'
         and not (is_counted and exists (select 1 from problem_tally t where t.run_id = log.run_id))",
    )
    .fetch_all(&world.db.pool)
    .await
    .unwrap();
    let different: i64 = sqlx::query_scalar(
        "select count(*)
         from problem_day d
         full join (select t.day, t.scope_id, c.kind_id, count(*) as runs, sum(c.problems) as problems
                    from problem_tally t cross join lateral unnest(t.kinds, t.problems) as c (kind_id, problems)
                    group by 1, 2, 3) as s using (day, scope_id, kind_id)
         where (d.runs, d.problems) is distinct from (s.runs, s.problems)",
    )
    .fetch_one(&world.db.pool)
    .await
    .unwrap();
    if !uncounted.is_empty() || different > 0 {
        world.fail(&format!("not counted: {uncounted:?}; {different} days are not the sum of their runs"));
    }
}

/// Every submission has its runs, every run its submission, and the submitted bytes are still there.
async fn check_submissions(world: &World, runs: &[Run], complaints: &mut String) {
    let parsed: BTreeMap<&str, &Run> = runs.iter().map(|run| (run.key.as_str(), run)).collect();
    for (key, submitted) in &world.submissions {
        let Some(run) = parsed.get(key.as_str()) else {
            let _ = writeln!(complaints, "the submission {key} has no run");
            continue;
        };
        let version = Some(run.version_id.as_str()).filter(|version| !version.is_empty());
        let uri = world.objects.uri(&run.bucket, key, version).unwrap();
        let mut bytes = Vec::new();
        match world.objects.open(&uri).await {
            Ok((_, mut stream)) => drop(stream.read_to_end(&mut bytes).await),
            Err(error) => bytes = error.to_string().into_bytes(),
        }
        if bytes != submitted.text.as_bytes() {
            let _ = writeln!(complaints, "{uri} is now {}", String::from_utf8_lossy(&bytes));
        }
    }
    for run in runs.iter().filter(|run| !world.submissions.contains_key(&run.key)) {
        let _ = writeln!(complaints, "run {} is of {}, which nobody submitted", run.id, run.key);
    }
}

/// The attempts of a job follow one another, none begins before the one before it ended, and the last
/// is a success, or was cancelled or too late, or there were as many as may be.
fn check_attempts(runs: &[Run], complaints: &mut String) {
    let mut jobs: BTreeMap<_, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        jobs.entry((run.batch_id, run.data_file_id)).or_default().push(run);
    }
    for ((batch, file), mut attempts) in jobs {
        attempts.sort_by_key(|run| run.attempt);
        let numbers: Vec<_> = attempts.iter().map(|run| run.attempt).collect();
        let last = attempts.last().unwrap();
        let expected: Vec<_> = (1..=attempts.len() as i32).collect();
        let done = last.status == RunStatus::Success
            || last.attempt == last.max_attempts
            || last.cancel_requested_at.is_some()
            || last.status == RunStatus::Terminate && last.finished_at > last.deadline;
        if numbers != expected || !done {
            let _ = writeln!(
                complaints,
                "the job of batch {batch}, file {file} is lost: attempts {numbers:?}, {last:?}"
            );
        }
        for pair in attempts.windows(2) {
            if pair[1].started_at < pair[0].finished_at {
                let _ = writeln!(complaints, "runs {} and {} overlapped", pair[0].id, pair[1].id);
            }
        }
    }
}

/// Whoever acknowledged events is a run of this world, and no file was parsed twice at once.
fn check_acknowledgements(world: &World, runs: &[Run], complaints: &mut String) {
    let known: BTreeSet<String> = runs.iter().map(|run| run.id.to_string()).collect();
    for entry in world.ack_folders().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".overlapped") {
            let _ = writeln!(complaints, "two runs of one file at once: {name}");
        }
        if name.strip_suffix(".acks").is_some_and(|run| !known.contains(run)) {
            let _ = writeln!(complaints, "{name}: its run has no row");
        }
    }
}

/// Each run that began and ended has one action for each, and the last says what its row says.
async fn check_actions(world: &World, runs: &[Run], complaints: &mut String) {
    let rows: Vec<(RunId, String)> =
        sqlx::query_as("select run_id, action from run_action where run_id is not null order by id")
            .fetch_all(&world.db.pool)
            .await
            .unwrap();
    let mut actions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (run, action) in rows {
        actions.entry(run.to_string()).or_default().push(action);
    }
    for run in runs {
        let found = actions.remove(&run.id.to_string()).unwrap_or_default();
        let mut expected = vec!["run".to_owned(); usize::from(run.started_at.is_some())];
        expected.push(run.status.to_string());
        if found != expected {
            let _ = writeln!(complaints, "run {}: its actions are {found:?}, not {expected:?}", run.id);
        }
    }
    if !actions.is_empty() {
        let _ = writeln!(complaints, "actions of runs without a row: {actions:?}");
    }
}

/// Each log was archived once, and fell back at most once; each first attempt was submitted once.
async fn check_audit(world: &World, runs: &[Run], complaints: &mut String) {
    let rows: Vec<(RunId, String, i64)> = sqlx::query_as(
        "select run_id, entry, count(*) from log_entry where run_id is not null group by run_id, entry",
    )
    .fetch_all(&world.db.pool)
    .await
    .unwrap();
    let counted: BTreeMap<(String, &str), i64> =
        rows.iter().map(|(run, entry, count)| ((run.to_string(), entry.as_str()), *count)).collect();
    for run in runs {
        let count = |entry| counted.get(&(run.id.to_string(), entry)).copied().unwrap_or_default();
        let archived = i64::from(matches!(run.log_state, LogState::Archived | LogState::Pruned));
        let submitted = i64::from(run.attempt == 1 && run.kind == BatchKind::Submission);
        if (count("archived"), count("submitted")) != (archived, submitted) || count("fell-back") > 1 {
            let _ = writeln!(
                complaints,
                "run {}, log {}: archived {} times, fell back {}, submitted {}",
                run.id,
                run.log_state,
                count("archived"),
                count("fell-back"),
                count("submitted")
            );
        }
    }
}
