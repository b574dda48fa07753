//! Runs the built-in parser on a file and keeps everything that comes of it; makes submissions to run
//! it on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use parselog::ids::{DataFileId, RunId};
use parselog::parser::tdp::Tdp;
use parselog::parser::tdp::sample::{Sample, Size};
use parselog::parser::{
    Cancel, Context, Outcome, Parser as _, Progress, RecordSink, Submission, SummaryStatus,
};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};

/// What a submission is said to be.
#[derive(Debug, Clone, Copy)]
pub struct As<'a> {
    pub program: &'a str,
    pub section: &'a str,
    pub year: i32,
    pub quarter: u8,
}

/// Everything that came of a parse.
#[derive(Debug)]
pub struct Parsed {
    pub outcome: Outcome,
    pub problems: Vec<Logged>,
    pub records: Vec<(String, Map<String, Value>)>,
}

/// One problem as it was logged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logged {
    pub category: u64,
    pub record: Option<u64>,
    pub case: Option<u64>,
    pub deprecated: bool,
    pub texts: BTreeMap<String, String>,
}

impl Logged {
    pub fn message(&self) -> &str {
        self.text("message")
    }

    pub fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }
}

pub fn parse(path: &Path, name: &str, submission: As<'_>) -> Parsed {
    parse_with(&Tdp::new(), path, name, submission)
}

pub fn parse_with(parser: &Tdp, path: &Path, name: &str, submission: As<'_>) -> Parsed {
    let problems = Problems::default();
    let (cancel, progress) = (Cancel::default(), Progress::default());
    let mut records = Records::default();
    let mut context = Context {
        run: RunId::new(),
        data_file: DataFileId(1),
        cancel: &cancel,
        progress: &progress,
        records: Some(&mut records),
        output: None,
    };
    let submission = Submission {
        path,
        name,
        program: submission.program,
        section: submission.section,
        fiscal_year: submission.year,
        fiscal_quarter: submission.quarter,
    };
    let subscriber = tracing_subscriber::registry().with(problems.clone());
    let outcome = tracing::subscriber::with_default(subscriber, || parser.parse(&submission, &mut context));
    let outcome = outcome.unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
    let problems = problems.0.lock().expect("problems").clone();
    Parsed { outcome, problems, records: records.0 }
}

/// Parses a text as a file of the given name.
pub fn parse_text(text: impl AsRef<[u8]>, name: &str, submission: As<'_>) -> Parsed {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("submission");
    std::fs::write(&path, text).expect("write");
    parse(&path, name, submission)
}

pub const ACTIVE: As<'_> = As { program: "tanf", section: "active", year: 2021, quarter: 1 };

/// A sound submission, line by line; line 0 is the header.
pub fn sound(submission: As<'_>, cases: u64) -> Vec<String> {
    let mut bytes = Vec::new();
    let As { program, section, year, quarter } = submission;
    let size = Size::Cases(cases);
    let sample = Sample {
        program,
        section,
        fiscal_year: year,
        fiscal_quarter: quarter,
        size,
        error_rate: 0.0,
        seed: 3,
    };
    sample.write(&mut bytes).expect("sample");
    String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
}

pub fn parsed(lines: &[String], submission: As<'_>) -> Parsed {
    let name = if submission.program == "fra" { "file.csv" } else { "file.txt" };
    parse_text(lines.join("\n"), name, submission)
}

/// The sound submission after a change, parsed.
pub fn changed(submission: As<'_>, change: impl FnOnce(&mut Vec<String>)) -> Parsed {
    let mut lines = sound(submission, 3);
    change(&mut lines);
    parsed(&lines, submission)
}

pub fn put(line: &mut String, at: usize, text: &str) {
    line.replace_range(at..at + text.len(), text);
}

/// The first line of a record type.
pub fn first<'a>(lines: &'a mut [String], record_type: &str) -> &'a mut String {
    lines.iter_mut().find(|line| line.starts_with(record_type)).expect(record_type)
}

/// Problems as (line, category), in the order they were logged.
pub fn found(parsed: &Parsed) -> Vec<(u64, u64)> {
    parsed.problems.iter().map(|problem| (problem.record.unwrap_or(0), problem.category)).collect()
}

pub fn summary(parsed: &Parsed) -> SummaryStatus {
    parsed.outcome.summary
}

pub fn only(parsed: &Parsed) -> &Logged {
    let [problem] = parsed.problems.as_slice() else { panic!("not one problem: {:#?}", parsed.problems) };
    problem
}

#[derive(Default)]
struct Records(Vec<(String, Map<String, Value>)>);

impl RecordSink for Records {
    fn accept(&mut self, record_type: &str, record: &Map<String, Value>) -> std::io::Result<()> {
        self.0.push((record_type.to_owned(), record.clone()));
        Ok(())
    }
}

/// A layer that keeps what is logged as a problem.
#[derive(Clone, Default)]
struct Problems(Arc<Mutex<Vec<Logged>>>);

impl<S: tracing::Subscriber> Layer<S> for Problems {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if event.metadata().target() == "parselog::problem" {
            let mut logged = Logged::default();
            event.record(&mut logged);
            self.0.lock().expect("problems").push(logged);
        }
    }
}

impl Visit for Logged {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "category" => self.category = value,
            "record" => self.record = Some(value),
            "case" => self.case = Some(value),
            other => panic!("unknown number {other}"),
        }
    }

    fn record_bool(&mut self, _: &Field, value: bool) {
        self.deprecated = value;
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.texts.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.texts.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
