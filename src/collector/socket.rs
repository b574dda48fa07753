//! What the kernel knows of a connection: which byte of it is the first that nobody has taken, and whether what was not
//! taken leaves room for more.

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

fn bytes_received(socket: &TcpStream) -> io::Result<u64> {
    let info: [u8; BYTES_RECEIVED + 8] = option(socket, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    let bytes = info.last_chunk().expect("it has eight bytes");
    // The end of a connection counts as a byte.
    Ok(u64::from_ne_bytes(*bytes) - u64::from(info[0] == CLOSE_WAIT))
}

/// Whether what is left in the socket, however little it is, may keep its sender from sending more.
///
/// The kernel keeps the buffer of all that arrived together until the last byte of it is taken. It closes the window
/// for good only when less than half of the socket's memory is free.
///
/// # Errors
/// The kernel does not say.
pub(super) fn is_crowded(socket: &TcpStream) -> io::Result<bool> {
    // `SK_MEMINFO_RMEM_ALLOC` and `SK_MEMINFO_RCVBUF`, each 32 bits.
    let memory: [u8; 8] = option(socket, libc::SOL_SOCKET, libc::SO_MEMINFO)?;
    let (taken, all) = memory.split_at(4);
    let bytes = |number: &[u8]| u32::from_ne_bytes(number.try_into().expect("four bytes"));
    Ok(bytes(taken) >= bytes(all) / 3)
}

/// The first bytes of an option's value.
#[expect(unsafe_code, reason = "no safe crate knows these options")]
fn option<const N: usize>(socket: &TcpStream, level: i32, name: i32) -> io::Result<[u8; N]> {
    let mut value = [0_u8; N];
    let mut length = N as libc::socklen_t;
    // SAFETY: the descriptor is open as long as the socket is borrowed. The kernel writes at most `length` bytes to
    // `value`, which has as many, and the number of bytes it wrote to `length`.
    let failed = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut length)
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    if length as usize != N {
        return Err(io::Error::other("the kernel says too little about a connection"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener};
    use std::time::{Duration, Instant};

    use rustix::net::{RecvFlags, recv};

    use super::*;
    use crate::carry;

    #[test]
    fn a_few_bytes_that_are_left_let_more_come_or_are_known_to_keep_it_away() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        let sending = carry::thread(move || sender.write_all(&vec![7; 4 << 20]).map(|()| sender));
        let (mut buffer, mut taken) = (vec![0; 1 << 20], 0);
        let begun = Instant::now();
        while taken < 4 << 20 {
            assert!(begun.elapsed() < Duration::from_secs(100), "{taken} bytes came");
            let (_, seen) = recv(&socket, &mut buffer[..], RecvFlags::PEEK).unwrap();
            // All but a few bytes, as a line that is not whole.
            let left = if seen > 40 { 40 } else { 0 };
            if left == 0 && taken + seen < 4 << 20 && !is_crowded(&socket).unwrap() {
                std::thread::yield_now();
                continue;
            }
            socket.read_exact(&mut buffer[..seen - left]).unwrap();
            taken += seen - left;
        }
        drop(sending.join().unwrap().unwrap());
    }

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
