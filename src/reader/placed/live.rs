//! The records of a stream after a place, first those that are there, then each as it comes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::Utc;
use tokio::runtime::Handle;

use super::super::ranged::Ranged;
use super::segment::{SpooledSegments, time};
use super::{PlacedLine, PlacedStream, StreamPlace};
use crate::carry::{self, Blocking};
use crate::ids::LogId;
use crate::reader::Selection;
use crate::spool::{BackReader, TailReader};
use crate::store::segment::{self, ArchivedSegment};
use crate::system::System;

/// How often to look for more.
const TICK: Duration = Duration::from_millis(50);

/// A record of another process may become visible so much later than its time says.
const SETTLING: Duration = Duration::from_millis(10);

/// Bytes of a segment to read at once, and of lines to hand on at once.
const AT_ONCE: usize = 64 << 10;

/// How long one look takes at most, and all that are made for one part of a stream.
const LOOK: Duration = Duration::from_secs(1);
const LOOKING: Duration = Duration::from_secs(3);

/// Follows the stream of a service, without an end. Whoever gives up waiting may wait again.
pub struct PlacedFollower {
    /// `None` while its blocking part works.
    merge: Option<Merge>,
    /// That part, which goes on if nobody waits for it.
    step: Option<Blocking<MergeStep>>,
}

/// One look, and what was there.
type MergeStep = Result<(Merge, Vec<PlacedLine>)>;

/// The records behind a place that are there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamNext {
    /// In order.
    pub lines: Vec<PlacedLine>,
    /// How far it looked: what comes next is behind there.
    pub looked_to: StreamPlace,
    /// Whether there are no more for now.
    pub is_latest: bool,
}

/// Merges segments by the places of their records.
struct Merge {
    system: System,
    after: StreamPlace,
    /// Whether the last look ended since nothing more was there.
    is_latest: bool,
    selection: Selection,
    spooled: SpooledSegments,
    /// Archived segments that are not open yet, the one that begins first in front.
    archived: VecDeque<ArchivedSegment>,
    sources: Vec<PlacedSource>,
    runtime: Handle,
}

/// A segment, and the lines of it that come next.
struct PlacedSource {
    log: LogId,
    more: More,
    lines: VecDeque<PlacedLine>,
}

enum More {
    Spooled(TailReader),
    Archived { archive: Box<Ranged>, members: std::ops::Range<usize> },
}

impl PlacedStream {
    /// Follows it from a place on, or from now on. Of the selection only the conditions on single lines count.
    ///
    /// # Errors
    /// The database fails.
    pub async fn follow(&self, after: Option<StreamPlace>, selection: Selection) -> Result<PlacedFollower> {
        let after = after.unwrap_or_else(|| StreamPlace::before_time(Utc::now().timestamp_micros()));
        let mut merge = Merge {
            system: self.system.clone(),
            after,
            is_latest: false,
            selection,
            spooled: SpooledSegments::new(self.system.spool.clone(), self.service.clone()),
            archived: VecDeque::new(),
            sources: Vec::new(),
            runtime: Handle::current(),
        };
        // Those in the spool first: what is archived in between is in both, and in none it can't be.
        let read = carry::spawn_blocking(move || merge.open_spooled().map(|()| merge));
        let mut merge = read.await.context("reading panicked")??;
        let archived =
            segment::since(&self.system.pool, &self.service, time(after.micros)).await?.into_iter();
        let is_open = |segment: &ArchivedSegment| merge.sources.iter().any(|source| source.log == segment.id);
        merge.archived = archived.filter(|segment| !is_open(segment)).collect();
        Ok(PlacedFollower { merge: Some(merge), step: None })
    }

    /// The records behind a place, as far as they are there: `limit` at most, and fewer if those that are selected are
    /// rare. Of the selection only the conditions on single lines count.
    ///
    /// # Errors
    /// The spool, the database or the object store fails.
    pub async fn after(&self, after: StreamPlace, limit: usize, selection: Selection) -> Result<StreamNext> {
        let began = Instant::now();
        let mut follower = self.follow(Some(after), selection).await?;
        let (mut lines, mut looked_to, mut is_latest) = (Vec::new(), after, false);
        while lines.len() < limit && !is_latest && began.elapsed() < LOOKING {
            lines.extend(follower.step().await?);
            if let Some(merge) = &follower.merge {
                (looked_to, is_latest) = (merge.after, merge.is_latest);
            }
        }
        if lines.len() > limit {
            lines.truncate(limit);
            is_latest = false;
        }
        if let Some(last) = lines.last().filter(|_| lines.len() == limit && !is_latest) {
            looked_to = last.place;
        }
        Ok(StreamNext { lines, looked_to, is_latest })
    }
}

