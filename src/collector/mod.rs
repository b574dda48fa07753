//! The collector: a port for other processes' log handlers that loses nothing when it is killed or upgraded.
//!
//! Two processes share the work. The [`Holder`] accepts connections, keeps a copy of each socket, and parses
//! nothing, so it hardly ever dies. The receiver ([`receive`]) reads, decodes and stores, and may die at any
//! instruction: the holder has another one ready, which gets every socket at once.
//!
//! What is not stored yet is in the kernel. The receiver looks at what a socket has (`MSG_PEEK`), stores the records
//! in it, and takes their bytes out afterwards. The kernel knows the position of the first byte that is left, so the
//! next receiver begins exactly there. A kill between the two repeats the records of one look; the streams know them
//! by connection and position ([`crate::record::Arrival`]). A frame longer than the kernel may hold goes to a file of
//! the spool piece by piece, each written before it is taken out.

mod acks;
mod holder;
mod local;
mod message;
mod process;
mod receiver;
mod socket;
mod spill;
mod taking;

pub use holder::Holder;
pub use process::ReceiverPlan;
pub use receiver::receive;
