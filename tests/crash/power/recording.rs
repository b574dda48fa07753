//! A recording of one scenario: the disk before and after every sync and at every named point, and what was
//! promised by then.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex};

use parselog::faults::{self, FaultStep, SyncAnswer};

use super::logs::Retained;
use super::losses;
use super::platter::{Platter, Tree};
use super::promise::Promise;
use super::scratch::Scratch;
use crate::rng::Rng;

/// Points that each event passes: every so many times is enough.
const EVENT_POINTS: [&str; 3] = ["event-begun", "half-written", "event-stored"];
const EACH: u64 = 29;

/// A moment at which the power may fail.
pub(super) struct Moment {
    pub(super) at: String,
    pub(super) platter: Platter,
    promise: Promise,
}

/// Plays the disk while a scenario runs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Recorder(Arc<Mutex<State>>);

struct State {
    platter: Platter,
    promise: Promise,
    moments: Vec<Moment>,
    syncs: HashSet<&'static str>,
    left_out: Option<&'static str>,
    refused: Option<&'static str>,
    events: u64,
}

/// What was recorded.
pub(super) struct Recording {
    pub(super) moments: Vec<Moment>,
    /// The names of all syncs that were asked for.
    pub(super) syncs: HashSet<&'static str>,
    left_out: Option<&'static str>,
}

/// Records what `scenario` does to a disk. The sync `left_out` is never done, though its caller believes so.
pub(super) fn record(
    platter: Platter,
    promise: Promise,
    left_out: Option<&'static str>,
    scenario: impl FnOnce(&Recorder),
) -> Recording {
    let (moments, syncs) = (Vec::new(), HashSet::new());
    let state = State { platter, promise, moments, syncs, left_out, refused: None, events: 0 };
    let recorder = Recorder(Arc::new(Mutex::new(state)));
    let told = recorder.clone();
    faults::observe(Some(Arc::new(move |step| told.0.lock().unwrap().step(&step))));
    scenario(&recorder);
    recorder.0.lock().unwrap().moment("the end");
    // What is looked at now needs no sync: it has one disk, and that loses nothing.
    faults::observe(Some(Arc::new(|_| SyncAnswer::Pretended)));
    let mut state = recorder.0.lock().unwrap();
    let moments = std::mem::take(&mut state.moments);
    Recording { moments, syncs: std::mem::take(&mut state.syncs), left_out }
}

impl Recorder {
    /// Changes what is promised from now on.
    pub(super) fn promise(&self, change: impl FnOnce(&mut Promise)) {
        change(&mut self.0.lock().unwrap().promise);
    }

    /// What came before is looked at in another scenario.
    pub(super) fn begin_here(&self) {
        self.0.lock().unwrap().moments.clear();
    }

    /// From now on the disk refuses the sync of this name.
    pub(super) fn refuse(&self, name: Option<&'static str>) {
        self.0.lock().unwrap().refused = name;
    }
}

impl State {
    fn step(&mut self, step: &FaultStep<'_>) -> SyncAnswer {
        match step {
            FaultStep::Point(name) if EVENT_POINTS.contains(name) => {
                self.events += 1;
                if self.events.is_multiple_of(EACH) {
                    self.moment(name);
                }
            }
            FaultStep::Point(name) => self.moment(name),
            FaultStep::Sync(name, file) => {
                self.syncs.insert(name);
                self.moment(&format!("before the sync '{name}'"));
                if self.refused == Some(name) {
                    return SyncAnswer::Refused;
                }
                if self.left_out != Some(name) {
                    self.platter.sync(file);
                }
                self.moment(&format!("after the sync '{name}'"));
            }
        }
        SyncAnswer::Pretended
    }

    fn moment(&mut self, at: &str) {
        self.platter.look();
        let moment =
            Moment { at: at.to_owned(), platter: self.platter.clone(), promise: self.promise.clone() };
        self.moments.push(moment);
    }
}

impl Moment {
    fn fingerprint(&self, tree: &Tree, whole: &Option<Retained>) -> u64 {
        let mut hasher = DefaultHasher::new();
        (tree, whole, format!("{:?}", self.promise.fingerprint())).hash(&mut hasher);
        hasher.finish()
    }
}

impl Recording {
    /// Lets the power fail at each moment in each way; returns how many losses were tried.
    pub(super) fn check(&self, scratch: &Scratch, seed: u64) -> Result<u64, String> {
        let mut rng = Rng::new(seed);
        let mut tried = HashSet::new();
        // What is left out can't be missed before it was asked for.
        let first = self.left_out.map(|name| format!("before the sync '{name}'"));
        let from = self.moments.iter().position(|moment| Some(&moment.at) == first.as_ref());
        for (number, moment) in self.moments.iter().enumerate().skip(from.unwrap_or(0)) {
            let mut whole = None;
            for (loss, tree) in losses::of(&moment.platter, &mut rng).iter().enumerate() {
                // The same disk with the same promises gives the same again.
                if whole.is_some() && !tried.insert(moment.fingerprint(tree, &whole)) {
                    continue;
                }
                let root = scratch.folder();
                tree.write(&root);
                match moment.promise.check(&root, whole.as_ref()) {
                    Ok(found) => drop(whole.get_or_insert(found)),
                    Err(complaint) => {
                        let at = &moment.at;
                        return Err(format!(
                            "{complaint} (moment {number}, {at}; loss {loss}; {})",
                            root.display()
                        ));
                    }
                }
                scratch.remove(&root);
            }
        }
        Ok(tried.len() as u64)
    }
}

/// The disk as the scenario's processes left it when they were killed at a moment, under a root of its own.
pub(super) fn killed_at(moment: &Moment, root: &Path) -> (Platter, Promise) {
    (moment.platter.copy_to(root), moment.promise.clone())
}
