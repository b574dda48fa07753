//! What request bodies hold: pure readers from bytes to records, one file for each form.
//!
//! Each reader hands on one record at a time, so that a body takes little more memory than its bytes, whatever
//! it holds. What is no record is handed on as well, with the reason. Routes and status codes are not known here.

mod form;
mod json;
mod literal;
mod loki;
mod otlp;
mod percent;
mod pieces;
mod unpack;
mod walk;
mod wire;

pub use form::read as read_form;
pub use json::read as read_json;
pub use loki::{read_json as read_loki_json, read_protobuf as read_loki_protobuf};
pub use otlp::{read_json as read_otlp_json, read_protobuf as read_otlp_protobuf};
pub use unpack::{Coding, Unpack, UnpackError};

use crate::record::Incoming;

/// The longest record (bytes) of a body.
pub const MAX_RECORD: usize = 1 << 20;

/// Something that a body holds.
#[derive(Debug)]
pub enum BodyItem<'a> {
    /// A record.
    Record(Incoming),
    /// What is no record.
    Bad {
        /// The service that it is of, if the body says it.
        service: Option<&'a str>,
        /// Its bytes.
        raw: &'a [u8],
        /// Why it is none.
        reason: String,
    },
}

/// Takes what a body holds, in its order.
pub type BodySink<'s> = dyn FnMut(BodyItem<'_>) + 's;

/// Refuses what is longer than a record may be.
fn check_length(raw: &[u8]) -> Result<(), String> {
    match raw.len() {
        ..=MAX_RECORD => Ok(()),
        length => Err(format!("it is {length} bytes long, and a record has {MAX_RECORD} at most")),
    }
}
