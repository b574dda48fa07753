//! How much of one log was shipped, and the bound of what stays there: its beginning and its end.

use std::collections::VecDeque;
use std::io;

use crate::ids::LogId;
use crate::spool::{Growth, Spool};
use crate::store::piece::{LogPiece, PiecePlace};
use crate::{faults, gzip};

/// Most raw bytes of one log in one round; the next round goes on.
const ROUND: u64 = 8 << 20;

/// What stays there of one log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// The most raw bytes to begin with, and to catch up with: of more, only the last are shipped.
    pub(super) first: u64,
    pub(super) behind: u64,
    /// Packed bytes that stay, and of these the share of the log's beginning: what is dropped lies in between.
    pub(super) all: u64,
    pub(super) beginning: u64,
    /// What stays for readers alone, where the rest is up in an archive that anybody can complete: little, since the
    /// database drops it in the transaction that somebody waits for at the end. A quarter of it is of the beginning.
    pub(super) read: u64,
}

/// Of a log that is to outlive its machine.
const KEPT: Bound =
    Bound { first: 256 << 20, behind: 256 << 20, all: 64 << 20, beginning: 16 << 20, read: 8 << 20 };

/// Of a log that others only read.
const READ: Bound = Bound { first: 1 << 20, behind: 256 << 20, all: 8 << 20, beginning: 0, read: 8 << 20 };

impl Bound {
    /// Of a log that is to outlive its machine.
    pub(super) fn kept() -> Self {
        let all = faults::bound("remote-tail", KEPT.all);
        Self { all, beginning: KEPT.beginning.min(all / 4), read: KEPT.read.min(all / 2), ..KEPT }
    }

    /// Of a log that others only read.
    pub(super) fn read() -> Self {
        READ
    }
}

/// How much of one log was shipped.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    growth: Option<Growth>,
    /// The pieces of the beginning that may be dropped when they are up, oldest first, and those behind it.
    early: VecDeque<DroppablePiece>,
    later: VecDeque<DroppablePiece>,
    /// Packed bytes of the beginning, and of all that stays.
    beginning: u64,
    bytes: u64,
    /// Bytes of the log that can be had without their pieces.
    up: u64,
}

/// A piece that may be dropped.
#[derive(Debug, Clone, Copy)]
struct DroppablePiece {
    place: PiecePlace,
    /// Where the next one begins, in bytes of the log; behind its cut nothing is up.
    end: u64,
    /// As it is packed.
    bytes: u64,
}

/// What is new of one log.
#[derive(Debug)]
pub(super) struct Shipment {
    pub(super) log: LogId,
    pub(super) pieces: Vec<LogPiece>,
    /// Pieces that have to go for them.
    pub(super) dropped: Vec<PiecePlace>,
    /// How much is shipped with it.
    pub(super) sent: Sent,
}

impl Sent {
    /// As of a log of which another process shipped so many bytes.
    pub(super) fn from(at: u64) -> Self {
        Self { growth: Some(Growth::from(at)), ..Self::default() }
    }

    /// Bytes of the log that were read.
    pub(super) fn position(&self) -> u64 {
        self.growth.map_or(0, |growth| growth.position())
    }

    /// The same, while so many bytes of the log can be had without their pieces.
    pub(super) fn up_to(self, up: u64) -> Self {
        Self { up, ..self }
    }

    /// Reads and packs what is new.
    pub(super) fn read(mut self, spool: &Spool, log: LogId, bound: Bound) -> io::Result<Shipment> {
        let most = if self.growth.is_some() { bound.behind } else { bound.first };
        let mut growth = self.growth.unwrap_or_default();
        let (mut pieces, mut dropped, mut read) = (Vec::new(), Vec::new(), 0);
        while read < ROUND
            && let Some(stretch) = growth.next(spool, log, most)?
        {
            let raw_bytes = stretch.lines.len() as u64;
            let place = PiecePlace { log, behind: stretch.behind, at: stretch.at };
            let piece = LogPiece { place, raw_bytes, bytes: gzip::encode_member(&stretch.lines) };
            let end = if place.behind { u64::MAX } else { place.at + raw_bytes };
            self.add(DroppablePiece { place, end, bytes: piece.bytes.len() as u64 }, bound);
            pieces.push(piece);
            read += raw_bytes;
        }
        while let Some(DroppablePiece { place, bytes, .. }) = self.next_to_drop(bound) {
            self.bytes -= bytes;
            match pieces.iter().position(|piece| piece.place == place) {
                Some(new) => drop(pieces.remove(new)),
                None => dropped.push(place),
            }
        }
        if !pieces.is_empty() {
            self.growth = Some(growth);
        }
        Ok(Shipment { log, pieces, dropped, sent: self })
    }

