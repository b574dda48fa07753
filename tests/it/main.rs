//! The integration tests, one binary.


//! All integration tests, in one binary.

#![expect(clippy::disallowed_methods, reason = "a test's own threads belong to no run")]

mod cluster;
mod migrations;
mod queue;
mod store;
mod support;
