//! Actions of foreign schedulers: the records of a segment that say what happened to a task.
//!
//! Such a record has the fields `action` and `task_name`, as Rocketry's. It stays in its stream; the row is for
//! whoever asks what happened to a task.

use std::fs::File;
use std::io;
use std::sync::Arc;

use serde_json::Value;

use crate::ids::{LogId, ServiceName};
use crate::record::Record;
use crate::spool::TailReader;
use crate::store::action::ForeignAction;

/// The fields that make a record an action.
const ACTION: &str = "action";
const TASK: &str = "task_name";

/// Bytes of a segment to read at once.
const AT_ONCE: usize = 1 << 20;

/// Reads the actions of a segment, which may still grow.
#[derive(Debug, Clone)]
pub struct ActionReader {
    log: LogId,
    service: ServiceName,
    tail: TailReader,
}

impl ActionReader {
    /// Reads a segment from its beginning.
    pub fn new(log: LogId, service: ServiceName, file: Arc<File>) -> Self {
        Self { log, service, tail: TailReader::new(file, 0) }
    }

    /// Whether these fields of a record make it an action.
    pub fn is_action(fields: &serde_json::Map<String, Value>) -> bool {
        fields.contains_key(ACTION) && fields.contains_key(TASK)
    }

    /// The actions up to the present end, behind those that were read before.
    ///
    /// # Errors
    /// The segment can't be read.
    pub fn read_on(&mut self) -> io::Result<Vec<ForeignAction>> {
        let mut actions = Vec::new();
        loop {
            let lines = self.tail.lines(AT_ONCE)?;
            if lines.is_empty() {
                return Ok(actions);
            }
            let lines = lines.split_inclusive(|byte| *byte == b'\n');
            let may_be = |line: &&[u8]| memchr::memmem::find(line, b"\"task_name\":").is_some();
            actions.extend(lines.filter(may_be).filter_map(|line| self.action(line)));
        }
    }

    /// The action on a line; `None` if it is none that we know.
    fn action(&self, line: &[u8]) -> Option<ForeignAction> {
        let mut record = Record::decode(line)?;
        let at = record.time.or(record.timestamp)?;
        let action = record.fields.remove(ACTION)?.as_str()?.to_lowercase().parse().ok()?;
        let task = record.fields.remove(TASK)?.as_str()?.to_owned();
        Some(ForeignAction {
            log: self.log,
            seq: record.seq,
            service: self.service.clone(),
            task,
            action,
            at,
            detail: Some(record.message).filter(|message| !message.is_empty()),
            record: record.fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::store::Action;

    #[test]
    fn only_records_with_an_action_that_we_know_and_a_task_are_actions() {
        let mut file = tempfile::tempfile().expect("a file");
        for fields in [
            r#""action":"run","task_name":"a task","start":1.5"#,
            r#""action":"fail","task_name":7"#,
            r#""action":"jump","task_name":"x""#,
            r#""task_name":"x""#,
            r#""said":{"action":"run","task_name":"x"}"#,
            r#""action":"SUCCESS","task_name":"a task""#,
        ] {
            let line = format!(
                "{{\"timestamp\":\"2026-11-28T10:00:00.000000Z\",\"seq\":1,\"message\":\"m\",\"fields\":{{{fields}}}}}\n"
            );
            file.write_all(line.as_bytes()).expect("a line");
        }
        let mut reader = ActionReader::new(LogId::new(), ServiceName::of("s"), Arc::new(file));
        let found = reader.read_on().expect("the file");
        let known: Vec<_> = found.iter().map(|found| (found.task.as_str(), found.action)).collect();
        assert_eq!(known, [("a task", Action::Run), ("a task", Action::Success)]);
        assert_eq!(found[0].record["start"], 1.5);
        assert!(reader.read_on().expect("the file").is_empty(), "what was read is not read again");
    }
}
