//! Acknowledgements: what is stored of a connection, for a sender that keeps it until then.
//!
//! A sender that wants them begins with the frame `{"parselog_acks": 1}`. It hears up to which byte of the connection
//! everything is stored, in eight bytes, big end first: at once, and whenever there is more. The kernel counts the
//! bytes, so the next receiver goes on where a killed one ended. To any other sender nothing is ever written: it would
//! not read it, and unread bytes break its connection when it closes it.

use std::net::{Shutdown, TcpStream};

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use serde::Deserialize;

use crate::frames::Arrived;

/// A hello is not longer.
const LONGEST_HELLO: usize = 64;

/// What a sender that wants acknowledgements begins with.
#[derive(Deserialize)]
struct Hello {
    #[serde(rename = "parselog_acks")]
    version: u32,
}

/// What a sender has heard.
#[derive(Debug, Default)]
pub(super) struct Acknowledged(Option<u64>);

/// Whether this is the first frame of a connection, `end` bytes long with its length, and asks for acknowledgements.
pub(super) fn is_hello(found: &Arrived<'_>, end: u64) -> bool {
    let Arrived::Frame(body) = found else { return false };
    end == body.len() as u64 + 4
        && body.len() <= LONGEST_HELLO
        && serde_json::from_slice::<Hello>(body).is_ok_and(|hello| hello.version == 1)
}

impl Acknowledged {
    /// Says that everything in front of this byte is stored, unless that was said.
    pub(super) fn say(&mut self, socket: &TcpStream, at: u64) {
        if self.0.is_some_and(|said| said >= at) {
            return;
        }
        match send(socket, &at.to_be_bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(8) => self.0 = Some(at),
            // It does not read what it asked for. The next one says this too.
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Half of a number is worse than none: the sender connects anew.
            Ok(_) => {
                let _ = socket.shutdown(Shutdown::Write);
                self.0 = Some(u64::MAX);
            }
            // The connection is broken.
            Err(_) => self.0 = Some(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_the_first_frame_and_nothing_else() {
        let is_first = |body: &[u8]| is_hello(&Arrived::Frame(body), body.len() as u64 + 4);
        let hello = br#"{"parselog_acks": 1}"#;
        assert!(is_first(hello));
        assert!(!is_hello(&Arrived::Frame(hello), 1000), "another one came before");
        assert!(!is_first(br#"{"parselog_acks": 2}"#), "nobody knows what it means");
        assert!(!is_first(br#"{"level":"info","message":"parselog_acks"}"#));
    }
}
