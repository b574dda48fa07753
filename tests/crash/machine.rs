//! Whole machines are lost, disk and all, at random moments: other machines archive the logs of their runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parselog::queue;
use rustix::process::Signal;
use uuid::Uuid;

use crate::fault_server::{Fault, FaultServer, Request};
use crate::oracle::{self, Counts, Losses};
use crate::rng::Rng;
use crate::seeded::{number, seed};
use crate::support::PATIENCE;
use crate::turn;
use crate::worker::Worker;
use crate::world::World;

/// Losses between two looks of the oracle, each with a world of its own.
const LOSSES_PER_WORLD: u64 = 10;

/// What was logged so long before a machine was lost has left it: a second, and what a busy machine needs for a
/// statement. One that is busier is given longer.
const IN_TIME: Duration = Duration::from_millis(1500);

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>";

/// A store that is away for logs, when it is told so; submissions come and go.
pub(crate) struct Distant {
    server: FaultServer,
    away: Arc<AtomicBool>,
}

impl Distant {
    pub(crate) async fn start() -> Self {
        let away = Arc::new(AtomicBool::new(false));
        let is_away = Arc::clone(&away);
        let decide = move |request: &Request| {
            if is_away.load(Ordering::SeqCst) && request.target.contains("parsing_logs") {
                Fault::Answer(503, SLOW_DOWN)
            } else {
                Fault::Pass
            }
        };
        let server = FaultServer::start(&std::env::var("PARSELOG_TEST_S3").unwrap(), decide).await;
        Self { server, away }
    }

    /// What machines asked of it, as it came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }
}

/// A worker on a machine of its own: no folder of it is another's.
pub(crate) struct Machine {
    pub(crate) worker: Worker,
    pub(crate) home: PathBuf,
}

impl World {
    /// Starts a machine that reaches S3 through `store`, and whose parser acknowledges in this folder.
    pub(crate) fn machine(&mut self, store: &Distant, acks: Option<&PathBuf>) -> Machine {
        let acks = acks.map(|acks| ("PARSELOG_TEST_ACKS", acks.to_str().unwrap()));
        self.machine_with(store, None, &acks.into_iter().collect::<Vec<_>>())
    }

    /// The same, which kills itself at the point `fault` and is told something more.
    pub(crate) fn machine_with(
        &mut self,
        store: &Distant,
        fault: Option<&str>,
        more: &[(&str, &str)],
    ) -> Machine {
        let name = self.next_name();
        let home = self.home().join(format!("machine-{name}"));
        fs::create_dir(&home).unwrap();
        let mut environment = vec![
            ("PARSELOG_HOME", home.to_str().unwrap()),
            ("PARSELOG_REMOTE_TAIL", "1s"),
            ("PARSELOG_LEASE", "2s"),
            ("PARSELOG_S3_ATTEMPTS", "1"),
            ("AWS_ENDPOINT_URL_S3", store.server.endpoint.as_str()),
        ];
        environment.extend(more);
        let worker = self.worker(fault, &environment);
        Machine { worker, home }
    }

