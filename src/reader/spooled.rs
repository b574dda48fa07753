//! Where to begin in a log of the spool: it has no index, but its lines stand in the order of their times, and
//! it ends where its writer is.

use std::fs::File;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Selection;
use crate::record::timestamp_of;
use crate::spool::TailReader;

/// Bytes to look at for a line.
const LOOK: usize = 64 << 10;

/// Bytes of the end to look at first for the last lines, and by how much more each time.
const END: u64 = 256 << 10;
const MORE: u64 = 8;

/// A reader at a line before which nothing is selected.
pub(super) fn start(file: Arc<File>, selection: &Selection) -> io::Result<TailReader> {
    if selection.lines.is_some() {
        return Ok(TailReader::new(file, 0));
    }
    if let Some(lines) = selection.plain_tail() {
        return last(&file, lines);
    }
    match selection.since {
        Some(since) => from(&file, since),
        None => Ok(TailReader::new(file, 0)),
    }
}

/// A reader at the first of so many last lines, or before it.
fn last(file: &Arc<File>, lines: u64) -> io::Result<TailReader> {
    let mut most = END;
    loop {
        let tail = TailReader::of_last(Arc::clone(file), most)?;
        if tail.position() == 0 || count(tail.clone(), lines)? >= lines {
            return Ok(tail);
        }
        most *= MORE;
    }
}

/// Bytes of the whole lines that are there now.
pub(super) fn end(file: &Arc<File>) -> io::Result<u64> {
    let mut tail = last(file, 1)?;
    while !tail.lines(1 << 20)?.is_empty() {}
    Ok(tail.position())
}

/// Counts the lines from here on, at least up to `enough`.
fn count(mut tail: TailReader, enough: u64) -> io::Result<u64> {
    let mut count = 0;
    loop {
        let lines = tail.lines(1 << 20)?;
        count += memchr::memchr_iter(b'\n', &lines).count() as u64;
        if lines.is_empty() || count >= enough {
            return Ok(count);
        }
    }
}

/// A reader at a line before which all lines are older.
fn from(file: &Arc<File>, since: DateTime<Utc>) -> io::Result<TailReader> {
    let (mut older, mut end) = (0, file.metadata()?.len());
    while end.saturating_sub(older) > LOOK as u64 {
        let middle = older + (end - older) / 2;
        match line_behind(file, middle)? {
            Some((line, at)) if at < since.timestamp_micros() => older = line,
            _ => end = middle,
        }
    }
    Ok(TailReader::new(Arc::clone(file), older))
}

/// The first line that begins behind this byte and has a time: its place and its time. `None` where there is
/// nothing, or one line that is very long.
fn line_behind(file: &Arc<File>, at: u64) -> io::Result<Option<(u64, i64)>> {
    let lines = TailReader::new(Arc::clone(file), at).lines(LOOK)?;
    let mut begin = memchr::memchr(b'\n', &lines).map_or(lines.len(), |end| end + 1);
    while begin < lines.len() {
        let line = &lines[begin..];
        if let Some(time) = timestamp_of(line) {
            return Ok(Some((at + begin as u64, time)));
        }
        begin += memchr::memchr(b'\n', line).map_or(line.len(), |end| end + 1);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::io::Write as _;

    use super::*;
    use crate::record::push_timestamp;

    /// A log with so many lines, one a second, and zeros behind them.
    fn log(lines: i64) -> Arc<File> {
        let mut file = tempfile::tempfile().expect("a file");
        let mut bytes = Vec::new();
        for second in 0..lines {
            push_timestamp(&mut bytes, second * 1_000_000);
            bytes.extend_from_slice(format!(",\"seq\":{second}}}\n").as_bytes());
        }
        bytes.extend_from_slice(&[0; 300_000]);
        file.write_all(&bytes).expect("its content");
        Arc::new(file)
    }

    /// The lines that are read: how many, and the first.
    fn read(file: &Arc<File>, selection: &Selection) -> (usize, String) {
        let mut text = String::new();
        start(Arc::clone(file), selection).expect("a start").read_to_string(&mut text).expect("its lines");
        (text.lines().count(), text.lines().next().unwrap_or_default().to_owned())
    }

    #[test]
    fn only_the_end_is_read_where_the_end_is_asked_for() {
        let file = log(100_000);
        let tail = |lines| Selection { tail: Some(lines), ..Selection::default() };
        for lines in [0, 1, 100, 20_000, 99_999, 200_000] {
            let (read, _) = read(&file, &tail(lines));
            assert!(read as u64 >= lines.min(100_000), "{read} of {lines}");
        }
        assert!(read(&file, &tail(100)).0 < 50_000);
    }

    #[test]
    fn what_is_older_is_passed_over_but_for_a_little() {
        let file = log(100_000);
        for second in [0, 1, 50_000, 99_999, 200_000] {
            let since = DateTime::from_timestamp(second, 0);
            let (read, first) = read(&file, &Selection { since, ..Selection::default() });
            let younger = (100_000 - second).max(0);
            assert!((younger..=younger + 2_000).contains(&(read as i64)), "{read} lines of {younger}");
            assert!(
                first.is_empty() || timestamp_of(first.as_bytes()) <= Some(second * 1_000_000),
                "{first}"
            );
        }
    }
}
