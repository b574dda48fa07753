//! Reading a stream: its segments in order, wherever they are, as if they were one log.
//!
//! Segments of several processes may overlap; their lines are merged by time. Head and tail of a segment are no
//! part of the stream, unless the tail says that a process died.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};

use super::ranged::Meter;
use super::{BUFFER, Cost, LogLines, LogSource, Selection, select, spooled};
use crate::carry;
use crate::clock;
use crate::ids::{LogId, ServiceName};
use crate::objects::Objects;
use crate::record::{LogEnding, Record, seq_of, timestamp_of};
use crate::store::{self, LogState};
use crate::system::System;

/// Lines of a segment that are not of its stream: head and tail.
const FRAMES: u64 = 2;

/// The segments of a stream that a selection can touch, as they are now.
pub struct StreamSource {
    segments: Vec<SegmentSource>,
    elsewhere: Vec<ElsewhereSegment>,
}

/// A segment that can be read from here.
struct SegmentSource {
    log: LogId,
    first_at: DateTime<Utc>,
    /// `None` while it may grow.
    last_at: Option<DateTime<Utc>>,
    source: LogSource,
    /// Bytes of it that are there, where it is in the spool.
    end: u64,
}

/// A segment in the spool of another machine, or one that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElsewhereSegment {
    pub state: LogState,
    /// The process that has it.
    pub worker: Option<String>,
    pub first_at: Option<DateTime<Utc>>,
}

impl fmt::Display for ElsewhereSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, worker, first_at } = self;
        write!(f, "a segment is missing here: it is {state}")?;
        if let Some(worker) = worker {
            write!(f, " in the spool of {worker}")?;
        }
        match first_at {
            Some(first_at) => {
                write!(f, ", with records from {} on", clock::exact_moment(*first_at))
            }
            None => Ok(()),
        }
    }
}

impl StreamSource {
    /// Finds the segments of a stream that the selection can touch.
    ///
    /// # Errors
    /// The database or the spool fails.
    pub async fn find(system: &System, service: &ServiceName, selection: &Selection) -> Result<Self> {
        // The spool first: what is archived in between has its row by then.
        let mut segments = spooled(system, service).await?;
        let (since, until) = (selection.since, selection.until);
        let mut elsewhere = Vec::new();
        for row in store::stream::segments(&system.pool, service.as_str(), since, until).await? {
            if segments.iter().any(|segment| segment.log == row.id) {
                continue;
            }
            let first_at = row.first_at.unwrap_or_default();
            match (&row.uri, row.raw_bytes) {
                (Some(uri), Some(raw_bytes)) => {
                    let uri = uri.parse().context("the row's log URI can't be read")?;
                    let source = LogSource::Archive { uri, raw_bytes: raw_bytes.cast_unsigned() };
                    segments.push(SegmentSource {
                        log: row.id,
                        first_at,
                        last_at: row.last_at,
                        source,
                        end: 0,
                    });
                }
                _ => elsewhere.push(ElsewhereSegment {
                    state: row.state,
                    worker: row.worker,
                    first_at: row.first_at,
                }),
            }
        }
        segments.sort_by_key(|segment| (segment.first_at, segment.log));
        Ok(Self { segments, elsewhere })
    }

    /// The segments that can't be read from here.
    pub fn elsewhere(&self) -> &[ElsewhereSegment] {
        &self.elsewhere
    }

    /// The segments that can be read from here, each with its file and its end where it is in the spool.
    pub(super) fn places(&self) -> impl Iterator<Item = (LogId, Option<(&Arc<File>, u64)>)> {
        self.segments.iter().map(|segment| match &segment.source {
            LogSource::Spool(file) => (segment.log, Some((file, segment.end))),
            LogSource::Archive { .. } | LogSource::Elsewhere(_) => (segment.log, None),
        })
    }

    /// Leaves out what is in the spool, and logs that `keeps` does not name.
    pub(super) fn keep_archived(&mut self, keeps: impl Fn(LogId) -> bool) {
        self.segments
            .retain(|segment| matches!(segment.source, LogSource::Archive { .. }) && keeps(segment.log));
    }

