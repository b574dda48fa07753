//! The queue: the run row is the job.
//!
//! A worker claims a run under a lease, keeps the lease by heartbeats, and ends the run. A run is
//! claimed at most once, ever: a retry, the recovery of a crash and a handed-back job are new rows, so a
//! worker that lost its lease can no longer change anything. No transaction stays open while a run is
//! parsed, and two runs of one data file never overlap.
//!
//! The worker decides what to do with a run, and how many to have at once.

mod cancel;
mod claim;
mod finish;
mod lease;
mod retry;
mod waker;

pub use cancel::{Cancelled, cancel};
pub use claim::{Claimant, ClaimedRun, Takes, claim, claim_run};
pub use finish::{Ending, Finished, crashed, finish};
pub use lease::{Beat, REAPED_WITHIN, Unfinished, heartbeat, reap, reap_long_expired, running, unfinished};
pub use retry::{Retried, retry};
pub use waker::Waker;
