//! A spool on a disk that is full, read-only, or fails: the parse goes on, and what was lost is counted.
//!
//! The disk is mounted in the worker's own namespace, and disappears with it: a tmpfs, or an ext4 in a file
//! on a tmpfs, which only root may mount.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parselog::store::{self, LogState, Run, RunFilter, RunStatus};
use rustix::process::Signal;

use crate::oracle::{self, Counts, Losses};
use crate::support::PATIENCE;
use crate::support::skip::{needs_root, skip};
use crate::turn;
use crate::worker::Worker;
use crate::world::World;

/// An ext4 with options `$OPTIONS` in a file on a smaller tmpfs. Beyond 12 MiB it fails although ext4
/// believes to have room; a filler leaves room for `$LEFT` KiB.
const EXT4: &str = "
    PATH=$PATH:/usr/sbin:/sbin && disk=$1.disk && mkdir -p \"$disk\" &&
    mount -t tmpfs -o size=12m tmpfs \"$disk\" && truncate -s 64m \"$disk/image\" &&
    mkfs.ext4 -q $OPTIONS \"$disk/image\" && mount -o loop,errors=remount-ro \"$disk/image\" \"$1\" && sync &&
    free=$(df -k --output=avail \"$disk\" | tail -n 1) &&
    head -c $((free - LEFT))k /dev/zero > \"$disk/filler\"";

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_the_parse_goes_on_and_every_event_is_stored_or_counted() {
    let _turn = turn().await;
    if !may_mount(&tmpfs("64k")) {
        return;
    }
    for (size, slots, cap) in [
        ("1m", "3", "4GiB"),
        ("600k", "1", "4GiB"),
        ("1m", "1", "4GiB"),
        ("1m", "1", "900KiB"),
        ("64k", "2", "4GiB"),
    ] {
        let counts = with_a_disk_of(size, slots, cap).await;
        eprintln!("a disk of {size}, {slots} at once, cap {cap}: {counts:?}");
    }
}

async fn with_a_disk_of(size: &str, slots: &str, cap: &str) -> Counts {
    let mut world = world_with_a_spool().await;
    // Each of them is larger than the disk.
    for _ in 0..3 {
        world.submit(3000, 2, 0).await;
    }
    let environment = [("PARSELOG_SLOTS", slots), ("PARSELOG_LOG_CAP", cap)];
    let mut worker = world.worker_on_a_disk(&tmpfs(size), None, &environment);
    all_are_over(&mut world, size).await;
    assert!(worker.stop(Signal::TERM).success());
    let counts = oracle::check(&mut world, Losses::AnyCounted, &format!("a disk of {size}")).await;
    assert!(counts.dropped > 0, "the disk was not full: {counts:?}");
    if cap == "4GiB" {
        what_no_log_took_is_in_the_global_log(&world, &counts);
    }
    counts
}

/// Pages that were stored and that the disk refuses afterwards: all of a log can still be read, so it
/// is archived as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_log_for_good_costs_none_as_long_as_it_can_be_read() {
    let _turn = turn().await;
    let disk = ext4("-O ^has_journal", 300);
    if !may_mount(&disk) {
        return;
    }
    let mut world = world_with_a_spool().await;
    for _ in 0..3 {
        world.submit(2500, 1, 1000).await;
    }
    let mut worker = world.worker_on_a_disk(&disk, None, &[]);
    all_are_over(&mut world, "a disk that refuses pages").await;
    assert!(worker.stop(Signal::TERM).success());
    let refused = world.worker_log().matches("does not take the log for good").count();
    assert!(refused > 0, "the disk refused nothing: {}", world.worker_log());
    let counts = oracle::check(&mut world, Losses::None, "a disk that refuses pages").await;
    assert_eq!(counts.acknowledged_stored, counts.acknowledged);
    eprintln!("a disk that refused pages of {refused} logs: {counts:?}");
}

/// EIO for everything, from the middle of three runs on.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_disk_that_dies_in_mid_run_the_parse_goes_on_and_every_event_is_counted() {
    let _turn = turn().await;
    let disk = ext4("", 3000);
    if !may_mount(&disk) {
        return;
    }
    let mut world = world_with_a_spool().await;
    // So slowly that none of the first three has ended when the disk dies.
    for _ in 0..6 {
        world.submit(1000, 1, 3000).await;
    }
    let mut worker = world.worker_on_a_disk(&disk, None, &[]);
    for_so_many_events(&mut world, 300).await;
    die(&world, &worker);
    all_are_over(&mut world, "a dead disk").await;
    assert!(worker.stop(Signal::TERM).success(), "{}", world.worker_log());
    let counts = oracle::check(&mut world, Losses::AnyCounted, "a dead disk").await;
    assert!(counts.dropped >= counts.acknowledged - counts.acknowledged_stored, "{counts:?}");
    assert!(counts.without_log >= 3, "the disk was not dead: {counts:?}");
    runs_went_on_without_panic(&world);
    eprintln!("a disk that died: {counts:?}");
}

