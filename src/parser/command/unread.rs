//! Output of a program that nobody read because everything was killed: recovery reads it by the same means.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::file::OutputFile;
use super::line::LoggedUpTo;
use super::reader::{CHUNK, OutputReader};
use super::stream::Stream;
use super::tally::Tally;

/// Logs, in the current span, the lines of a dead run's program that its log lacks. `stem` is the path of its
/// files without their endings; `logged` says up to which byte of each stream the log has everything.
///
/// # Errors
/// A file can't be read.
pub fn log_unread(stem: &Path, logged: [u64; 2]) -> io::Result<()> {
    let logged: LoggedUpTo = Rc::new(logged.map(Cell::new));
    let mut readers = Vec::new();
    for stream in Stream::ALL {
        let Some(file) = left_over(stem, stream)? else { continue };
        file.end_reserve();
        readers.push(start(file, &logged)?);
    }
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut found = false;
        for reader in &mut readers {
            found |= reader.look(&mut buffer, || {});
        }
        if !found {
            break;
        }
    }
    readers.iter_mut().for_each(OutputReader::end);
    Ok(())
}

/// How many lines [`log_unread`] would log at most.
///
/// # Errors
/// A file can't be read.
pub fn count_unread(stem: &Path) -> io::Result<u64> {
    let mut lines = 0;
    for stream in Stream::ALL {
        let Some(file) = left_over(stem, stream)? else { continue };
        let mut buffer = vec![0; CHUNK];
        let (mut at, mut is_open) = (0, false);
        loop {
            let (from, read) = file.read(at, &mut buffer)?;
            if read == 0 && from <= at {
                break;
            }
            lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
            is_open = read > 0 && buffer[read - 1] != b'\n';
            at = from + read as u64;
        }
        lines += u64::from(is_open);
    }
    Ok(lines)
}

fn left_over(stem: &Path, stream: Stream) -> io::Result<Option<OutputFile>> {
    match OutputFile::left_over(stem, stream) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

fn start(file: OutputFile, logged: &LoggedUpTo) -> io::Result<OutputReader> {
    let logged_here = &logged[file.stream() as usize];
    // If the file is shorter, it has been emptied since.
    let begin = if logged_here.get() > file.size()? { 0 } else { logged_here.get() };
    let content = file.content_from(begin)?;
    // The space given back ends within a line that the levels dropped; skips the rest of that line.
    let at = if content == begin { begin } else { behind_a_line(&file, content)? };
    logged_here.set(at);
    let in_a_line = content == begin && !ends_a_line(&file, begin)?;
    let reader = OutputReader::new(Arc::new(file), Tally::default(), logged);
    Ok(if in_a_line { reader.in_a_line() } else { reader })
}

/// Whether a line ends in front of byte `at`.
fn ends_a_line(file: &OutputFile, at: u64) -> io::Result<bool> {
    let mut byte = [0];
    Ok(at == 0 || file.read(at - 1, &mut byte)?.1 == 1 && is_end(byte[0]))
}

/// The byte behind the first end of a line from byte `at` on.
fn behind_a_line(file: &OutputFile, mut at: u64) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let (from, read) = file.read(at, &mut buffer)?;
        if let Some(end) = buffer[..read].iter().position(|byte| is_end(*byte)) {
            return Ok(from + end as u64 + 1);
        }
        if read == 0 && from <= at {
            return Ok(at);
        }
        at = from + read as u64;
    }
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}
