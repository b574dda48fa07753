//! The connection between a worker and a parse process: messages in JSON behind their length, over a Unix
//! socket. A message may bring an open file along, with the lock on it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;

/// The longest message: an outcome has a few counts per month and record type.
const LONGEST: usize = 64 << 20;

/// One end of the connection. Any thread may send; one receives, itself or by its [`Ear`].
#[derive(Debug)]
pub struct Wire {
    socket: UnixStream,
    turn: Mutex<()>,
}

/// Receives for a wire on a runtime, without a thread that waits.
#[derive(Debug)]
pub struct Ear {
    socket: tokio::net::UnixStream,
    arriving: Arriving,
}

/// A message, and the file that came along.
#[derive(Debug)]
pub struct Received<T> {
    pub message: T,
    pub file: Option<File>,
}

impl Wire {
    /// Wraps this socket as an end.
    pub fn new(socket: UnixStream) -> Self {
        Self { socket, turn: Mutex::new(()) }
    }

    /// A new connection: this end, and the socket of the other.
    ///
    /// # Errors
    /// The process has too many open files.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self::new(ours), theirs.into()))
    }

    /// Sends a message, and shares this open file with it.
    ///
    /// # Errors
    /// The other end is gone.
    pub fn send<T: Serialize>(&self, message: &T, file: Option<&File>) -> io::Result<()> {
        let mut frame = vec![0; 4];
        serde_json::to_writer(&mut frame, message)?;
        let length = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
        frame[..4].copy_from_slice(&length.to_le_bytes());
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rest, mut file) = (&frame[..], file);
        while !rest.is_empty() {
            match self.send_some(rest, file) {
                Ok(sent) => (rest, file) = (&rest[sent..], None),
                Err(Errno::INTR) => {}
                // With an ear this socket never waits by itself.
                Err(Errno::AGAIN) => self.wait_for(PollFlags::OUT)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for a message; `None` once the other end is gone.
    ///
    /// # Errors
    /// The bytes are not a message; nothing that follows can be read.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<Received<T>>> {
        let mut arriving = Arriving::default();
        loop {
            match arriving.take(&self.socket)? {
                Taken::More => {}
                Taken::Whole => return arriving.message().map(Some),
                Taken::End => return Ok(None),
            }
        }
    }

    /// An ear for this end, which then can't receive by itself.
    ///
    /// # Errors
    /// The process has too many open files.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn ear(&self) -> io::Result<Ear> {
        let socket = self.socket.try_clone()?;
        socket.set_nonblocking(true)?;
        Ok(Ear { socket: tokio::net::UnixStream::from_std(socket)?, arriving: Arriving::default() })
    }

    /// Waits until the connection has ended, by either end.
    ///
    /// # Errors
    /// The system can't wait.
    pub fn ended(&self) -> io::Result<()> {
        // The system always reports the end.
        self.wait_for(PollFlags::empty())
    }

    /// Ends the connection for both ends.
    pub fn close(&self) {
        // An error means that it has ended already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn send_some(&self, bytes: &[u8], file: Option<&File>) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        let files = file.map(|file| [file.as_fd()]);
        if let Some(files) = &files {
            along.push(SendAncillaryMessage::ScmRights(files));
        }
        sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut along, SendFlags::NOSIGNAL)
    }

    /// Waits for one of these, or for the end of the connection.
    fn wait_for(&self, events: PollFlags) -> io::Result<()> {
        loop {
            match poll(&mut [PollFd::new(&self.socket, events)], None) {
                Err(Errno::INTR) => {}
                ready => return Ok(ready.map(drop)?),
            }
        }
    }
}

impl Ear {
    /// As [`Wire::receive`]. Whoever gives up waiting loses nothing: the next call goes on with what is here.
    ///
    /// # Errors
    /// As [`Wire::receive`].
    pub async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<Received<T>>> {
        loop {
            let (socket, arriving) = (&self.socket, &mut self.arriving);
            match socket.async_io(Interest::READABLE, || arriving.take(socket)).await? {
                Taken::More => {}
                Taken::Whole => return std::mem::take(&mut self.arriving).message().map(Some),
                Taken::End => return Ok(None),
            }
        }
    }
}

