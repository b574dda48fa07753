//! The integration tests, one binary.

mod support;

mod migrations;
mod queue;
mod store;
