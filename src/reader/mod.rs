//! Reading a log wherever it lives: in this machine's spool, open or sealed, or in the object store.

mod select;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use tokio_util::io::SyncIoBridge;

pub use select::{Selection, select};

use crate::carry;
use crate::gzip::{self, Index, Tail};
use crate::objects::{Bytes, ObjectUri, Objects};
use crate::spool::Spool;
use crate::store::{LogState, Run};

/// The last bytes of an archive that are fetched first: the index of a 10 GB log is in them.
const TAIL_BYTES: u64 = 256 * 1024;

/// Where a run's log is.
#[derive(Debug)]
pub enum LogSource {
    /// In the spool of this machine; it may still grow.
    Spool(PathBuf),
    /// In the object store.
    Archive {
        /// Its place.
        uri: ObjectUri,
        /// Bytes of the log, as the row has it; an archive that holds more is refused.
        raw_bytes: u64,
    },
}

impl LogSource {
    /// Finds the log of a run.
    ///
    /// # Errors
    /// When it can't be read from here; the text says where it is and what to do.
    pub fn find(run: &Run, spool: &Spool) -> Result<Self> {
        if let Some(entry) = spool.find(run.id) {
            return Ok(Self::Spool(entry.path));
        }
        if let (Some(uri), Some(raw_bytes)) = (&run.logs_uri, run.log_raw_bytes) {
            let uri = uri.parse().context("the row's log URI can't be read")?;
            return Ok(Self::Archive { uri, raw_bytes: raw_bytes.cast_unsigned() });
        }
        let worker = run.worker.as_deref().unwrap_or("another machine");
        match run.log_state {
            LogState::None if run.started_at.is_none() => {
                bail!("run {} is {}: it never started, so it has no log", run.id, run.status)
            }
            LogState::Pruned => bail!("the log of run {} was pruned; its row keeps the counts", run.id),
            LogState::Lost => {
                let why = run.archive_error.as_deref().unwrap_or("it could not be kept");
                bail!("the log of run {} is lost: {why}", run.id)
            }
            state => bail!(
                "the log of run {} is {state} in the spool of {worker}: read it there, or wait until it is archived",
                run.id
            ),
        }
    }

    /// Calls `each` with the selected lines, newline included, oldest first.
    ///
    /// # Errors
    /// When the log can't be read, is damaged, or `each` fails.
    pub async fn read(
        self,
        objects: &Objects,
        selection: Selection,
        each: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> Result<()> {
        match self {
            Self::Spool(path) => {
                let read = move || -> Result<()> {
                    let file = File::open(&path).context("failed to open a log in the spool")?;
                    select(&mut BufReader::with_capacity(1 << 18, file), &selection, each)
                };
                carry::spawn_blocking(read).await.context("reading panicked")?
            }
            Self::Archive { uri, raw_bytes } => {
                if let Some(lines) = selection.plain_tail()
                    && let Some(end) = fetch_end(objects, &uri, lines).await?
                {
                    return select(&mut Cursor::new(end), &selection, each);
                }
                let (_, stream) = objects.open(&uri).await.map_err(|error| anyhow!(error))?;
                let bridge = SyncIoBridge::new(stream);
                let read = move || -> Result<()> {
                    let raw = gzip::Reader::new(BufReader::with_capacity(1 << 18, bridge), raw_bytes);
                    select(&mut BufReader::with_capacity(1 << 18, raw), &selection, each)
                };
                carry::spawn_blocking(read).await.context("reading panicked")?
            }
        }
    }
}

/// Fetches the members that hold the last `lines` lines, by two range requests; `None` when the
/// archive has no index.
async fn fetch_end(objects: &Objects, uri: &ObjectUri, lines: u64) -> Result<Option<Vec<u8>>> {
    let Some(index) = fetch_index(objects, uri).await? else { return Ok(None) };
    let members = index.members_for_tail(lines);
    if members.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let range = index.byte_range(members.clone());
    let start = range.start;
    let chunk = objects.get_range(uri, Bytes::Range(range)).await.map_err(|error| anyhow!(error))?;
    let mut raw = Vec::new();
    for member in &index.members()[members] {
        let from = (member.offset - start) as usize;
        let bytes = chunk.bytes.get(from..from + member.gzip_len as usize);
        raw.extend(gzip::decode_member(bytes.context("damaged archive: it is too short")?, member.raw_len)?);
    }
    Ok(Some(raw))
}

async fn fetch_index(objects: &Objects, uri: &ObjectUri) -> Result<Option<Index>> {
    let mut chunk = objects.get_range(uri, Bytes::Last(TAIL_BYTES)).await.map_err(|error| anyhow!(error))?;
    let size = chunk.object_size;
    loop {
        match Index::parse(&chunk.bytes, size)? {
            Tail::Index(index) => return Ok(Some(index)),
            Tail::Foreign => return Ok(None),
            Tail::NeedMore { from } => {
                chunk =
                    objects.get_range(uri, Bytes::Range(from..size)).await.map_err(|error| anyhow!(error))?;
            }
        }
    }
}

/// Reads the next complete line into `line`; false at the end. The zeros behind the content of an
/// open spool file, and a line that is still being written, are the end.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let read = reader.by_ref().take(crate::record::MAX_LINE_BYTES as u64).read_until(b'\n', line)?;
    Ok(read > 0 && !line.contains(&0))
}
