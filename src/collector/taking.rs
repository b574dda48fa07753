//! Takes the records out of one connection, so that a kill at any instruction loses none and repeats none.

use std::io;
use std::net::TcpStream;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::acks::{Acknowledged, is_hello};
use super::message::{ConnectionState, ReceiverNews};
use super::socket::{is_crowded, position};
use super::spill::SpilledFrame;
use crate::frames::{Arrived, Decoder, FrameReader, StreamKind};
use crate::intake::Streams;
use crate::parse::Wire;
use crate::record::Arrival;

/// Bytes to look at at once.
pub(super) const LOOK: usize = 256 << 10;
/// With so many bytes of one frame in the kernel, it may have no room for the rest; with fewer, the kernel is asked.
const SPILL_FROM: usize = 32 << 10;
/// So many looks at one connection, then the others have their turn.
const TURN: usize = 16;

/// What stores and tells for all connections.
pub(super) struct Shelf {
    pub(super) streams: Streams,
    pub(super) wire: Wire,
    /// Where frames go that the kernel can't hold.
    pub(super) folder: PathBuf,
    /// Longer frames are skipped.
    pub(super) cap: usize,
}

/// What a thread needs to take records.
pub(super) struct Hands {
    decoder: Decoder,
    buffer: Vec<u8>,
    /// For bytes that the kernel drops.
    nowhere: Vec<u8>,
}

impl Default for Hands {
    fn default() -> Self {
        Self { decoder: Decoder::default(), buffer: vec![0; LOOK], nowhere: vec![0; LOOK] }
    }
}

/// A connection, and how far it is taken.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) id: u64,
    pub(super) socket: TcpStream,
    state: ConnectionState,
    /// The first byte that is left in the kernel.
    at: u64,
    acknowledged: Acknowledged,
    spilled: Option<SpilledFrame>,
}

/// What is left after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterTurn {
    /// Nothing more until more arrives.
    Nothing,
    /// More than one turn's share.
    More,
    /// The connection has ended, and everything of it is stored.
    Ended,
}

impl Taking {
    /// Goes on where the receiver before ended; `spilled` is the frame that it had begun to spill.
    pub(super) fn resume(
        id: u64,
        socket: TcpStream,
        state: ConnectionState,
        spilled: Option<SpilledFrame>,
    ) -> io::Result<Self> {
        let at = position(&socket)?;
        // A frame that was taken as a whole is stored; its file was to be removed.
        let (taken, spilled) = match spilled {
            Some(frame) if frame.end() < at => (Some(frame), None),
            spilled => (None, spilled),
        };
        taken.map(SpilledFrame::remove).transpose()?;
        Ok(Self { id, socket, state, at, acknowledged: Acknowledged::default(), spilled })
    }

    /// The first byte that is left in the kernel.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Stores what the kernel has, at most one turn's share.
    pub(super) fn turn(&mut self, shelf: &Shelf, hands: &mut Hands) -> io::Result<AfterTurn> {
        let left = self.looks(shelf, hands)?;
        if self.state.wants_acks && left != AfterTurn::Ended {
            self.acknowledged.say(&self.socket, self.at);
        }
        Ok(left)
    }

    fn looks(&mut self, shelf: &Shelf, hands: &mut Hands) -> io::Result<AfterTurn> {
        for _ in 0..TURN {
            match self.look(shelf, hands)? {
                AfterTurn::More => {}
                AfterTurn::Nothing => return Ok(AfterTurn::Nothing),
                AfterTurn::Ended => {
                    self.end(shelf, hands)?;
                    return Ok(AfterTurn::Ended);
                }
            }
        }
        Ok(AfterTurn::More)
    }

    fn look(&mut self, shelf: &Shelf, hands: &mut Hands) -> io::Result<AfterTurn> {
        let seen = match self.peek(hands) {
            Ok(0) => return Ok(AfterTurn::Ended),
            Ok(seen) => seen,
            Err(Errno::AGAIN) => return Ok(AfterTurn::Nothing),
            Err(Errno::INTR) => return Ok(AfterTurn::More),
            // The sender broke it off, and nothing is left.
            Err(_) => return Ok(AfterTurn::Ended),
        };
        let passed = match &self.spilled {
            // It was spilled and not taken out, when a kill came in between.
            Some(frame) => frame.end(),
            None if self.state.kind == StreamKind::Strange => u64::MAX,
            None => self.state.skip_to,
        };
        let passed = passed.saturating_sub(self.at).min(seen as u64) as usize;
        if passed > 0 {
            self.take_out(passed, hands)?;
            return Ok(AfterTurn::More);
        }
        let Some(frame) = &mut self.spilled else { return self.cut(seen, shelf, hands) };
        let seen = &hands.buffer[..seen];
        match frame.completed_by(seen, self.state.kind, shelf.cap)? {
            Some(rest) => {
                // No more than the frame itself, so that nothing is left of the file behind it.
                let bytes = [&frame.read()?, &seen[..rest]].concat();
                let mut reader = FrameReader::resume(shelf.cap, self.state.kind, frame.from);
                self.store(&mut reader, &bytes, shelf, &mut hands.decoder)?;
                self.take_out(rest, hands)?;
                self.spilled.take().map(SpilledFrame::remove).transpose()?;
                shelf.streams.settled(self.id, self.at);
            }
            None => {
                frame.append(seen)?;
                self.take_out(seen.len(), hands)?;
            }
        }
        Ok(AfterTurn::More)
    }

