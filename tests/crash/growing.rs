//! A worker is killed while the archive of a log grows and goes up in parts: no line is lost, and no upload is left.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parselog::store::{self, LogState, RunFilter, RunStatus};
use rustix::process::Signal;

use crate::oracle::{self, Archive};
use crate::points;
use crate::support::PATIENCE;
use crate::turn;
use crate::world::World;

/// Lines of a thousand characters that hardly pack: a part of 8 MiB, and half of another.
const LINES: u64 = 16_000;

/// Writes lines, waits until it may go on or its worker is gone, and writes one more.
const PARSER: &str = r#"
import base64, os, sys, time
lines, go, parent = int(sys.argv[1]), sys.argv[2], os.getppid()
for n in range(lines):
    print("line %d %s" % (n, base64.b64encode(os.urandom(750)).decode()))
sys.stdout.flush()
while not os.path.exists(go) and os.getppid() == parent:
    time.sleep(0.02)
print("line %d" % lines)
"#;

async fn world() -> World {
    let mut world = World::in_s3().await;
    let script = world.home().join("parser.py");
    fs::write(&script, PARSER).unwrap();
    let rule = format!("*/*=python3 {} {LINES} {}", script.display(), go(&world).display());
    world.tell("PARSELOG_PARSERS", &rule);
    world
}

/// The file that lets the program go on.
fn go(world: &World) -> PathBuf {
    world.home().join("go")
}

/// Lets the program go on once a part of its log is up and noted.
async fn let_go_on(world: &World) {
    let parts = async || -> i64 {
        let noted = "select coalesce(max(parts), 0)::bigint from log_upload";
        sqlx::query_scalar(noted).fetch_one(&world.db.pool).await.unwrap()
    };
    while parts().await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fs::write(go(world), "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_point_of_a_growing_archive_loses_no_line_and_leaves_no_upload() {
    let _turn = turn().await;
    for point in points::of("growing-") {
        let mut world = world().await;
        world.submit(1, 1, 0).await;
        let mut worker = world.worker(Some(&point), &[]);
        let dead = tokio::select! {
            dead = worker.dies_within(PATIENCE) => dead,
            never = async { let_go_on(&world).await; std::future::pending().await } => never,
        };
        if !dead {
            world.fail(&format!("no worker came to the point {point}"));
        }
        fs::write(go(&world), "").unwrap();
        let began = Instant::now();
        world.drain().await;
        let took = began.elapsed();
        let complete = check(&mut world, &point).await;
        eprintln!("killed at {point:20} worked off in {took:?}, {complete} complete logs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_parts_go_up_leaves_them_to_recovery() {
    let _turn = turn().await;
    let mut world = world().await;
    world.submit(1, 1, 0).await;
    let mut worker = world.worker(None, &[]);
    let began = Instant::now();
    while open_uploads(&world).await == 0 {
        if began.elapsed() > PATIENCE {
            world.fail("no upload begins");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    worker.stop(Signal::KILL);
    assert_eq!(open_uploads(&world).await, 1);
    fs::write(go(&world), "").unwrap();
    world.drain().await;
    assert!(check(&mut world, "killed while parts go up").await > 0);
}

async fn open_uploads(world: &World) -> usize {
    world.objects.stale_uploads(&world.bucket, &world.prefix, Duration::ZERO).await.unwrap().len()
}

/// Checks that each log is whole as far as its run came, and that no upload is left; returns how many came to the end.
async fn check(world: &mut World, about: &str) -> usize {
    let mut complete = 0;
    for run in store::find(&world.db.pool, &RunFilter::default()).await.unwrap() {
        let checked = async {
            if run.log_state != LogState::Archived {
                return Err(format!("its log is {}", run.log_state));
            }
            let archive = Archive::of(world, &run).await?;
            if oracle::check_numbers(&archive)? != 0 || archive.tail["dropped"] != 0 {
                return Err(format!("events were dropped: {}", archive.tail));
            }
            let numbers =
                archive.events().filter_map(|event| crate::output::line_number(event.text("message")));
            let numbers: Vec<u64> = numbers.collect();
            if numbers.iter().copied().ne(0..numbers.len() as u64) {
                return Err("a line is missing, or twice".to_owned());
            }
            let has_all = numbers.len() as u64 == LINES + 1;
            if run.status == RunStatus::Success && !has_all {
                return Err(format!("it has {} lines", numbers.len()));
            }
            Ok(usize::from(has_all))
        };
        match checked.await {
            Ok(has_all) => complete += has_all,
            Err(complaint) => {
                world.fail(&format!("{about}: run {} ({}): {complaint}", run.id, run.status));
            }
        }
    }
    assert_eq!(open_uploads(world).await, 0, "{about}: an upload was left behind");
    complete
}
