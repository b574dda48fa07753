//! External programs as parsers: what they say is logged, how they end is the outcome, and none of
//! them outlives its run.

mod ending;
mod files;
mod lines;
mod output;
mod port;
mod result;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parselog::ids::{DataFileId, RunId};
use parselog::parser::{
    Cancel, CommandOptions, CommandParser, Context, Outcome, ParseError, Parser as _, Progress, Submission,
};
use parselog::record::Record;

use crate::scope::{Desk, events, seal};
use crate::support::PATIENCE;

/// A run of one parser, with a folder for its files.
struct Run {
    folder: tempfile::TempDir,
    options: CommandOptions,
    cancel: Arc<Cancel>,
    progress: Progress,
    /// Where its output goes.
    output: Option<PathBuf>,
    /// Whether its program is told which lines are in the log by now; see [`Run::script`].
    tells: bool,
    /// The run's log, and how many events it drops.
    said: Vec<Record>,
    dropped: u64,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("a file.txt"), "HEADER\nT1202010\nT120201\nTRAILER\n").expect("a file");
        let options = CommandOptions {
            timeout: PATIENCE,
            grace: Duration::from_millis(300),
            ..CommandOptions::default()
        };
        let (cancel, progress) = (Arc::default(), Progress::default());
        Self { folder, options, cancel, progress, output: None, tells: false, said: Vec::new(), dropped: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a shell script; `$1` is the submitted file, `$2` the folder. Where the run tells, `heard line` waits until
    /// that line is in the log.
    fn script(&mut self, script: &str) -> Result<Outcome, ParseError> {
        let heard = r#"heard() { while [ ! -e "$folder/heard.$1" ]; do sleep 0.01; done; }"#;
        let script = if self.tells { format!("folder=$2; {heard}; {script}") } else { script.to_owned() };
        let quoted = shlex::try_quote(&script).expect("a script");
        let folder =
            shlex::try_quote(self.folder.path().to_str().expect("UTF-8")).expect("a path").into_owned();
        self.command(&format!("sh -c {quoted} sh {{file}} {folder}"))
    }

    fn command(&mut self, command_line: &str) -> Result<Outcome, ParseError> {
        let parser = CommandParser::new(command_line, self.options.clone())?;
        let path = self.path("a file.txt");
        let submission = Submission {
            path: &path,
            name: "a file.txt",
            program: "tanf",
            section: "active",
            fiscal_year: 2021,
            fiscal_quarter: 1,
        };
        let mut context = Context {
            run: RunId::new(),
            data_file: DataFileId(7),
            cancel: &self.cancel,
            progress: &self.progress,
            records: None,
            output: self.output.as_deref(),
        };
        let desk = Desk::new(1 << 30);
        let scope = desk.open();
        let over = AtomicBool::new(!self.tells);
        let outcome = thread::scope(|threads| {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    self.tell(&desk);
                    thread::sleep(Duration::from_millis(5));
                }
            });
            let outcome = scope.span().in_scope(|| parser.parse(&submission, &mut context));
            over.store(true, Ordering::Relaxed);
            outcome
        });
        let log = seal(scope);
        assert_eq!(log.tail.dropped, self.dropped);
        self.said = events(log.path());
        outcome
    }

    /// Tells the program the letters and digits of each line that the log has.
    fn tell(&self, desk: &Desk) {
        for message in desk.heard() {
            let letters: String = message.chars().filter(char::is_ascii_alphanumeric).take(50).collect();
            fs::write(self.path(&format!("heard.{letters}")), "").expect("a file");
        }
    }

    fn messages(&self) -> Vec<&str> {
        self.said.iter().map(|said| said.message.as_str()).collect()
    }

    fn pid(&self, name: &str) -> u32 {
        fs::read_to_string(self.path(name)).expect("a pid file").trim().parse().expect("a pid")
    }
}

fn failure(outcome: Result<Outcome, ParseError>) -> String {
    match outcome {
        Err(ParseError::Failed(error)) => format!("{error:#}"),
        other => panic!("expected a failure, got {other:?}"),
    }
}

fn quoted(path: &Path) -> String {
    shlex::try_quote(path.to_str().expect("UTF-8")).expect("a path").into_owned()
}
