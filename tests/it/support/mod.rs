//! What several tests use.

mod db;

pub(crate) use db::{TestDb, claimant, new_file, outcome};
