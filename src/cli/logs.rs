//! `parselog logs`: print the log of a run or a stream, wherever it is, and follow it while it grows.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use regex::Regex;

use super::value::TARGET_HELP;
use super::{CliError, Common, Exit, open, show};
use crate::clock::{WHEN, when};
use crate::desk::lookup;
use crate::desk::status::nobody_takes;
use crate::desk::stream::find_stream;
use crate::desk::words::counted;
use crate::ids::ServiceName;
use crate::reader::{Cost, Follower, News, Selection, StreamFollower, StreamSource};
use crate::record::{Level, Record, Text, TextStyle};
use crate::store::Run;
use crate::system::System;

/// What precedes the name of a stream.
const STREAM: &str = "service:";

/// Lines from which on a stream is followed.
const FOLLOWED_FROM: u64 = 10;

/// Print the log of a run, or with service:NAME the stream of a service, from this machine's spool or from the
/// object store.
///
/// From a large archived log, --tail, --lines and --since fetch only the lines they show.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    #[arg(value_name = "RUN|FILE|service:NAME", help = format!("{TARGET_HELP}; or service: and the name of a stream"))]
    target: String,
    /// Take the previous run of the same file.
    #[arg(long, conflicts_with = "attempt")]
    previous: bool,
    /// Take this attempt of the same job, from 1.
    #[arg(long, value_name = "N")]
    attempt: Option<i32>,
    /// Follow the log until it is closed, or the stream from its last 10 lines on; the run may be on another
    /// machine.
    #[arg(long, short, conflicts_with_all = ["lines", "head", "until"])]
    follow: bool,
    /// Only lines A to B, counted from 1; both are optional.
    #[arg(long, value_name = "A:B", value_parser = range)]
    lines: Option<Range<u64>>,
    /// Only lines at this time or later: a time, or how long ago, such as 10m.
    #[arg(long, value_name = WHEN, value_parser = when)]
    since: Option<DateTime<Utc>>,
    /// Only lines before this time.
    #[arg(long, value_name = WHEN, value_parser = when)]
    until: Option<DateTime<Utc>>,
    /// Only lines of at least this level: trace, debug, info, warn, error.
    #[arg(long)]
    level: Option<Level>,
    /// Only lines about this line or row of the submitted file.
    #[arg(long, value_name = "N")]
    record: Option<u64>,
    /// Only lines that match this regular expression.
    #[arg(long, value_name = "REGEX")]
    grep: Option<Regex>,
    /// Only lines whose context has this value, such as item=12 or, within an object, a.b=12; repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = Selection::field_of)]
    field: Vec<(String, String)>,
    /// Only the first N of them.
    #[arg(long, value_name = "N", conflicts_with = "tail")]
    head: Option<u64>,
    /// Only the last N of them.
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
    /// Format of the lines.
    #[arg(long, short, value_name = "HOW", default_value = "text", conflicts_with = "json")]
    output: Form,
    /// Short for --output json.
    #[arg(long)]
    json: bool,
    /// Show the cost of reading: requests and bytes.
    #[arg(long, short)]
    verbose: bool,
}

/// Format of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// One JSON object per line, whatever the line is.
    Json,
    /// The bytes of the log.
    Raw,
}

impl LogsArgs {
    pub(super) async fn run(self, common: &Common) -> Result<Exit> {
        if self.target.starts_with(STREAM)
            && (self.previous || self.attempt.is_some() || self.lines.is_some())
        {
            return Err(CliError::usage(
                "a stream has no runs and no first line: use --since, --until, --head or --tail",
            ));
        }
        let system = open::open(common).await?;
        let run = match self.target.strip_prefix(STREAM) {
            Some(_) => None,
            None => Some(self.find(&system).await?),
        };
        let form = if self.json { Form::Json } else { self.output };
        let printer = Printer { form, style: show::style(), lines: Arc::default() };
        let printed = Arc::clone(&printer.lines);
        let selection = Selection {
            lines: self.lines,
            since: self.since,
            until: self.until,
            level: self.level,
            record: self.record,
            grep: self.grep,
            fields: self.field,
            head: self.head,
            tail: self.tail,
        };
        let Some(run) = run else {
            let service = find_stream(&system, &self.target[STREAM.len()..]).await?;
            let cost = stream(&system, service, selection, self.follow, printer).await?;
            say(cost, self.verbose);
            return Ok(Exit::Ok);
        };
        if self.follow && run.logs_uri.is_none() {
            follow(system, &run, selection, printer).await?;
            return Ok(Exit::Ok);
        }
        let each = move |line: &[u8]| printer.print(line);
        let cost = lookup::log(&system, &run).await?.read(&system.objects, selection, each).await?;
        if printed.load(Ordering::Relaxed) == 0 {
            show::note(&format!("no line of the log of run {} matches", run.id));
        }
        say(cost, self.verbose);
        Ok(Exit::Ok)
    }

