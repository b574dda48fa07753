//! A kill at every named point between claim and delete.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::TURN;
use crate::oracle::{self, Counts, Losses};
use crate::world::World;

/// How long a worker may take to come to a point.
const PATIENCE: Duration = Duration::from_secs(30);

/// A log cap that a parse of 400 events passes several times over.
pub(crate) const SMALL_CAP: (&str, &str) = ("PARSELOG_LOG_CAP", "48KiB");
pub(crate) const SMALL_CAP_BYTES: u64 = 48 * 1024;

/// What must happen before a worker comes to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// An ordinary run.
    Run,
    /// A log that passes its cap.
    Capped,
    /// A worker that died in mid-parse before.
    Crashed,
    /// A worker that died in mid-parse after its log passed its cap.
    CrashedCapped,
    /// An object store that is down.
    StoreDown,
    /// An upload in parts.
    Parts,
}

impl Way {
    /// The ways on which a worker comes to a point; the first is enough to come there.
    pub(crate) fn to(point: &str) -> &'static [Self] {
        match point {
            "segment-created" | "segment-cleared" | "errors-moved" | "cut-written" | "cut-copied" => {
                &[Self::Capped]
            }
            "recover-copied" => &[Self::CrashedCapped],
            "recovered" | "crash-on-row" => &[Self::Crashed],
            "fallback-on-row" | "fallback-marked" | "replayed" => &[Self::StoreDown],
            "upload-begun" | "parts-uploaded" => &[Self::Parts],
            "renamed" => &[Self::Run, Self::Capped, Self::Crashed, Self::CrashedCapped],
            "tail-written" | "sealed-before-rename" | "sealed" => &[Self::Run, Self::Capped],
            "before-remove" | "archive-removed" | "mark-removed" | "after-row" => {
                &[Self::Run, Self::Capped, Self::Crashed, Self::Parts]
            }
            _ if point.starts_with("recover-") => &[Self::Crashed, Self::CrashedCapped],
            _ => &[Self::Run],
        }
    }
}

/// Every point that the source names.
pub(crate) fn all() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    assert!(names.len() > 20, "the source was not read");
    names
}

fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let calls = text.split("faults::point(\"").skip(1);
            names.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_named_point_loses_nothing() {
    let _turn = TURN.lock().await;
    let only = std::env::var("PARSELOG_POINT").ok();
    let mut folder = World::in_folder().await;
    let mut s3 = World::in_s3().await;
    let mut counts = Counts::default();
    let mut names = all();
    names.retain(|point| only.as_ref().is_none_or(|only| only == point));
    let kills: Vec<(&str, Way)> =
        names.iter().flat_map(|name| Way::to(name).iter().map(|way| (name.as_str(), *way))).collect();
    for (point, way) in &kills {
        let world = if *way == Way::Parts { &mut s3 } else { &mut folder };
        let began = Instant::now();
        kill_at(world, point, *way).await;
        world.look_at_the_wreck(point).await;
        world.drain().await;
        counts = oracle::check(world, Losses::None, &format!("killed at {point}, {way:?}")).await;
        eprintln!("killed at {point:24} {:16} {:5} ms", format!("{way:?}"), began.elapsed().as_millis());
    }
    eprintln!("oracle clean after {} kills at {} points; {counts:?}", kills.len(), names.len());
}

async fn kill_at(world: &mut World, point: &str, way: Way) {
    world.submit(200, 2, 50).await;
    let cap: &[_] = if matches!(way, Way::Capped | Way::CrashedCapped) { &[SMALL_CAP] } else { &[] };
    if matches!(way, Way::Crashed | Way::CrashedCapped) {
        let mut worker = world.worker(Some("acknowledged:350"), cap);
        assert!(worker.dies_within(PATIENCE).await, "no crash to recover from");
    }
    if way == Way::StoreDown {
        world.block_archive();
    }
    let mut worker = world.worker(Some(point), cap);
    if !worker.dies_within(PATIENCE).await {
        world.fail(&format!("no worker came to the point {point}"));
    }
}
