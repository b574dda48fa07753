//! The process's logging: the scope layer, the global log on stderr, the panic hook.
//!
//! The global log gets the events outside of every run. Everything in it passes the redactor.

mod global;

use std::borrow::Cow;
use std::panic::PanicHookInfo;

use anyhow::{Context, Result};
use chrono::Utc;
use serde_json::Value;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

use crate::config::{GlobalFormat, Levels};
use crate::record::{Encoder, Record, push_prefix};
use crate::redact::Redactor;
use crate::scope::{EventVisitor, Outside, ScopeLayer, origin};

use self::global::GlobalLog;

/// Sets up logging for the whole process; once.
///
/// `run` and `outside` are the levels of a run's log and of the global log.
///
/// # Errors
/// Logging is set up already.
pub fn init(run: Levels, outside: Levels, format: GlobalFormat, redactor: Redactor) -> Result<()> {
    let global = GlobalLog::of_stderr(format, redactor);
    layer(run, outside, move |record| global.write(record))
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

/// The scope layer, for a subscriber of one's own over `tracing_subscriber::Registry`. `run` says
/// what a run's log keeps. The records outside of every run that `outside` keeps, and those that a
/// run's log can't take, go to `global`.
///
/// Events that neither list keeps are switched off for the whole subscriber.
pub fn layer(
    run: Levels,
    outside: Levels,
    global: impl Fn(Record) + Send + Sync + 'static,
) -> impl Layer<Registry> + Send + Sync {
    ScopeLayer::new(run, outside, move |leaving: Outside<'_>| {
        if let Some(record) = to_record(&leaving) {
            global(record);
        }
    })
}

/// Takes private shapes out of everything that a record says, numbers included.
pub fn redact(redactor: &Redactor, record: &mut Record) {
    for text in [&mut record.message, &mut record.span, &mut record.target] {
        if let Cow::Owned(redacted) = redactor.redact(text) {
            *text = redacted;
        }
    }
    record.record = record.record.filter(|number| redactor.lets_pass(&number.to_string()));
    record.fields.values_mut().for_each(|value| redactor.redact_value(value));
}

fn to_record(leaving: &Outside<'_>) -> Option<Record> {
    let mut line = Vec::with_capacity(256);
    push_prefix(&mut line, Utc::now().timestamp_micros(), 0);
    match leaving {
        Outside::Event { event, metadata } => {
            let mut encoder = Encoder::default();
            let origin = origin(metadata);
            encoder.start(&origin);
            event.record(&mut EventVisitor(&mut encoder));
            line.extend_from_slice(encoder.finish(&origin, b""));
            Record::decode(&line)
        }
        Outside::Overflow { log, body } => {
            line.extend_from_slice(body);
            let mut record = Record::decode(&line)?;
            record.fields.insert("run".to_owned(), Value::String(log.as_run().to_string()));
            Some(record)
        }
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a value that is not text");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    tracing::error!(target: "parselog::panic", location, thread, "panicked: {message}");
}
