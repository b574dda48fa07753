//! Keeps the streams while their process lives: ends old segments, archives what has ended, watches the disk.

use std::pin::pin;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{TimeDelta, Utc};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};

use super::Streams;
use crate::archive::{self, ActionReader, Archiver};
use crate::ids::ServiceName;
use crate::record::Head;
use crate::recovery::Recovery;
use crate::spool::SealedLog;
use crate::{carry, faults, store};

/// How often to look at the disk and at the segments.
const TICK: Duration = Duration::from_millis(250);

/// How often to tell the database of new segments.
const REGISTER_INTERVAL: Duration = Duration::from_secs(1);

/// How often to look for logs that others left in the spool.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// How often to look for segments that are too old, and how many of a stream to delete then.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);
const PRUNED: i64 = 1000;

/// How long to archive the last segments; recovery archives what is left then.
const LAST_GRACE: Duration = Duration::from_secs(10);

impl Streams {
    /// Keeps the streams until `stop` resolves; then ends and archives them all. Without it, segments end only
    /// by their size, and recovery archives them.
    ///
    /// # Errors
    /// Nobody makes the streams durable any more.
    pub async fn keep(&self, stop: impl Future<Output = ()>) -> Result<()> {
        let archiver = Archiver::new(self.0.system.clone());
        let recovery = Recovery::new(self.0.system.clone(), archiver.clone());
        let mut archiving = JoinSet::new();
        tokio::select! {
            ended = Box::pin(self.tend(stop, &archiver, &mut archiving)) => ended?,
            () = Box::pin(self.register_all()) => {}
            () = Box::pin(self.sweep_all(&recovery)) => {}
            () = Box::pin(self.prune_all()) => {}
        }
        archive_all(self.ended(Duration::ZERO).await?, &archiver, &mut archiving);
        let archived = async {
            self.count_errors().await;
            while archiving.join_next().await.is_some() {}
        };
        if tokio::time::timeout(LAST_GRACE, archived).await.is_err() {
            tracing::warn!("segments of streams stay in the spool: the next process archives them");
        }
        Ok(())
    }

    /// Does what must not wait for the database, until `stop` resolves or nobody makes the streams durable.
    async fn tend(
        &self,
        stop: impl Future<Output = ()>,
        archiver: &Archiver,
        archiving: &mut JoinSet<()>,
    ) -> Result<()> {
        let (mut stop, mut ticks) = (pin!(stop), ticks(TICK));
        loop {
            // Nothing else is broken off: who seals a segment passes it on to be archived.
            tokio::select! {
                () = &mut stop => return Ok(()),
                _ = ticks.tick() => {}
            }
            faults::helper("streams");
            if !self.0.is_syncing() {
                bail!("streams are not made durable any more: start the process again");
            }
            self.watch_the_disk().await;
            archive_all(self.ended(self.0.config.segment_age).await?, archiver, archiving);
            while archiving.try_join_next().is_some() {}
        }
    }

    /// Ends the segments of this age, and completes all that have ended.
    async fn ended(&self, age: Duration) -> Result<Vec<SealedLog>> {
        let streams = self.clone();
        let ended = carry::spawn_blocking(move || {
            streams.say_dropped();
            streams.0.forget_idle();
            let settled = |connection| streams.0.settled(connection);
            let streams = streams.0.all();
            streams
                .iter()
                .flat_map(|stream| {
                    stream.cut(age);
                    stream.seal(settled)
                })
                .collect()
        });
        ended.await.context("ending segments panicked")
    }

    async fn register_all(&self) {
        let mut ticks = ticks(REGISTER_INTERVAL);
        loop {
            ticks.tick().await;
            self.register().await;
            self.count_errors().await;
            for stream in self.0.all() {
                for (log, reader) in stream.take_actions() {
                    let read = self.record_actions(reader).await;
                    if let Err(error) = &read {
                        tracing::debug!(%log, "actions of tasks are not listed yet: {error:#}");
                    }
                    stream.put_actions(log, read.ok());
                }
            }
        }
    }

