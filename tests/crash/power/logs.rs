//! One log: what its calls promised, and what the real recovery makes of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use parselog::ids::LogId;
use parselog::record::LogEnding;
use parselog::recovery::close_dead;
use parselog::spool::{PROCESS_DIED, SealedLog, Spool};
use serde_json::Value;

/// The numbers of the events that a log still holds.
pub(super) type Retained = BTreeSet<u64>;

/// What was promised of the one log of a scenario.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    /// Its id, once it was made.
    pub(super) id: Option<LogId>,
    pub(super) cap: u64,
    /// What every event says, whether its call had returned or not.
    pub(super) emitted: Arc<Mutex<Vec<String>>>,
    /// The events up to this one are on the disk.
    pub(super) synced: u64,
    /// The log is complete, with these bytes.
    pub(super) sealed: Option<Vec<u8>>,
    /// Its warnings are in the global log.
    pub(super) is_marked: bool,
    /// It is in the object store, and may go.
    pub(super) is_archived: bool,
    /// Its beginning, which the object store has confirmed in parts.
    pub(super) up: Arc<Vec<u8>>,
}

/// The spool below a root, with its refuge.
pub(super) fn spool(root: &Path, cap: u64) -> Spool {
    Spool::open(&root.join("spool"), cap).unwrap().with_refuges([refuge(root)])
}

pub(super) fn refuge(root: &Path) -> PathBuf {
    root.join("other/refuge")
}

/// Does what the sweep does with a spool; path and bytes of every log that is there then.
fn recover(spool: &Spool, up: &[u8]) -> Result<BTreeMap<PathBuf, (LogId, Vec<u8>)>, String> {
    for entry in spool.list().map_err(|error| format!("the spool can't be listed: {error:#}"))? {
        if !entry.sealed {
            let closed = close_dead(spool, entry.log, None, LogEnding::Crash, PROCESS_DIED);
            let closed = closed.map_err(|error| format!("a log can't be recovered: {error:#}"))?;
            assert!(closed.is_some(), "nobody holds it");
        }
    }
    let mut logs = BTreeMap::new();
    for entry in spool.list().map_err(|error| format!("the spool can't be listed: {error:#}"))? {
        let log =
            spool.take_sealed(&entry, None).map_err(|error| format!("a log can't be read: {error:#}"))?;
        let log = log.ok_or("a log is left open")?;
        logs.insert(log.path().to_owned(), (entry.log, content(&log, up)?));
    }
    Ok(logs)
}

/// A complete log, with what it gave back as the object store has it.
pub(super) fn content(log: &SealedLog, up: &[u8]) -> Result<Vec<u8>, String> {
    let given = log.given_back().map_err(|error| format!("nobody knows how a log begins: {error}"))?;
    let mut bytes = fs::read(log.path()).unwrap();
    let given = given.map_or(0, |given| given.raw_bytes as usize);
    if given > up.len().min(bytes.len()) {
        return Err(format!("{given} bytes were given back, and {} are up", up.len()));
    }
    bytes[..given].copy_from_slice(&up[..given]);
    Ok(bytes)
}

/// A line as JSON. The same lines come again and again.
fn parsed(line: &str) -> Result<Arc<Value>, serde_json::Error> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Value>>>> = LazyLock::new(Mutex::default);
    if let Some(known) = KNOWN.lock().unwrap().get(line) {
        return Ok(Arc::clone(known));
    }
    let value = Arc::new(serde_json::from_str(line)?);
    KNOWN.lock().unwrap().insert(line.to_owned(), Arc::clone(&value));
    Ok(value)
}

impl Log {
    /// See [`super::promise::Promise::check`].
    pub(super) fn check(&self, root: &Path, whole: Option<&Retained>) -> Result<Retained, String> {
        let spool = spool(root, self.cap);
        let logs = recover(&spool, &self.up)?;
        let again = spool.list().map_err(|error| error.to_string())?;
        if again.iter().any(|entry| !entry.sealed || !logs.contains_key(&entry.path))
            || again.len() != logs.len()
        {
            return Err(format!("a second recovery finds something else: {again:?}"));
        }
        if logs.len() > 1 {
            return Err(format!("one log became several: {:?}", logs.keys()));
        }
        let Some((path, (log, bytes))) = logs.into_iter().next() else {
            let is_due = self.id.is_some() && !self.is_archived;
            return if is_due { Err("the log is gone".to_owned()) } else { Ok(Retained::new()) };
        };
        let held = self.read(&bytes)?;
        if self.id.is_some_and(|promised| promised != log) {
            return Err(format!("it is log {log}"));
        }
        if self.is_marked && !self.is_archived && !path.with_extension("fellback").exists() {
            return Err("its warnings would be said twice".to_owned());
        }
        if let Some(sealed) = &self.sealed
            && *sealed != bytes
        {
            return Err(format!("a complete log changed: {}", String::from_utf8_lossy(&bytes)));
        }
        // Past its cap a log lets go of events by itself; those a killed process would leave are due.
        let due = whole.into_iter().flatten().filter(|seq| **seq <= self.synced);
        let lost: Vec<_> = due.filter(|seq| !held.contains(seq)).collect();
        if !lost.is_empty() {
            return Err(format!("events were on the disk and are lost: {lost:?} of {}", self.synced));
        }
        Ok(held)
    }

    /// Reads a log by other means than the project's own.
    fn read(&self, bytes: &[u8]) -> Result<Retained, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let lines = text.lines().map(parsed).collect::<Result<Vec<_>, _>>();
        let lines = lines.map_err(|error| format!("no JSON: {error} in {text}"))?;
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
            return Err("it is empty".to_owned());
        };
        if first.get("head").is_none() || last.get("tail").is_none() || !text.ends_with('\n') {
            return Err(format!("it has no head or no tail: {text}"));
        }
        let emitted = self.emitted.lock().unwrap();
        let mut held = Retained::new();
        let mut is_cut = false;
        for line in &lines[1..lines.len() - 1] {
            is_cut |= line.get("cut").is_some();
            let Some(seq) = line["seq"].as_u64().filter(|seq| *seq > 0) else { continue };
            if line["message"].as_str() != emitted.get(seq as usize - 1).map(String::as_str) {
                return Err(format!("event {seq} was never emitted like that: {line}"));
            }
            if held.last().is_some_and(|last| *last >= seq) {
                return Err(format!("event {seq} stands behind {:?}", held.last()));
            }
            held.insert(seq);
        }
        let tail = &last["tail"];
        let counted: u64 = tail["events"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        let highest = held.last().copied().unwrap_or(0);
        let missing = highest - held.len() as u64;
        let dropped = tail["dropped"].as_u64().unwrap_or(0);
        if counted != held.len() as u64 || dropped < missing {
            return Err(format!("{counted} events and {dropped} dropped, of {held:?}"));
        }
        if missing > 0 && !is_cut {
            return Err(format!("events are missing in the middle: {held:?}"));
        }
        Ok(held)
    }
}
