//! All integration tests, as one binary.

mod tdp_expected;
mod tdp_hostile;
mod tdp_records;
mod tdp_rules;
mod tdp_sample;
mod tdp_sheets;
mod tdp_support;
