//! A parser for the crash tests: it acknowledges each event once its log call has returned.
//!
//! `PARSELOG_TEST_ACKS` names a folder. What is written to a file outlives `kill -9`, so a number
//! in `<run>.acks` proves that the call which logged that number had returned before the kill, and
//! the event must be in the run's archived log. A lock on `<data file>.running` shows whether two
//! runs of one file ever overlapped. It exists only with the feature `faults`.
//!
//! The submitted file says how much: `<events per thread> <threads> <microseconds between events>`, a number of its
//! own, and, if its parse is to die, how and at which event: `abort 17`.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rustix::process::{Signal, getpid, kill_process};

use super::{Context, Outcome, ParseError, Parser, Submission, SummaryStatus};
use crate::{carry, faults};

/// What a submitted file could carry to forge a line or to fool a terminal.
pub const HOSTILE: &str = "\u{1b}[2J\n{\"timestamp\":\"2026-01-01T00:00:00.000000Z\",\"seq\":1}\u{202e}\0";

/// How a parse can die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// `abort`: as a failed check of a C library does.
    Abort,
    /// `fault`: as a stray pointer does.
    Fault,
    /// `stack`: it calls itself for ever.
    Stack,
    /// `memory`: it takes all memory that it can get.
    Memory,
    /// `exit`: it ends the process.
    Exit,
    /// `loop`: it does not end, and never looks whether it should stop.
    Loop,
    /// `outside`: it names its process in `<run>.pid` and waits to be killed.
    Outside,
}

impl Fate {
    /// All, with their words.
    pub const ALL: [(&'static str, Self); 7] = [
        ("abort", Self::Abort),
        ("fault", Self::Fault),
        ("stack", Self::Stack),
        ("memory", Self::Memory),
        ("exit", Self::Exit),
        ("loop", Self::Loop),
        ("outside", Self::Outside),
    ];

    #[expect(clippy::disallowed_methods, reason = "that is one of the ways")]
    fn meet(self, folder: &Path, run: &str) -> ! {
        match self {
            Self::Abort => std::process::abort(),
            // The runtime takes the first for a stack that is too small, and looks.
            Self::Fault => loop {
                let _ = kill_process(getpid(), Signal::SEGV);
            },
            Self::Stack => {
                deeper(1);
                unreachable!("there is no end of it")
            }
            Self::Memory => {
                let mut all = Vec::new();
                loop {
                    all.push(black_box(vec![1_u8; 16 << 20]));
                }
            }
            Self::Exit => std::process::exit(7),
            Self::Loop => loop {
                sleep(Duration::from_millis(10));
            },
            Self::Outside => {
                let pid = getpid().as_raw_nonzero().to_string();
                let _ = fs::write(folder.join(format!("{run}.pid")), pid);
                loop {
                    sleep(Duration::from_secs(1));
                }
            }
        }
    }
}

/// Needs more of the stack with each call.
#[expect(unconditional_recursion, reason = "that is how a stack overflows")]
fn deeper(depth: u64) -> u64 {
    let here = black_box([depth; 128]);
    deeper(here[0] + 1) + here[1]
}

/// The parser.
pub struct Acknowledging {
    folder: PathBuf,
}

impl Acknowledging {
    /// The parser, where the environment asks for it.
    pub fn from_env() -> Option<Self> {
        std::env::var_os("PARSELOG_TEST_ACKS").map(|folder| Self { folder: folder.into() })
    }
}

impl Parser for Acknowledging {
    fn parse(&self, submission: &Submission<'_>, context: &mut Context<'_>) -> Result<Outcome, ParseError> {
        let _alone = alone(&self.folder, &context.data_file.to_string(), &context.run.to_string())?;
        let text = fs::read_to_string(submission.path).context("failed to read the submission")?;
        let mut numbers = text.split_whitespace().map_while(|word| word.parse::<u64>().ok());
        let mut next = || numbers.next().context("a submission is three numbers");
        let (events, threads, pause) = (next()?, next()?, Duration::from_micros(next()?));
        let fate = fate(&text)?;

        let acks = self.folder.join(format!("{}.acks", context.run));
        let acks = OpenOptions::new().append(true).create(true).open(acks);
        let acks = Arc::new(acks.context("failed to open the acknowledgements")?);
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (acks, run, folder) = (Arc::clone(&acks), context.run.to_string(), self.folder.clone());
                carry::thread(move || {
                    let _span = tracing::info_span!("thread", thread).entered();
                    for n in thread * events..(thread + 1) * events {
                        log(&run, n);
                        acknowledge(&acks, n)?;
                        faults::point("acknowledged");
                        if let Some((fate, _)) = fate.filter(|(_, at)| *at == n) {
                            fate.meet(&folder, &run);
                        }
                        sleep(pause);
                    }
                    std::io::Result::Ok(())
                })
            })
            .collect();
        for worker in workers {
            let ended = worker.join().map_err(|_| anyhow!("a thread of the parser panicked"))?;
            ended.context("failed to acknowledge an event")?;
        }
        context.cancel.check()?;
        Ok(outcome(events * threads))
    }
}

/// How and at which event the parse of such a submission dies.
fn fate(text: &str) -> anyhow::Result<Option<(Fate, u64)>> {
    let mut words = text.split_whitespace().skip(4);
    let Some(word) = words.next() else { return Ok(None) };
    let (_, fate) = Fate::ALL.into_iter().find(|(name, _)| *name == word).context("no such fate")?;
    let at = words.next().and_then(|at| at.parse().ok()).context("a fate is met at an event")?;
    Ok(Some((fate, at)))
}

fn log(run: &str, n: u64) {
    match n % 13 {
        0 => tracing::error!(run, n, record = n + 1, hostile = HOSTILE, "acknowledged event"),
        1 | 2 => tracing::warn!(run, n, "acknowledged event"),
        _ => tracing::info!(run, n, "acknowledged event"),
    }
}

/// One short append: a kill leaves all of it, or a beginning without the end of the line.
fn acknowledge(mut acks: &File, n: u64) -> std::io::Result<()> {
    acks.write_all(format!("{n}\n").as_bytes())
}

/// Locks the data file for as long as it is parsed, and leaves a mark where it is being parsed already.
fn alone(folder: &Path, data_file: &str, run: &str) -> anyhow::Result<File> {
    let lock = File::create(folder.join(format!("{data_file}.running")))?;
    if lock.try_lock().is_err() {
        File::create(folder.join(format!("{run}.overlapped")))?;
        anyhow::bail!("two runs of one file at once");
    }
    Ok(lock)
}

fn outcome(records: u64) -> Outcome {
    Outcome {
        summary: SummaryStatus::Accepted,
        records_reported: true,
        records_in_file: records,
        records_created: records,
        created_by_type: [("event".to_owned(), records)].into(),
        cases: super::CaseTotals::default(),
        errors: Default::default(),
        errors_by_month: Default::default(),
        deprecated_errors: 0,
        first_error: None,
    }
}
