//! A parser in any language: an external program that reads the submitted file.
//!
//! The program gets the file and its facts as words of its command line and as `PARSELOG_…` variables. Its
//! stdout and stderr go to files beside the log of the run, and are logged line by line; its log handlers may send
//! records to a port of the run. Its exit code, and a result file if it writes one, become the outcome. It runs in a process group of its own. On cancel, or
//! when it takes too long or falls silent, the whole group is ended, children included.
//!
//! This is not a sandbox: the program has the rights of parselog's user.

mod blocks;
mod entry;
mod environment;
mod file;
mod line;
mod lines;
mod output;
mod port;
mod process;
mod reader;
mod result;
mod state;
mod stream;
mod tally;
mod template;
mod text;
mod throttle;
mod traceback;
mod unread;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};

use environment::Facts;
use output::Output;
use process::Group;
use result::ResultFile;
use tally::Tally;
use template::Template;
pub use unread::{count_unread, log_unread};

use crate::ids::RunId;

use super::{CancelReason, Context, Outcome, ParseError, Parser, Submission, SummaryStatus};

/// The pause between two looks at a running program.
const POLL: Duration = Duration::from_millis(20);

/// Runs one command line as the parser.
#[derive(Debug, Clone)]
pub struct CommandParser {
    template: Template,
    options: CommandOptions,
}

/// Ends external parsers on this machine whose runs are over and whose workers are dead, so that none goes on
/// beside the next attempt. This also ends those of a living worker that lost the lease of such a run.
///
/// # Errors
/// A process could not be ended: it hangs in the kernel, or belongs to another user.
pub fn clear_after(runs: &[RunId]) -> anyhow::Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    for run in runs {
        ResultFile::remove_left_over(*run);
    }
    process::end_orphans(runs).map_err(|pid| {
        anyhow!("process {} of an earlier attempt's parser could not be ended", pid.as_raw_nonzero())
    })
}

/// Decides whether a submission is accepted, where a program's result states no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictSource {
    /// Its result or its problems; a program that states neither has no verdict.
    Stated,
    /// Its exit code too: 0 is accepted, 3 is rejected.
    Exit,
}

/// Separates how a program ended from its last words, which may quote the submission.
pub const LAST_WORDS: &str = "; its last words: ";

/// The exit code that rejects a submission, where exit codes are verdicts.
const REJECTED: i32 = 3;

/// The bounds within which an external parser runs.
#[derive(Debug, Clone)]
pub struct CommandOptions {
    /// Longest run; the program is ended after it, and the run ends as timed out.
    pub timeout: Duration,
    /// Longest time without a byte of output, likewise; `None` lets it be silent.
    pub silence: Option<Duration>,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Bytes of address space for each of its processes; `None` for no limit.
    pub memory: Option<u64>,
    /// Variables that it inherits in addition to those that every program needs.
    pub pass: Vec<String>,
    /// What says that a submission is accepted.
    pub verdict_from: VerdictSource,
    /// The least level that the program should log; it gets this as `PARSELOG_LEVEL`.
    pub level: tracing::Level,
}

impl Default for CommandOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(3600),
            silence: None,
            grace: Duration::from_secs(5),
            memory: None,
            pass: Vec::new(),
            verdict_from: VerdictSource::Stated,
            level: tracing::Level::INFO,
        }
    }
}

impl CommandParser {
    /// A parser from a command line such as `python3 my_parser.py {file}`.
    ///
    /// It is split into words as a shell does, but no shell runs it. `{file}`, `{name}`,
    /// `{program}`, `{section}`, `{year}` and `{quarter}` are replaced within words.
    ///
    /// # Errors
    /// An empty command line, an open quote, an unknown placeholder, a program that does not exist.
    pub fn new(command_line: &str, options: CommandOptions) -> anyhow::Result<Self> {
        let template = Template::parse(command_line)?;
        find(template.program())?;
        Ok(Self { template, options })
    }

