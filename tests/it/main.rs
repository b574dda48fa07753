//! The integration tests, in one binary: each module tests one room.

#![expect(clippy::disallowed_methods, reason = "a test's own threads belong to no run")]
#![expect(clippy::unwrap_used, reason = "a test that unwraps what is not there fails, as it should")]
#![expect(unreachable_pub, reason = "a test binary has no users")]

mod any_bytes;
mod app;
mod architecture;
mod cli;
mod clients;
mod cluster;
mod command_parser;
mod compiled_once;
mod database;
mod diff;
mod docs;
mod doctor;
mod drain;
mod fault_server;
mod gzip;
mod holds;
mod levels;
mod links;
mod lists;
mod localstack;
mod logs;
mod migrations;
mod notices;
mod notices_mail;
mod objects_faults;
mod objects_folder;
mod objects_links;
mod objects_plain;
mod objects_s3;
mod objects_upload;
mod operating;
mod parse_processes;
mod plain_server;
mod printing;
mod promises;
mod python;
mod queue;
mod reading;
mod redact;
mod reparse;
mod report;
mod resources;
mod retention;
mod sample;
mod scope;
mod settings;
mod snapshots;
mod store;
mod submitted;
mod support;
mod tdp_claims;
mod tdp_expected;
mod tdp_hostile;
mod tdp_records;
mod tdp_rules;
mod tdp_sample;
mod tdp_sheets;
mod tdp_support;
mod tdp_text;
mod tdp_workbook;
mod upgrade;
mod worker;
