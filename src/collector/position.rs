//! The position of a connection: which byte of it is the first that nobody has taken.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;

use rustix::io::ioctl_fionread;

/// The state of a connection whose sender has closed it; `tcpi_state` is the first byte of the structure.
const CLOSE_WAIT: u8 = 8;
/// `tcpi_bytes_received` in the kernel's `struct tcp_info`, since Linux 4.1.
const BYTES_RECEIVED: usize = 128;

/// The first byte that is left in the socket. It is the next to take, or still to come.
///
/// # Errors
/// It is not a socket of TCP, or the kernel is too old.
pub(super) fn position(socket: &TcpStream) -> io::Result<u64> {
    // More may arrive between the two calls.
    loop {
        let received = bytes_received(socket)?;
        let left = ioctl_fionread(socket)?;
        if bytes_received(socket)? == received {
            return Ok(received - left);
        }
    }
}

#[expect(unsafe_code, reason = "no safe crate knows this option")]
fn bytes_received(socket: &TcpStream) -> io::Result<u64> {
    let mut info = [0_u8; BYTES_RECEIVED + 8];
    let mut length = info.len() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as the socket is borrowed. The kernel writes at most `length` bytes to
    // `info`, which has as many, and the number of bytes it wrote to `length`.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    let bytes = info[BYTES_RECEIVED..].first_chunk().filter(|_| length as usize == info.len());
    let bytes =
        bytes.ok_or_else(|| io::Error::other("the kernel does not count what a connection received"))?;
    // The end of a connection counts as a byte.
    Ok(u64::from_ne_bytes(*bytes) - u64::from(info[0] == CLOSE_WAIT))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener};

    use super::*;

    #[test]
    fn the_position_is_that_of_the_first_byte_that_nobody_took_also_behind_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        assert_eq!(position(&socket).unwrap(), 0);
        sender.write_all(&[7; 1000]).unwrap();
        let mut taken = [0; 300];
        socket.read_exact(&mut taken).unwrap();
        assert_eq!(position(&socket).unwrap(), 300);
        sender.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).unwrap();
        assert_eq!((position(&socket).unwrap(), rest.len()), (1000, 700));
    }
}
