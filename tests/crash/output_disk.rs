//! An external program whose spool is on a disk that is full or read-only: it ends as ever, and each line that it
//! wrote is in the log of its run, or counted as dropped there and in the global log.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parselog::carry;
use parselog::store::{self, LogState, Run, RunFilter};
use rustix::process::Signal;

use crate::disk::{all_are_over, may_mount, remount, tmpfs, until};
use crate::oracle::Archive;
use crate::output::{line_number, noted, world};
use crate::turn;
use crate::worker::Worker;
use crate::world::World;

/// How the log says that a program waits.
const WAITS: &str = "the disk of the spool is full: the parser is stopped";

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_a_program_ends_as_ever_and_each_of_its_lines_is_stored_or_counted() {
    let _turn = turn().await;
    if !may_mount(&tmpfs("1m")) {
        return;
    }
    // The smaller one has no room for the program's files, and neither has it for the log.
    for size in ["1m", "20m"] {
        let mut world = world_with_a_spool().await;
        world.submit(30_000, 1, 0).await;
        let mut worker = world.worker_on_a_disk(&tmpfs(size), None, &[]);
        all_are_over(&mut world, size).await;
        assert!(worker.stop(Signal::TERM).success());
        let dropped = check(&mut world, size, 30_000).await;
        assert!(dropped > 0, "the disk was not full");
        eprintln!("a disk of {size}: {dropped} events dropped");
    }
}

/// Somebody else takes every block that the program gives back, until it is stopped, and then leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_waits_while_others_fill_the_disk_and_goes_on_when_there_is_room() {
    let _turn = turn().await;
    if !may_mount(&tmpfs("64m")) {
        return;
    }
    let mut world = world_with_a_spool().await;
    world.submit(60_000, 1, 0).await;
    let mut worker = world.worker_on_a_disk(&tmpfs("64m"), None, &[]);
    until(&mut world, "the program writes", async |world| noted_so_far(world) > 1000).await;
    let (done, filler) = (Arc::new(AtomicBool::new(false)), spool_of(&world, &worker).join("filler"));
    let filling = carry::thread({
        let (done, filler) = (Arc::clone(&done), filler.clone());
        move || fill(&filler, &done)
    });
    // The run's log says so, or the global log, if the run's has no room for that.
    let spool = spool_of(&world, &worker);
    let waits = async |world: &mut World| world.worker_log().contains(WAITS) || a_log_says(&spool, WAITS);
    until(&mut world, "the program waits for room", waits).await;
    done.store(true, Ordering::Relaxed);
    filling.join().unwrap();
    fs::remove_file(filler).unwrap();
    all_are_over(&mut world, "a disk with room again").await;
    assert!(worker.stop(Signal::TERM).success());
    let dropped = check(&mut world, "a disk that others filled", 60_000).await;
    eprintln!("a disk that others filled: {dropped} events dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_read_only_spool_a_program_ends_as_ever_and_each_of_its_lines_is_in_the_global_log() {
    let _turn = turn().await;
    if !may_mount(&tmpfs("64m")) {
        return;
    }
    let mut world = world_with_a_spool().await;
    world.submit(300, 1, 0).await;
    let mut worker = world.worker_on_a_disk(&tmpfs("64m"), Some("claimed:1:stop"), &[]);
    until(&mut world, "the worker stops", async |_| worker.is_stopped()).await;
    remount(&world, &worker, "ro");
    worker.signal(Signal::CONT);
    all_are_over(&mut world, "a read-only spool").await;
    assert!(worker.stop(Signal::TERM).success());
    let [run] = &runs(&world).await[..] else { panic!("one run") };
    assert_eq!(run.log_state, LogState::Lost);
    assert_eq!(lines_in_global_log(&world), noted(&world, run));
    assert_eq!(noted(&world, run), (0..300).collect::<Vec<_>>());
}

async fn world_with_a_spool() -> World {
    let world = world().await;
    fs::create_dir(world.home().join("spool")).unwrap();
    world
}

async fn runs(world: &World) -> Vec<Run> {
    store::find(&world.db.pool, &RunFilter::default()).await.unwrap()
}

/// The one run wrote all `lines`, and each is in one place: in its log, or dropped there and in the global log.
/// Returns how many its log dropped.
async fn check(world: &mut World, about: &str, lines: u64) -> u64 {
    let [run] = &runs(world).await[..] else { panic!("{about}: one run") };
    let written = noted(world, run);
    assert_eq!(written.len() as u64, lines, "{about}: the program wrote everything");
    let archive = match Archive::of(world, run).await {
        Ok(archive) => archive,
        Err(complaint) => world.fail(&format!("{about}: {complaint}")),
    };
    let dropped = archive.tail["dropped"].as_u64().unwrap();
    let stored: Vec<u64> = archive.events().filter_map(|event| line_number(event.text("message"))).collect();
    let overflowed = lines_in_global_log(world);
    assert!(dropped >= overflowed.len() as u64, "{about}: {dropped} of {}", overflowed.len());
    let all: BTreeSet<u64> = stored.iter().chain(&overflowed).copied().collect();
    assert_eq!(all.len(), stored.len() + overflowed.len(), "{about}: a line is in both logs");
    assert_eq!(all, (0..lines).collect(), "{about}: lines are missing");
    dropped
}

/// Lines of programs in the workers' global log, but for the replay of an archive that fell back.
fn lines_in_global_log(world: &World) -> Vec<u64> {
    let log = world.worker_log();
    let lines = log.lines().filter(|line| !line.contains(" from="));
    let mut lines: Vec<u64> =
        lines.filter_map(|line| line_number(&line[line.find("  line ")? + 2..])).collect();
    lines.sort_unstable();
    lines
}

fn noted_so_far(world: &World) -> u64 {
    let files = fs::read_dir(world.acks()).unwrap().map(|entry| entry.unwrap().path());
    let notes = files.filter(|path| path.extension().is_some_and(|ending| ending == "lines"));
    notes.map(|path| fs::read_to_string(path).unwrap().lines().count() as u64).sum()
}

/// The spool, as it is in the namespace of the worker.
fn spool_of(world: &World, worker: &Worker) -> PathBuf {
    let spool = world.home().join("spool");
    format!("/proc/{}/root{}", worker.id(), spool.display()).into()
}

fn a_log_says(spool: &Path, text: &str) -> bool {
    let files = fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path());
    let mut logs = files.filter(|path| path.extension().is_some_and(|ending| ending == "open"));
    logs.any(|path| {
        fs::read(path).is_ok_and(|log| log.windows(text.len()).any(|part| part == text.as_bytes()))
    })
}

/// Takes all space of a disk, and what becomes free, until it is `done`.
fn fill(path: &Path, done: &AtomicBool) {
    let mut file = File::create(path).unwrap();
    let block = vec![0; 4096];
    while !done.load(Ordering::Relaxed) {
        if file.write_all(&block).is_err() {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}
