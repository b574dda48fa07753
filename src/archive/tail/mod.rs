//! The remote tail: ships what the spool has of running logs to where another machine can reach it.
//!
//! The bytes come from the spool's files, so the parse does not wait for it and never learns of it. A log that is
//! followed from another machine is shipped more often; where nothing is to outlive the machine, only such logs are.
//! What is up of an archive that grows needs no pieces any more, so readers elsewhere ask for it.

mod readers;
mod sent;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use uuid::Uuid;

use self::readers::Readers;
use self::sent::{Bound, Sent, Shipment};
use crate::carry;
use crate::ids::LogId;
use crate::spool::Spool;
use crate::store::{PgPool, follow, log_read, piece};
use crate::system::System;

/// How often followed logs are shipped, at least.
const FOLLOWED: Duration = Duration::from_millis(250);

/// Rounds between two removals of pieces that nobody wants any more.
const CLEANING: u32 = 60;

/// What is to outlive the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptTail {
    /// How old an event may become before it is shipped.
    pub every: Duration,
    /// The spool's identity.
    pub spool: Uuid,
}

/// Ships the logs of one spool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RemoteTail {
    pool: PgPool,
    spool: Spool,
    kept: Option<KeptTail>,
    logs: Arc<Mutex<HashMap<LogId, Shipping>>>,
    /// One round at a time.
    turn: Arc<tokio::sync::Mutex<ShippingRound>>,
}

/// What is known from one round to the next.
#[derive(Debug, Default)]
struct ShippingRound {
    round: u32,
    readers: Readers,
}

/// A log that is shipped.
#[derive(Debug, Clone)]
struct Shipping {
    /// When somebody looked for more of it last, or when it began.
    looked: Instant,
    followed: bool,
    sent: Sent,
    /// Bytes of the log whose archive is up and noted.
    up: u64,
}

/// Ends the shipping of a log when dropped.
#[derive(Debug)]
pub struct ShippingGuard {
    tail: RemoteTail,
    log: LogId,
}

