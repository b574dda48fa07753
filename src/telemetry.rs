//! The process's logging: the scope layer with its filter, the global log on stderr, the panic hook.
//!
//! The global log gets what is logged outside of every run. Everything in it passes the redactor.

use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;

use anyhow::{Context, Result};
use chrono::Utc;
use serde_json::Value;
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

use crate::config::GlobalFormat;
use crate::record::{Encoder, Record, Text, push_prefix};
use crate::redact::Redactor;
use crate::scope::{EventVisitor, Outside, RUN_TARGET, ScopeLayer, origin};

/// Sets up logging for the whole process; once.
///
/// `run_levels` and `global_levels` are lists such as `info,sqlx=warn`: what a run's log and what
/// the global log keeps.
///
/// # Errors
/// Levels that can't be read, or logging that is set up already.
pub fn init(run_levels: &str, global_levels: &str, format: GlobalFormat, redactor: Redactor) -> Result<()> {
    let global = GlobalLog { format, redactor, color: io::stderr().is_terminal() };
    layer(run_levels, global_levels, move |line| global.write(line))?
        .with_subscriber(Registry::default())
        .try_init()
        .context("logging is set up already")?;
    tracing_log::LogTracer::init().context("the log crate has a logger already")?;
    log_panics();
    Ok(())
}

/// From now on a panic is an event where it happens: inside a run it lands in that run's log, with
/// its message and place. Nothing of it is written to stderr raw.
pub fn log_panics() {
    std::panic::set_hook(Box::new(log_panic));
}

/// The scope layer with its filter, for a subscriber of one's own over `tracing_subscriber::Registry`.
/// Records outside of every run, and those that a run's log can't take, go to `global`.
///
/// # Errors
/// Levels that can't be read.
pub fn layer(
    run_levels: &str,
    global_levels: &str,
    global: impl Fn(Record) + Send + Sync + 'static,
) -> Result<impl Layer<Registry> + Send + Sync> {
    let run = parse_levels(run_levels)?;
    let outside = parse_levels(global_levels)?;
    let max = highest(&run).max(highest(&outside));
    let either = {
        let (run, outside) = (run.clone(), outside.clone());
        move |metadata: &Metadata<'_>| {
            metadata.target() == RUN_TARGET || passes(&run, metadata) || passes(&outside, metadata)
        }
    };
    let scopes = ScopeLayer::new(
        move |metadata: &Metadata<'_>| passes(&run, metadata),
        move |leaving: Outside<'_>| {
            if let Some(record) = to_record(&leaving, &outside) {
                global(record);
            }
        },
    );
    Ok(scopes.with_filter(filter_fn(either).with_max_level_hint(max)))
}

/// The process's own log, on stderr.
struct GlobalLog {
    format: GlobalFormat,
    redactor: Redactor,
    color: bool,
}

impl GlobalLog {
    fn write(&self, mut record: Record) {
        redact(&self.redactor, &mut record);
        let line = match self.format {
            GlobalFormat::Text => format!("{}\n", Text { record: &record, color: self.color }),
            GlobalFormat::Json => serde_json::to_string(&record).unwrap_or_default() + "\n",
        };
        // There is nowhere left to report a stderr that can't be written to.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// Takes private shapes out of every text of a record. Numbers stay: they are counts and ids.
pub fn redact(redactor: &Redactor, record: &mut Record) {
    record.message = redactor.redact(&record.message).into_owned();
    record.span = redactor.redact(&record.span).into_owned();
    for value in record.fields.values_mut() {
        if let Value::String(text) = value {
            *text = redactor.redact(text).into_owned();
        }
    }
}

fn to_record(leaving: &Outside<'_>, levels: &Targets) -> Option<Record> {
    let mut line = Vec::with_capacity(256);
    push_prefix(&mut line, Utc::now().timestamp_micros(), 0);
    match leaving {
        Outside::Event(event) => {
            let of_log_crate = event.normalized_metadata();
            let metadata = of_log_crate.as_ref().unwrap_or_else(|| event.metadata());
            if !passes(levels, metadata) {
                return None;
            }
            let mut encoder = Encoder::default();
            let origin = origin(metadata);
            encoder.start(&origin);
            event.record(&mut EventVisitor(&mut encoder));
            line.extend_from_slice(encoder.finish(&origin, b""));
            Record::decode(&line)
        }
        Outside::Overflow { run, body, .. } => {
            line.extend_from_slice(body);
            let mut record = Record::decode(&line)?;
            record.fields.insert("run".to_owned(), Value::String(run.to_string()));
            Some(record)
        }
    }
}

fn parse_levels(text: &str) -> Result<Targets> {
    text.parse().with_context(|| format!("'{text}' is no list of levels; write 'info' or 'info,sqlx=warn'"))
}

fn passes(levels: &Targets, metadata: &Metadata<'_>) -> bool {
    levels.would_enable(metadata.target(), metadata.level())
}

fn highest(levels: &Targets) -> LevelFilter {
    levels.iter().map(|(_, level)| level).chain(levels.default_level()).max().unwrap_or(LevelFilter::OFF)
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a value that is no text");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    tracing::error!(target: "parselog::panic", location, thread, "panicked: {message}");
}
