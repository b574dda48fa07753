//! The global log: lines of text or JSON on stderr, without private values.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::redact;
use crate::clock;
use crate::config::GlobalFormat;
use crate::record::{Record, Text, TextStyle};
use crate::redact::Redactor;

/// The longest line (bytes) of the global log as JSON: what collects a console cuts longer ones, in the middle of
/// their JSON, at 16 KiB.
const LONGEST_LINE: usize = 15 << 10;

/// Ends a line that a killed process left without its end, before the next begins: or what is said next would be read
/// as a part of it.
const UNFINISHED: &str = "… [unfinished line]\n";

/// How long a living process may take within one write.
const A_MOMENT: Duration = Duration::from_millis(5);

/// The process's own log, on stderr.
pub(super) struct GlobalLog {
    format: GlobalFormat,
    redactor: Redactor,
    color: bool,
    file: StderrFile,
}

impl GlobalLog {
    pub(super) fn of_stderr(format: GlobalFormat, redactor: Redactor) -> Self {
        Self { format, redactor, color: io::stderr().is_terminal(), file: StderrFile::find() }
    }

    fn style(&self) -> TextStyle {
        TextStyle { color: self.color, offset_at: clock::offset_at, ..TextStyle::default() }
    }

    /// Says one record; it never fails: if stderr can't be written to, nothing can report that.
    pub(super) fn write(&self, mut record: Record) {
        redact(&self.redactor, &mut record);
        let mut line = match self.format {
            GlobalFormat::Text => format!("{}\n", Text { record: &record, style: self.style() }),
            GlobalFormat::Json => json_line(&record),
        };
        if self.file.ends_within_a_line() {
            line.insert_str(0, UNFINISHED);
        }
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// A record as collectors of console output take it: one line of JSON, in bounds. Its longest texts are cut until
/// it fits.
fn json_line(record: &Record) -> String {
    let rooms = [usize::MAX, 4096, 1024, 256, 64];
    let lines = rooms
        .map(Some)
        .into_iter()
        .chain([None])
        .map(|room| serde_json::to_string(&shortened(record.clone(), room)).unwrap_or_default() + "\n");
    let mut last = String::new();
    for line in lines {
        last = line;
        if last.len() <= LONGEST_LINE {
            break;
        }
    }
    last
}

/// A record without texts that are longer than `room`; without room, also without fields.
fn shortened(mut record: Record, room: Option<usize>) -> Record {
    let Some(room) = room else {
        record.fields.clear();
        return shortened(record, Some(64));
    };
    for value in record.fields.values_mut() {
        if (value.is_array() || value.is_object()) && room < usize::MAX {
            *value = Value::String(value.to_string());
        }
        if let Value::String(text) = value {
            cut(text, room);
        }
    }
    for text in [&mut record.message, &mut record.span, &mut record.target, &mut record.source] {
        cut(text, room);
    }
    record
}

/// Cuts a text that is longer, and says so.
fn cut(text: &mut String, room: usize) {
    if text.len() > room {
        let left_out = text.len() - text.floor_char_boundary(room);
        text.truncate(text.len() - left_out);
        text.push_str(&format!("… [{left_out} more bytes]"));
    }
}

/// The file that stderr is, if it is one: several processes may write to it, one after the other or at once.
struct StderrFile(Option<File>);

impl StderrFile {
    fn find() -> Self {
        let path = Path::new("/proc/self/fd/2");
        // Reading from a pipe would take what another process waits for.
        let is_file = path.metadata().is_ok_and(|found| found.is_file());
        // A shell opens it for writing alone.
        Self(is_file.then(|| File::open(path).ok()).flatten())
    }

    /// Whether a process was killed within its last write. One that is writing now ends its line in a moment.
    fn ends_within_a_line(&self) -> bool {
        let Some(file) = &self.0 else { return false };
        let torn_at = || {
            let length = file.metadata().ok()?.len();
            let mut last = [0];
            file.read_exact_at(&mut last, length.checked_sub(1)?).ok()?;
            (last != *b"\n").then_some(length)
        };
        let Some(length) = torn_at() else { return false };
        sleep(A_MOMENT);
        torn_at() == Some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_fits_in_what_collectors_of_consoles_take() {
        let read = |record: Record| {
            let line = json_line(&record);
            assert!(line.len() <= LONGEST_LINE && line.ends_with('\n'), "{} bytes", line.len());
            serde_json::from_str::<Value>(&line).expect("JSON")
        };
        let mut record = Record::decode_lossy(b"short");
        assert_eq!(read(record.clone())["message"], "short");
        record.message = "\u{1}".repeat(100_000);
        for number in 0..2_000 {
            record.fields.insert(format!("field {number}"), Value::from(vec!["x"; 100]));
        }
        let said = read(record)["message"].as_str().expect("a message").to_owned();
        assert!(said.ends_with("more bytes]"), "{said}");
    }

    #[test]
    fn a_line_that_a_killed_process_left_unfinished_is_seen_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let ends_within = |text: &str| {
            std::fs::write(&path, text).expect("written");
            StderrFile(Some(File::open(&path).expect("opened"))).ends_within_a_line()
        };
        assert!(ends_within("a line\nhalf a li"));
        assert!(!ends_within("a line\n"));
        assert!(!ends_within(""));
        assert!(!StderrFile(None).ends_within_a_line(), "a pipe is not looked at");
    }
}
