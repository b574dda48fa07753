//! What several tests use.

mod db;

pub use db::{TestDb, claimant, new_file, outcome};
