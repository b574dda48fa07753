//! The holder: accepts connections and keeps a copy of each, so that a receiver may die or be replaced at any moment.
//!
//! One receiver is in charge, and a second one is ready to take over at once: a sender's log call may not wait for a
//! process to start.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::Utc;

use super::local::LocalDoor;
use super::message::{ConnectionState, HolderOrder, ReceiverNews};
use super::process::{ReceiverPlan, ReceiverProcess};
use crate::carry;
use crate::parse::{Received, Wire};
use crate::spool::{CollectorLock, Spool};

/// The wait before another try to start a receiver, at first, …
const SHORTEST_WAIT: Duration = Duration::from_millis(20);
/// … and at most.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long to wait for a receiver to be in charge, for an upgrade or to store the last records.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection waits that the process has no descriptor for.
const KNOCK: Duration = Duration::from_millis(100);
/// How long whoever has connected may wait before the end to be let in.
const LAST_CALL: Duration = Duration::from_secs(5);

/// The process that holds the connections.
#[derive(Debug)]
pub struct Holder {
    plan: ReceiverPlan,
    listener: TcpListener,
    /// Until it is served.
    door: Mutex<Option<LocalDoor>>,
    lock: CollectorLock,
    connections: Mutex<BTreeMap<u64, HeldConnection>>,
    /// Whoever sends orders holds this lock meanwhile, and whoever hears news does not.
    office: Mutex<Office>,
    /// Something in the office has changed.
    changed: Condvar,
}

/// A copy of a connection, and what its receiver said of it.
#[derive(Debug, Clone)]
struct HeldConnection {
    socket: Arc<File>,
    peer: Option<SocketAddr>,
    state: ConnectionState,
}

/// Who is in charge.
#[derive(Debug, Default)]
struct Office {
    /// The last connection.
    last: u64,
    /// The wire of the receiver in charge.
    receiver: Option<Arc<Wire>>,
    /// The receiver that takes over.
    next: Option<ReceiverProcess>,
    /// Upgrades so far: a receiver that was started before one is out of date.
    upgrades: u64,
    is_stopping: bool,
    /// Nobody takes over any more.
    is_over: bool,
}

impl Holder {
    /// Listens, also on a Unix socket if it has a path, as the only collector of this spool.
    ///
    /// # Errors
    /// Another collector lives, or the address or the socket can't be had.
    pub fn open(
        spool: &Spool,
        listen: SocketAddr,
        socket: Option<&Path>,
        plan: ReceiverPlan,
    ) -> Result<Self> {
        let Some(lock) = spool.lock_collector().context("failed to lock the spool for collecting")? else {
            bail!("another collector uses this spool");
        };
        let listener = TcpListener::bind(listen).with_context(|| format!("failed to listen on {listen}"))?;
        let door = Mutex::new(socket.map(LocalDoor::open).transpose()?);
        let (connections, office, changed) = Default::default();
        Ok(Self { plan, listener, door, lock, connections, office, changed })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Keeps a receiver in charge until [`Self::stop`], and returns when the last one has ended.
    pub fn run(self: &Arc<Self>) {
        let (acceptor, recruiter) = (Arc::clone(self), Arc::clone(self));
        carry::thread(move || acceptor.accept());
        if let Some(door) = self.door.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let its = Arc::clone(self);
            carry::thread(move || door.serve(|connection| its.hold(connection)));
        }
        let recruiting = carry::thread(move || recruiter.recruit());
        while let Some(receiver) = self.successor() {
            if self.follow(receiver) {
                break;
            }
        }
        let next = {
            let mut office = self.office();
            office.is_over = true;
            office.next.take()
        };
        self.changed.notify_all();
        // It was never in charge, so how it ends does not matter.
        let _ = next.map(|next| next.end(true));
        let _ = recruiting.join();
    }

    /// Starts a receiver of the program that is there now, and lets it take over.
    ///
    /// # Errors
    /// It is not ready in time; then the one before goes on.
    pub fn upgrade(&self) -> Result<()> {
        let next = self.plan.start()?;
        let nobody = |office: &mut Office| office.receiver.is_none() && !office.is_over;
        let waited = self.changed.wait_timeout_while(self.office(), PATIENCE, nobody);
        let (mut office, _) = waited.unwrap_or_else(PoisonError::into_inner);
        office.upgrades += 1;
        let outdated = office.next.replace(next);
        // Its follower finds nobody in charge, and so knows that it was replaced.
        if let Some(receiver) = office.receiver.take() {
            receiver.close();
        }
        drop(office);
        self.changed.notify_all();
        outdated.map(|outdated| outdated.end(true)).transpose()?;
        Ok(())
    }

    /// Lets the receiver store what is there, and end.
    pub fn stop(&self) {
        if let Err(error) = self.let_in() {
            tracing::warn!("connections that nobody has taken yet may be lost: {error}");
        }
        let mut office = self.office();
        office.is_stopping = true;
        if let Some(receiver) = &office.receiver {
            // One that is gone needs no word.
            let _ = receiver.send(&HolderOrder::Stop, None);
        }
        drop(office);
        self.changed.notify_all();
    }

    /// Waits until everybody is let in who has connected before: they come in one after the other.
    fn let_in(&self) -> io::Result<()> {
        let last = TcpStream::connect_timeout(&self.address()?, LAST_CALL)?;
        let last = Some(last.local_addr()?);
        let is_outside = |_: &mut Office| !self.connections().values().any(|held| held.peer == last);
        let _ = self.changed.wait_timeout_while(self.office(), LAST_CALL, is_outside);
        Ok(())
    }