/// A message as far as it is here.
#[derive(Debug, Default)]
struct Arriving {
    length: [u8; 4],
    message: Vec<u8>,
    /// Bytes that are here, the length's included.
    at: usize,
    file: Option<File>,
}

/// What the last bytes brought.
enum Taken {
    More,
    Whole,
    /// The other end is gone.
    End,
}

impl Arriving {
    /// Takes what is here of the next part: of the length first, then of the message.
    fn take(&mut self, socket: &impl AsFd) -> io::Result<Taken> {
        let part = match self.at.checked_sub(self.length.len()) {
            None => &mut self.length[self.at..],
            Some(at) => &mut self.message[at..],
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut along = RecvAncillaryBuffer::new(&mut space);
        let bytes = match recvmsg(socket, &mut [IoSliceMut::new(part)], &mut along, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => received.bytes,
            Err(Errno::INTR) => return Ok(Taken::More),
            Err(Errno::CONNRESET) => 0,
            Err(error) => return Err(error.into()),
        };
        for message in along.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.file = files.last().map(File::from);
            }
        }
        if bytes == 0 {
            return Ok(Taken::End);
        }
        self.at += bytes;
        if self.at == self.length.len() {
            let length = u32::from_le_bytes(self.length) as usize;
            if length == 0 || length > LONGEST {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is empty or too long"));
            }
            self.message = vec![0; length];
            return Ok(Taken::More);
        }
        Ok(if self.at == self.length.len() + self.message.len() { Taken::Whole } else { Taken::More })
    }

    fn message<T: DeserializeOwned>(self) -> io::Result<Received<T>> {
        Ok(Received { message: serde_json::from_slice(&self.message)?, file: self.file })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use super::*;

    #[test]
    fn a_message_and_the_file_along_with_it_arrive_whole_and_in_order() {
        let (one, other) = Wire::pair().unwrap();
        let other = Wire::new(UnixStream::from(other));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"within").unwrap();
        let long = "x".repeat(1 << 20);
        let sender = crate::carry::thread(move || {
            one.send(&long, Some(&file)).unwrap();
            one.send(&"next", None).unwrap();
        });
        let first: Received<String> = other.receive().unwrap().unwrap();
        assert_eq!(first.message.len(), 1 << 20);
        let mut text = String::new();
        let mut file = first.file.unwrap();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "within");
        let next: Received<String> = other.receive().unwrap().unwrap();
        assert!(next.message == "next" && next.file.is_none());
        sender.join().unwrap();
        assert!(other.receive::<String>().unwrap().is_none(), "the other end is gone");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let (one, other) = Wire::pair().unwrap();
        let mut other = UnixStream::from(other);
        other.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert!(one.receive::<String>().is_err());
    }

    #[tokio::test]
    async fn an_ear_that_is_not_listened_to_for_a_while_loses_nothing() {
        let (one, other) = Wire::pair().unwrap();
        let mut ear = one.ear().unwrap();
        let mut other = UnixStream::from(other);
        let message = br#""in two pieces""#;
        other.write_all(&u32::try_from(message.len()).unwrap().to_le_bytes()).unwrap();
        other.write_all(&message[..5]).unwrap();
        // Takes what is here, and gives up.
        let mut waiting = Box::pin(ear.receive::<String>());
        tokio::select! { biased; _ = &mut waiting => panic!("half a message"), () = tokio::task::yield_now() => {} }
        drop(waiting);
        other.write_all(&message[5..]).unwrap();
        assert_eq!(ear.receive::<String>().await.unwrap().unwrap().message, "in two pieces");
        drop(other);
        assert!(ear.receive::<String>().await.unwrap().is_none(), "the other end is gone");
    }

    #[test]
    fn whoever_waits_for_the_end_of_a_wire_leaves_its_messages_to_others() {
        let (one, other) = Wire::pair().unwrap();
        let other = Wire::new(UnixStream::from(other));
        let closer = crate::carry::thread(move || other.send(&"a message", None).unwrap());
        one.ended().unwrap();
        assert_eq!(one.receive::<String>().unwrap().unwrap().message, "a message");
        closer.join().unwrap();
    }
}