    /// Works on an unharmed machine until every run has ended and every log is archived.
    pub(crate) async fn work_off(&mut self, store: &Distant) {
        let mut machine = self.machine(store, None);
        let began = Instant::now();
        loop {
            self.let_time_pass(&machine.worker.name).await;
            let (unfinished, unarchived) = self.left_to_do().await;
            if unfinished == 0 && unarchived == 0 && self.says(&machine.worker) {
                break;
            }
            if machine.worker.poll().is_some() || began.elapsed() > PATIENCE {
                self.fail(&format!("not worked off: {unfinished} unfinished, {unarchived} not archived"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(machine.worker.stop(Signal::TERM).success());
    }

    pub(crate) async fn waiting(&self) -> i64 {
        sqlx::query_scalar("select count(*) from parse_file_meta where status = 'queued'")
            .fetch_one(&self.db.pool)
            .await
            .unwrap()
    }

    /// Silence has told by now that no other worker is alive.
    pub(crate) async fn only_this_lives(&self, living: &str) {
        sqlx::query("delete from worker where name <> $1").bind(living).execute(&self.db.pool).await.unwrap();
    }

    /// Waits until all that the logs of a machine have by now has left it.
    async fn until_it_left(&mut self, home: &Path) {
        let began = Instant::now();
        let (logs, bytes): (Vec<Uuid>, Vec<i64>) = logs_of(home).into_iter().unzip();
        let here = "select count(*) from unnest($1::uuid[], $2::bigint[]) as here (log_id, bytes)
             where not exists (select from log where id = here.log_id and state = 'archived')
               and bytes > (select coalesce(max(at + raw_bytes), 0) from log_piece p where p.log_id = here.log_id)";
        while sqlx::query_scalar::<_, i64>(here)
            .bind(&logs)
            .bind(&bytes)
            .fetch_one(&self.db.pool)
            .await
            .unwrap()
            > 0
        {
            if began.elapsed() > PATIENCE {
                self.fail("what was logged does not leave its machine");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Notes which events of running runs are acknowledged by now.
    async fn acknowledged_in_time(&self) -> Vec<(parselog::ids::RunId, Vec<u64>)> {
        let running = queue::running(&self.db.pool).await.unwrap();
        running.into_iter().map(|run| (run, self.acknowledged(run))).collect()
    }
}

/// The logs in the spool of a machine that works, and how many bytes of whole lines each has.
fn logs_of(home: &Path) -> Vec<(Uuid, i64)> {
    let look = |path: &Path| {
        let id = path.file_stem()?.to_str()?.parse().ok()?;
        let bytes = fs::read(path).ok()?;
        let content = bytes.split(|byte| *byte == 0).next()?;
        Some((id, content.iter().rposition(|byte| *byte == b'\n')? as i64 + 1))
    };
    loop {
        let spool =
            fs::read_dir(home.join("spool")).into_iter().flatten().flatten().map(|entry| entry.path());
        let logs = spool.filter(|path| path.extension().is_some_and(|end| end == "open" || end == "log"));
        // One that gets another name meanwhile is looked for again.
        if let Some(found) = logs.map(|path| look(&path)).collect() {
            return found;
        }
    }
}

/// How the losses went.
#[derive(Debug, Default)]
struct LossTally {
    losses: u64,
    /// While the database said that runs were running.
    in_flight: u64,
    /// While the store was away.
    store_away: u64,
    /// When all that was logged [`IN_TIME`] before had left.
    in_time: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn seeded_losses_of_a_whole_machine_cost_no_log_and_only_its_last_moment() {
    let _turn = turn().await;
    let losses = number("PARSELOG_MACHINES").unwrap_or(20);
    let seed = seed();
    eprintln!("PARSELOG_SEED={seed} for {losses} losses");
    let began = Instant::now();
    let (mut tally, mut counts) = (LossTally::default(), Counts::default());
    for number in 0.. {
        let left = losses - tally.losses;
        if left == 0 {
            break;
        }
        let mut rng = Rng::new(seed.wrapping_add(number << 32));
        let mut world = World::in_s3().await;
        let store = Distant::start().await;
        for _ in 0..left.min(LOSSES_PER_WORLD) {
            lose_one(&mut world, &store, &mut rng, &mut tally).await;
        }
        store.away.store(false, Ordering::SeqCst);
        world.work_off(&store).await;
        let about = format!("PARSELOG_SEED={seed}, loss {}", tally.losses);
        counts.add(&oracle::check(&mut world, Losses::Machine, &about).await);
        let pieces: i64 =
            sqlx::query_scalar("select count(*) from log_piece").fetch_one(&world.db.pool).await.unwrap();
        assert_eq!(pieces, 0, "{about}: pieces of archived logs are left");
        eprintln!("{:5} s  {tally:?}  {counts:?}", began.elapsed().as_secs());
    }
    assert!(tally.in_flight > 0 && tally.store_away > 0 && tally.in_time > 0, "{tally:?}");
    assert!(counts.lost > 0 && counts.missing > 0 && counts.in_time > 0, "{counts:?}");
    eprintln!("oracle clean after {} losses, PARSELOG_SEED={seed}", tally.losses);
}

async fn lose_one(world: &mut World, store: &Distant, rng: &mut Rng, tally: &mut LossTally) {
    while world.waiting().await < 4 {
        // Some end at once, and most outlive their machine.
        let (events, pause) =
            if rng.once_in(3) { (50, 0) } else { (200 + rng.below(800), 2000 + rng.below(6000)) };
        world.submit(events, 1 + rng.below(3), pause).await;
    }
    world.db.make_due().await;
    let away = rng.once_in(4) || tally.store_away == 0;
    store.away.store(away, Ordering::SeqCst);
    let mut machine = world.machine(store, None);
    tokio::time::sleep(Duration::from_micros(200_000 + rng.below(3_000_000))).await;
    let in_time = world.acknowledged_in_time().await;
    if rng.once_in(4) {
        store.away.store(false, Ordering::SeqCst);
    }
    let began = Instant::now();
    world.until_it_left(&machine.home).await;
    tally.in_time += u64::from(began.elapsed() < IN_TIME);
    tokio::time::sleep(IN_TIME.saturating_sub(began.elapsed())).await;
    machine.worker.stop(Signal::KILL);
    lose(&machine.home);
    for (run, events) in in_time {
        world.left_in_time.entry(run).or_default().extend(events);
    }
    tally.losses += 1;
    tally.store_away += u64::from(away);
    tally.in_flight += u64::from(world.running().await > 0);
    world.look_at_the_wreck("a machine was lost").await;
    world.let_time_pass("").await;
}

/// Removes a machine's disk, on which its parse processes may still write for a moment.
pub(crate) fn lose(home: &Path) {
    let began = Instant::now();
    while let Err(error) = fs::remove_dir_all(home) {
        assert!(began.elapsed() < PATIENCE, "the machine does not go: {error}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
