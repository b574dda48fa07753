//! The receiver: reads every connection that its holder hands it, until it is told to stop, or killed.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{process, thread};

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use tokio::sync::oneshot;

use super::message::{ConnectionState, HolderOrder, ReceiverNews};
use super::spill::SpilledFrame;
use super::taking::{AfterTurn, Arrivals, Hands, Shelf, Taking};
use crate::carry;
use crate::config::IntakeConfig;
use crate::frames::Decoder;
use crate::intake::{Inheritance, Streams};
use crate::parse::{Received, Wire};
use crate::system::System;

/// Events to take at once.
const EVENTS: usize = 64;
/// How long a thread waits before it looks whether to stop.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// How long a connection waits whose records could not be taken.
const PAUSE: Duration = Duration::from_millis(50);
/// At the end, how long nothing has to come by any connection, …
const QUIET: Duration = Duration::from_millis(200);
/// … how long to wait for more in between, …
const BREATH: Duration = Duration::from_millis(2);
/// … and how long to read, since senders may go on for ever.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// Receives for the holder at the other end of `wire`, until that says stop or is gone. Frames beyond `cap` bytes are
/// skipped.
///
/// # Errors
/// The rules or the spool can't be read, or nobody makes the streams durable any more.
pub async fn receive(system: System, config: IntakeConfig, wire: Wire, cap: usize) -> Result<()> {
    let streams = Streams::open(&system, config)?;
    let folder = system.spool.connections();
    let shelf = Shelf { streams: streams.clone(), wire, folder, cap };
    let floor = Arc::new(Floor::new(shelf).context("failed to watch connections")?);
    floor.shelf.wire.send(&ReceiverNews::Ready, None)?;
    let (begin, begun) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    carry::thread(move || {
        let listened = floor.listen(begin);
        floor.stop.store(true, Ordering::Relaxed);
        let _ = end.send(listened);
    });
    // Until then another receiver keeps the streams.
    if begun.await.is_err() {
        return ended.await.context("the thread that listens to the holder panicked")?;
    }
    let mut listened = Ok(());
    let stop = async {
        listened = ended.await.context("the thread that listens to the holder panicked").flatten();
    };
    streams.keep(stop).await?;
    listened
}

/// What the threads of a receiver share.
struct Floor {
    shelf: Shelf,
    epoll: OwnedFd,
    connections: Mutex<HashMap<u64, Arc<Mutex<Taking>>>>,
    stop: AtomicBool,
    /// A connection may bring again what the receiver before had stored.
    is_in_doubt: AtomicBool,
}

