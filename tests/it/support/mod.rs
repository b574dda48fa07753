//! What several tests use.

pub(crate) mod accounting;
mod cli;
mod db;
pub(crate) mod skip;
mod smtp;

pub(crate) use cli::{Desk, Said, sample, sample_text};
pub(crate) use db::{TestDb, claimant, new_file, outcome};
pub(crate) use smtp::MailServer;
