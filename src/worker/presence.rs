//! Says that the worker is alive, at each heartbeat, for people who ask whether anybody looks at the queue. Leases
//! and claims do not need it.

use anyhow::Result;
use uuid::Uuid;

use super::{Helpers, RunsInFlight, Worker};
use crate::store;
use crate::store::worker::{Presence, beat, forget_silent, stop};

impl Worker {
    /// Says so from now on; returns the id under which [`Worker::leaves`] takes it back.
    pub(super) fn is_present(&self, helpers: &mut Helpers, in_flight: &RunsInFlight) -> Uuid {
        let id = Uuid::now_v7();
        let presence = Presence {
            id,
            name: self.claimant.worker.clone(),
            beat: self.heartbeat,
            slots: self.config.slots,
            busy: 0,
            takes: self.claimant.takes.names(),
            spool: self.archiver.tail().kept().map(|kept| kept.spool),
        };
        let (pool, in_flight) = (self.system.pool.clone(), in_flight.clone());
        let mut is_new = true;
        helpers.every("presence", self.heartbeat, move || {
            let presence = Presence { busy: in_flight.runs().len(), ..presence.clone() };
            let (pool, first) = (pool.clone(), std::mem::take(&mut is_new));
            async move {
                if let Err(error) = say(&pool, &presence, first).await {
                    tracing::debug!("{error:#}");
                }
            }
        });
        id
    }

    /// Says that the worker takes no more runs. What does not reach the database, silence says after a while.
    pub(super) async fn leaves(&self, id: Uuid) {
        let told = tokio::time::timeout(self.heartbeat, stop(&self.system.pool, id)).await;
        if let Ok(Err(error)) = told {
            tracing::debug!("{error:#}");
        }
    }
}

async fn say(pool: &store::PgPool, presence: &Presence, first: bool) -> Result<()> {
    if first {
        forget_silent(pool).await?;
    }
    beat(pool, presence).await
}
