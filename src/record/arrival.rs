//! Where a record of another process came from.

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
        assert_eq!(record.from, Some(from));
        let again = serde_json::to_string(&record).unwrap();
        assert!(again.contains(r#""from":[18446744073709551615,512]"#), "{again}");
    }
}
