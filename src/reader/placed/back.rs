//! The last records of a stream before a place: from the newest segment back, until there are enough.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::runtime::Handle;

use super::segment::{SpooledSegments, time};
use super::{PlacedLine, PlacedStream, StreamPlace};
use crate::carry;
use crate::ids::LogId;
use crate::reader::Selection;
use crate::spool::BackReader;
use crate::store::segment::{self, ArchivedSegment};

/// Bytes of a segment to read at first; then always twice as many, up to the most.
const FIRST: usize = 64 << 10;
const MOST: usize = 1 << 20;

/// Archived segments to ask the database for at once.
const AT_ONCE: usize = 32;

/// The most bytes of the lines of a page.
const MOST_OF_PAGE: usize = 4 << 20;

/// Records of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPage {
    /// In order, the newest last.
    pub lines: Vec<PlacedLine>,
    /// Whether the service ever logged.
    pub is_known: bool,
    /// Whether there may be earlier ones.
    pub has_earlier: bool,
}

/// What is asked for, and the newest records of it so far.
struct Newest {
    before: Option<StreamPlace>,
    selection: Selection,
    limit: usize,
    lines: BTreeSet<PlacedLine>,
    bytes: usize,
    /// Whether something before these was left out or not looked at.
    has_earlier: bool,
}

impl PlacedStream {
    /// The last records that are selected, before a place or at all: `limit` at most, and fewer if they are long.
    /// Of the selection only the conditions on single lines count.
    ///
    /// # Errors
    /// The spool, the database or the object store fails.
    pub async fn page(
        &self,
        before: Option<StreamPlace>,
        limit: usize,
        selection: Selection,
    ) -> Result<StreamPage> {
        let mut newest =
            Newest { before, selection, limit, lines: BTreeSet::new(), bytes: 0, has_earlier: false };
        let mut spooled = SpooledSegments::new(self.system.spool.clone(), self.service.clone());
        let read = carry::spawn_blocking(move || {
            let segments = spooled.news()?;
            for (log, file) in &segments {
                newest.take_spooled(*log, Arc::clone(file))?;
            }
            let logs: Vec<LogId> = segments.iter().map(|(log, _)| *log).collect();
            anyhow::Ok((newest, logs))
        });
        let (mut newest, spooled) = read.await.context("reading panicked")??;
        let mut is_known = !spooled.is_empty();
        // A segment is archived before it leaves the spool, so none is missed between.
        let (pool, from) =
            (&self.system.pool, time(before.map_or(i64::MAX, |place| place.micros.saturating_add(1))));
        for asked in (0..).step_by(AT_ONCE) {
            let segments = segment::before(pool, &self.service, from, asked, AT_ONCE).await?;
            let is_last = segments.len() < AT_ONCE;
            for segment in segments {
                is_known = true;
                if newest.has_enough_after(segment.last_at.timestamp_micros()) {
                    newest.has_earlier = true;
                    return Ok(newest.page(is_known));
                }
                if !spooled.contains(&segment.id) {
                    newest = self.take_archived(newest, segment).await?;
                }
            }
            if is_last {
                break;
            }
        }
        Ok(newest.page(is_known))
    }

    async fn take_archived(&self, mut newest: Newest, segment: ArchivedSegment) -> Result<Newest> {
        let mut archive = segment.open(&self.system.objects).await?;
        let runtime = Handle::current();
        let read = carry::spawn_blocking(move || {
            let members = archive.index().members();
            // Those that end by that time, and the one after them, which may begin before it.
            let end = newest.before.map_or(members.len(), |before| {
                let whole = members.partition_point(|member| member.latest <= Some(before.micros));
                (whole + 1).min(members.len())
            });
            for member in (0..end).rev() {
                let lines = runtime.block_on(archive.member(member..member + 1))?;
                if !newest.take(segment.id, &lines) {
                    break;
                }
            }
            anyhow::Ok(newest)
        });
        read.await.context("reading panicked")?
    }
}

impl Newest {
    fn take_spooled(&mut self, log: LogId, file: Arc<File>) -> Result<()> {
        let mut reader = BackReader::new(file).context("failed to read a segment in the spool")?;
        if let Some(place) = self.before {
            reader.seek_before(place.micros.saturating_add(1))?;
        }
        let mut most = FIRST;
        loop {
            let lines = reader.lines(most).context("failed to read a segment in the spool")?;
            if lines.is_empty() || !self.take(log, &lines) {
                return Ok(());
            }
            most = (2 * most).min(MOST);
        }
    }

    /// Takes what is asked for of these lines; false if no earlier line of the segment is.
    fn take(&mut self, log: LogId, lines: &[u8]) -> bool {
        let mut rest = lines;
        while !rest.is_empty() {
            let begin = memchr::memrchr(b'\n', &rest[..rest.len() - 1]).map_or(0, |end| end + 1);
            let (earlier, line) = rest.split_at(begin);
            rest = earlier;
            let Some(line) = PlacedLine::of(log, line) else { continue };
            if self.before.is_some_and(|before| line.place >= before) {
                continue;
            }
            let too_early =
                |since: &chrono::DateTime<chrono::Utc>| line.place.micros < since.timestamp_micros();
            let is_full = self.has_enough_after(line.place.micros);
            self.has_earlier |= is_full;
            if is_full || self.selection.since.as_ref().is_some_and(too_early) {
                return false;
            }
            if self.selection.wants(&line.line) {
                self.bytes += line.line.len();
                self.lines.insert(line);
            }
            while self.lines.len() > self.limit || self.bytes > MOST_OF_PAGE && self.lines.len() > 1 {
                let Some(earliest) = self.lines.pop_first() else { break };
                self.bytes -= earliest.line.len();
                self.has_earlier = true;
                // From here on the page is full, whatever the limit was.
                self.limit = self.lines.len();
            }
        }
        true
    }

    /// Whether there are enough records after this time.
    fn has_enough_after(&self, micros: i64) -> bool {
        self.lines.len() >= self.limit && self.lines.first().is_none_or(|line| line.place.micros > micros)
    }

    fn page(self, is_known: bool) -> StreamPage {
        StreamPage { lines: self.lines.into_iter().collect(), is_known, has_earlier: self.has_earlier }
    }
}
