//! Gathers a Python traceback, its chained exceptions and the error that was logged with it into one event.
//!
//! Lines come one by one. Text that may go on is held until the next line, or until the stream falls silent.

use crate::record::{Foreign, Level};

/// The most bytes of text that a traceback gathers.
const LONGEST: usize = 256 << 10;

const BEGINNING: &str = "Traceback (most recent call last):";
/// The lines between the exceptions of a chain.
const LINKS: [&str; 2] = [
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
];

/// The text held of one stream.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// An error that was logged as text: a traceback may belong to it.
    held: Option<Foreign>,
    traceback: Option<Traceback>,
}

#[derive(Debug, Default)]
struct Traceback {
    text: String,
    /// The line of the last exception, once it was there.
    exception: Option<String>,
}

/// The result of taking a line.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// An event that is whole now, and comes before the line.
    pub(super) before: Option<Foreign>,
    /// Whether the line is held.
    pub(super) held: bool,
}

impl Gathering {
    /// Takes a line of text; `read` is the line as a record, if it says its level.
    pub(super) fn take(&mut self, line: &str, read: Option<&Foreign>) -> Gathered {
        let begins = line.trim_start_matches(['+', '|', ' ']).ends_with(BEGINNING);
        let goes_on = match &mut self.traceback {
            Some(traceback) => traceback.goes_on(line),
            // A traceback belongs to the held error, if there is one.
            None => begins,
        };
        let before = if goes_on { None } else { self.flush() };
        if begins && self.traceback.is_none() {
            self.traceback = Some(Traceback { text: line.to_owned(), exception: None });
        } else if !goes_on {
            self.held = read.filter(|read| read.level == Some(Level::Error)).cloned();
        }
        Gathered { before, held: self.traceback.is_some() || self.held.is_some() }
    }

    /// Whether anything is held.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some() || self.traceback.is_some()
    }

    /// What is held, as it is.
    pub(super) fn flush(&mut self) -> Option<Foreign> {
        let held = self.held.take();
        match self.traceback.take() {
            Some(traceback) => Some(traceback.into_record(held)),
            None => held,
        }
    }
}

impl Traceback {
    /// Takes the line if it belongs to the traceback.
    fn goes_on(&mut self, line: &str) -> bool {
        let is_link = LINKS.contains(&line);
        let belongs = match self.exception {
            None => self.text.len() < LONGEST,
            Some(_) => is_link,
        };
        if belongs {
            // Frames and marks are indented; the line of the exception is not.
            let is_frame = line.starts_with([' ', '\t', '|', '+']) || line == BEGINNING;
            self.exception = (!is_frame && !is_link).then(|| line.to_owned());
            self.text.push('\n');
            self.text.push_str(line);
        }
        belongs
    }

    fn into_record(self, held: Option<Foreign>) -> Foreign {
        let Self { text, exception } = self;
        let mut record = held.unwrap_or_else(|| Foreign { level: Some(Level::Error), ..Foreign::default() });
        let exception = exception.unwrap_or_else(|| "a traceback without its exception".to_owned());
        record.message = match record.message.as_str() {
            "" => exception.clone(),
            message => format!("{message}: {exception}"),
        };
        record.rest.insert("exception".to_owned(), exception.into());
        record.rest.insert("traceback".to_owned(), text.into());
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(lines: &[&str]) -> Vec<Foreign> {
        let mut gathering = Gathering::default();
        let mut records = Vec::new();
        for line in lines {
            let read = super::super::text::read(line);
            let gathered = gathering.take(line, read.as_ref());
            records.extend(gathered.before);
            if !gathered.held {
                records.push(
                    read.unwrap_or_else(|| Foreign { message: (*line).to_owned(), ..Foreign::default() }),
                );
            }
        }
        records.extend(gathering.flush());
        records
    }

    #[test]
    fn a_chain_of_exceptions_is_one_event_with_the_last_exception_as_its_message() {
        let records = gather(&[
            "before",
            "Traceback (most recent call last):",
            "  File \"a.py\", line 1, in <module>",
            "    1/0",
            "ZeroDivisionError: division by zero",
            "During handling of the above exception, another exception occurred:",
            "Traceback (most recent call last):",
            "  File \"a.py\", line 3, in <module>",
            "ValueError: no row",
            "after",
        ]);
        let messages: Vec<&str> = records.iter().map(|record| record.message.as_str()).collect();
        assert_eq!(messages, ["before", "ValueError: no row", "after"]);
        assert_eq!(records[1].level, Some(Level::Error));
        assert!(records[1].rest["traceback"].as_str().unwrap().lines().count() == 8);
    }

    #[test]
    fn a_logged_error_takes_its_traceback_and_two_tracebacks_are_two() {
        let trace = ["Traceback (most recent call last):", "  File \"a.py\", line 1", "KeyError: 'x'"];
        let lines =
            [&["ERROR:root:failed"][..], &trace, &trace, &["ERROR:root:again", "ERROR:root:last"]].concat();
        let records = gather(&lines);
        let messages: Vec<&str> = records.iter().map(|record| record.message.as_str()).collect();
        assert_eq!(messages, ["failed: KeyError: 'x'", "KeyError: 'x'", "again", "last"]);
    }
}
