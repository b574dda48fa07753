//! The runs in flight, as the heartbeat sees them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::Worker;
use crate::faults;
use crate::ids::RunId;
use crate::parse::Flight;
use crate::parser::{CancelReason, Progress};
use crate::queue::{self, ClaimedRun};

/// The runs in flight of one worker. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RunsInFlight(Arc<Mutex<HashMap<RunId, InFlight>>>);

/// One run in flight.
#[derive(Debug, Clone)]
struct InFlight {
    token: Uuid,
    flight: Flight,
}

/// Takes a run out of the runs in flight when dropped.
pub(super) struct InFlightGuard {
    in_flight: RunsInFlight,
    run: RunId,
}

impl RunsInFlight {
    /// Prolongs all leases, and passes on the answer of the database: cancel requests, and runs that are no
    /// longer ours.
    pub(super) async fn beat(&self, worker: &Worker) {
        let runs: Vec<_> = self.all().into_iter().map(|(run, flight)| (run, flight.token)).collect();
        if runs.is_empty() {
            return;
        }
        // A dead connection must not block the heartbeats of a whole lease.
        let lease = worker.claimant.lease;
        match tokio::time::timeout(lease / 2, queue::heartbeat(&worker.system.pool, &runs, lease)).await {
            Ok(Ok(beats)) => self.apply(&runs, &beats),
            Ok(Err(error)) => tracing::warn!("failed to prolong leases: {error:#}"),
            Err(_) => tracing::warn!("failed to prolong leases: the database does not answer"),
        }
    }

    /// Asks every run in flight to stop.
    pub fn cancel_all(&self, reason: CancelReason) {
        for (_, run) in self.all() {
            run.flight.stop(reason);
        }
    }

    /// The progress of a run in flight.
    pub fn progress(&self, run: RunId) -> Option<Arc<Progress>> {
        self.lock().get(&run).map(|run| Arc::clone(&run.flight.progress))
    }

    /// The runs in flight.
    pub(super) fn runs(&self) -> Vec<RunId> {
        self.lock().keys().copied().collect()
    }

    pub(super) fn add(&self, claimed: &ClaimedRun) -> (Flight, InFlightGuard) {
        let flight = Flight::default();
        let run = InFlight { token: claimed.lease_token, flight: flight.clone() };
        self.lock().insert(claimed.run.id, run);
        (flight, InFlightGuard { in_flight: self.clone(), run: claimed.run.id })
    }

    fn apply(&self, asked: &[(RunId, Uuid)], beats: &[queue::Beat]) {
        let flights = self.lock();
        for (run, _) in asked {
            let Some(InFlight { flight, .. }) = flights.get(run) else { continue };
            match beats.iter().find(|beat| beat.run == *run) {
                None => flight.stop(CancelReason::Fenced),
                Some(beat) if beat.cancel_requested => {
                    flight.stop(CancelReason::Requested);
                    faults::point("stop-heard");
                }
                Some(_) => {}
            }
        }
    }

    fn all(&self) -> Vec<(RunId, InFlight)> {
        self.lock().iter().map(|(run, flight)| (*run, flight.clone())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, InFlight>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.in_flight.lock().remove(&self.run);
    }
}
