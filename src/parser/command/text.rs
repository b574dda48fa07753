//! Lines of text that say their level: as Python's `logging` writes them by default
//! (`ERROR:name:message`), and in the forms that people give it, with or without a time in front.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Map;

use crate::record::Foreign;

/// A line that says its level does so within its first bytes, up to here.
const EARLY: usize = 160;

static LEVEL: LazyLock<Regex> = LazyLock::new(|| form(r"\b(?:LEVELS)\b"));

/// The level stands first, in capitals, or right behind a time, or behind a time and a name.
static FORMS: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    [
        // ERROR:name:message
        form(r"^(?<level>LEVELS):(?<logger>[\w.-]+):(?<message>.*)$"),
        // ERROR: message, ERROR - message, ERROR | message, [ERROR] message
        form(r"^(?:(?<level>LEVELS)(?::|\s*\||\s+-)\s|\[(?<boxed>LEVELS)\])\s*(?<message>.*)$"),
        // 2026-11-27 10:00:00,123 ERROR message; … - name - ERROR - message; … [name] [ERROR] message
        form(concat!(
            r"^\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|\s?[+-]\d\d:?\d\d)?\]?",
            r"(?:\s*[-|]\s*(?<logger>[\w.-]+)\s*[-|]|\s*\[(?<name>[\w.-]+)\])?",
            r"[\s|-]*\[?(?<level>LEVELS)\b\]?[\s|:-]*(?<message>.*)$"
        )),
    ]
});

fn form(pattern: &str) -> Regex {
    let levels = "DEBUG|INFO|NOTICE|SUCCESS|WARNING|WARN|ERROR|CRITICAL|FATAL|EXCEPTION|TRACE";
    Regex::new(&format!("(?s){}", pattern.replace("LEVELS", levels))).expect("a pattern of this file")
}

/// Reads a line that says its level; `None` for any other.
pub(super) fn read(line: &str) -> Option<Foreign> {
    LEVEL.find(&line[..line.floor_char_boundary(EARLY)])?;
    let found = FORMS.iter().find_map(|form| form.captures(line))?;
    let named = |name| found.name(name).map(|part| part.as_str());
    let mut rest = Map::new();
    if let Some(logger) = named("logger").or_else(|| named("name")) {
        rest.insert("logger".to_owned(), logger.into());
    }
    let level = named("level").or_else(|| named("boxed"))?.parse().ok();
    Some(Foreign { level, message: found["message"].to_owned(), rest, damage: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_of_a_line_say_level_and_message() {
        for (line, level, message) in [
            ("ERROR:root:cannot read: a row", "error", "cannot read: a row"),
            ("WARNING:fra.rows:late", "warn", "late"),
            ("ERROR: cannot read", "error", "cannot read"),
            ("CRITICAL - cannot read", "error", "cannot read"),
            ("[INFO] began", "info", "began"),
            ("2026-11-27 10:00:00,123 ERROR fra: no row", "error", "fra: no row"),
            ("2026-11-27 10:00:00,123 - fra - ERROR - no row", "error", "no row"),
            ("[2026-11-27 10:00:00,123] ERROR in app: no row", "error", "in app: no row"),
            ("[2026-11-27 10:00:00 +0000] [INFO] began", "info", "began"),
            ("2026-11-27T10:00:00.5Z [fra] [WARNING] late", "warn", "late"),
            ("2026-11-27 10:00:00.123 | ERROR    | m:f:1 - no row", "error", "m:f:1 - no row"),
        ] {
            let read = read(line).expect(line);
            assert_eq!((read.level, read.message.as_str()), (level.parse().ok(), message), "{line}");
        }
        for line in [
            "no ERROR was found",
            "2026-11-27 10:00:00 no ERROR found",
            "ERRORS: 3",
            "INFORMATION",
            "error: x",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
