//! What several tests use.

mod cli;
mod db;

pub(crate) use cli::{Desk, sample};
pub(crate) use db::{TestDb, claimant, new_file, outcome};
