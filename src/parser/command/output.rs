//! What an external parser writes: both pipes are read at once, line by line, by a thread each.
//!
//! A full pipe never blocks the program for longer than it takes to log a line, and no line, nor the
//! lack of one, makes a reader hold more than [`LONGEST_PIECE`].

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::line::{self, Stream};
use super::process::Group;
use super::tally::Tally;
use crate::carry;

/// Longer lines are cut into pieces of this many bytes.
pub(super) const LONGEST_PIECE: usize = 64 << 10;
/// Longest wait for the end of the pipes, whatever still comes.
const LONGEST_FINISH: Duration = Duration::from_secs(60);
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
}

impl Output {
    /// Starts to read; what is read is logged in the current span.
    pub(super) fn read(group: &mut Group, tally: &Tally) -> anyhow::Result<Self> {
        let (stdout, stderr) = group.pipes().context("failed to get the parser's pipes")?;
        let shared = Arc::new(Shared {
            started: Instant::now(),
            last_byte: AtomicU64::new(0),
            abandoned: AtomicBool::new(false),
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

    /// Waits until both pipes are read to their end, and gives up when nothing came for `patience`;
    /// says whether the end was reached. What a dead program left is read however long that takes,
    /// but an escaped process that never stops talking is not listened to for ever.
    pub(super) fn finish(&mut self, patience: Duration) -> bool {
        let started = Instant::now();
        while !self.readers.iter().all(JoinHandle::is_finished) {
            let idle = started.elapsed().min(self.silent_for());
            if idle > patience || started.elapsed() > LONGEST_FINISH {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
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
        let mut buffer = vec![0; LONGEST_PIECE];
        let mut log = |line: &[u8], piece: Option<u64>| {
            line::log(line, piece, stream, &tally);
            shared.touch(); // Lines that are logged slowly are no silence.
        };
        while !shared.abandoned.load(Ordering::Relaxed) {
            match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&LOOK_UP)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(_) => break,
            }
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    shared.touch();
                    lines.push(&buffer[..count], &mut log);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        lines.end(&mut log);
    })
}

/// Cuts a stream of bytes into lines, and long lines into numbered pieces.
#[derive(Default)]
struct Lines {
    open: Vec<u8>,
    /// Pieces of the open line that were handed on already.
    pieces: u64,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8], Option<u64>)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            self.open.extend_from_slice(text);
            while self.open.len() > LONGEST_PIECE {
                let cut = character_start(&self.open, LONGEST_PIECE);
                self.pieces += 1;
                each(&self.open[..cut], Some(self.pieces));
                self.open.drain(..cut);
            }
            if ends {
                self.end(each);
            }
        }
    }

    fn end(&mut self, each: &mut impl FnMut(&[u8], Option<u64>)) {
        let line = self.open.strip_suffix(b"\r").unwrap_or(&self.open);
        if !line.is_empty() {
            each(line, (self.pieces > 0).then_some(self.pieces + 1));
        }
        self.open.clear();
        self.pieces = 0;
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
        let mut each = |line: &[u8], piece| found.push((line.to_vec(), piece));
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