    /// Stores the frames and lines in what was seen, and takes them out.
    fn cut(&mut self, seen: usize, shelf: &Shelf, hands: &mut Hands) -> io::Result<AfterTurn> {
        let mut reader = FrameReader::resume(shelf.cap, self.state.kind, self.at);
        self.store(&mut reader, &hands.buffer[..seen], shelf, &mut hands.decoder)?;
        let cut = reader.boundary().saturating_sub(self.at).min(seen as u64) as usize;
        if cut > 0 {
            self.take_out(cut, hands)?;
            shelf.streams.settled(self.id, self.at);
            return Ok(AfterTurn::More);
        }
        let is_known = self.state.kind != StreamKind::Unknown;
        if seen >= SPILL_FROM || (is_known && is_crowded(&self.socket)?) {
            // It is known before it is written to: whatever fails then is tried again.
            let frame = self.spilled.insert(SpilledFrame::create(&shelf.folder, self.id, self.at)?);
            frame.append(&hands.buffer[..seen])?;
            self.take_out(seen, hands)?;
            return Ok(AfterTurn::More);
        }
        if !self.has_ended()? {
            return Ok(AfterTurn::Nothing);
        }
        // What came between the look and the end is there by now.
        Ok(if self.peek(hands)? > seen { AfterTurn::More } else { AfterTurn::Ended })
    }

    /// Stores what a reader finds in these bytes.
    fn store(
        &mut self,
        reader: &mut FrameReader,
        bytes: &[u8],
        shelf: &Shelf,
        decoder: &mut Decoder,
    ) -> io::Result<()> {
        let mut arrived = Arrivals { shelf, decoder, connection: self.id };
        let mut wants_acks = self.state.wants_acks;
        reader.take(bytes, &mut |found, end| match is_hello(&found, end) {
            true => wants_acks = true,
            false => arrived.store(&found, end),
        });
        self.know(reader, wants_acks, shelf)
    }

    /// Tells the holder what the next receiver can't learn from the kernel, before the bytes that tell it are gone.
    fn know(&mut self, reader: &FrameReader, wants_acks: bool, shelf: &Shelf) -> io::Result<()> {
        let state = ConnectionState { kind: reader.kind(), skip_to: reader.boundary(), wants_acks };
        let is_news = (state.kind, wants_acks) != (self.state.kind, self.state.wants_acks) || reader.skips();
        self.state = state;
        if is_news {
            shelf.wire.send(&ReceiverNews::State { id: self.id, state }, None)?;
        }
        Ok(())
    }

    /// The number of the next bytes, which are in the buffer and in the kernel then; 0 at the end.
    fn peek(&self, hands: &mut Hands) -> rustix::io::Result<usize> {
        let (_, seen) = recv(&self.socket, &mut hands.buffer[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
        Ok(seen)
    }

    /// Takes the next bytes out of the kernel.
    fn take_out(&mut self, count: usize, hands: &mut Hands) -> io::Result<()> {
        // With this flag the kernel copies nothing.
        let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        let (_, taken) = recv(&self.socket, &mut hands.nowhere[..count], flags)?;
        self.at += taken as u64;
        Ok(())
    }

    /// Whether the sender has closed the connection, so that no more comes than is here.
    fn has_ended(&self) -> io::Result<bool> {
        let mut polled = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        Ok(!polled[0].revents().is_empty())
    }

    /// Stores what the end of the connection leaves: a last line, or a frame that is not whole.
    fn end(&mut self, shelf: &Shelf, hands: &mut Hands) -> io::Result<()> {
        let (mut bytes, mut from) = (Vec::new(), self.at);
        if let Some(frame) = &self.spilled {
            (bytes, from) = (frame.read()?, frame.from);
        }
        // Nothing is left, or the connection is broken.
        let left = self.peek(hands).unwrap_or(0);
        bytes.extend_from_slice(&hands.buffer[..left]);
        let mut arrived = Arrivals { shelf, decoder: &mut hands.decoder, connection: self.id };
        let mut reader = FrameReader::resume(shelf.cap, self.state.kind, from);
        reader.take(&bytes, &mut |found, end| arrived.store(&found, end));
        if reader.end(&mut |found, end| arrived.store(&found, end)) {
            arrived.reject(&bytes, "its connection ends within it", from + bytes.len() as u64);
        }
        // In this order: as long as its segment is not sealed, a repetition does no harm.
        if left > 0 {
            self.take_out(left, hands)?;
        }
        self.spilled.take().map(SpilledFrame::remove).transpose()?;
        shelf.streams.finished(self.id);
        Ok(())
    }
}

/// Stores what arrives by one connection.
pub(super) struct Arrivals<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) decoder: &'a mut Decoder,
    pub(super) connection: u64,
}

impl Arrivals<'_> {
    fn store(&mut self, found: &Arrived<'_>, end: u64) {
        let from = Arrival { connection: self.connection, end };
        match found {
            Arrived::Frame(body) => match self.decoder.decode(body) {
                // The stream counts what it did not take.
                Ok(record) => drop(self.shelf.streams.store(&record, Some(from))),
                Err(reason) => self.reject(body, &reason, end),
            },
            Arrived::TooLong => self.reject(b"", &format!("it is longer than {} bytes", self.shelf.cap), end),
            Arrived::Strange(stranger) => {
                self.reject(b"", &format!("the connection is {}", stranger.describe()), end);
            }
        }
    }

    pub(super) fn reject(&mut self, raw: &[u8], reason: &str, end: u64) {
        let from = Arrival { connection: self.connection, end };
        // The stream counts what it did not take.
        let _ = self.shelf.streams.reject(None, raw, reason, Some(from));
    }
}
