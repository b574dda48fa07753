//! The door of a Unix socket. What comes through it goes on over a connection of TCP within this process, for the
//! kernel counts the bytes of such a connection alone: so there is one way of receiving, and it loses nothing.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Bytes of one connection to move at once.
const MOVED: usize = 64 << 10;
/// Events to take at once.
const EVENTS: usize = 64;
/// The event of the listener; connections count from 1.
const KNOCK: u64 = 0;
/// How long a connection waits that the process has no descriptor for.
const PAUSE: Duration = Duration::from_millis(100);

/// A Unix socket that listens, and the connections that came through it.
#[derive(Debug)]
pub(super) struct LocalDoor {
    listener: UnixListener,
    epoll: OwnedFd,
    passages: HashMap<u64, Passage>,
    last: u64,
}

/// The way from one connection to the other.
#[derive(Debug)]
struct Passage {
    from: UnixStream,
    to: TcpStream,
    /// What was read and not yet written.
    waiting: Vec<u8>,
    is_waiting: bool,
}

impl LocalDoor {
    /// Listens at this path, where a dead process may have left its socket.
    ///
    /// # Errors
    /// Another process listens there, or nobody can.
    pub(super) fn open(path: &Path) -> Result<Self> {
        match UnixStream::connect(path) {
            Ok(_) => bail!("another process listens on {}", path.display()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
                .with_context(|| format!("failed to remove the old socket {}", path.display()))?,
            Err(_) => {}
        }
        let listener =
            UnixListener::bind(path).with_context(|| format!("failed to listen on {}", path.display()))?;
        listener.set_nonblocking(true).context("failed to set up a socket")?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("failed to watch a socket")?;
        epoll::add(&epoll, &listener, EventData::new_u64(KNOCK), EventFlags::IN)
            .context("failed to watch a socket")?;
        Ok(Self { listener, epoll, passages: HashMap::new(), last: KNOCK })
    }

    /// Lets everything through, for as long as the process lives; `each` gets the other end of each connection.
    pub(super) fn serve(mut self, each: impl Fn(TcpStream)) {
        let (mut buffer, mut events) = (vec![0; MOVED], Vec::with_capacity(EVENTS));
        let mut is_short = false;
        loop {
            events.clear();
            // An error is an interrupted call.
            let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), None);
            for event in &events {
                let data = event.data;
                match data.u64() {
                    KNOCK => match self.accept(&each) {
                        Ok(()) => is_short = false,
                        Err(error) => {
                            if !std::mem::replace(&mut is_short, true) {
                                tracing::error!("connections to the Unix socket have to wait: {error}");
                            }
                            thread::sleep(PAUSE);
                        }
                    },
                    id => self.go_on(id, &mut buffer),
                }
            }
        }
    }

    fn accept(&mut self, each: &impl Fn(TcpStream)) -> io::Result<()> {
        let (inner, outer) = pair()?;
        let from = match self.listener.accept() {
            Ok((from, _)) => from,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        from.set_nonblocking(true)?;
        inner.set_nonblocking(true)?;
        self.last += 1;
        epoll::add(&self.epoll, &from, EventData::new_u64(self.last), EventFlags::IN)?;
        let passage = Passage { from, to: inner, waiting: Vec::new(), is_waiting: false };
        self.passages.insert(self.last, passage);
        each(outer);
        Ok(())
    }

    fn go_on(&mut self, id: u64, buffer: &mut [u8]) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let moved = passage.go_on(buffer).and_then(|goes_on| {
            if goes_on {
                passage.watch(&self.epoll, id)?;
            }
            Ok(goes_on)
        });
        if !moved.unwrap_or(false) {
            // Closed, both are watched no more; what the other end has not read stays in the kernel.
            self.passages.remove(&id);
        }
    }
}

impl Passage {
    /// Moves what is there; false once the sender has ended, and everything of it is written.
    fn go_on(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            while !self.waiting.is_empty() {
                match self.to.write(&self.waiting) {
                    Ok(written) => drop(self.waiting.drain(..written)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
            }
            match self.from.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => self.waiting.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Watches the end that it waits for: of whom it can't write to it need not read.
    fn watch(&mut self, epoll: &OwnedFd, id: u64) -> io::Result<()> {
        let is_waiting = !self.waiting.is_empty();
        if is_waiting != self.is_waiting {
            self.is_waiting = is_waiting;
            let (from, to) = (self.from.as_fd(), self.to.as_fd());
            let (quiet, watched, flags) = match is_waiting {
                true => (from, to, EventFlags::OUT),
                false => (to, from, EventFlags::IN),
            };
            epoll::delete(epoll, quiet)?;
            epoll::add(epoll, watched, EventData::new_u64(id), flags)?;
        }
        Ok(())
    }
}

/// Two ends of a connection within this process.
fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let inner = TcpStream::connect(listener.local_addr()?)?;
    loop {
        let (outer, peer) = listener.accept()?;
        // Anybody can connect to a port.
        if peer == inner.local_addr()? {
            return Ok((inner, outer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::carry;

    #[test]
    fn what_a_sender_writes_arrives_whole_and_ends_though_nobody_reads_for_a_while() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).expect("a socket that a dead process leaves"));
        let door = LocalDoor::open(&path).expect("a door");
        assert!(LocalDoor::open(&path).is_err(), "another process listens there");
        let (sender, outer) = mpsc::channel();
        carry::thread(move || door.serve(|outer| sender.send(outer).expect("a test that listens")));
        let bytes: Vec<u8> = (0..20_000_000_u32).map(|number| (number % 251) as u8).collect();
        let sent = bytes.clone();
        let writing = carry::thread(move || UnixStream::connect(path).expect("the door").write_all(&sent));
        let mut arrived = Vec::new();
        // Whoever looks whether somebody listens connects, and sends nothing.
        let mut looked = outer.recv().expect("the other end of the second door's look");
        assert_eq!(looked.read_to_end(&mut arrived).expect("its end"), 0);
        let mut outer = outer.recv().expect("the other end");
        thread::sleep(Duration::from_millis(50));
        outer.read_to_end(&mut arrived).expect("all of it");
        assert!(arrived == bytes, "{} bytes arrived", arrived.len());
        writing.join().expect("the thread").expect("everything is written");
    }
}
