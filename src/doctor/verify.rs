//! Reads an archived log again, byte for byte, and compares it with its row.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context, Result, anyhow};
use sha2::{Digest, Sha256};
use tokio_util::io::SyncIoBridge;

use crate::carry;
use crate::gzip;
use crate::ids::RunId;
use crate::objects::{ObjectError, ObjectUri, Objects};
use crate::record::{MAX_LINE_BYTES, Record, level_of, seq_of};
use crate::store::Run;

/// Compares the archived log of a run with its row; returns all mismatches.
///
/// # Errors
/// The object store does not answer, so the result is unknown.
pub async fn verify(objects: &Objects, run: &Run) -> Result<Vec<String>> {
    let Some(uri) = &run.logs_uri else { return Ok(vec![format!("the log is {}", run.log_state)]) };
    let Ok(uri) = uri.parse::<ObjectUri>() else { return Ok(vec!["the URI can't be read".to_owned()]) };
    let stream = match objects.open(&uri).await {
        Ok((_, stream)) => stream,
        Err(error @ ObjectError::NotFound { .. }) => return Ok(vec![error.to_string()]),
        Err(error) => return Err(anyhow!(error)),
    };
    let (bridge, run) = (SyncIoBridge::new(stream), run.clone());
    carry::spawn_blocking(move || compare(Hashed::new(bridge), &run)).await.context("verifying panicked")?
}

fn compare(mut object: Hashed<impl Read>, run: &Run) -> Result<Vec<String>> {
    let most = run.log_raw_bytes.unwrap_or_default().cast_unsigned();
    // Read only a little more than the row states: a bomb gets no further, and the head shows whose log it is.
    let raw = gzip::BoundedReader::new(BufReader::with_capacity(1 << 18, &mut object), most + (1 << 20));
    let mut log = Log::default();
    let read = log.read(BufReader::with_capacity(1 << 18, Hashed::new(raw)));
    // The rest of a damaged object still counts for its size and checksum.
    io::copy(&mut object, &mut io::sink()).context("failed to read an archived log")?;

    let mut problems = Vec::new();
    let mut expect = |what: &str, found: String, said: String| {
        if found != said {
            problems.push(format!("{what}: {found}, the row says {said}"));
        }
    };
    expect("bytes of the object", object.count.to_string(), number(run.log_gzip_bytes));
    expect("SHA-256 of the object", hex::encode(object.hash.finalize()), hash(run.log_gzip_sha256));
    match read {
        Ok((bytes, sha256)) => {
            expect("bytes of the log", bytes.to_string(), number(run.log_raw_bytes));
            expect("SHA-256 of the log", hex::encode(sha256), hash(run.log_raw_sha256));
            expect("lines", log.lines.to_string(), number(run.log_lines));
            let said = run.log_events.as_ref().map(|events| &events.0);
            expect(
                "events",
                format!("{:?}", log.events),
                said.map_or_else(missing, |said| format!("{said:?}")),
            );
            expect("dropped events", log.dropped().to_string(), number(run.log_dropped));
            problems.extend(log.problems(run.id));
        }
        Err(error) => {
            problems.push(format!("it does not unpack: {error}"));
            problems.extend(log.foreign_head(run.id));
        }
    }
    Ok(problems)
}

/// The totals of a log's lines.
#[derive(Debug, Default)]
struct Log {
    lines: u64,
    events: BTreeMap<String, u64>,
    last_seq: u64,
    disordered: u64,
    foreign: u64,
    first: Vec<u8>,
    last: Vec<u8>,
}

impl Log {
    /// Reads to the end; returns the log's size and SHA-256.
    fn read(&mut self, mut reader: BufReader<Hashed<impl Read>>) -> io::Result<(u64, [u8; 32])> {
        let mut line = Vec::new();
        while reader.by_ref().take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line)? > 0 {
            self.add(&line);
            std::mem::swap(&mut self.last, &mut line);
            line.clear();
        }
        let hashed = reader.into_inner();
        Ok((hashed.count, hashed.hash.finalize().into()))
    }

    fn add(&mut self, line: &[u8]) {
        self.lines += 1;
        if self.lines == 1 {
            self.first = line.to_vec();
        }
        match (seq_of(line), level_of(line)) {
            (Some(0), _) => {}
            (Some(seq), Some(level)) => {
                *self.events.entry(level.to_string()).or_default() += 1;
                self.disordered += u64::from(seq <= self.last_seq);
                self.last_seq = self.last_seq.max(seq);
            }
            _ => self.foreign += 1,
        }
    }

    /// Emitted events that are missing, as the log's own tail declares.
    fn dropped(&self) -> u64 {
        let tail = Record::decode(&self.last).and_then(|record| record.tail);
        tail.map_or(0, |tail| tail.dropped)
    }

    fn foreign_head(&self, run: RunId) -> Option<String> {
        match Record::decode(&self.first).and_then(|record| record.head) {
            Some(head) if head.log == run.into() => None,
            Some(head) => Some(format!("it is the log of run {}", head.log)),
            None => Some("it has no head record".to_owned()),
        }
    }

    fn problems(&self, run: RunId) -> Vec<String> {
        let mut problems: Vec<String> = self.foreign_head(run).into_iter().collect();
        let stored: u64 = self.events.values().sum();
        match Record::decode(&self.last).and_then(|record| record.tail) {
            None => problems.push("it has no tail record".to_owned()),
            Some(tail)
                if tail.events.total() != stored || self.last_seq > stored.saturating_add(tail.dropped) =>
            {
                problems.push(format!(
                    "emitted is not stored and dropped: the last event is number {}, {stored} are stored, its tail \
                     says {} stored and {} dropped",
                    self.last_seq,
                    tail.events.total(),
                    tail.dropped
                ));
            }
            Some(_) => {}
        }
        if self.disordered > 0 {
            problems.push(format!("{} events are out of order or twice", self.disordered));
        }
        if self.foreign > 0 {
            problems.push(format!("{} lines are not records", self.foreign));
        }
        problems
    }
}

/// Hashes and counts the bytes read through it.
struct Hashed<R> {
    inner: R,
    hash: Sha256,
    count: u64,
}

impl<R> Hashed<R> {
    fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), count: 0 }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.count += read as u64;
        Ok(read)
    }
}

fn number(said: Option<i64>) -> String {
    said.map_or_else(missing, |said| said.to_string())
}

fn hash(said: Option<[u8; 32]>) -> String {
    said.map_or_else(missing, hex::encode)
}

fn missing() -> String {
    "nothing".to_owned()
}