    async fn sweep_all(&self, recovery: &Recovery) {
        let mut ticks = ticks(SWEEP_INTERVAL);
        loop {
            ticks.tick().await;
            self.sweep(recovery).await;
        }
    }

    /// Tells the database of new segments. The archive does it too: this is for whoever looks before.
    async fn register(&self) {
        let unregistered = || self.0.unregistered.lock().unwrap_or_else(PoisonError::into_inner);
        let heads: Vec<Head> = std::mem::take(&mut *unregistered());
        for (nth, head) in heads.iter().enumerate() {
            if let Err(error) = store::log::begun(&self.0.system.pool, head).await {
                tracing::debug!("a segment has no row yet: {error:#}");
                if store::refusal(&error).is_none() {
                    return unregistered().extend_from_slice(&heads[nth..]);
                }
            }
        }
    }

    /// Tells the database of the errors since the last time.
    async fn count_errors(&self) {
        if let Err(error) = self.0.errors.tell(&self.0.system.pool).await {
            tracing::debug!("errors of streams are not counted yet: {error:#}");
        }
    }

    /// Records what happened to tasks since the reader's last time; returns the reader behind that.
    async fn record_actions(&self, mut reader: ActionReader) -> Result<ActionReader> {
        let read = carry::spawn_blocking(move || reader.read_on().map(|actions| (reader, actions)));
        let (reader, actions) = read.await.context("reading actions panicked")??;
        for action in actions {
            match store::action::happened(&self.0.system.pool, &action).await {
                // The archive says so once more.
                Err(error) if store::refusal(&error).is_none() => return Err(error),
                _ => {}
            }
        }
        Ok(reader)
    }

    /// Deletes the segments that are older than their streams are to be kept.
    async fn prune_all(&self) {
        let mut ticks = ticks(PRUNE_INTERVAL);
        loop {
            ticks.tick().await;
            if let Err(error) = self.prune().await {
                tracing::warn!("old segments are not deleted yet: {error:#}");
            }
        }
    }

    async fn prune(&self) -> Result<()> {
        let system = &self.0.system;
        for name in store::stream::names(&system.pool).await? {
            let Ok(service) = ServiceName::try_from(name) else { continue };
            let Some(age) = self.0.config.kept_for(&service) else { continue };
            let Some(cut) = Utc::now().checked_sub_signed(TimeDelta::from_std(age)?) else { continue };
            let reason = format!("older than {}", humantime::format_duration(age));
            for old in store::retention::segments_before(&system.pool, &service, cut, None, PRUNED).await? {
                archive::remove_segment(system, old.id, "retention", &reason).await?;
            }
        }
        Ok(())
    }

    /// Looks after logs that others left in the spool.
    async fn sweep(&self, recovery: &Recovery) {
        let swept = async {
            match self.0.is_collector.load(Ordering::Relaxed) {
                true => recovery.recover_as_collector().await?,
                false => recovery.recover().await?,
            };
            recovery.archive_due().await
        };
        if let Err(error) = swept.await {
            tracing::error!("failed to look after logs that others left in the spool: {error:#}");
        }
    }

    async fn watch_the_disk(&self) {
        let spool = self.0.system.spool.clone();
        let Ok(Ok(free)) = carry::spawn_blocking(move || spool.free()).await else { return };
        let is_nearly_full = free < self.0.config.leave_free.as_u64();
        if self.0.is_nearly_full.swap(is_nearly_full, Ordering::Relaxed) != is_nearly_full {
            if is_nearly_full {
                tracing::error!(free, "the disk of the spool is nearly full: streams keep only errors");
            } else {
                tracing::warn!(free, "the disk of the spool has space again: streams keep everything");
            }
        }
    }
}

/// Archives each of these; what fails stays in the spool for the sweep.
fn archive_all(sealed: Vec<SealedLog>, archiver: &Archiver, archiving: &mut JoinSet<()>) {
    for log in sealed {
        let archiver = archiver.clone();
        carry::spawn_in(archiving, async move {
            archiver.archive(log).await;
        });
    }
}

fn ticks(interval: Duration) -> Interval {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
