//! Where a record of another process came from.

use std::sync::LazyLock;

use memchr::memmem;
use serde::{Deserialize, Serialize};

/// The connection of a record, and the byte of it behind the record. It stands on the record's line, so that a
/// record that is decoded again, because a kill came in between, is recognised: `"from":[connection,end]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Arrival {
    /// Names the connection on its machine, for good.
    pub connection: u64,
    /// The byte of the connection behind the record.
    pub end: u64,
}

/// How it begins on a line, and what comes behind it there.
const KEY: &[u8] = b",\"from\":[";
const FIELDS: &[u8] = b",\"fields\":{";

/// Made once, since it is asked about each line.
static KEYS: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(KEY));

impl Arrival {
    /// What a line says, found without decoding the line: whoever takes over from a dead process reads all that it
    /// had stored, while senders wait.
    pub fn of_line(line: &[u8]) -> Option<Self> {
        // No text has a bare quote, and no key but those of the fields is a sender's own.
        let at = KEYS.find(line)?;
        if memmem::find(&line[..at], FIELDS).is_some() {
            return None;
        }
        let text = &line[at + KEY.len()..];
        let text = std::str::from_utf8(&text[..memchr::memchr(b']', text)?]).ok()?;
        let (connection, end) = text.split_once(',')?;
        Some(Self { connection: connection.parse().ok()?, end: end.parse().ok()? })
    }
}

impl From<(u64, u64)> for Arrival {
    fn from((connection, end): (u64, u64)) -> Self {
        Self { connection, end }
    }
}

impl From<Arrival> for (u64, u64) {
    fn from(Arrival { connection, end }: Arrival) -> Self {
        (connection, end)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Encoder, Level, Origin, Record, push_prefix};
    use super::*;

    #[test]
    fn a_line_keeps_where_its_record_came_from() {
        let from = Arrival { connection: u64::MAX, end: 512 };
        let (mut encoder, mut line) = (Encoder::default(), Vec::new());
        let origin = Origin::new(Level::Info, "logger", None);
        encoder.start(&origin);
        encoder.from(from);
        push_prefix(&mut line, 0, 1);
        line.extend_from_slice(encoder.finish(&origin, b""));
        let record = Record::decode(&line).unwrap();
        assert_eq!((record.from, Arrival::of_line(&line)), (Some(from), Some(from)));
        let again = serde_json::to_string(&record).unwrap();
        assert!(again.contains(r#""from":[18446744073709551615,512]"#), "{again}");
    }

    #[test]
    fn what_a_sender_writes_is_not_taken_for_it() {
        let (mut encoder, mut line) = (Encoder::default(), Vec::new());
        let origin = Origin::new(Level::Info, ",\"from\":[1,2]", None);
        encoder.start(&origin);
        encoder.message(format_args!(",\"from\":[1,2]"));
        encoder.object("some", "{\"x\":1,\"from\":[1,2]}");
        encoder.text("from", "[1,2]");
        push_prefix(&mut line, 0, 1);
        line.extend_from_slice(encoder.finish(&origin, b""));
        assert_eq!((Record::decode(&line).unwrap().from, Arrival::of_line(&line)), (None, None));
    }
}