    fn command(&self, facts: &Facts<'_>) -> Command {
        let words = self.template.words(facts);
        let mut command = match self.options.memory {
            None => Command::new(&words[0]),
            Some(bytes) => {
                // The limit must be set before the program's first instruction, so that its children have it
                // too.
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", "ulimit -v \"$1\" && shift && exec \"$@\"", "sh"]);
                shell.arg((bytes / 1024).max(1).to_string()).arg(&words[0]);
                shell
            }
        };
        command.args(&words[1..]);
        environment::prepare(&mut command, facts, &self.options);
        command.stdin(Stdio::null());
        command
    }

    /// Waits for the program's end; the error is the reason to end it.
    fn wait(
        &self,
        group: &Group,
        output: &Output,
        tally: &Tally,
        context: &Context<'_>,
    ) -> Result<(), CancelReason> {
        let started = Instant::now();
        while !group.has_exited() && !output.is_unheard() {
            tally.show(context.progress);
            if let Some(reason) = context.cancel.reason() {
                return Err(reason);
            }
            if started.elapsed() > self.options.timeout {
                tracing::warn!("the parser ran for {:?} and is ended", self.options.timeout);
                return Err(CancelReason::TimedOut);
            }
            if let Some(silence) = self.options.silence.filter(|limit| output.silent_for() > *limit) {
                tracing::warn!("the parser was silent for {silence:?} and is ended");
                return Err(CancelReason::Silent);
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Parser for CommandParser {
    fn gives_records(&self) -> bool {
        false
    }

    fn parse(&self, submission: &Submission<'_>, context: &mut Context<'_>) -> Result<Outcome, ParseError> {
        context.cancel.check()?;
        let result = ResultFile::prepare(context.run)?;
        let file = absolute(submission.path)?;
        let mut output = Output::create(context.output, context.run)
            .context("failed to make the files of the parser's output")?;
        let facts = Facts {
            submission: *submission,
            file: &file,
            run: context.run,
            data_file: context.data_file,
            result: result.path(),
            port: output.port(),
        };
        let mut command = self.command(&facts);
        output.give_to(&mut command).context("failed to share a file with the parser")?;
        let mut group = Group::spawn(&mut command, context.run)
            .with_context(|| format!("failed to start the parser `{}`", self.template.program()))?;
        drop(command);
        let tally = Tally::default();
        output.follow(&group, &tally);

        let ended = self.wait(&group, &output, &tally, context);
        let escaped = ended.is_ok() && output.finish(self.options.grace, &group);
        let left_some = group.end(self.options.grace);
        if escaped {
            tracing::warn!("a process that escaped from the parser held its output, and was ended");
        } else if ended.is_ok() && left_some {
            tracing::warn!("processes of the parser outlived it and were ended");
        }
        output.close();
        let status = group.reap().context("failed to learn how the parser ended")?;
        tally.show(context.progress);
        ended.map_err(ParseError::Cancelled)?;
        let counted = tally.take();
        let by_exit = match (self.options.verdict_from, status.code()) {
            (VerdictSource::Exit, Some(0)) => Some(SummaryStatus::Accepted),
            (VerdictSource::Exit, Some(REJECTED)) => Some(SummaryStatus::Rejected),
            (VerdictSource::Stated, Some(0)) => None,
            _ => {
                let words = counted.exception.or(counted.complaint);
                let words = words.map(|words| format!("{LAST_WORDS}{words}")).unwrap_or_default();
                return Err(ParseError::Failed(anyhow!("{}{words}", process::describe(status))));
            }
        };
        Ok(result.read()?.into_outcome(counted.outcome, by_exit))
    }
}

/// Looks for a program in the same way as its start does.
fn find(program: &str) -> anyhow::Result<()> {
    let is_program =
        |path: &Path| path.metadata().is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0);
    if program.contains('/') {
        ensure!(
            is_program(Path::new(program)),
            "the parser's program '{program}' does not exist, or can't be run"
        );
        return Ok(());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)));
    ensure!(found, "the parser's program '{program}' is in no folder of PATH");
    Ok(())
}

/// An absolute path can't be taken for an option, and holds wherever the program goes.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).context("failed to find the submitted file")
}