impl Floor {
    fn new(shelf: Shelf) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let (connections, stop, is_in_doubt) = Default::default();
        Ok(Self { shelf, epoll, connections, stop, is_in_doubt })
    }

    /// Does what the holder says; `begin` hears that this receiver is in charge.
    fn listen(self: &Arc<Self>, begin: oneshot::Sender<()>) -> Result<()> {
        let mut begin = Some(begin);
        let mut hands = Hands::default();
        let mut inherited: Option<(Inheritance, HashMap<u64, SpilledFrame>)> = None;
        let mut lock = None;
        loop {
            let Some(Received { message, file }) = self.shelf.wire.receive()? else { break };
            match message {
                HolderOrder::Begin => {
                    lock = file;
                    let inheritance = self.shelf.streams.inherit()?;
                    let spilled =
                        SpilledFrame::left_over(&self.shelf.folder).context("failed to read the spool")?;
                    inherited = Some((inheritance, spilled.into_iter().collect()));
                    let _ = begin.take().map(|begin| begin.send(()));
                    for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                        let floor = Arc::clone(self);
                        carry::thread(move || floor.work());
                    }
                }
                HolderOrder::Connection { id, state } => {
                    let Some(socket) = file.map(|file| TcpStream::from(OwnedFd::from(file))) else {
                        continue;
                    };
                    let spilled = inherited.as_mut().and_then(|(_, spilled)| spilled.remove(&id));
                    self.add(id, socket, state, spilled, &mut hands)
                        .with_context(|| format!("failed to watch connection {id}"))?;
                }
                HolderOrder::AllHanded => {
                    // What the receiver before had stored was met again by now.
                    let Some((inheritance, spilled)) = inherited.take() else { continue };
                    for (id, frame) in spilled {
                        self.reject_left_over(id, frame)?;
                    }
                    if self.is_in_doubt.load(Ordering::Relaxed) {
                        // Nobody else may close the segments before the end of this process.
                        inherited = Some((inheritance, HashMap::new()));
                    } else {
                        inheritance.close()?;
                    }
                }
                HolderOrder::Stop => break,
            }
        }
        self.stop.store(true, Ordering::Relaxed);
        self.drain(&mut hands);
        drop(lock);
        Ok(())
    }

    /// Takes everything that was sent. What a sender has in its own kernel comes once there is room for it here.
    fn drain(&self, hands: &mut Hands) {
        let (begun, mut last) = (Instant::now(), Instant::now());
        while last.elapsed() < QUIET {
            let open: Vec<_> = self.lock().values().cloned().collect();
            for connection in &open {
                let before = lock(connection).at();
                let left = self.take(connection, hands);
                if left == AfterTurn::More || lock(connection).at() > before {
                    last = Instant::now();
                }
            }
            if begun.elapsed() > LAST_GRACE {
                tracing::warn!("senders go on: what they send from now on is lost");
                return;
            }
            thread::sleep(BREATH);
        }
    }

    /// Takes what a connection has already, and watches it from now on.
    fn add(
        &self,
        id: u64,
        socket: TcpStream,
        state: ConnectionState,
        spilled: Option<SpilledFrame>,
        hands: &mut Hands,
    ) -> io::Result<()> {
        let taking = Arc::new(Mutex::new(Taking::resume(id, socket, state, spilled)?));
        let locked = lock(&taking);
        self.lock().insert(id, Arc::clone(&taking));
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &locked.socket, epoll::EventData::new_u64(id), flags)?;
        drop(locked);
        // One turn meets everything that may be stored already.
        let left = self.take(&taking, hands);
        if left == AfterTurn::More {
            // To be told of it at once.
            // One that has ended meanwhile is not watched any more.
            let _ = epoll::modify(&self.epoll, &lock(&taking).socket, epoll::EventData::new_u64(id), flags);
        }
        Ok(())
    }

    /// Takes what arrives, beside other threads.
    fn work(&self) {
        let _guard = AbortGuard;
        let (mut hands, mut events) = (Hands::default(), Vec::with_capacity(EVENTS));
        let mut again = VecDeque::new();
        while !self.stop.load(Ordering::Relaxed) {
            let patience = if again.is_empty() { PATIENCE } else { Timespec { tv_sec: 0, tv_nsec: 0 } };
            events.clear();
            // An error is an interrupted call.
            let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience));
            let ready = std::mem::take(&mut again);
            let ids = events
                .iter()
                .map(|event| {
                    let data = event.data;
                    data.u64()
                })
                .chain(ready);
            for id in ids {
                let Some(connection) = self.lock().get(&id).cloned() else { continue };
                if self.take(&connection, &mut hands) == AfterTurn::More {
                    again.push_back(id);
                }
            }
        }
    }

    fn take(&self, connection: &Mutex<Taking>, hands: &mut Hands) -> AfterTurn {
        let mut connection = lock(connection);
        if !self.lock().contains_key(&connection.id) {
            return AfterTurn::Ended;
        }
        let taken = connection.turn(&self.shelf, hands);
        let concluded = taken.and_then(|left| self.conclude(&connection, left).map(|()| left));
        concluded.unwrap_or_else(|error| {
            tracing::error!(connection = connection.id, "the records of a connection have to wait: {error}");
            self.is_in_doubt.store(true, Ordering::Relaxed);
            thread::sleep(PAUSE);
            AfterTurn::More
        })
    }

    fn conclude(&self, connection: &Taking, left: AfterTurn) -> io::Result<()> {
        if left == AfterTurn::Ended {
            self.lock().remove(&connection.id);
            // The holder has the socket too, so it would be watched on.
            epoll::delete(&self.epoll, &connection.socket)?;
            self.shelf.wire.send(&ReceiverNews::Ended { id: connection.id }, None)?;
        }
        Ok(())
    }

    /// A frame whose connection ended with its holder.
    fn reject_left_over(&self, connection: u64, frame: SpilledFrame) -> io::Result<()> {
        let (bytes, end) = (frame.read()?, frame.end());
        let mut decoder = Decoder::default();
        let mut arrivals = Arrivals { shelf: &self.shelf, decoder: &mut decoder, connection };
        arrivals.reject(&bytes, "its connection ends within it", end);
        self.shelf.streams.finished(connection);
        frame.remove()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Mutex<Taking>>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(taking: &Mutex<Taking>) -> MutexGuard<'_, Taking> {
    taking.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the process if its thread panics: the next receiver has all threads again.
struct AbortGuard;

impl Drop for AbortGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            process::abort();
        }
    }
}
