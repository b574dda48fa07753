//! What several tests use.

pub(crate) mod accounting;
mod cli;
mod collector;
mod db;
mod head;
mod locks;
mod patience;
mod port;
pub(crate) mod skip;
mod smtp;

pub(crate) use cli::{Desk, Said, sample, sample_text};
pub(crate) use collector::{Collector, SentBy};
pub(crate) use db::{TestDb, claimant, new_file, outcome, request_by};
pub(crate) use head::{head, head_of, head_of_run};
pub(crate) use locks::{unheld, wait_until_unheld};
pub(crate) use patience::PATIENCE;
pub(crate) use port::KeptPort;
pub(crate) use smtp::MailServer;
