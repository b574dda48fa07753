//! Closing a log whose process is gone: whatever state its files are in, every event whose log call
//! had returned comes through once, in order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use chrono::Utc;

use super::files::SpoolFolder;
use super::given::{self, GivenBack};
use super::missing::MissingEvents;
use super::sealed::{Positioned, finish_name};
use super::segment::segment_path;
use super::window::Window;
use super::{Closed, LogTally};
use crate::durable::{self, Synced};
use crate::faults;
use crate::ids::LogId;
use crate::record::{Cut, Head, Level, LogEnding, Record, Tail, level_of, seq_of, timestamp_of};

/// How much of a log's end is read at a time.
const LAST_CHUNK: u64 = 1 << 20;

/// What is left of a log, all of it in its main file.
struct Mended {
    head: Box<Head>,
    window: Window,
    tally: LogTally,
    has_tail: bool,
    /// What it gave back.
    given: Option<GivenBack>,
}

/// A dead process's log, ready for the events that it lacks.
pub(super) struct Reopened {
    pub(super) head: Box<Head>,
    pub(super) window: Window,
    pub(super) tally: LogTally,
    /// The time of its last event, or of its start.
    pub(super) last_micros: i64,
    /// Up to which byte of an external program's stdout and stderr its events go.
    pub(super) output: [u64; 2],
}

/// Seals the log behind the locked `.open` file with a tail of this ending, unless it has a tail already.
/// Returns its sealed path. Safe to repeat: it also recovers its own crash.
pub(super) fn close_abandoned(
    file: File,
    folder: &SpoolFolder,
    log: LogId,
    missing: MissingEvents,
    ending: LogEnding,
    reason: &str,
) -> Result<PathBuf> {
    // Until it is sealed.
    let _steady = given::steady(folder.path()).context("failed to read how a log begins")?;
    let Mended { head, mut window, tally, has_tail, given } = mend(file, folder, log)?;
    if !has_tail {
        let (last_micros, _) = last_said(&head, &window, given.as_ref())
            .context("failed to read the end of an abandoned log")?;
        let all = LogTally { emitted: missing.emitted_in_all(tally.emitted), ..tally };
        let tail =
            Tail { ending, reason: Some(reason.to_owned()), events: all.stored, dropped: all.dropped() };
        window
            .append_closing(&tail.to_line(head.ends_at(last_micros)))
            .context("failed to close an abandoned log")?;
        faults::point("recover-tail-written");
    }
    window
        .close()
        .and_then(|()| durable::file(window.file(), Synced::Recovered))
        .context("failed to close an abandoned log")?;
    faults::point("recover-before-rename");
    finish_name(folder, log).context("failed to rename a recovered log")
}

/// Opens the log behind the locked `.open` file to add to it; `None` if it has its tail.
pub(super) fn reopen(file: File, folder: &SpoolFolder, log: LogId) -> Result<Option<Reopened>> {
    let _steady = given::steady(folder.path()).context("failed to read how a log begins")?;
    let Mended { head, window, tally, has_tail, given } = mend(file, folder, log)?;
    if has_tail {
        return Ok(None);
    }
    let (last_micros, output) =
        last_said(&head, &window, given.as_ref()).context("failed to read the end of an abandoned log")?;
    Ok(Some(Reopened { head, window, tally, last_micros, output }))
}

/// Brings all that is left of a log into its main file.
fn mend(file: File, folder: &SpoolFolder, log: LogId) -> Result<Mended> {
    let given = GivenBack::of(folder.path(), log).context("failed to read how a log begins")?;
    let mut main = scan_behind(&file, given.as_ref()).context("failed to read an abandoned log")?;
    let Some(head) = main.head.take() else { bail!("the abandoned log {log} has no head record") };
    // A torn line goes first: were this process to die too, its remains must not look like a line.
    file.set_len(main.len).context("failed to cut an abandoned log to its last record")?;
    let mut window = Window::new(file, main.len, u64::MAX);
    let mut tally = main.tally;
    let has_tail = main.closed.is_some();
    if !has_tail {
        faults::point("recover-scanned");
        let lines = read_segments(folder.path(), log, &main, &mut tally)?;
        tally.emitted = tally.emitted.max(main.beyond);
        if !lines.is_empty() {
            close_gap(&mut window, &main, lines, &tally)?;
        }
    }
    Ok(Mended { head, window, tally, has_tail, given })
}

