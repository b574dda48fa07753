//! Reads an archive by ranges: its index first, then only the needed members.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, anyhow};

use super::elsewhere::ElsewhereLog;
use crate::gzip::{self, Index, IndexTail};
use crate::objects::{Bytes, ObjectUri, Objects};

/// The last bytes of an archive, to fetch first: they hold a whole small archive, or the index of one of
/// several GB. The rest of a larger index needs one more request.
const END: u64 = 64 << 10;

/// Most bytes of one request for members, unless a single member is larger.
const MOST: u64 = 4 << 20;

/// An archive whose index is known.
pub(super) struct Ranged {
    place: Place,
    meter: Arc<Meter>,
    index: Arc<Index>,
    /// Bytes of the archive that are here, and where they begin.
    piece: (u64, Vec<u8>),
}

/// Where the bytes of an archive are.
enum Place {
    Object(Box<(Objects, ObjectUri)>),
    /// On another machine, where it grows.
    Elsewhere(Arc<ElsewhereLog>),
}

impl Ranged {
    /// Fetches the index; `None` when the object is a gzip without one.
    pub(super) async fn open(objects: &Objects, uri: &ObjectUri, meter: &Arc<Meter>) -> Result<Option<Self>> {
        let fetch = async |bytes| {
            let chunk = objects.get_range(uri, bytes).await.map_err(|error| anyhow!(error))?;
            meter.get();
            meter.bytes(chunk.bytes.len());
            anyhow::Ok(chunk)
        };
        let end = fetch(Bytes::Last(END)).await?;
        let (size, mut bytes) = (end.object_size, end.bytes);
        loop {
            match Index::parse(&bytes, size)? {
                IndexTail::Foreign => return Ok(None),
                IndexTail::NeedMore { from } => {
                    let here = size - bytes.len() as u64;
                    let mut more = fetch(Bytes::Range(from..here)).await?.bytes;
                    more.append(&mut bytes);
                    bytes = more;
                }
                IndexTail::Index(index) => {
                    let piece = (size - bytes.len() as u64, bytes);
                    let (place, meter) = (Place::of(objects, uri), Arc::clone(meter));
                    return Ok(Some(Self { place, meter, index: Arc::new(index), piece }));
                }
            }
        }
    }

    /// The archive of this index, which somebody read before: an archive never changes.
    pub(super) fn known(objects: &Objects, uri: &ObjectUri, meter: &Arc<Meter>, index: Arc<Index>) -> Self {
        let (place, meter) = (Place::of(objects, uri), Arc::clone(meter));
        Self { place, meter, index, piece: (0, Vec::new()) }
    }

    /// An archive that grows elsewhere, as far as it is up.
    pub(super) fn elsewhere(log: &Arc<ElsewhereLog>, meter: &Arc<Meter>) -> Self {
        let (place, meter, index) =
            (Place::Elsewhere(Arc::clone(log)), Arc::clone(meter), Arc::clone(log.index()));
        Self { place, meter, index, piece: (0, Vec::new()) }
    }

    pub(super) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The bytes of the first of `members`, fetched together with those after it.
    pub(super) async fn member(&mut self, members: Range<usize>) -> Result<Vec<u8>> {
        let wanted = self.index.byte_range(members.start..members.start + 1);
        let (from, bytes) = &self.piece;
        if wanted.start < *from || wanted.end > from + bytes.len() as u64 {
            let last = members
                .clone()
                .take_while(|last| self.index.byte_range(members.start..last + 1).end - wanted.start <= MOST);
            let end = last.last().map_or(wanted.end, |last| self.index.byte_range(last..last + 1).end);
            let bytes = self.place.fetch(wanted.start..end).await?;
            self.meter.get();
            self.meter.bytes(bytes.len());
            self.piece = (wanted.start, bytes);
        }
        let (from, bytes) = &self.piece;
        let member = bytes.get((wanted.start - from) as usize..(wanted.end - from) as usize);
        let raw_len = self.index.members()[members.start].raw_len;
        gzip::decode_member(member.context("damaged archive: it is too short")?, raw_len)
    }
}

impl Place {
    fn of(objects: &Objects, uri: &ObjectUri) -> Self {
        Self::Object(Box::new((objects.clone(), uri.clone())))
    }

    async fn fetch(&self, bytes: Range<u64>) -> Result<Vec<u8>> {
        match self {
            Self::Object(its) => {
                let (objects, uri) = &**its;
                let chunk = objects.get_range(uri, Bytes::Range(bytes)).await;
                Ok(chunk.map_err(|error| anyhow!(error))?.bytes)
            }
            Self::Elsewhere(log) => log.ask(bytes).await,
        }
    }
}

/// The cost of reading a log from the object store; zero for one in the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// GET requests.
    pub gets: u64,
    /// Bytes received.
    pub bytes: u64,
}

/// Adds up a cost from several threads.
#[derive(Debug, Default)]
pub(super) struct Meter {
    gets: AtomicU64,
    bytes: AtomicU64,
}

/// Counts the bytes read through it.
pub(super) struct CountedReader<R> {
    pub(super) inner: R,
    pub(super) meter: Arc<Meter>,
}

impl Meter {
    pub(super) fn get(&self) {
        self.gets.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn bytes(&self, count: usize) {
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn cost(&self) -> Cost {
        Cost { gets: self.gets.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

impl<R: Read> Read for CountedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.meter.bytes(read);
        Ok(read)
    }
}
