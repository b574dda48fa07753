//! What an external parser writes: both pipes are read at once, line by line, by a thread each.
//!
//! A full pipe never blocks the program for longer than it takes to log a line, and no line, nor the
//! lack of one, makes a reader hold more than [`LONGEST_RECORD`].

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::line::{self, Listener, Raw, Stream};
use super::process::Group;
use super::tally::Tally;
use crate::carry;

/// Longer lines are cut into pieces of this many bytes, …
const LONGEST_PIECE: usize = 64 << 10;
/// … but for those that begin like a record: what they say stands together, up to here.
const LONGEST_RECORD: usize = 1 << 20;
/// Longest wait for the end of the pipes, whatever still comes.
const LONGEST_FINISH: Duration = Duration::from_secs(60);
/// A pipe that was found empty so often, by looks that far apart, has nothing more to say for now.
const DRY: u64 = 4;
/// How often a reader that waits looks whether it is still wanted.
const LOOK_UP: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// The readers of one program's pipes.
pub(super) struct Output {
    readers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    started: Instant,
    /// Milliseconds from `started` to the last byte that came, or line that was logged.
    last_byte: AtomicU64,
    abandoned: AtomicBool,
    /// How often in a row each pipe was found empty.
    dry: [AtomicU64; 2],
}

impl Output {
    /// Starts to read; what is read is logged in the current span.
    pub(super) fn read(group: &mut Group, tally: &Tally) -> anyhow::Result<Self> {
        let (stdout, stderr) = group.pipes().context("failed to get the parser's pipes")?;
        let shared = Arc::new(Shared {
            started: Instant::now(),
            last_byte: AtomicU64::new(0),
            abandoned: AtomicBool::new(false),
            dry: Default::default(),
        });
        let readers = vec![
            start(stdout, Stream::Stdout, Arc::clone(&shared), tally.clone()),
            start(stderr, Stream::Stderr, Arc::clone(&shared), tally.clone()),
        ];
        Ok(Self { readers, shared })
    }

    /// Time since the last byte on either pipe, or since the start.
    pub(super) fn silent_for(&self) -> Duration {
        let last = Duration::from_millis(self.shared.last_byte.load(Ordering::Relaxed));
        self.shared.started.elapsed().saturating_sub(last)
    }