    /// Whether it is a text to read, and not one that goes on.
    pub(super) fn is_paged(&self) -> bool {
        !self.follow && self.output != Form::Raw
    }

    async fn find(&self, system: &System) -> Result<Run> {
        let pool = &system.pool;
        if self.follow || self.previous || self.attempt.is_some() {
            let run = lookup::find_run(pool, &self.target).await?;
            return Ok(match self.attempt {
                Some(number) => lookup::attempt(pool, &run, number).await?,
                None if self.previous => lookup::previous(pool, &run).await?,
                None => run,
            });
        }
        let (run, newer) = lookup::find_run_with_log(pool, &self.target).await?;
        if let Some(newer) = newer {
            let (id, outcome) = (newer.id, newer.verdict());
            show::note(&format!(
                "this is the log of run {}: the latest run, {id}, is {outcome} and has none",
                run.id
            ));
        }
        Ok(run)
    }
}

fn say(Cost { gets, bytes }: Cost, is_verbose: bool) {
    if is_verbose {
        show::note(&format!("{}, {bytes} bytes ({}) fetched", counted(gets, "request"), ByteSize(bytes)));
    }
}

/// Prints a stream, and follows it if asked.
async fn stream(
    system: &System,
    service: ServiceName,
    mut selection: Selection,
    is_followed: bool,
    printer: Printer,
) -> Result<Cost> {
    if is_followed && selection.since.is_none() {
        selection.tail.get_or_insert(FOLLOWED_FROM);
    }
    let source = StreamSource::find(system, &service, &selection).await?;
    for segment in source.elsewhere() {
        show::note(&segment.to_string());
    }
    let print = printer.clone();
    let each = move |line: &[u8]| print.print(line);
    let cost = source.read(&system.objects, selection.clone(), each).await?;
    if !is_followed {
        return Ok(cost);
    }
    show::Out.flush()?;
    let mut follower = StreamFollower::behind(&source, system.clone(), service, selection);
    drop(source);
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    loop {
        let lines = tokio::select! {
            pressed = &mut stop => return pressed.context("failed to listen for ^C").map(|()| cost),
            lines = follower.next() => lines?,
        };
        lines.iter().try_for_each(|line| printer.print(line))?;
        show::Out.flush()?;
    }
}

async fn follow(system: System, run: &Run, selection: Selection, printer: Printer) -> Result<()> {
    if let Some(why) = nobody_takes(&system.pool, run).await? {
        show::note(&format!("run {} waits: {why}", run.id));
    }
    let mut follower = Follower::new(system, run.id, selection);
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    loop {
        let news = tokio::select! {
            pressed = &mut stop => return pressed.context("failed to listen for ^C"),
            news = follower.next() => news?,
        };
        match news {
            None => return Ok(()),
            Some(News::Note(note)) => show::note(&note),
            Some(News::Lines(lines)) => {
                lines.iter().try_for_each(|line| printer.print(line))?;
                show::Out.flush()?;
            }
        }
    }
}

/// Prints lines of a log.
#[derive(Clone)]
struct Printer {
    form: Form,
    style: TextStyle,
    /// How many it printed.
    lines: Arc<AtomicU64>,
}

impl Printer {
    fn print(&self, line: &[u8]) -> io::Result<()> {
        self.lines.fetch_add(1, Ordering::Relaxed);
        match self.form {
            Form::Raw => show::Out.write_all(line),
            Form::Json if Record::decode(line).is_some() => show::Out.write_all(line),
            Form::Json => show::write_json(&mut show::Out, &Record::decode_lossy(line)),
            Form::Text => {
                let record = Record::decode_lossy(line);
                writeln!(show::Out, "{}", Text { record: &record, style: self.style })
            }
        }
    }
}

/// `A:B`, both inclusive and from 1, as numbers from 0, the end exclusive.
fn range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || "use A:B, such as 1:20, :20 or 100:".to_owned();
    let (from, to) = text.split_once(':').ok_or_else(wrong)?;
    let from: u64 = if from.is_empty() { 1 } else { from.parse().map_err(|_| wrong())? };
    let to: u64 = if to.is_empty() { u64::MAX } else { to.parse().map_err(|_| wrong())? };
    if from == 0 || to < from { Err(wrong()) } else { Ok(from - 1..to) }
}
