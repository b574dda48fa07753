//! Severity, and counts by severity.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The severity of a record, least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Fine detail.
    Trace,
    /// For developers.
    Debug,
    /// Normal events.
    Info,
    /// Something that somebody should look at.
    Warn,
    /// Something went wrong.
    Error,
}

impl Level {
    /// All levels, least severe first.
    pub const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// The name in a record: `TRACE` to `ERROR`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

impl From<tracing::Level> for Level {
    fn from(level: tracing::Level) -> Self {
        match level {
            tracing::Level::TRACE => Self::Trace,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::INFO => Self::Info,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::ERROR => Self::Error,
        }
    }
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::TRACE,
            Level::Debug => Self::DEBUG,
            Level::Info => Self::INFO,
            Level::Warn => Self::WARN,
            Level::Error => Self::ERROR,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = String;

    /// Reads a level in the words of the usual logging libraries, whatever their case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "error" | "err" | "critical" | "crit" | "fatal" | "alert" | "emerg" | "emergency" | "panic"
            | "exception" | "severe" => Self::Error,
            "warn" | "warning" => Self::Warn,
            "info" | "notice" | "information" | "informational" | "success" => Self::Info,
            "debug" => Self::Debug,
            "trace" | "verbose" | "notset" => Self::Trace,
            _ => return Err(format!("unknown level '{text}': expected error, warn, info, debug or trace")),
        })
    }
}

/// The number of events of each level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE", default)]
pub struct LevelCounts {
    /// TRACE events.
    pub trace: u64,
    /// DEBUG events.
    pub debug: u64,
    /// INFO events.
    pub info: u64,
    /// WARN events.
    pub warn: u64,
    /// ERROR events.
    pub error: u64,
}

impl LevelCounts {
    /// Counts one more event.
    pub fn add(&mut self, level: Level) {
        *self.slot(level) += 1;
    }

    /// Subtracts all counts of `other`.
    pub fn remove_all(&mut self, other: Self) {
        for level in Level::ALL {
            *self.slot(level) -= other.get(level);
        }
    }

    /// The count of one level.
    pub fn get(mut self, level: Level) -> u64 {
        *self.slot(level)
    }

    /// Events of all levels; it saturates, since a damaged log may state huge counts.
    pub fn total(self) -> u64 {
        Level::ALL.into_iter().fold(0, |total, level| total.saturating_add(self.get(level)))
    }

    fn slot(&mut self, level: Level) -> &mut u64 {
        match level {
            Level::Trace => &mut self.trace,
            Level::Debug => &mut self.debug,
            Level::Info => &mut self.info,
            Level::Warn => &mut self.warn,
            Level::Error => &mut self.error,
        }
    }
}
