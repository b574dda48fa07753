//! The segments of a stream, wherever they are.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};

use super::super::ranged::Ranged;
use crate::carry;
use crate::ids::{LogId, ServiceName};
use crate::objects::Objects;
use crate::spool::Spool;
use crate::store::segment::ArchivedSegment;

/// The segments of a stream in the spool of this machine, each with its open file, which stays readable even if
/// it is archived and removed meanwhile.
#[derive(Debug)]
pub(super) struct SpooledSegments {
    spool: Spool,
    service: ServiceName,
    /// What is known of each log of the spool: the file of a segment of the stream, `None` for any other log.
    known: HashMap<LogId, Option<Arc<File>>>,
}

impl SpooledSegments {
    pub(super) fn new(spool: Spool, service: ServiceName) -> Self {
        Self { spool, service, known: HashMap::new() }
    }

    /// Whether this segment was still there the last time.
    pub(super) fn has(&self, log: LogId) -> bool {
        self.known.contains_key(&log)
    }

    /// The segments that were not there the last time.
    ///
    /// # Errors
    /// The spool can't be read.
    pub(super) fn news(&mut self) -> Result<Vec<(LogId, Arc<File>)>> {
        carry::may_block();
        let mut news = Vec::new();
        let entries = self.spool.list()?;
        self.known.retain(|log, _| entries.iter().any(|entry| entry.log == *log));
        for entry in entries {
            if self.known.contains_key(&entry.log) {
                continue;
            }
            let head = self.spool.head_of(&entry);
            let is_its = head.is_some_and(|head| head.subject.service() == Some(&self.service));
            let file = if is_its { self.spool.read(&entry).map(Arc::new) } else { None };
            news.extend(file.clone().map(|file| (entry.log, file)));
            self.known.insert(entry.log, file);
        }
        Ok(news)
    }
}

impl ArchivedSegment {
    /// Opens its archive.
    pub(super) async fn open(&self, objects: &Objects) -> Result<Ranged> {
        let uri = self.uri.parse().context("the row's log URI can't be read")?;
        let archive = Ranged::open(objects, &uri, &Arc::default()).await?;
        let archive = archive.with_context(|| format!("the archive of segment {} has no index", self.id))?;
        let (holds, said) = (archive.index().raw_bytes(), self.raw_bytes.cast_unsigned());
        ensure!(holds == said, "damaged archive: it holds {holds} bytes, the row says {said}");
        Ok(archive)
    }
}

/// A time for the database; what it can't hold is the first or the last that it can.
pub(super) fn time(micros: i64) -> DateTime<Utc> {
    let nearest = if micros < 0 { DateTime::UNIX_EPOCH } else { FAR };
    DateTime::from_timestamp_micros(micros).filter(|time| *time < FAR).unwrap_or(nearest)
}

/// The year 9999.
const FAR: DateTime<Utc> = DateTime::from_timestamp(253_370_764_800, 0).expect("a time");
