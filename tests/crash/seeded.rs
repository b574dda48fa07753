//! Any number of kills at random instants and random passages of random points, from one seed.

use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;

use crate::oracle::{self, Counts, Losses};
use crate::points;
use crate::rng::Rng;
use crate::support::PATIENCE;
use crate::turn;
use crate::way::{SMALL_CAP, Way};
use crate::world::World;

/// Kills between two looks of the oracle, each with a world of its own.
const KILLS_PER_WORLD: u64 = 50;

/// How long a worker may take to come to a point before it is killed anyhow; the first is waited for.
const SOON: Duration = Duration::from_millis(800);

/// A worker that is told to stop hands its runs back at once.
const AT_ONCE: (&str, &str) = ("PARSELOG_SHUTDOWN_GRACE", "0s");

/// How the kills went.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    at_points: u64,
    at_instants: u64,
    /// Kills while the database said that runs were running.
    in_flight: u64,
    /// Kills with objects in S3.
    in_s3: u64,
    /// Kills while the store was down.
    store_down: u64,
    /// Kills of workers whose logs passed their cap.
    capped: u64,
    /// Kills of workers that had been told to stop.
    stopping: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn seeded_kills_lose_nothing() {
    let _turn = turn().await;
    let kills = number("PARSELOG_CRASHES").unwrap_or(60);
    let seed = seed();
    eprintln!("PARSELOG_SEED={seed} for {kills} kills");
    let began = Instant::now();
    let (mut tally, mut counts) = (Tally::default(), Counts::default());
    for number in 0.. {
        let left = kills - tally.kills;
        if left == 0 {
            break;
        }
        let mut rng = Rng::new(seed.wrapping_add(number << 32));
        // Every fourth world is in S3, the second one too, so that each plan has one.
        let mut world = if number % 4 == 1 { World::in_s3().await } else { World::in_folder().await };
        let checked = one_world(&mut world, &mut rng, left.min(KILLS_PER_WORLD), &mut tally, seed).await;
        counts.add(&checked);
        let Counts { runs, crashed, acknowledged, stored, dropped, .. } = counts;
        eprintln!(
            "{:5} s  {} of {kills} kills  {runs} runs, {crashed} crashed  {acknowledged} events acknowledged, \
             {stored} stored, {dropped} dropped  oracle clean",
            began.elapsed().as_secs(),
            tally.kills
        );
    }
    eprintln!("{tally:?}  {counts:?}");
    assert!(tally.at_points > 0 && tally.at_instants > 0 && tally.in_flight > 0, "{tally:?}");
    assert!(kills <= KILLS_PER_WORLD || tally.in_s3 > 0, "{tally:?}");
    assert!(tally.store_down > 0 && tally.capped > 0 && tally.stopping > 0, "{tally:?}");
    assert!(counts.acknowledged > 0 && counts.crashed > 0 && counts.cut > 0, "{counts:?}");
    eprintln!("oracle clean after {} kills, PARSELOG_SEED={seed}", tally.kills);
}

async fn one_world(world: &mut World, rng: &mut Rng, kills: u64, tally: &mut Tally, seed: u64) -> Counts {
    let in_s3 = matches!(world.objects, parselog::objects::Objects::S3(_));
    let names: Vec<String> = points::of_worker()
        .into_iter()
        .filter(|name| Way::to(name)[0].is_common())
        .filter(|name| (Way::to(name) == [Way::Parts]) <= in_s3 && name.starts_with("put-") <= !in_s3)
        .collect();
    for _ in 0..kills {
        while world.waiting().await < 5 {
            world.submit(20 + rng.below(400), 1 + rng.below(3), rng.below(300)).await;
        }
        world.db.make_due().await;
        if !in_s3 {
            world.unblock_archive();
            if rng.once_in(6) || tally.store_down == 0 {
                world.block_archive();
                tally.store_down += 1;
            }
        }
        let cap = rng.once_in(3) || tally.capped == 0;
        tally.capped += u64::from(cap);
        tally.in_s3 += u64::from(in_s3);
        let environment: &[_] = if cap { &[SMALL_CAP, AT_ONCE] } else { &[AT_ONCE] };
        if rng.once_in(2) {
            let (fault, patience) = match tally.at_points {
                0 => ("claimed:1".to_owned(), PATIENCE),
                _ => (format!("{}:{}", rng.pick(&names), passage(rng)), SOON),
            };
            let mut worker = world.worker(Some(&fault), environment);
            tally.at_points += u64::from(worker.dies_within(patience).await);
        } else {
            let instant = Duration::from_micros(20_000 + rng.below(450_000));
            let mut worker = world.worker(None, environment);
            tokio::time::sleep(instant).await;
            if rng.once_in(4) || tally.stopping == 0 {
                worker.signal(Signal::TERM);
                tally.stopping += 1;
                tokio::time::sleep(Duration::from_micros(rng.below(100_000))).await;
            }
            worker.stop(Signal::KILL);
            tally.at_instants += 1;
        }
        tally.kills += 1;
        tally.in_flight += u64::from(world.running().await > 0);
        world.look_at_the_wreck(&format!("PARSELOG_SEED={seed}, kill {}", tally.kills)).await;
    }
    world.drain().await;
    oracle::check_counts(world).await;
    oracle::check(world, Losses::None, &format!("PARSELOG_SEED={seed}, kill {}", tally.kills)).await
}

/// Most points are passed a few times, those of an event a thousand times.
fn passage(rng: &mut Rng) -> u64 {
    if rng.once_in(2) { 1 + rng.below(3) } else { 1 + rng.below(600) }
}

/// The seed that is asked for, or one by the clock.
pub(crate) fn seed() -> u64 {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    number("PARSELOG_SEED").unwrap_or(clock % 1_000_000_000)
}

pub(crate) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}