impl RemoteTail {
    /// Ships only what is followed from other machines.
    pub fn new(system: &System) -> Self {
        Self {
            pool: system.pool.clone(),
            spool: system.spool.clone(),
            kept: None,
            logs: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// The same, for logs that are to outlive the machine.
    #[must_use]
    pub fn keeping(self, kept: Option<KeptTail>) -> Self {
        Self { kept, ..self }
    }

    /// What is to outlive the machine, if anything is.
    pub fn kept(&self) -> Option<KeptTail> {
        self.kept
    }

    /// Time between two rounds.
    pub fn tick(&self) -> Duration {
        self.kept.map_or(FOLLOWED, |kept| FOLLOWED.min(kept.every / 4).max(Duration::from_millis(10)))
    }

    /// Ships this log from now on, until the guard is dropped.
    pub fn begin(&self, log: LogId) -> ShippingGuard {
        let shipping = Shipping { looked: Instant::now(), followed: false, sent: Sent::default(), up: 0 };
        self.lock().insert(log, shipping);
        ShippingGuard { tail: self.clone(), log }
    }

    /// So many bytes of the log can be had without their pieces from now on: they are in an archive that anybody can
    /// complete.
    pub(super) fn is_up(&self, log: LogId, raw_bytes: u64) {
        if let Some(shipping) = self.lock().get_mut(&log) {
            shipping.up = raw_bytes;
        }
    }

    /// Bytes of the log that were shipped.
    pub(super) fn shipped(&self, log: LogId) -> u64 {
        self.lock().get(&log).map_or(0, |shipping| shipping.sent.position())
    }

    /// Ships once what is due. If the database fails, the next round tries again.
    pub async fn ship(&self) {
        let mut turn = self.turn.lock().await;
        turn.round = turn.round.wrapping_add(1);
        let shipped = async {
            // Pieces of ended runs, even when nothing runs.
            if turn.round.is_multiple_of(CLEANING) {
                piece::clean(&self.pool).await?;
                log_read::clean(&self.pool).await?;
            }
            let due = self.due().await?;
            self.ship_these(due).await
        };
        if let Err(error) = shipped.await {
            tracing::debug!("the remote tail waits: {error:#}");
        }
        if let Err(error) = self.answer(&mut turn.readers).await {
            tracing::debug!("readers of running logs wait: {error:#}");
        }
    }

    /// Ships all that is left of a complete log which has to stay in the spool.
    ///
    /// # Errors
    /// The spool or the database fails.
    pub async fn ship_rest(&self, log: LogId) -> Result<()> {
        if self.kept.is_none() {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        let known = self.lock().get(&log).map(|shipping| shipping.sent.clone());
        let mut sent = match known {
            Some(sent) => sent,
            None => Sent::from(piece::shipped_to(&self.pool, log).await?),
        };
        loop {
            let shipment = self.read(vec![(log, sent)]).await?;
            let is_all = shipment.iter().all(|shipment| shipment.pieces.is_empty());
            let after = self.send(shipment).await?.pop().map(|(_, sent)| sent);
            let Some(after) = after.filter(|_| !is_all) else { return Ok(()) };
            sent = after;
        }
    }

    /// The logs to look at now: those whose last look is as long ago as an event may wait, with those that will soon
    /// be due, and those that are followed.
    async fn due(&self) -> Result<Vec<(LogId, Sent)>> {
        let Some(KeptTail { every, .. }) = self.kept else { return self.followed().await };
        let mut logs = self.lock();
        let waited = |shipping: &Shipping| shipping.looked.elapsed();
        // A round later it would be too late.
        let is_due = |shipping: &Shipping| shipping.followed || waited(shipping) >= every / 4 * 3;
        if !logs.values().any(is_due) {
            return Ok(Vec::new());
        }
        let due = logs.iter_mut().filter(|(_, shipping)| is_due(shipping) || waited(shipping) >= every / 2);
        Ok(due
            .map(|(log, shipping)| {
                shipping.looked = Instant::now();
                (*log, shipping.sent.clone().up_to(shipping.up))
            })
            .collect())
    }

    /// The followed ones; what was sent of others is forgotten.
    async fn followed(&self) -> Result<Vec<(LogId, Sent)>> {
        let all: Vec<LogId> = self.lock().keys().copied().collect();
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let wanted: HashSet<LogId> = follow::wanted(&self.pool, &all).await?.into_iter().collect();
        let mut logs = self.lock();
        let (followed, others): (Vec<_>, Vec<_>) =
            logs.iter_mut().partition(|(log, _)| wanted.contains(*log));
        others.into_iter().for_each(|(_, shipping)| shipping.sent = Sent::default());
        Ok(followed.into_iter().map(|(log, shipping)| (*log, shipping.sent.clone())).collect())
    }

    async fn ship_these(&self, logs: Vec<(LogId, Sent)>) -> Result<()> {
        let shipments = self.read(logs).await?;
        for (log, sent) in self.send(shipments).await? {
            if let Some(shipping) = self.lock().get_mut(&log) {
                shipping.sent = sent;
            }
        }
        Ok(())
    }

    /// Reads and packs what is new of these logs.
    async fn read(&self, logs: Vec<(LogId, Sent)>) -> Result<Vec<Shipment>> {
        if logs.is_empty() {
            return Ok(Vec::new());
        }
        let (spool, bound) =
            (self.spool.clone(), if self.kept.is_some() { Bound::kept() } else { Bound::read() });
        let read = move || -> io::Result<Vec<Shipment>> {
            logs.into_iter().map(|(log, sent)| sent.read(&spool, log, bound)).collect()
        };
        carry::spawn_blocking(read)
            .await
            .context("reading running logs panicked")?
            .context("failed to read a running log")
    }

    /// Sends what there is, in one statement; returns how far each log is.
    async fn send(&self, shipments: Vec<Shipment>) -> Result<Vec<(LogId, Sent)>> {
        let (mut pieces, mut dropped, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for shipment in shipments.into_iter().filter(|shipment| !shipment.pieces.is_empty()) {
            pieces.extend(shipment.pieces);
            dropped.extend(shipment.dropped);
            sent.push((shipment.log, shipment.sent));
        }
        if pieces.is_empty() {
            return Ok(sent);
        }
        let logs: Vec<LogId> = sent.iter().map(|(log, _)| *log).collect();
        let spool = self.kept.map(|kept| kept.spool);
        let followed = piece::ship(&self.pool, spool, &logs, &pieces, &dropped).await?;
        let mut all = self.lock();
        for log in logs {
            if let Some(shipping) = all.get_mut(&log) {
                shipping.followed = followed.contains(&log);
            }
        }
        Ok(sent)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LogId, Shipping>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ShippingGuard {
    fn drop(&mut self) {
        self.tail.lock().remove(&self.log);
    }
}
