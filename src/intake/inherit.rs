//! What dead processes had stored of connections that a collector decodes again.
//!
//! A collector notes how far it decoded a connection, a little behind what it stored. So after a kill it decodes
//! the last records again; the lines of the segments that the dead process had open say which of them are stored.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result};

use super::Streams;
use crate::record::{Arrival, LogEnding};
use crate::spool::{AbandonedLog, MissingEvents, PROCESS_DIED, SpooledLog, TailReader};
use crate::{carry, faults};

/// Bytes of a segment to read at once.
const AT_ONCE: usize = 1 << 20;

/// The open segments of dead processes, which nobody else can take.
#[must_use = "dropped, it leaves them to whoever comes next"]
pub struct Inheritance {
    streams: Streams,
    segments: Vec<AbandonedLog>,
}

impl Streams {
    /// Takes the segments that dead processes left in the spool. From now on, [`Self::store`] passes over a
    /// record that one of them has, and [`Self::keep`] closes those of processes that die later.
    ///
    /// Call it as the collector of the spool, before you decode a connection, while no other process of this
    /// collector stores.
    ///
    /// # Errors
    /// The spool or a segment can't be read.
    pub fn inherit(&self) -> Result<Inheritance> {
        carry::may_block();
        let spool = self.0.system.spool.clone();
        let mut segments = Vec::new();
        for entry in spool.list()?.into_iter().filter(|entry| !entry.sealed) {
            let head = spool.head_of(&entry);
            let Some(service) = head.as_ref().and_then(|head| head.subject.service()) else { continue };
            if let Some(segment) = spool.take_abandoned(&entry, None)? {
                let positions = positions(&entry).context("failed to read a segment of a dead process")?;
                self.0.stream(service.as_str()).inherit(positions);
                segments.push(segment);
            }
        }
        self.0.is_collector.store(true, Ordering::Relaxed);
        Ok(Inheritance { streams: self.clone(), segments })
    }
}

impl Inheritance {
    /// Closes the segments, once everything that the dead processes had received is decoded, and noted as such.
    /// Returns their number; recovery archives them.
    ///
    /// # Errors
    /// The disk refuses; the others are closed all the same.
    pub fn close(self) -> Result<u64> {
        carry::may_block();
        let (mut closed, mut result) = (0, Ok(()));
        // Nobody decodes what they have again.
        self.streams.0.all().iter().for_each(|stream| stream.disinherit());
        for segment in self.segments {
            faults::point("stream-inherited");
            match self.streams.0.system.spool.close_abandoned(
                segment,
                MissingEvents::default(),
                LogEnding::Crash,
                PROCESS_DIED,
            ) {
                Ok(_) => closed += 1,
                Err(error) => result = Err(error),
            }
        }
        result.map(|()| closed)
    }
}

/// By connection: the byte up to which a segment has it.
fn positions(entry: &SpooledLog) -> io::Result<HashMap<u64, u64>> {
    let mut tail = TailReader::new(Arc::new(File::open(&entry.path)?), 0);
    let mut positions = HashMap::new();
    loop {
        let lines = tail.lines(AT_ONCE)?;
        if lines.is_empty() {
            return Ok(positions);
        }
        let mut rest = &lines[..];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line;
            (line, rest) = rest.split_at(end + 1);
            if let Some(from) = Arrival::of_line(line) {
                let end = positions.entry(from.connection).or_default();
                *end = from.end.max(*end);
            }
        }
    }
}
