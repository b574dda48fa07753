//! A port at which nobody listens, until a test says who does.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port of the loopback address, kept for whoever this test lets listen there: the system gives it to nobody else
/// meanwhile, neither to listen nor to connect from. Until somebody listens, connections are refused.
pub(crate) struct KeptPort(TcpSocket);

impl KeptPort {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // So that a server, which sets the same, may listen beside this socket, which never does.
        socket.set_reuseaddr(true).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub(crate) fn number(&self) -> u16 {
        self.address().port()
    }
}