/// Reads the end of a log: the time of its last event, or of its start; and up to which byte of an external
/// program's output it goes, which the program's last event says.
fn last_said(head: &Head, log: &Window, given: Option<&GivenBack>) -> io::Result<(i64, [u64; 2])> {
    let file = log.file();
    let mut last_micros = None;
    let first = given.map_or(0, |given| given.raw_bytes);
    let mut chunk = Vec::new();
    let (mut end, mut size) = (log.len(), LAST_CHUNK);
    while end > first {
        let begin = end.saturating_sub(size).max(first);
        chunk.resize((end - begin) as usize, 0);
        file.read_exact_at(&mut chunk, begin)?;
        // The first line may have begun before.
        let whole =
            if begin == first { 0 } else { memchr::memchr(b'\n', &chunk).map_or(chunk.len(), |at| at + 1) };
        for line in chunk[whole..].split_inclusive(|byte| *byte == b'\n').rev() {
            last_micros = last_micros.or_else(|| timestamp_of(line));
            let may_say = memchr::memmem::find(line, b",\"output\":[").is_some();
            let output = may_say.then(|| Record::decode(line)?.output).flatten();
            if let Some((last_micros, output)) = last_micros.zip(output) {
                return Ok((last_micros, output));
            }
            // No program writes into a stream.
            if let Some(last_micros) = last_micros.filter(|_| head.run().is_none()) {
                return Ok((last_micros, [0, 0]));
            }
        }
        // A line that fills the chunk needs a longer one.
        size = if whole == chunk.len() { size * 2 } else { LAST_CHUNK };
        end = if begin == first { first } else { begin + whole as u64 };
    }
    let last_micros = last_micros.or(given.and_then(|given| given.last_micros));
    let last_micros = last_micros.unwrap_or_else(|| head.started.timestamp_micros());
    Ok((last_micros, given.map_or([0, 0], |given| given.output)))
}

#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Bytes up to the end of the last complete record.
    len: u64,
    pub(super) tally: LogTally,
    /// The highest event number behind a part that a failing disk made unreadable; 0 for none.
    beyond: u64,
    head: Option<Box<Head>>,
    has_cut: bool,
    pub(super) closed: Option<Closed>,
}

/// Reads a file up to its last complete record: a torn line, or the zeros of reserved space, end it.
/// Records behind that are lost and count as dropped.
pub(super) fn scan(file: &File) -> io::Result<Scan> {
    scan_behind(file, None)
}

/// The same, behind what the log gave back.
pub(super) fn scan_behind(file: &File, given: Option<&GivenBack>) -> io::Result<Scan> {
    let mut found = match given {
        None => Scan::default(),
        Some(given) => Scan {
            len: given.raw_bytes,
            tally: LogTally { stored: given.count.events, emitted: given.count.last },
            head: given.head().map(Box::new),
            has_cut: given.count.has_cut,
            ..Scan::default()
        },
    };
    let mut reader = BufReader::with_capacity(1 << 20, Positioned { file, at: found.len });
    let mut ended = false;
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        let is_whole = line.ends_with(b"\n") && !line.contains(&0);
        ended |= !is_whole;
        if ended {
            if is_whole {
                found.beyond = found.beyond.max(seq_of(&line).unwrap_or(0));
            }
            line.clear();
            continue;
        }
        match seq_of(&line) {
            Some(0) | None => {
                if let Some(record) = Record::decode(&line) {
                    found.head = found.head.or(record.head);
                    found.has_cut |= record.cut.is_some();
                    let closed = record.tail.zip(record.timestamp).map(|(tail, at)| Closed { tail, at });
                    found.closed = closed.or(found.closed);
                }
            }
            Some(seq) => count(&mut found.tally, seq, &line),
        }
        found.len += line.len() as u64;
        line.clear();
    }
    Ok(found)
}

/// The events that the main file lacks, in order: path and bytes of each segment.
fn read_segments(dir: &Path, log: LogId, main: &Scan, tally: &mut LogTally) -> Result<Vec<(PathBuf, u64)>> {
    let mut segments = Vec::new();
    for number in 0..2 {
        let path = segment_path(dir, log, number);
        let Ok(file) = File::open(&path) else { continue };
        let found = scan(&file).context("failed to read the tail of an abandoned log")?;
        tally.emitted = tally.emitted.max(found.beyond);
        if found.tally.emitted > main.tally.emitted {
            segments.push((found.tally.emitted, path, found.len));
        }
    }
    segments.sort();
    for (_, path, len) in &segments {
        copy_lines(path, *len, |line| {
            if let Some(seq) = seq_of(line).filter(|seq| *seq > main.tally.emitted) {
                count(tally, seq, line);
            }
            Ok(())
        })?;
    }
    Ok(segments.into_iter().map(|(_, path, len)| (path, len)).collect())
}

fn close_gap(log: &mut Window, main: &Scan, segments: Vec<(PathBuf, u64)>, tally: &LogTally) -> Result<()> {
    if !main.has_cut {
        let cut = Cut { dropped: tally.dropped() };
        log.append_closing(&cut.to_line(Utc::now())).context("failed to mark a cut")?;
    }
    for (path, len) in segments {
        // A line that is in the main file already was copied there before the crash.
        copy_lines(&path, len, |line| match seq_of(line) {
            Some(seq) if seq > main.tally.emitted => {
                faults::point("recover-copied");
                log.append_closing(line)
            }
            _ => Ok(()),
        })
        .context("failed to restore the tail of an abandoned log")?;
    }
    Ok(())
}

fn count(tally: &mut LogTally, seq: u64, line: &[u8]) {
    tally.emitted = tally.emitted.max(seq);
    tally.stored.add(level_of(line).unwrap_or(Level::Info));
}

/// Calls `each` with every complete line in the first `len` bytes of a file, newline included.
pub(super) fn copy_lines(
    path: &Path,
    len: u64,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path)?.take(len));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        if line.ends_with(b"\n") {
            each(&line)?;
        }
        line.clear();
    }
    Ok(())
}