    /// Waits until both pipes are read to their end; says whether that was reached. What a dead program
    /// left is read however long that takes. When the pipes are empty and silent it gives up after
    /// `patience`, or at once where nobody that is `known` lives: an escaped process holds them
    /// open. One that never stops talking is not listened to for ever.
    pub(super) fn finish(&mut self, patience: Duration, known: impl Fn() -> bool) -> bool {
        let started = Instant::now();
        for dry in &self.shared.dry {
            dry.store(0, Ordering::Relaxed);
        }
        while !self.readers.iter().all(JoinHandle::is_finished) {
            let idle = started.elapsed().min(self.silent_for());
            if idle > patience || started.elapsed() > LONGEST_FINISH || self.is_dry() && !known() {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    fn is_dry(&self) -> bool {
        let pipes = self.readers.iter().zip(&self.shared.dry);
        let mut pipes = pipes.filter(|(reader, _)| !reader.is_finished());
        pipes.all(|(_, dry)| dry.load(Ordering::Relaxed) >= DRY)
    }

    /// Stops reading a pipe that an escaped process holds open.
    pub(super) fn abandon(&mut self) {
        self.shared.abandoned.store(true, Ordering::Relaxed);
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Shared {
    fn touch(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_byte.store(now, Ordering::Relaxed);
    }
}

fn start<P>(mut pipe: P, stream: Stream, shared: Arc<Shared>, tally: Tally) -> JoinHandle<()>
where
    P: Read + AsFd + Send + 'static,
{
    carry::thread(move || {
        let mut lines = Lines::default();
        let mut listener = Listener::new(stream, tally);
        let mut buffer = vec![0; LONGEST_PIECE];
        let dry = &shared.dry[usize::from(matches!(stream, Stream::Stderr))];
        while !shared.abandoned.load(Ordering::Relaxed) {
            match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&LOOK_UP)) {
                Ok(0) => {
                    listener.settle();
                    dry.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(_) => break,
            }
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    dry.store(0, Ordering::Relaxed);
                    shared.touch();
                    lines.push(&buffer[..count], &mut |line| {
                        listener.hear(line);
                        shared.touch(); // A program whose lines are logged slowly is not silent.
                    });
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        lines.end(&mut |line| listener.hear(line));
        listener.settle();
    })
}

/// Cuts a stream of bytes into lines, and long lines into numbered pieces. A carriage return within a
/// line writes over what stands there, as on a terminal: only the last of it is a line, and it says how
/// often that happened. What says its level is a line all the same.
#[derive(Default)]
struct Lines {
    open: Vec<u8>,
    /// Pieces of the open line that were handed on already.
    pieces: u64,
    /// The last text of the open line that was written over, and how many there were.
    under: Vec<u8>,
    overwritten: u64,
    /// The last byte was a carriage return: what comes next says what it meant.
    returned: bool,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(Raw<'_>)) {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if self.returned && first != b'\r' {
                self.returned = false;
                if first != b'\n' {
                    self.write_over(each);
                }
            }
            let end = memchr::memchr2(b'\n', b'\r', rest);
            self.append(&rest[..end.unwrap_or(rest.len())], each);
            let Some(end) = end else { return };
            match rest[end] {
                b'\n' => self.end(each),
                _ => self.returned = true,
            }
            rest = &rest[end + 1..];
        }
    }

    fn append(&mut self, text: &[u8], each: &mut impl FnMut(Raw<'_>)) {
        self.open.extend_from_slice(text);
        loop {
            let may_be_a_record = self.pieces == 0 && self.open.trim_ascii_start().first() == Some(&b'{');
            let most = if may_be_a_record { LONGEST_RECORD } else { LONGEST_PIECE };
            if self.open.len() <= most {
                return;
            }
            let cut = character_start(&self.open, most);
            self.pieces += 1;
            each(Raw { bytes: &self.open[..cut], piece: Some(self.pieces), overwritten: self.overwritten });
            self.open.drain(..cut);
        }
    }

    fn write_over(&mut self, each: &mut impl FnMut(Raw<'_>)) {
        if self.pieces > 0 || line::says_its_level(&self.open) {
            return self.end(each);
        }
        if !self.open.trim_ascii().is_empty() {
            self.overwritten += 1;
            std::mem::swap(&mut self.open, &mut self.under);
        }
        self.open.clear();
    }

    fn end(&mut self, each: &mut impl FnMut(Raw<'_>)) {
        let is_blank = self.overwritten > 0 && self.open.trim_ascii().is_empty();
        let bytes = if is_blank { &self.under } else { &self.open };
        let overwritten = self.overwritten - u64::from(is_blank);
        if !bytes.is_empty() {
            each(Raw { bytes, piece: (self.pieces > 0).then_some(self.pieces + 1), overwritten });
        }
        *self = Self {
            open: std::mem::take(&mut self.open),
            under: std::mem::take(&mut self.under),
            ..Self::default()
        };
        self.open.clear();
        self.under.clear();
    }
}

/// The last place at or before `cut` where no character is torn; invalid UTF-8 is cut anywhere.
fn character_start(bytes: &[u8], cut: usize) -> usize {
    let is_start = |at: &usize| bytes[*at] & 0xC0 != 0x80;
    (cut.saturating_sub(3)..=cut).rev().find(is_start).unwrap_or(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<(Vec<u8>, Option<u64>)> {
        let mut found = Vec::new();
        let mut each = |line: Raw<'_>| found.push((line.bytes.to_vec(), line.piece));
        let mut lines = Lines::default();
        for chunk in chunks {
            lines.push(chunk, &mut each);
        }
        lines.end(&mut each);
        found
    }

    #[test]
    fn lines_end_where_they_end_however_they_arrive() {
        let found = cut(&[b"one\ntw", b"o\r\n\n", b"three"]);
        assert_eq!(found, [(b"one".to_vec(), None), (b"two".to_vec(), None), (b"three".to_vec(), None)]);
    }

    #[test]
    fn what_is_written_over_is_no_line_but_what_says_its_level_is() {
        let progress = b"\r 1%|#  |\r 50%|## |\r100%|###|\n\r 7%\r     \rdone\r\r\n";
        let texts = |found: Vec<(Vec<u8>, Option<u64>)>| {
            found.into_iter().map(|(line, _)| String::from_utf8(line).expect("UTF-8")).collect::<Vec<_>>()
        };
        assert_eq!(texts(cut(&[progress])), ["100%|###|", "done"]);
        let one_by_one: Vec<&[u8]> = progress.chunks(1).collect();
        assert_eq!(texts(cut(&one_by_one)), ["100%|###|", "done"]);
        assert_eq!(texts(cut(&[b"\r 50%\r    \r"])), [" 50%"]);
        let spoken = b"10%\r{\"level\":\"error\",\"message\":\"x\"}\rERROR:root:y\r100%\n";
        assert_eq!(
            texts(cut(&[spoken])),
            ["{\"level\":\"error\",\"message\":\"x\"}", "ERROR:root:y", "100%"]
        );
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_tear_no_character() {
        let line = "é".repeat(LONGEST_PIECE);
        let shifted = format!("x{line}");
        for line in [line, shifted] {
            let found = cut(&[line.as_bytes(), b"\nnext\n"]);
            assert_eq!(found.last(), Some(&(b"next".to_vec(), None)));
            let pieces = &found[..found.len() - 1];
            assert!(pieces.iter().all(|(piece, _)| std::str::from_utf8(piece).is_ok()));
            assert_eq!(
                pieces.iter().flat_map(|(piece, _)| piece.clone()).collect::<Vec<u8>>(),
                line.as_bytes()
            );
            assert_eq!(pieces[0].1, Some(1));
            assert_eq!(pieces.last().expect("pieces").1, Some(pieces.len() as u64));
        }
    }
}