/// Read-only in the middle of three runs: the file system found an error and lets nobody write.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_disk_that_becomes_read_only_the_parse_goes_on_and_every_event_is_counted() {
    let _turn = turn().await;
    let disk = ext4("", 200);
    if !may_mount(&disk) {
        return;
    }
    let mut world = world_with_a_spool().await;
    for _ in 0..6 {
        world.submit(2500, 1, 1000).await;
    }
    let mut worker = world.worker_on_a_disk(&disk, None, &[]);
    all_are_over(&mut world, "a read-only disk").await;
    is_read_only(&worker);
    assert!(worker.stop(Signal::TERM).success(), "{}", world.worker_log());
    let counts = oracle::check(&mut world, Losses::AnyCounted, "a read-only disk").await;
    assert!(counts.dropped >= counts.acknowledged - counts.acknowledged_stored, "{counts:?}");
    assert!(counts.without_log > 0, "{counts:?}");
    every_log_that_was_opened_is_kept(&world).await;
    eprintln!("a disk that became read-only: {counts:?}");
}

/// Read-only, and the object store is down as well: the logs wait in the refuge, and outlive the process.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_store_down_too_the_logs_of_a_read_only_disk_outlive_the_process() {
    let _turn = turn().await;
    let disk = ext4("", 200);
    if !may_mount(&disk) {
        return;
    }
    let mut world = world_with_a_spool().await;
    for _ in 0..3 {
        world.submit(2500, 1, 1000).await;
    }
    world.block_archive();
    let mut worker = world.worker_on_a_disk(&disk, None, &[]);
    let waits = |run: &Run| run.status == RunStatus::Success && run.log_state == LogState::Fallback;
    until(&mut world, "all logs wait", async |world| runs(world).await.iter().all(waits)).await;
    is_read_only(&worker);
    every_log_that_was_opened_is_kept(&world).await;
    worker.stop(Signal::KILL);
    world.drain().await;
    let counts = oracle::check(&mut world, Losses::AnyCounted, "a read-only disk without a store").await;
    assert_eq!(counts.without_log, 0, "{counts:?}");
    eprintln!("a disk that became read-only while the store was down: {counts:?}");
}

/// Read-only when a run's log is about to be created, and well again later.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_finds_the_spool_read_only_has_no_log_and_the_next_one_has() {
    let _turn = turn().await;
    if !may_mount(&tmpfs("64m")) {
        return;
    }
    let mut world = world_with_a_spool().await;
    world.submit(200, 1, 0).await;
    let mut worker = world.worker_on_a_disk(&tmpfs("64m"), Some("claimed:1:stop"), &[]);
    until(&mut world, "the worker stops", async |_| worker.is_stopped()).await;
    remount(&world, &worker, "ro");
    worker.signal(Signal::CONT);
    all_are_over(&mut world, "a read-only spool").await;
    remount(&world, &worker, "rw");
    world.submit(200, 1, 0).await;
    all_are_over(&mut world, "a spool that is well again").await;
    assert!(worker.stop(Signal::TERM).success());
    let states: Vec<_> = runs(&world).await.iter().map(|run| run.log_state).collect();
    assert_eq!(states, [LogState::Archived, LogState::Lost], "the newest first");
    let counts = oracle::check(&mut world, Losses::AnyCounted, "a read-only spool").await;
    assert_eq!((counts.acknowledged, counts.acknowledged_stored, counts.without_log), (400, 200, 1));
    what_no_log_took_is_in_the_global_log(&world, &counts);
}

async fn world_with_a_spool() -> World {
    let world = World::in_folder().await;
    fs::create_dir(world.home().join("spool")).unwrap();
    world
}

async fn runs(world: &World) -> Vec<Run> {
    store::find(&world.db.pool, &RunFilter::default()).await.unwrap()
}

/// Waits until every run is a success of its first attempt, and its log is archived or given up.
pub(crate) async fn all_are_over(world: &mut World, about: &str) {
    let over =
        |run: &Run| run.finished_at.is_some() && matches!(run.log_state, LogState::Archived | LogState::Lost);
    until(world, about, async |world| runs(world).await.iter().all(over)).await;
    let runs = runs(world).await;
    assert!(runs.iter().all(|run| run.status == RunStatus::Success && run.attempt == 1), "{runs:?}");
}

