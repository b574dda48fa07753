//! What answers each route: one file for each kind of sender, and for those who read.

pub(super) mod health;
pub(super) mod logs;
pub(super) mod loki;
pub(super) mod metrics;
pub(super) mod otlp;
mod query;
pub(super) mod read;