    /// Sees to it that a receiver is ready to take over.
    fn recruit(&self) {
        let mut wait = Duration::ZERO;
        loop {
            let is_staffed = |office: &mut Office| office.next.is_some() && !office.is_over;
            let office = self.changed.wait_while(self.office(), is_staffed);
            let (is_over, upgrades) = {
                let office = office.unwrap_or_else(PoisonError::into_inner);
                (office.is_over, office.upgrades)
            };
            if is_over {
                return;
            }
            thread::sleep(wait);
            match self.plan.start() {
                Ok(receiver) => {
                    wait = Duration::ZERO;
                    self.employ(receiver, upgrades);
                }
                Err(error) => {
                    if wait.is_zero() {
                        tracing::error!("a receiver can't be started, and is tried again: {error:#}");
                    }
                    wait = (wait * 2).clamp(SHORTEST_WAIT, LONGEST_WAIT);
                }
            }
        }
    }

    /// Takes a receiver that was started after so many upgrades, unless it came too late.
    fn employ(&self, receiver: ReceiverProcess, upgrades: u64) {
        let mut office = self.office();
        if office.next.is_none() && !office.is_over && office.upgrades == upgrades {
            office.next = Some(receiver);
            drop(office);
            self.changed.notify_all();
        } else {
            drop(office);
            // It was never in charge, so how it ends does not matter.
            let _ = receiver.end(true);
        }
    }

    /// Waits for the receiver that takes over; `None` if there is none in time before the end.
    fn successor(&self) -> Option<ReceiverProcess> {
        let nobody = |office: &mut Office| office.next.is_none();
        let waited =
            self.changed.wait_while(self.office(), |office| office.next.is_none() && !office.is_stopping);
        let waited =
            self.changed.wait_timeout_while(waited.unwrap_or_else(PoisonError::into_inner), PATIENCE, nobody);
        let next = waited.unwrap_or_else(PoisonError::into_inner).0.next.take();
        self.changed.notify_all();
        next
    }

    /// Puts a receiver in charge, and waits until it is gone. Returns whether it has stored everything, as it was
    /// told before the end.
    fn follow(self: &Arc<Self>, receiver: ReceiverProcess) -> bool {
        let (its, wire) = (Arc::clone(self), Arc::clone(&receiver.wire));
        // A receiver speaks while it is spoken to.
        let hearing = carry::thread(move || its.hear(&wire));
        if let Err(error) = self.hand_over(&receiver.wire) {
            tracing::error!("a receiver can't be put in charge: {error}");
            receiver.wire.close();
        }
        // What it said is noted, even if its last word was cut short.
        let _ = hearing.join();
        let (is_stopping, is_replaced) = {
            let mut office = self.office();
            (office.is_stopping, office.receiver.take().is_none())
        };
        // What it has not stored is stored by the next one, so there is nothing to wait for.
        let ended = receiver.end(!is_stopping);
        match &ended {
            Ok(status) if is_stopping && status.success() => return true,
            _ if is_replaced => {}
            Ok(status) => tracing::error!("the receiver died ({status}); the next one goes on"),
            Err(error) => tracing::error!("{error:#}"),
        }
        false
    }

    /// Notes what a receiver says, until it is gone.
    fn hear(&self, wire: &Wire) {
        while let Ok(Some(Received { message, .. })) = wire.receive() {
            match message {
                ReceiverNews::Ready => {}
                ReceiverNews::State { id, state } => {
                    if let Some(connection) = self.connections().get_mut(&id) {
                        connection.state = state;
                    }
                }
                ReceiverNews::Ended { id } => drop(self.connections().remove(&id)),
            }
        }
    }

    fn hand_over(&self, wire: &Arc<Wire>) -> io::Result<()> {
        let mut office = self.office();
        wire.send(&HolderOrder::Begin, Some(self.lock.file()))?;
        let connections = self.connections().clone();
        for (id, HeldConnection { socket, state, .. }) in connections {
            wire.send(&HolderOrder::Connection { id, state }, Some(&socket))?;
        }
        wire.send(&HolderOrder::AllHanded, None)?;
        if office.is_stopping {
            wire.send(&HolderOrder::Stop, None)?;
        }
        office.receiver = Some(Arc::clone(wire));
        drop(office);
        self.changed.notify_all();
        Ok(())
    }

    /// Accepts connections for as long as the process lives.
    fn accept(&self) {
        let mut is_short = false;
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) => {
                    if !std::mem::replace(&mut is_short, true) {
                        tracing::error!("connections have to wait: {error}");
                    }
                    thread::sleep(KNOCK);
                    continue;
                }
            };
            is_short = false;
            self.hold(socket);
        }
    }

    /// Keeps a connection, and hands it to the receiver in charge.
    fn hold(&self, socket: TcpStream) {
        let mut office = self.office();
        // The time makes it unique on this machine, for good.
        let now = u64::try_from(Utc::now().timestamp_micros()).unwrap_or_default();
        let id = now.max(office.last + 1);
        office.last = id;
        let peer = socket.peer_addr().ok();
        let socket = Arc::new(File::from(OwnedFd::from(socket)));
        let state = ConnectionState::default();
        self.connections().insert(id, HeldConnection { socket: Arc::clone(&socket), peer, state });
        self.changed.notify_all();
        if let Some(receiver) = &office.receiver {
            // One that is gone is followed by one that gets all.
            let _ = receiver.send(&HolderOrder::Connection { id, state }, Some(&socket));
        }
    }

    fn office(&self) -> MutexGuard<'_, Office> {
        self.office.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, BTreeMap<u64, HeldConnection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
