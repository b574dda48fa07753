//! Fuzzes what must hold of bodies of OpenTelemetry, whatever their bytes.

#![no_main]

#[allow(dead_code, reason = "each target uses one of them")]
#[path = "../../tests/it/holds.rs"]
mod holds;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holds::otlp_body(bytes));
