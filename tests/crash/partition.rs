//! Machines that are cut off until another has taken their runs and logs over, and that come back then.

use std::time::{Duration, Instant};

use parselog::store::{self, LogState, Run, RunFilter, RunStatus};
use rustix::process::Signal;

use crate::machine::Distant;
use crate::oracle::{self, Counts, Losses};
use crate::rng::Rng;
use crate::seeded::{number, seed};
use crate::support::PATIENCE;
use crate::turn;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_comes_back_has_the_fuller_log_and_nothing_is_lost_or_twice() {
    let _turn = turn().await;
    let partitions = number("PARSELOG_PARTITIONS").unwrap_or(10);
    let seed = seed();
    eprintln!("PARSELOG_SEED={seed} for {partitions} partitions");
    let (began, mut counts, mut fuller) = (Instant::now(), Counts::default(), 0);
    for number in 0..partitions {
        let mut rng = Rng::new(seed.wrapping_add(number << 32));
        let (checked, replaced) = one_partition(&mut rng, &format!("PARSELOG_SEED={seed}, {number}")).await;
        counts.add(&checked);
        fuller += replaced;
        eprintln!("{:5} s  {fuller} fuller logs  {counts:?}", began.elapsed().as_secs());
    }
    assert!(fuller > 0 && counts.lost == 0, "{counts:?}");
    assert_eq!(counts.acknowledged, counts.acknowledged_stored, "{counts:?}");
    eprintln!("oracle clean after {partitions} partitions, {fuller} fuller logs, PARSELOG_SEED={seed}");
}

/// Returns what the oracle saw, and how many logs were replaced by fuller ones.
async fn one_partition(rng: &mut Rng, about: &str) -> (Counts, u64) {
    let mut world = World::in_s3().await;
    let store = Distant::start().await;
    for _ in 0..3 {
        world.submit(300 + rng.below(500), 1 + rng.below(2), 2000 + rng.below(4000)).await;
    }
    let mut cut_off = world.machine(&store, None);
    tokio::time::sleep(Duration::from_micros(500_000 + rng.below(3_000_000))).await;
    cut_off.worker.freeze();

    // The frozen one still holds the parser's lock on each file, so the other acknowledges elsewhere.
    let acks = world.more_acks();
    let mut other = world.machine(&store, Some(&acks));
    let name = other.worker.name.clone();
    until(&mut world, about, "all is taken over", async |world| {
        world.let_time_pass(&name).await;
        let runs = runs(world).await;
        runs.iter().all(|run| run.status.is_final() && is_settled(run))
            && runs.iter().any(|run| run.status == RunStatus::Success)
            && world.waiting().await == 0
    })
    .await;
    let composed = cut_short(&world).await;

    cut_off.worker.signal(Signal::CONT);
    until(&mut world, about, "the fuller logs are archived", async |world| {
        cut_short(world).await == 0 && runs(world).await.iter().all(|run| run.log_state == LogState::Archived)
    })
    .await;
    assert!(cut_off.worker.stop(Signal::TERM).success(), "{about}");
    assert!(other.worker.stop(Signal::TERM).success(), "{about}");
    let entries: i64 = sqlx::query_scalar("select count(*) from log_entry where entry = 'fuller-log'")
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    // A run whose log was not open yet is taken over for a moment while its machine comes back.
    assert!(
        entries.cast_unsigned() >= composed,
        "{about}: {composed} were composed, {entries} are in the audit"
    );
    (oracle::check(&mut world, Losses::Machine, about).await, composed)
}

/// A log of which nobody is known to have anything is not waited for.
fn is_settled(run: &Run) -> bool {
    matches!(run.log_state, LogState::Archived | LogState::None)
}

/// Logs whose ends are missing. One that had left its machine as a whole is as good as the machine's own.
async fn cut_short(world: &World) -> u64 {
    let count: i64 = sqlx::query_scalar("select count(*) from log where lost_after is not null")
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    count.cast_unsigned()
}

async fn runs(world: &World) -> Vec<Run> {
    store::find(&world.db.pool, &RunFilter::default()).await.unwrap()
}

async fn until(world: &mut World, about: &str, what: &str, mut holds: impl AsyncFnMut(&mut World) -> bool) {
    let began = Instant::now();
    while !holds(world).await {
        if began.elapsed() > PATIENCE {
            world.fail(&format!("{about}: never: {what}"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