    /// Calls `each` with the selected lines, newline included, oldest first; returns the cost. For the last lines
    /// it reads segment by segment from the end.
    ///
    /// # Errors
    /// A segment can't be read, is damaged, or `each` fails.
    pub async fn read(
        &self,
        objects: &Objects,
        selection: Selection,
        mut each: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> Result<Cost> {
        let meter = Arc::default();
        let groups = groups(&self.segments);
        if let Some(most) = selection.tail {
            let (mut left, mut ends) = (most, Vec::new());
            for group in groups.into_iter().rev() {
                if left == 0 {
                    break;
                }
                let part = Selection { tail: Some(left), ..selection.clone() };
                let lines = self.open(group, objects, &part, &meter).await?;
                let last: Vec<Vec<u8>> = blocking(move || {
                    let mut last = Vec::new();
                    select(lines, &part, |line| {
                        last.push(line.to_owned());
                        Ok(())
                    })?;
                    Ok(last)
                })
                .await?;
                left -= last.len() as u64;
                ends.push(last);
            }
            blocking(move || Ok(ends.iter().rev().flatten().try_for_each(|line| each(line))?)).await?;
            return Ok(meter.cost());
        }
        let mut left = selection.head.unwrap_or(u64::MAX);
        for group in groups {
            let part = Selection { head: Some(left), ..selection.clone() };
            let lines = self.open(group, objects, &part, &meter).await?;
            let read;
            (each, read) = blocking(move || {
                let mut read = 0;
                select(lines, &part, |line| {
                    read += 1;
                    each(line)
                })?;
                Ok((each, read))
            })
            .await?;
            left -= read;
            if left == 0 {
                break;
            }
        }
        Ok(meter.cost())
    }

    /// Opens the smallest part of these segments that holds the selection.
    async fn open(
        &self,
        group: Range<usize>,
        objects: &Objects,
        selection: &Selection,
        meter: &Arc<Meter>,
    ) -> Result<LogLines> {
        let part = Selection { tail: selection.tail.map(|lines| lines + FRAMES), ..selection.clone() };
        let mut segments = Vec::new();
        for segment in &self.segments[group] {
            let lines = match &segment.source {
                LogSource::Spool(file) => {
                    let (file, part, end) = (Arc::clone(file), part.clone(), segment.end);
                    let start = blocking(move || Ok(spooled::start(file, &part)?)).await?;
                    let left = end.saturating_sub(start.position());
                    LogLines::new(BufReader::with_capacity(BUFFER, start.take(left)), 0)
                }
                source => source.open_for(objects, &part, meter).await?,
            };
            segments.push(MergedSegment { lines, line: Vec::new(), at: i64::MIN, ended: false });
        }
        let merged = blocking(move || MergedLines::new(segments).context("failed to read a segment")).await?;
        Ok(LogLines::new(merged, 0))
    }
}

/// The segments of this machine's spool, each up to its present end.
async fn spooled(system: &System, service: &ServiceName) -> Result<Vec<SegmentSource>> {
    let (spool, service) = (system.spool.clone(), service.clone());
    blocking(move || {
        let mut found = Vec::new();
        for entry in spool.list()? {
            let head = spool.head_of(&entry).filter(|head| head.subject.service() == Some(&service));
            let Some((head, file)) = head.zip(spool.read(&entry)) else { continue };
            let file = Arc::new(file);
            let end = spooled::end(&file).context("failed to read a segment in the spool")?;
            let (log, first_at) = (head.log, head.started);
            found.push(SegmentSource { log, first_at, last_at: None, source: LogSource::Spool(file), end });
        }
        Ok(found)
    })
    .await
}

/// Groups of segments in the order of their beginnings: those of one overlap in time.
fn groups(segments: &[SegmentSource]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut ends: Option<DateTime<Utc>> = None;
    for (nth, segment) in segments.iter().enumerate() {
        let end = segment.last_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
        match groups.last_mut().filter(|_| ends.is_some_and(|ends| segment.first_at < ends)) {
            Some(group) => group.end = nth + 1,
            None => groups.push(nth..nth + 1),
        }
        ends = ends.max(Some(end));
    }
    groups
}

/// The lines of segments, by time.
struct MergedLines {
    segments: Vec<MergedSegment>,
    line: Vec<u8>,
    read: usize,
}

struct MergedSegment {
    lines: LogLines,
    /// Its next line, and the time of that.
    line: Vec<u8>,
    at: i64,
    ended: bool,
}

impl MergedSegment {
    /// Goes on to its next line of the stream.
    fn advance(&mut self) -> io::Result<()> {
        loop {
            self.ended = !self.lines.next(&mut self.line)?;
            if self.ended || !is_frame(&self.line) {
                self.at = timestamp_of(&self.line).unwrap_or(self.at);
                return Ok(());
            }
        }
    }
}

impl MergedLines {
    fn new(mut segments: Vec<MergedSegment>) -> io::Result<Self> {
        segments.iter_mut().try_for_each(MergedSegment::advance)?;
        Ok(Self { segments, line: Vec::new(), read: 0 })
    }
}

impl BufRead for MergedLines {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read == self.line.len() {
            self.line.clear();
            self.read = 0;
            let next =
                self.segments.iter_mut().filter(|segment| !segment.ended).min_by_key(|segment| segment.at);
            if let Some(segment) = next {
                std::mem::swap(&mut self.line, &mut segment.line);
                segment.advance()?;
            }
        }
        Ok(&self.line[self.read..])
    }

    fn consume(&mut self, bytes: usize) {
        self.read += bytes;
    }
}

impl Read for MergedLines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// Whether a line frames its segment and is no part of the stream.
pub(super) fn is_frame(line: &[u8]) -> bool {
    seq_of(line) == Some(0)
        && Record::decode(line).is_some_and(|record| {
            record.head.is_some() || record.tail.is_some_and(|tail| tail.ending != LogEnding::Crash)
        })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    carry::spawn_blocking(work).await.context("reading panicked")?
}
