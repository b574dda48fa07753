//! Follows a stream: what is stored in the spool of this machine, and of other machines each segment once it is
//! archived.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::follow::{AT_ONCE, TICK};
use super::stream::is_frame;
use super::{Selection, StreamSource};
use crate::carry;
use crate::ids::{LogId, ServiceName};
use crate::record::{Record, seq_of, timestamp_of};
use crate::spool::{Spool, TailReader};
use crate::system::System;

/// How often to ask for segments of other machines.
const ASK: Duration = Duration::from_secs(2);

/// Follows one stream, which has no end.
pub struct StreamFollower {
    system: System,
    service: ServiceName,
    selection: Selection,
    /// What other machines archive counts from here on.
    since: DateTime<Utc>,
    asked: Instant,
    /// Segments that are read from their files as they grow.
    growing: HashMap<LogId, TailReader>,
    /// Logs that are not to be read: of others, or read to their end.
    known: HashSet<LogId>,
}

impl StreamFollower {
    /// Follows a stream behind what `source` has. Of the selection only the conditions on single lines count.
    pub fn behind(source: &StreamSource, system: System, service: ServiceName, selection: Selection) -> Self {
        let (mut growing, mut known) = (HashMap::new(), HashSet::new());
        for (log, place) in source.places() {
            match place {
                Some((file, end)) => drop(growing.insert(log, TailReader::new(Arc::clone(file), end))),
                None => drop(known.insert(log)),
            }
        }
        let since = selection.since.unwrap_or_else(Utc::now);
        let selection = Selection { since: None, head: None, tail: None, ..selection };
        Self { system, service, selection, since, asked: Instant::now(), growing, known }
    }

    /// Waits for more of the stream: whole lines, newline included.
    ///
    /// # Errors
    /// The spool, the database or the object store fails.
    pub async fn next(&mut self) -> Result<Vec<Vec<u8>>> {
        loop {
            let mut lines = self.spooled().await?;
            if self.asked.elapsed() >= ASK {
                lines.append(&mut self.archived().await?);
                self.asked = Instant::now();
            }
            if !lines.is_empty() {
                return Ok(lines);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// What was stored in the spool since the last time, by time.
    async fn spooled(&mut self) -> Result<Vec<Vec<u8>>> {
        let (spool, service) = (self.system.spool.clone(), self.service.clone());
        let (growing, known) = (std::mem::take(&mut self.growing), std::mem::take(&mut self.known));
        let read = carry::spawn_blocking(move || read(&spool, &service, growing, known));
        let mut lines;
        (self.growing, self.known, lines) = read.await.context("reading panicked")??;
        lines.retain(|line| !is_frame(line) && self.selection.wants(line));
        Ok(lines)
    }

    /// What came into the object store since the last time and was never in this spool.
    async fn archived(&mut self) -> Result<Vec<Vec<u8>>> {
        let selection = Selection { since: Some(self.since), ..self.selection.clone() };
        let mut source = StreamSource::find(&self.system, &self.service, &selection).await?;
        source.keep_archived(|log| !self.known.contains(&log) && !self.growing.contains_key(&log));
        self.known.extend(source.places().map(|(log, _)| log));
        let (sender, lines) = mpsc::channel();
        let each = move |line: &[u8]| sender.send(line.to_owned()).map_err(io::Error::other);
        source.read(&self.system.objects, selection, each).await?;
        Ok(lines.into_iter().collect())
    }
}

/// The segments of a stream that still grow, the logs that are not to be read, and the lines that came.
type Grown = (HashMap<LogId, TailReader>, HashSet<LogId>, Vec<Vec<u8>>);

/// Reads what the segments of a stream got, and looks for new ones.
fn read(
    spool: &Spool,
    service: &ServiceName,
    mut growing: HashMap<LogId, TailReader>,
    mut known: HashSet<LogId>,
) -> Result<Grown> {
    for entry in spool.list()? {
        if known.contains(&entry.log) || growing.contains_key(&entry.log) {
            continue;
        }
        let is_its = spool.head_of(&entry).is_some_and(|head| head.subject.service() == Some(service));
        match spool.read(&entry) {
            Some(file) if is_its => drop(growing.insert(entry.log, TailReader::new(Arc::new(file), 0))),
            Some(_) => drop(known.insert(entry.log)),
            // Archived meanwhile, so it comes from there.
            None => {}
        }
    }
    let mut lines = Vec::new();
    let mut ended = Vec::new();
    for (log, tail) in &mut growing {
        let read = tail.lines(AT_ONCE).context("failed to read a segment in the spool")?;
        lines.extend(read.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_owned));
        if lines.last().is_some_and(|line| is_tail(line)) {
            ended.push(*log);
        }
    }
    for log in ended {
        growing.remove(&log);
        known.insert(log);
    }
    lines.sort_by_key(|line| timestamp_of(line));
    Ok((growing, known, lines))
}

fn is_tail(line: &[u8]) -> bool {
    seq_of(line) == Some(0) && Record::decode(line).is_some_and(|record| record.tail.is_some())
}