impl PlacedFollower {
    /// Waits for the next records, in order.
    ///
    /// # Errors
    /// The spool or the object store fails; nothing can be read any more.
    pub async fn next(&mut self) -> Result<Vec<PlacedLine>> {
        loop {
            let lines = self.step().await?;
            if !lines.is_empty() {
                return Ok(lines);
            }
            if self.merge.as_ref().is_none_or(|merge| merge.is_latest) {
                tokio::time::sleep(TICK).await;
            }
        }
    }

    /// The next records that are there.
    async fn step(&mut self) -> Result<Vec<PlacedLine>> {
        let step = match &mut self.step {
            Some(step) => step,
            none => {
                let mut merge = self.merge.take().context("the stream can't be read any more")?;
                none.insert(carry::spawn_blocking(move || merge.step().map(|lines| (merge, lines))))
            }
        };
        let done = step.await;
        self.step = None;
        let (merge, lines) = done.context("reading panicked")??;
        self.merge = Some(merge);
        Ok(lines)
    }
}

impl Merge {
    /// Opens the segments that are new in the spool.
    fn open_spooled(&mut self) -> Result<()> {
        for (log, file) in self.spooled.news()? {
            let begin = BackReader::new(Arc::clone(&file))?.begin_at(self.after.micros)?;
            let more = More::Spooled(TailReader::new(file, begin));
            self.sources.push(PlacedSource { log, more, lines: VecDeque::new() });
        }
        Ok(())
    }

    /// The next records that are there.
    fn step(&mut self) -> Result<Vec<PlacedLine>> {
        // All records up to this time are visible in the files that are read after it.
        let settled = (Utc::now() - SETTLING).timestamp_micros();
        self.open_spooled()?;
        let (mut lines, mut bytes, began) = (Vec::new(), 0, Instant::now());
        self.is_latest = false;
        while bytes < AT_ONCE && began.elapsed() < LOOK {
            for source in &mut self.sources {
                source.fill(&self.runtime)?;
            }
            self.sources.retain(|source| !source.is_over(&self.spooled));
            let earliest = self.sources.iter_mut().filter(|source| !source.lines.is_empty());
            let earliest = earliest.min_by_key(|source| source.lines[0].place);
            let next = earliest.as_ref().map_or(settled, |source| source.lines[0].place.micros);
            if let Some(segment) =
                self.archived.pop_front_if(|segment| segment.first_at.timestamp_micros() <= next)
            {
                self.open_archived(&segment)?;
                continue;
            }
            let Some(line) =
                earliest.and_then(|source| source.lines.pop_front_if(|line| line.place.micros <= settled))
            else {
                self.is_latest = true;
                break;
            };
            if line.place > self.after {
                self.after = line.place;
                if self.selection.wants(&line.line) {
                    bytes += line.line.len();
                    lines.push(line);
                }
            }
        }
        Ok(lines)
    }

    fn open_archived(&mut self, segment: &ArchivedSegment) -> Result<()> {
        let archive = Box::new(self.runtime.block_on(segment.open(&self.system.objects))?);
        let members = archive.index().members_since(self.after.micros);
        let more = More::Archived { archive, members };
        self.sources.push(PlacedSource { log: segment.id, more, lines: VecDeque::new() });
        Ok(())
    }
}

impl PlacedSource {
    /// Reads more lines, if none are left and more are there.
    fn fill(&mut self, runtime: &Handle) -> Result<()> {
        while self.lines.is_empty() {
            let bytes = match &mut self.more {
                More::Spooled(tail) => {
                    tail.lines(AT_ONCE).context("failed to read a segment in the spool")?
                }
                More::Archived { archive, members } if members.start < members.end => {
                    let bytes = runtime.block_on(archive.member(members.clone()))?;
                    members.start += 1;
                    bytes
                }
                More::Archived { .. } => return Ok(()),
            };
            if bytes.is_empty() {
                return Ok(());
            }
            let lines = bytes.split_inclusive(|byte| *byte == b'\n');
            self.lines.extend(lines.filter_map(|line| PlacedLine::of(self.log, line)));
        }
        Ok(())
    }

    /// Whether nothing more comes: it is read to its end, and nobody writes to it any more.
    fn is_over(&self, spooled: &SpooledSegments) -> bool {
        let is_written = match &self.more {
            More::Spooled(_) => spooled.has(self.log),
            More::Archived { members, .. } => !members.is_empty(),
        };
        self.lines.is_empty() && !is_written
    }
}
