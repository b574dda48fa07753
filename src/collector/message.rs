//! What holder and receiver say to each other.

use serde::{Deserialize, Serialize};

use crate::frames::StreamKind;

/// From the holder to its receiver.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum HolderOrder {
    /// No other receiver stores any more: begin. The collector's lock comes along.
    Begin,
    /// Read this connection, whose socket comes along.
    Connection { id: u64, state: ConnectionState },
    /// Every connection that the receiver before had is handed over.
    AllHanded,
    /// Read what is there, and end.
    Stop,
}

/// From a receiver to its holder.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ReceiverNews {
    /// It can begin at once.
    Ready,
    /// What the next receiver must know of a connection; sent before the bytes that tell it are gone.
    State { id: u64, state: ConnectionState },
    /// The connection has ended, and everything of it is stored.
    Ended { id: u64 },
}

/// What a receiver must know of a connection that another one read before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConnectionState {
    pub(super) kind: StreamKind,
    /// Everything in front of this byte is passed over.
    pub(super) skip_to: u64,
    /// Its sender wants to hear what is stored.
    pub(super) wants_acks: bool,
}
