//! The integration tests, in one binary: each module tests one room.

#![expect(clippy::disallowed_methods, reason = "a test's own threads belong to no run")]

mod architecture;
mod cluster;
mod command_parser;
mod diff;
mod fault_server;
mod gzip;
mod localstack;
mod migrations;
mod objects_faults;
mod objects_folder;
mod objects_s3;
mod queue;
mod reparse;
mod scope;
mod store;
mod support;
mod tdp_expected;
mod tdp_hostile;
mod tdp_rules;
mod tdp_sample;
mod tdp_sheets;
mod tdp_support;