    fn add(&mut self, piece: DroppablePiece, bound: Bound) {
        self.bytes += piece.bytes;
        if self.beginning + piece.bytes <= bound.beginning {
            self.beginning += piece.bytes;
            if self.beginning > bound.read / 4 {
                self.early.push_back(piece);
            }
        } else {
            // From here on nothing is of the beginning.
            self.beginning = u64::MAX / 2;
            self.later.push_back(piece);
        }
    }

    fn next_to_drop(&mut self, bound: Bound) -> Option<DroppablePiece> {
        let (too_much, more_than_read, up) = (self.bytes > bound.all, self.bytes > bound.read, self.up);
        let is_up = |piece: &mut DroppablePiece| more_than_read && piece.end <= up;
        // Even one piece that is larger than all is kept.
        self.early.pop_front_if(is_up).or_else(|| {
            (self.later.len() > 1).then(|| self.later.pop_front_if(|piece| too_much || is_up(piece)))?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of so many lines of a mebibyte, which hardly pack.
    fn spool_with(log: LogId, lines: usize) -> (tempfile::TempDir, Spool) {
        let home = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(home.path(), 1 << 30).expect("a spool");
        let (mut text, mut state) = (Vec::with_capacity(lines << 20), 7_u64);
        while text.len() < lines << 20 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push(b'!' + (state >> 33) as u8 % 90);
        }
        text.chunks_mut(1 << 20).for_each(|line| line[line.len() - 1] = b'\n');
        std::fs::write(spool.stem(log).with_extension("open"), text).expect("a log");
        (home, spool)
    }

    #[test]
    fn what_readers_get_of_a_long_log_is_its_end_and_what_comes_after_it() {
        let log = LogId::new();
        let (_home, spool) = spool_with(log, 4);
        let bound = Bound { first: 2 << 20, ..READ };
        let shipment = Sent::default().read(&spool, log, bound).expect("what is new");
        let raw: u64 = shipment.pieces.iter().map(|piece| piece.raw_bytes).sum();
        assert!(raw <= 2 << 20 && raw > 0, "{raw}");
        let again = shipment.sent.read(&spool, log, bound).expect("nothing");
        assert!(again.pieces.is_empty() && again.dropped.is_empty());
    }

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end() {
        let log = LogId::new();
        let (_home, spool) = spool_with(log, 20);
        let bound = Bound { all: 5 << 20, beginning: 2 << 20, ..KEPT };
        let (mut sent, mut there) = (Sent::default(), Vec::new());
        loop {
            let shipment = sent.read(&spool, log, bound).expect("what is new");
            sent = shipment.sent;
            if shipment.pieces.is_empty() {
                break;
            }
            there
                .extend(shipment.pieces.iter().map(|piece| (piece.place.at >> 20, piece.bytes.len() as u64)));
            there.retain(|(at, _)| !shipment.dropped.iter().any(|place| place.at >> 20 == *at));
        }
        let bytes: u64 = there.iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes <= bound.all && bytes > bound.all - (2 << 20), "{bytes}");
        let lines: Vec<u64> = there.iter().map(|(at, _)| *at).collect();
        assert!(
            lines.starts_with(&[0, 1]) && lines.ends_with(&[18, 19]) && !lines.contains(&10),
            "{lines:?}"
        );
    }
    #[test]
    fn of_a_log_that_is_up_little_of_its_beginning_and_its_end_stay() {
        let log = LogId::new();
        let (_home, spool) = spool_with(log, 20);
        let bound = Bound { read: 4 << 20, ..KEPT };
        let (mut sent, mut there) = (Sent::default(), Vec::new());
        for up in [0, 0, 0, 16 << 20] {
            let shipment = sent.up_to(up).read(&spool, log, bound).expect("what is new");
            sent = shipment.sent;
            there.extend(shipment.pieces.iter().map(|piece| piece.place.at >> 20));
            assert!(up > 0 || shipment.dropped.is_empty(), "nothing of it is up");
            there.retain(|at| !shipment.dropped.iter().any(|place| place.at >> 20 == *at));
        }
        assert!(there[0] == 0 && !there.contains(&10) && there.ends_with(&[16, 17, 18, 19]), "{there:?}");
    }
}
