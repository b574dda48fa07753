//! Whether a server answers: the first words of the Postgres protocol, as `pg_isready` says them, but
//! without a process for each question.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The version of the protocol, 3.0.
const PROTOCOL: u32 = 3 << 16;
/// "The database system is starting up", or shutting down, as an error says it.
const NOT_NOW: &[u8] = b"C57P03";

/// The answer of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerAnswer {
    Ready,
    /// It starts, recovers, or stops.
    Busy,
    Silent,
}

/// Asks the server at this socket.
pub(super) fn ask(socket: &Path) -> ServerAnswer {
    match greet(socket) {
        Ok(reply) if reply.is_empty() => ServerAnswer::Silent,
        Ok(reply) if reply.windows(NOT_NOW.len()).any(|part| part == NOT_NOW) => ServerAnswer::Busy,
        Ok(_) => ServerAnswer::Ready,
        Err(_) => ServerAnswer::Silent,
    }
}

/// The beginning of a server's answer to a new client.
fn greet(socket: &Path) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let words = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(8 + words.len()).unwrap_or_default();
    let hello = [&length.to_be_bytes()[..], &PROTOCOL.to_be_bytes(), words].concat();
    stream.write_all(&hello)?;
    let mut reply = vec![0; 1024];
    let length = stream.read(&mut reply)?;
    reply.truncate(length);
    // A client that leaves without a word would be in the server's log.
    let _ = stream.write_all(b"X\0\0\0\x04");
    Ok(reply)
}
