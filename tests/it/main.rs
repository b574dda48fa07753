//! All integration tests, as one binary.

mod tdp_expected;
mod tdp_support;
