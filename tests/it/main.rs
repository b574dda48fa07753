//! The integration tests, one binary.


//! All integration tests, in one binary.

#![expect(clippy::disallowed_methods, reason = "a test's own threads belong to no run")]

//! The one integration-test binary: each module tests one room.

mod cluster;
mod gzip;
mod migrations;
mod queue;
mod store;
mod support;
