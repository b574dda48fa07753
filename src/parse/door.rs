//! The door of an open run's log: records of other processes that name the run come in here.
//!
//! Whoever takes records hands over the line of each, and hears whether it is in the log. The door is an abstract
//! Unix socket under the run's id: it leaves no file behind, and ends with its process. Both sides speak only to
//! processes of their own user.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use tokio::io::AsyncReadExt as _;
use tokio::task::{AbortHandle, JoinSet};

use crate::carry;
use crate::ids::RunId;
use crate::record::{Arrival, Level, MAX_LINE_BYTES};
use crate::spool::{OpenLog, Stored};

/// Bytes in front of a line: its length and level, the connection that brought it, and the byte behind it there.
const HEADER: usize = 4 + 1 + 8 + 8;
/// The longest wait for an answer: whoever asks has senders of its own.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a visitor waits that the process has no descriptor for.
const PAUSE: Duration = Duration::from_millis(100);

/// The answers.
const STORED: u8 = 1;
const REFUSED: u8 = 0;

/// An open door. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct RunDoor(AbortHandle);

/// Somebody who hands lines over at the door of a run.
#[derive(Debug)]
pub struct DoorVisitor(UnixStream);

/// By connection: the byte up to which its records are in the log, so that none is stored again after a kill of
/// whoever reads the connection.
type Positions = Arc<Mutex<HashMap<u64, u64>>>;

impl RunDoor {
    /// Opens the door of this run's log.
    ///
    /// # Errors
    /// The system has no such sockets, or the process has too many open files.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(super) fn open(run: RunId, log: OpenLog) -> io::Result<Self> {
        let listener = UnixListener::bind_addr(&address(run)?)?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        Ok(Self(carry::spawn(serve(listener, log)).abort_handle()))
    }
}

impl Drop for RunDoor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl DoorVisitor {
    /// Goes to the door of this run.
    ///
    /// # Errors
    /// The log is not open on this machine, or its door is somebody else's.
    pub fn go(run: RunId) -> io::Result<Self> {
        let socket = UnixStream::connect_addr(&address(run)?)?;
        if socket_peercred(&socket)?.uid != geteuid() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }

    /// Hands over a line without its time and number; returns whether it is in the log now.
    ///
    /// # Errors
    /// There is no answer: nobody knows whether the line is in the log. The visit is over.
    pub fn hand_over(&mut self, level: Level, line: &[u8], from: Option<Arrival>) -> io::Result<bool> {
        let length = u32::try_from(line.len()).map_err(io::Error::other)?;
        let Arrival { connection, end } = from.unwrap_or(Arrival { connection: 0, end: 0 });
        let mut message = Vec::with_capacity(HEADER + line.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.push(level as u8);
        message.extend_from_slice(&connection.to_ne_bytes());
        message.extend_from_slice(&end.to_ne_bytes());
        message.extend_from_slice(line);
        self.0.write_all(&message)?;
        let mut answer = [REFUSED];
        self.0.read_exact(&mut answer)?;
        Ok(answer == [STORED])
    }
}

/// Lets visitors in until the door is closed.
async fn serve(listener: tokio::net::UnixListener, log: OpenLog) {
    let stored = Positions::default();
    let mut visits = JoinSet::new();
    loop {
        while visits.try_join_next().is_some() {}
        let Ok((visitor, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if visitor.peer_cred().is_ok_and(|peer| peer.uid() == geteuid().as_raw()) {
            let (log, stored) = (log.clone(), Arc::clone(&stored));
            carry::spawn_in(&mut visits, async move {
                // Whoever breaks off asks no more.
                let _ = attend(visitor, &log, &stored).await;
            });
        }
    }
}

/// Answers one visitor until it goes.
async fn attend(mut visitor: tokio::net::UnixStream, log: &OpenLog, stored: &Positions) -> io::Result<()> {
    let (mut header, mut line) = ([0; HEADER], Vec::new());
    loop {
        visitor.read_exact(&mut header).await?;
        let (length, rest) = header.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        let ([level], rest) = rest.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        let (connection, end) = rest.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        let length = u32::from_ne_bytes(*length) as usize;
        let level = Level::ALL.get(usize::from(*level)).filter(|_| length <= MAX_LINE_BYTES);
        let level = *level.ok_or(io::ErrorKind::InvalidData)?;
        let end = u64::from_ne_bytes(end.try_into().map_err(io::Error::other)?);
        let from = Arrival { connection: u64::from_ne_bytes(*connection), end };
        line.resize(length, 0);
        visitor.read_exact(&mut line).await?;
        // Nothing is awaited between the two: a door that is closed here would leave the visitor in doubt.
        let answer = if store(log, stored, level, &line, from) { STORED } else { REFUSED };
        visitor.try_write(&[answer])?;
    }
}

fn store(log: &OpenLog, stored: &Positions, level: Level, line: &[u8], from: Arrival) -> bool {
    let mut stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
    let known = stored.entry(from.connection).or_default();
    if from.connection != 0 && *known >= from.end {
        return true;
    }
    let is_stored = log.append(level, line) == Some(Stored::Yes);
    if is_stored {
        *known = from.end;
    }
    is_stored
}

fn address(run: RunId) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("parselog-{run}"))
}
