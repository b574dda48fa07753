//! What all requests share: the streams, the bounds of what happens at once, and who may do what.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{Semaphore, watch};

use super::error::{Answered, HttpError};
use super::metrics::Metrics;
use super::pages::PageMemory;
use super::proxy::Proxy;
use super::room::Memory;
use super::sessions::Sessions;
use super::site::Site;
use super::tokens::Tokens;
use crate::config::{HttpConfig, WebOrigin};
use crate::intake::Streams;
use crate::oidc::IdProvider;
use crate::system::System;

/// Readings of logs at once.
const READINGS: usize = 8;

/// Shared by all requests; cheap to clone.
pub(super) type Shared = Arc<ServerState>;

/// Who may do what.
pub(super) struct Access {
    /// Whether programs on this machine need no token.
    pub(super) is_local: bool,
    pub(super) tokens: Tokens,
    pub(super) sessions: Sessions,
    pub(super) proxy: Proxy,
    /// Where people sign in, if it is configured.
    pub(super) oidc: Option<IdProvider>,
    pub(super) site: Site,
}

/// What requests are answered with.
pub(super) struct ServerState {
    pub(super) system: System,
    pub(super) streams: Streams,
    /// Who may do what.
    pub(super) access: Access,
    pub(super) metrics: Metrics,
    /// Those whose pages may send and read records.
    pub(super) origins: Vec<WebOrigin>,
    pub(super) largest_body: usize,
    /// Whether an answer waits until records are on the disk.
    pub(super) waits_for_disk: bool,
    /// The memory of all bodies.
    pub(super) memory: Memory,
    /// Bodies that are read into records at once: one for each processor.
    pub(super) decoders: Arc<Semaphore>,
    /// Logs that are read at once.
    pub(super) readers: Arc<Semaphore>,
    /// What the pages remember.
    pub(super) pages: PageMemory,
    /// Whether somebody was told that records can't be sent by GET.
    pub(super) told_of_get: AtomicBool,
    /// True once the server stops.
    pub(super) stopping: watch::Receiver<bool>,
}

impl ServerState {
    pub(super) fn new(
        system: System,
        streams: Streams,
        config: &HttpConfig,
        access: Access,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            system,
            streams,
            access,
            metrics: Metrics::default(),
            origins: config.origins(),
            largest_body: config.largest_body.as_u64() as usize,
            waits_for_disk: config.intake_sync,
            memory: Memory::default(),
            decoders: Arc::new(Semaphore::new(processors)),
            readers: Arc::new(Semaphore::new(READINGS)),
            pages: PageMemory::default(),
            told_of_get: AtomicBool::new(false),
            stopping,
        }
    }

    /// Refuses a request before anything of it is stored, so that its sender can send all of it again.
    pub(super) fn check_disk(&self) -> Answered<()> {
        match self.streams.is_nearly_full() {
            true => Err(HttpError::busy("the disk is nearly full")),
            false => Ok(()),
        }
    }
}
