//! The output of an external program: two growing files, which one thread reads while another bounds them, and a
//! port for its log handlers.
//!
//! One thread reads all, so that their lines have one order, which is that of its looks, a few milliseconds
//! apart. If both grew between two looks, it logs stdout first.

use std::io;
use std::net::TcpListener;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::file::OutputFile;
use super::line::LoggedUpTo;
use super::port::{self, PortReader};
use super::process::Group;
use super::reader::{CHUNK, OutputReader};
use super::state::{LONGEST_PAUSE, OutputState, PAUSE_ONCE_EMPTIED, SHORTEST_PAUSE};
use super::stream::Stream;
use super::tally::Tally;
use super::throttle::Throttle;
use crate::ids::RunId;
use crate::{carry, faults};

/// Longest wait for processes that a program left behind, even if they still write.
const LONGEST_FINISH: Duration = Duration::from_secs(60);

/// The files of one program, and the threads that follow them.
pub(super) struct Output {
    files: [Arc<OutputFile>; 2],
    /// Where the program's log handlers send records, until the reader takes it.
    port: Option<TcpListener>,
    state: Arc<OutputState>,
    reader: Option<JoinHandle<()>>,
    throttle: Option<JoinHandle<()>>,
}

impl Output {
    /// Creates the files: beside the log if there is one and its disk has room, else in memory. `stem` is the
    /// path of the log without its ending.
    pub(super) fn create(stem: Option<&Path>, run: RunId) -> io::Result<Self> {
        let beside = stem.map(|stem| {
            let stdout = OutputFile::create(stem, Stream::Stdout)?;
            let stderr = OutputFile::create(stem, Stream::Stderr).inspect_err(|_| stdout.remove())?;
            io::Result::Ok([stdout, stderr])
        });
        let files = match beside {
            Some(Ok(files)) => files,
            other => {
                if let Some(Err(error)) = other {
                    tracing::warn!(
                        "the parser's output is held in memory, and a kill of this process loses what was not read yet: \
                         the spool can't take it: {error}"
                    );
                }
                let [stdout, stderr] = Stream::ALL.map(|stream| OutputFile::in_memory(run, stream));
                [stdout?, stderr?]
            }
        };
        faults::point("output-created");
        let port = port::open().inspect_err(|error| {
            tracing::warn!("the run has no port for the parser's log handlers: {error}");
        });
        let state = Arc::new(OutputState::new());
        Ok(Self { files: files.map(Arc::new), port: port.ok(), state, reader: None, throttle: None })
    }

    /// Makes the files the program's stdout and stderr.
    pub(super) fn give_to(&self, command: &mut Command) -> io::Result<()> {
        let [stdout, stderr] = &self.files;
        command.stdout(stdout.for_program()?).stderr(stderr.for_program()?);
        Ok(())
    }

    /// The port to which the program's log handlers may send records; `None` if none could be had.
    pub(super) fn port(&self) -> Option<u16> {
        Some(self.port.as_ref()?.local_addr().ok()?.port())
    }

    /// Starts to read. The lines are logged in the current span.
    pub(super) fn follow(&mut self, group: &Group, tally: &Tally) {
        let throttle = Throttle::new(&self.files, &self.state, group);
        self.throttle = Some(carry::thread(move || throttle.watch()));
        let (files, state, tally) = (self.files.clone(), Arc::clone(&self.state), tally.clone());
        let port = self.port.take();
        self.reader = Some(carry::thread(move || read(files, port, &state, &tally)));
    }

    /// Time since the program's last sign of life, or since the start.
    pub(super) fn silent_for(&self) -> Duration {
        self.state.silent_for()
    }

    /// Whether the reader has ended although nobody closed the output.
    pub(super) fn is_unheard(&self) -> bool {
        self.reader.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Waits until the processes that a program left behind, and that may still write, are silent for
    /// `patience`. A process that never falls silent is waited for up to `LONGEST_FINISH`, and one that
    /// escaped from the group not at all; returns whether one escaped.
    pub(super) fn finish(&self, patience: Duration, group: &Group) -> bool {
        let (started, mut pause) = (Instant::now(), SHORTEST_PAUSE);
        loop {
            let writers = group.writers();
            let idle = started.elapsed().min(self.silent_for());
            if !writers.known || idle > patience || started.elapsed() > LONGEST_FINISH {
                return writers.escaped;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(4 * LONGEST_PAUSE);
        }
    }

    /// Reads all output written until now, however long that takes, and closes the files.
    pub(super) fn close(&mut self) {
        self.state.close();
        let ended = [self.reader.take(), self.throttle.take()].map(|thread| thread.map(JoinHandle::join));
        for panicked in ended.into_iter().flatten().filter_map(Result::err) {
            if !thread::panicking() {
                resume_unwind(panicked);
            }
        }
        for file in &self.files {
            file.remove();
            faults::point("output-removed");
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.close();
    }
}

fn read(files: [Arc<OutputFile>; 2], port: Option<TcpListener>, state: &OutputState, tally: &Tally) {
    let logged: LoggedUpTo = Rc::default();
    let mut readers = files.map(|file| OutputReader::new(file, tally.clone(), &logged));
    let mut port = port.map(|listener| PortReader::new(listener, tally.clone(), &logged));
    let mut buffer = vec![0; CHUNK];
    let mut pause = SHORTEST_PAUSE;
    let mut end = None;
    loop {
        if end.is_none() && state.is_closing() {
            // Nobody that we know of writes later.
            end = Some(readers.each_ref().map(OutputReader::size));
        }
        let mut found = false;
        for (reader, stream) in readers.iter_mut().zip(Stream::ALL) {
            // A program whose lines are logged slowly is not silent.
            let read = reader.look(&mut buffer, || state.touch());
            state.keep_from(stream, reader.kept_from());
            if read {
                state.touch();
            }
            found |= read;
        }
        if let Some(end) = end
            && (!found || readers.iter().zip(end).all(|(reader, end)| reader.is_at(end)))
        {
            break;
        }
        let patience = match readers.iter().any(OutputReader::was_emptied) {
            _ if found => Duration::ZERO,
            true => PAUSE_ONCE_EMPTIED,
            false => pause,
        };
        pause = if found { SHORTEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        match &mut port {
            Some(port) => {
                if port.look(patience, &mut buffer) {
                    state.touch();
                }
            }
            None => thread::sleep(patience),
        }
    }
    readers.iter_mut().for_each(OutputReader::end);
    if let Some(port) = port {
        port.end(&mut buffer);
    }
}
