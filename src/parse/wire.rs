//! The connection between a worker and a parse process: messages in JSON behind their length, over a Unix
//! socket. A message may bring an open file along, with the lock on it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message: an outcome has a few counts per month and record type.
const LONGEST: usize = 64 << 20;

/// One end of the connection. Any thread may send; one receives.
#[derive(Debug)]
pub struct Wire {
    socket: UnixStream,
    turn: Mutex<()>,
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
        let sent = match file {
            None => 0,
            Some(file) => self.send_with(&frame, file)?,
        };
        (&self.socket).write_all(&frame[sent..])
    }

    /// Waits for a message; `None` once the other end is gone.
    ///
    /// # Errors
    /// The bytes are not a message; nothing that follows can be read.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<Received<T>>> {
        let (mut length, mut file) = ([0; 4], None);
        if !self.fill(&mut length, &mut file)? {
            return Ok(None);
        }
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
        }
        let mut message = vec![0; length];
        if !self.fill(&mut message, &mut file)? {
            return Ok(None);
        }
        Ok(Some(Received { message: serde_json::from_slice(&message)?, file }))
    }

    /// Ends the connection for both ends.
    pub fn close(&self) {
        // An error means that it has ended already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn send_with(&self, frame: &[u8], file: &File) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        along.push(SendAncillaryMessage::ScmRights(&files));
        let sent = sendmsg(&self.socket, &[IoSlice::new(frame)], &mut along, SendFlags::NOSIGNAL);
        Ok(sent?)
    }

    /// Reads exactly so many bytes; false if the other end is gone before them.
    fn fill(&self, buffer: &mut [u8], file: &mut Option<File>) -> io::Result<bool> {
        let mut at = 0;
        while at < buffer.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut along = RecvAncillaryBuffer::new(&mut space);
            let mut rest = [IoSliceMut::new(&mut buffer[at..])];
            let received = match recvmsg(&self.socket, &mut rest, &mut along, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => received,
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::CONNRESET) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            for message in along.drain() {
                if let RecvAncillaryMessage::ScmRights(files) = message {
                    *file = files.last().map(File::from);
                }
            }
            if received.bytes == 0 {
                return Ok(false);
            }
            at += received.bytes;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

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
}
