//! The frames that other processes' log handlers send, and the records in them.
//!
//! Python's `SocketHandler` sends frames: a length of four bytes, big end first, and a pickled record or a JSON
//! object. Other senders write lines of JSON. One port takes all of them: [`FrameReader`] cuts what arrives, and
//! [`Decoder`] reads a record. Nobody who sends is trusted, and nothing that arrives can make more memory than its
//! own size allows. Pure: no socket, no file, no clock.

pub mod pickle;
mod reader;

pub use reader::{Arrived, FrameReader, Stranger, StreamKind};

use pickle::Machine;

use crate::record::Incoming;

/// Reads records from frames. It keeps its buffers from one frame to the next.
#[derive(Debug, Default)]
pub struct Decoder {
    machine: Machine,
}

impl Decoder {
    /// The record in a frame or line, whose first byte tells what it is.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn decode(&mut self, body: &[u8]) -> Result<Incoming, String> {
        match body.first() {
            None => Err("it is empty".to_owned()),
            Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => Incoming::of_line(&String::from_utf8_lossy(body)),
            Some(_) => Incoming::of_members(self.machine.read(body)?),
        }
    }
}
