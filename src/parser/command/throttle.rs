//! Bounds the disk space of a program's output.
//!
//! Space is reserved in front of the program, so that its writes never meet a full disk, and given back
//! behind the reader. A program that is too far ahead of the reader, or whose space can't be reserved, is
//! stopped (SIGSTOP, its whole group) until the reader has caught up: it is slowed down, as by a full pipe.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::blocks::BLOCK;
use super::file::OutputFile;
use super::process::{self, Group};
use super::state::{LONGEST_PAUSE, OutputState, SHORTEST_PAUSE};
use crate::ids::RunId;

/// How many bytes a program may be ahead of the reader.
const MOST_UNREAD: u64 = 8 << 20;
/// A stopped program goes on when no more than this is unread.
const FEW_UNREAD: u64 = MOST_UNREAD / 4;
/// Space is given back in steps of this size.
const STEP: u64 = 1 << 20;
/// How long a program waits for a full disk before its log says so.
const PATIENCE: Duration = Duration::from_secs(1);
/// If a stopped program's output grows at this many looks in a row, other writers are looked for.
const LOOKS: u32 = 3;

/// Bounds the output of one program.
pub(super) struct Throttle {
    files: [Arc<OutputFile>; 2],
    /// The sizes of the files at the last look.
    seen: [u64; 2],
    state: Arc<OutputState>,
    leader: Pid,
    run: RunId,
    /// Since when the program is stopped.
    stopped: Option<Instant>,
    /// Looks in a row at which its output grew although it was stopped.
    defied: u32,
    /// Stopped processes outside of its group.
    others: Vec<Pid>,
    said_full: bool,
}

/// What a look found.
#[derive(Default)]
struct Found {
    unread: u64,
    grew: bool,
    is_full: bool,
}

impl Throttle {
    pub(super) fn new(files: &[Arc<OutputFile>; 2], state: &Arc<OutputState>, group: &Group) -> Self {
        Self {
            files: files.clone(),
            seen: [0, 0],
            state: Arc::clone(state),
            leader: group.leader(),
            run: group.run(),
            stopped: None,
            defied: 0,
            others: Vec::new(),
            said_full: false,
        }
    }

    /// Looks again and again, until the files are closed.
    pub(super) fn watch(mut self) {
        let mut pause = SHORTEST_PAUSE;
        while !self.state.is_closing() {
            let found = self.look();
            let busy = found.grew || self.stopped.is_some();
            self.decide(&found);
            pause = if busy { SHORTEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            thread::sleep(pause);
        }
        if self.stopped.is_some() {
            self.let_go_on();
        }
    }

    fn look(&mut self) -> Found {
        let mut found = Found::default();
        for (file, seen) in self.files.iter().zip(&mut self.seen) {
            let emptied = file.times_emptied();
            let Ok(size) = file.size() else { continue };
            found.grew |= std::mem::replace(seen, size) != size;
            let kept_from = self.state.kept_from(file.stream()).min(size);
            found.unread += size - kept_from;
            file.give_back(kept_from, emptied, STEP);
            if !file.reserve_ahead() {
                file.give_back(kept_from, emptied, BLOCK);
                found.is_full |= !file.reserve_ahead();
            }
        }
        found
    }

    fn decide(&mut self, found: &Found) {
        let Some(since) = self.stopped else {
            if found.is_full || found.unread > MOST_UNREAD {
                self.stop();
            }
            return;
        };
        // A stopped program is not silent: it can't write.
        self.state.touch();
        if !found.is_full && found.unread <= FEW_UNREAD {
            return self.let_go_on();
        }
        self.defied = if found.grew { self.defied + 1 } else { 0 };
        if self.defied > LOOKS {
            self.stop_others();
        }
        if found.is_full && since.elapsed() > PATIENCE && !std::mem::replace(&mut self.said_full, true) {
            tracing::warn!(
                "the disk of the spool is full: the parser is stopped until there is room for its output"
            );
        }
    }

    fn stop(&mut self) {
        self.stopped = Some(Instant::now());
        // An error means that the process is gone.
        let _ = kill_process_group(self.leader, Signal::STOP);
    }

    fn stop_others(&mut self) {
        self.defied = 0;
        for pid in process::writers_of(self.run) {
            let _ = kill_process(pid, Signal::STOP);
            self.others.push(pid);
        }
    }

    fn let_go_on(&mut self) {
        self.stopped = None;
        self.defied = 0;
        let _ = kill_process_group(self.leader, Signal::CONT);
        for pid in self.others.drain(..) {
            let _ = kill_process(pid, Signal::CONT);
        }
    }
}
