//! The settings: one documented struct per concern, by flag or environment variable.

mod database;
mod file;
mod http;
mod intake;
mod levels;
mod mail;
mod oidc;
mod parser;
mod proxy;
mod s3;
mod value;
mod webhook;
mod worker;

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};

pub use database::DatabaseConfig;
pub use file::{FileSetting, FileSettings};
pub use http::{HttpConfig, RedisConfig, SiteConfig, WebOrigin};
pub use intake::{CollectConfig, IntakeConfig, KeptFor};
pub use levels::Levels;
pub use mail::{Address, MailConfig, MailEncryption, MailServer, Sender};
pub use oidc::{OidcConfig, OidcSettings};
pub use parser::{ParserConfig, ParserRule, ProcessConfig};
pub use proxy::{PeerNetwork, PersonRule, ProxyConfig};
pub use s3::S3Config;
pub use value::{AgeLimit, Commas, LineList, List, duration, is_loopback, name, period};
pub use webhook::{Webhook, WebhookConfig, WebhookKey, WebhookUrl};
pub use worker::{PROBLEM_FILES, RemoteTailConfig, SpoolKeep, WorkerConfig, default_worker_name};

use crate::redact::{Pattern, Redactor};

/// The locations of files.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where things live")]
pub struct PlaceConfig {
    /// S3 bucket for submitted files and logs; without one, a folder in the home holds them.
    #[arg(long, env = "PARSELOG_BUCKET", value_parser = value::bucket, value_name = "BUCKET", global = true, hide_short_help = true)]
    pub bucket: Option<String>,

    /// Folder for everything that parselog keeps on this machine.
    #[arg(long, env = "PARSELOG_HOME", value_name = "DIR", global = true, hide_short_help = true)]
    home: Option<PathBuf>,

    /// Folder for logs that are not archived yet; on a disk that outlives the process.
    #[arg(long, env = "PARSELOG_SPOOL", value_name = "DIR", global = true, hide_short_help = true)]
    spool: Option<PathBuf>,

    /// Folder for logs that the spool's disk refuses to complete; choose a different disk. By
    /// default, a folder in the home, else in the folder for temporary files.
    #[arg(long, env = "PARSELOG_REFUGE", value_name = "DIR", global = true, hide_short_help = true)]
    refuge: Option<PathBuf>,
}

/// How lines of the global log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GlobalFormat {
    /// One readable line each.
    Text,
    /// One JSON record each, for a log collector.
    Json,
}

/// What the logs hold.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogConfig {
    /// Levels that a run's log keeps, per target: `info` or `info,sqlx=warn`. The log always keeps
    /// problems, submission and outcome.
    #[arg(
        long = "run-level",
        env = "PARSELOG_LEVEL",
        default_value = "info",
        value_name = "LEVELS",
        global = true,
        hide_short_help = true
    )]
    run_level: Levels,

    /// Levels that the global log (stderr) keeps; by default `warn`, and `info` for a worker.
    #[arg(long, env = "PARSELOG_GLOBAL_LEVEL", value_name = "LEVELS", global = true, hide_short_help = true)]
    global_level: Option<Levels>,

    /// Format of the global log.
    #[arg(
        long,
        env = "PARSELOG_GLOBAL_FORMAT",
        default_value = "text",
        value_name = "FORMAT",
        global = true,
        hide_short_help = true
    )]
    pub global_format: GlobalFormat,

    /// Regular expression for values that the redactor removes from everything that leaves a run's
    /// log, beside social security numbers and e-mail addresses. Repeatable; in the variable, one
    /// per line.
    #[arg(long, env = "PARSELOG_REDACT", value_name = "REGEX", global = true, hide_short_help = true)]
    redact: Vec<LineList<Pattern>>,

    /// Largest size of one log; a log that reaches it keeps head, errors and tail.
    #[arg(
        long,
        env = "PARSELOG_LOG_CAP",
        default_value = "4GiB",
        value_parser = value::log_cap,
        value_name = "SIZE",
        global = true,
        hide_short_help = true
    )]
    pub log_cap: ByteSize,
}

/// Error reports beside the submitted files.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reports")]
pub struct ReportConfig {
    /// Store an error report of each run beside its log, in this form.
    #[arg(long, env = "PARSELOG_REPORTS", value_name = "FORMAT", global = true, hide_short_help = true)]
    pub reports: Option<ReportFormat>,
}

/// The forms of an error report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// One table, for any tool.
    Csv,
    /// A workbook with a sheet for each part.
    Xlsx,
    /// One JSON object.
    Json,
}

impl ReportFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Csv, Self::Xlsx, Self::Json];

    /// The ending of a file of this form, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
            Self::Json => "json",
        }
    }

    /// The media type of this form.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Json => "application/json",
        }
    }
}

impl PlaceConfig {
    /// The folder for everything on this machine: as set, else in the user's data folder.
    pub fn home(&self) -> PathBuf {
        let data = || {
            std::env::var_os("XDG_DATA_HOME")
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from)
                .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")))
        };
        self.home
            .clone()
            .unwrap_or_else(|| data().unwrap_or_else(|| PathBuf::from("/var/tmp")).join("parselog"))
    }

    /// The spool folder: as set, else in the home.
    pub fn spool(&self) -> PathBuf {
        self.spool.clone().unwrap_or_else(|| self.home().join("spool"))
    }

    /// The folders for logs that the spool's disk refuses to complete, in the order to try them: as set,
    /// else in the home and in the folder for temporary files.
    pub fn refuges(&self) -> Vec<PathBuf> {
        if let Some(refuge) = &self.refuge {
            return vec![refuge.clone()];
        }
        let user = rustix::process::getuid().as_raw();
        vec![self.home().join("refuge"), std::env::temp_dir().join(format!("parselog-refuge-{user}"))]
    }
}

impl LogConfig {
    /// The levels of a run's log; `info` for targets that the setting does not name.
    pub fn run_levels(&self) -> Levels {
        self.run_level.over(&Levels::ours("info"))
    }

    /// Removes private shapes, and the patterns of the setting.
    ///
    /// # Errors
    /// The patterns don't fit together.
    pub fn redactor(&self) -> anyhow::Result<Redactor> {
        Redactor::new(&List::join(&self.redact))
    }

    /// The levels of the global log; the default ones, of a worker or of another command, for targets that
    /// the setting does not name.
    pub fn global_levels(&self, worker: bool) -> Levels {
        let usual = Levels::ours(if worker { "info,sqlx=error" } else { "warn,sqlx=error" });
        self.global_level.as_ref().map_or(usual.clone(), |levels| levels.over(&usual))
    }
}
