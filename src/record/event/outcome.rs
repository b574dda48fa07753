//! The events of a parse's outcome.

use serde_json::Value;

use super::OUTCOME;
use crate::record::Record;

/// The outcome of a parse, in several events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutcomeEvent<'a> {
    /// Accepted records of one type.
    Accepted { record_type: &'a str, records: u64 },
    /// Stored cases of one month (`YYYYMM`).
    Cases { month: &'a str, accepted_without_errors: u64, accepted_with_errors: u64 },
    /// The totals, as the last event.
    Parsed {
        /// The verdict in words.
        summary: Option<&'a str>,
        /// `None` if the parser counted no records.
        records_in_file: Option<u64>,
        records_created: Option<u64>,
        lines_rejected: u64,
        /// Problems of all categories.
        errors: u64,
    },
}

impl<'a> OutcomeEvent<'a> {
    /// Logs the event.
    pub fn log(&self) {
        match *self {
            Self::Accepted { record_type, records } => {
                tracing::info!(target: OUTCOME, record_type, records, "accepted");
            }
            Self::Cases { month, accepted_without_errors, accepted_with_errors } => {
                tracing::info!(target: OUTCOME, month, accepted_without_errors, accepted_with_errors, "cases");
            }
            Self::Parsed { summary, records_in_file, records_created, lines_rejected, errors } => {
                tracing::info!(
                    target: OUTCOME,
                    summary,
                    records_in_file,
                    records_created,
                    lines_rejected,
                    errors,
                    "parsed"
                );
            }
        }
    }

    /// Reads one back; `None` for any other record.
    pub fn read(record: &'a Record) -> Option<Self> {
        if record.target != OUTCOME {
            return None;
        }
        let text = |name| record.fields.get(name).and_then(Value::as_str);
        let number = |name| record.fields.get(name).and_then(Value::as_u64);
        Some(match (text("record_type"), number("records"), text("month")) {
            (Some(record_type), Some(records), _) => Self::Accepted { record_type, records },
            (.., Some(month)) => {
                let cases = |name| number(name).unwrap_or_default();
                Self::Cases {
                    month,
                    accepted_without_errors: cases("accepted_without_errors"),
                    accepted_with_errors: cases("accepted_with_errors"),
                }
            }
            _ => Self::Parsed {
                summary: text("summary"),
                records_in_file: number("records_in_file"),
                records_created: number("records_created"),
                lines_rejected: number("lines_rejected").unwrap_or_default(),
                errors: number("errors").unwrap_or_default(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_told_from_the_others_by_what_it_has() {
        let read = |fields: &str| {
            let line = format!(
                r#"{{"timestamp":"2026-11-21T06:30:23.123456Z","seq":7,"level":"INFO","target":"parselog::outcome","fields":{fields}}}"#
            );
            let record = Record::decode(line.as_bytes()).expect("a record");
            format!("{:?}", OutcomeEvent::read(&record).expect("an outcome"))
        };
        assert!(read(r#"{"record_type":"T1","records":4}"#).starts_with("Accepted"));
        assert!(read(r#"{"month":"202010","accepted_with_errors":4}"#).starts_with("Cases"));
        let parsed = read(r#"{"summary":"Accepted","records_in_file":3,"errors":0}"#);
        assert!(
            parsed.contains("Some(\"Accepted\"), records_in_file: Some(3), records_created: None"),
            "{parsed}"
        );
    }
}