async fn for_so_many_events(world: &mut World, many: u64) {
    let lines = |world: &World| -> u64 {
        let files = fs::read_dir(world.acks()).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| fs::read_to_string(path).unwrap().lines().count() as u64).sum()
    };
    until(world, "the runs log", async |world| lines(world) >= many).await;
}

pub(crate) async fn until(world: &mut World, what: &str, mut holds: impl AsyncFnMut(&mut World) -> bool) {
    let began = Instant::now();
    while !holds(world).await {
        if began.elapsed() > PATIENCE {
            let states: Vec<_> = runs(world)
                .await
                .into_iter()
                .map(|run| (run.status, run.log_state, run.archive_error))
                .collect();
            world.fail(&format!("never: {what}: {states:?}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A run has no log only where it found the disk read-only, and could open none.
async fn every_log_that_was_opened_is_kept(world: &World) {
    for run in runs(world).await.iter().filter(|run| run.log_state == LogState::Lost) {
        let why = run.archive_error.as_deref().unwrap_or_default();
        assert!(why.starts_with("the log could not be opened"), "{run:?}");
    }
    let log = world.worker_log();
    assert!(log.contains("the disk of the spool refuses the log") && !log.contains("panicked"), "{log}");
}

fn is_read_only(worker: &Worker) {
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", worker.id())).unwrap();
    let is_one = mounts.contains("emergency_ro") || mounts.contains(" ext4 ro,");
    assert!(is_one, "it can be written to: {mounts}");
}

/// Logs that were open when the disk failed were given up, and nothing worse happened.
fn runs_went_on_without_panic(world: &World) {
    let log = world.worker_log();
    assert!(log.contains("could not be completed") && !log.contains("panicked"), "{log}");
}

fn what_no_log_took_is_in_the_global_log(world: &World, counts: &Counts) {
    let log = world.worker_log();
    let events = log.lines().filter(|line| line.contains("acknowledged event"));
    let overflowed = events.filter(|line| !line.contains("from=")).count() as u64;
    assert_eq!(overflowed, counts.acknowledged - counts.acknowledged_stored, "{counts:?}");
}

pub(crate) fn tmpfs(size: &str) -> String {
    format!("mount -t tmpfs -o size={size} tmpfs \"$1\"")
}

fn ext4(options: &str, left: u64) -> String {
    EXT4.replace("$OPTIONS", options).replace("LEFT", &left.to_string())
}

/// A command in a mount namespace of its own, in which `mount`, a shell's text, has put a disk at
/// `folder`, its `$1`.
pub(crate) fn on_a_disk(folder: &Path, mount: &str, program: &str) -> Command {
    // Root needs no namespace of users, in which it could not reach the database's socket.
    let namespaces = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let script = format!("{mount} && shift && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args([namespaces, "sh", "-c", &script, "sh"]).arg(folder).arg(program);
    command
}

/// Whether this disk can be had here; an ext4 in a file is for root alone.
pub(crate) fn may_mount(disk: &str) -> bool {
    if disk.contains("mkfs") && needs_root("mount an ext4") {
        return false;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("mkdir \"$1\" && {disk}");
    let why = match on_a_disk(&folder.path().join("spool"), &mount, "true").output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    skip(&format!("such a disk may not be mounted here: {why}"));
    false
}

/// Remounts the worker's tmpfs, of which nobody has a file open, from within the worker's namespaces.
pub(crate) fn remount(world: &World, worker: &Worker, how: &str) {
    let mut command = Command::new("nsenter");
    if !rustix::process::geteuid().is_root() {
        command.args(["-U", "--preserve-credentials"]);
    }
    command.args(["-m", "-t", &worker.id().to_string()]);
    // Named in full: what `mount` looks up it gives to the kernel too, which takes it from root alone.
    command.args(["mount", "-t", "tmpfs", "-o", &format!("remount,{how}"), "tmpfs"]);
    assert!(command.arg(world.home().join("spool")).status().unwrap().success(), "remount {how}");
}

/// Shuts the worker's ext4 down, by the call made for such tests: from then on it answers everything with
/// EIO.
fn die(world: &World, worker: &Worker) {
    const SHUTDOWN: &str = "import fcntl, os, struct, sys\n\
        fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
    let spool = world.home().join("spool");
    let spool = format!("/proc/{}/root{}", worker.id(), spool.display());
    let status = Command::new("python3").args(["-c", SHUTDOWN, &spool]).stdin(Stdio::null()).status();
    assert!(status.unwrap().success(), "the disk does not die");
}
