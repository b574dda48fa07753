//! What an operator may set: one documented struct per concern, by flag or environment variable.

mod database;
mod levels;
mod list;
mod mail;
mod parser;
mod rule;
mod secret;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};

pub use database::DatabaseConfig;
pub use levels::Levels;
pub use list::{Commas, Lines, List};
pub use mail::{Address, Encryption, MailConfig, MailServer, Sender};
pub use parser::{ParserConfig, VerdictChoice};
pub use rule::ParserRule;
pub use secret::Secret;
pub use value::duration;

use crate::redact::{Pattern, Redactor};

/// Where the files are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where things live")]
pub struct PlaceConfig {
    /// S3 bucket for submitted files and logs; without one, they live in a folder in its home.
    #[arg(long, env = "PARSELOG_BUCKET", value_parser = value::bucket, value_name = "BUCKET", global = true, hide_short_help = true)]
    pub bucket: Option<String>,

    /// Folder for what parselog keeps on this machine.
    #[arg(long, env = "PARSELOG_HOME", value_name = "DIR", global = true, hide_short_help = true)]
    home: Option<PathBuf>,

    /// Folder for logs that are not archived yet; on a disk that outlives the process.
    #[arg(long, env = "PARSELOG_SPOOL", value_name = "DIR", global = true, hide_short_help = true)]
    spool: Option<PathBuf>,

    /// Folder, on another disk than the spool, for logs that the spool's disk refuses to complete; in
    /// the home without it, else in the folder for temporary files.
    #[arg(long, env = "PARSELOG_REFUGE", value_name = "DIR", global = true, hide_short_help = true)]
    refuge: Option<PathBuf>,
}

/// How S3 is used.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "S3")]
pub struct S3Config {
    /// Server-side encryption asked of S3.
    #[arg(
        long,
        env = "PARSELOG_S3_ENCRYPTION",
        default_value = "bucket",
        value_name = "HOW",
        global = true,
        hide_short_help = true
    )]
    pub s3_encryption: EncryptionChoice,

    /// KMS key id for `--s3-encryption kms`; the account's default key without it.
    #[arg(long, env = "PARSELOG_S3_KMS_KEY", value_parser = value::name, value_name = "KEY", global = true, hide_short_help = true)]
    pub s3_kms_key: Option<String>,

    /// Larger objects are uploaded in parts.
    #[arg(
        long,
        env = "PARSELOG_S3_MULTIPART_FROM",
        default_value = "8MiB",
        value_parser = value::size,
        value_name = "SIZE",
        global = true,
        hide_short_help = true
    )]
    pub s3_multipart_from: ByteSize,

    /// How often one request is tried before the log falls back.
    #[arg(
        long,
        env = "PARSELOG_S3_ATTEMPTS",
        default_value = "4",
        value_parser = value::attempts,
        value_name = "N",
        global = true,
        hide_short_help = true
    )]
    pub s3_attempts: u32,

    /// Ask for a bucket as the first part of the path, not of the host name: for servers other than
    /// Amazon's that are reached by a host name.
    #[arg(long, env = "PARSELOG_S3_PATH_STYLE", global = true, hide_short_help = true)]
    pub s3_path_style: bool,
}

/// Server-side encryption of objects in S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EncryptionChoice {
    /// As the bucket is configured.
    Bucket,
    /// With S3's own keys.
    Aes256,
    /// With a key of the key management service.
    Kms,
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
    /// Levels that a run's log keeps, per target: `info` or `info,sqlx=warn`. Problems, and what is
    /// said of the submission and the outcome, it keeps always.
    #[arg(
        long = "run-level",
        env = "PARSELOG_LEVEL",
        default_value = "info",
        value_name = "LEVELS",
        global = true,
        hide_short_help = true
    )]
    run_level: Levels,

    /// Levels that the global log (stderr) keeps; `warn`, and `info` for a worker.
    #[arg(long, env = "PARSELOG_GLOBAL_LEVEL", value_name = "LEVELS", global = true, hide_short_help = true)]
    global_level: Option<Levels>,

    /// How lines of the global log look.
    #[arg(
        long,
        env = "PARSELOG_GLOBAL_FORMAT",
        default_value = "text",
        value_name = "FORMAT",
        global = true,
        hide_short_help = true
    )]
    pub global_format: GlobalFormat,

    /// A regular expression that the redactor takes out of everything that leaves a run's log,
    /// beside social security numbers and e-mail addresses; may be given more than once, one per
    /// line in the variable.
    #[arg(long, env = "PARSELOG_REDACT", value_name = "REGEX", global = true, hide_short_help = true)]
    redact: Vec<Lines<Pattern>>,

    /// The most bytes that one log may take; beyond it head, errors and tail are kept.
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

/// How a worker works.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Worker")]
pub struct WorkerConfig {
    /// Runs at once.
    #[arg(long, env = "PARSELOG_SLOTS", default_value = "2", value_parser = value::slots, value_name = "N")]
    pub slots: usize,

    /// The worker's name on rows and in logs; host name and process id without it.
    #[arg(long, env = "PARSELOG_WORKER_NAME", value_parser = value::name, value_name = "NAME")]
    name: Option<String>,

    /// How long a run stays a worker's without a heartbeat.
    #[arg(long, env = "PARSELOG_LEASE", default_value = "15s", value_parser = value::period, value_name = "TIME")]
    pub lease: Duration,

    /// How long one run may take.
    #[arg(long, env = "PARSELOG_RUN_TIMEOUT", default_value = "2h", value_parser = value::period, value_name = "TIME")]
    pub run_timeout: Duration,

    /// How long runs may go on after SIGTERM before they are handed back.
    #[arg(long, env = "PARSELOG_SHUTDOWN_GRACE", default_value = "25s", value_parser = value::duration, value_name = "TIME")]
    pub shutdown_grace: Duration,

    /// How often the queue is looked at when no notification comes.
    #[arg(long, env = "PARSELOG_POLL", default_value = "5s", value_parser = value::period, value_name = "TIME")]
    pub poll: Duration,

    /// How often logs that are left in the spool are tried again.
    #[arg(long, env = "PARSELOG_SWEEP", default_value = "30s", value_parser = value::period, value_name = "TIME")]
    pub sweep: Duration,
}

/// Error reports beside the submitted files.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reports")]
pub struct ReportConfig {
    /// Store an error report of each run beside its log; none without it.
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
    /// The folder for what parselog keeps on this machine: as set, else in the user's data folder.
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

    /// The folders for logs that the spool's disk refuses to complete, in the order in which they are
    /// tried: as set, else in the home and in the folder for temporary files.
    pub fn refuges(&self) -> Vec<PathBuf> {
        if let Some(refuge) = &self.refuge {
            return vec![refuge.clone()];
        }
        let user = rustix::process::getuid().as_raw();
        vec![self.home().join("refuge"), std::env::temp_dir().join(format!("parselog-refuge-{user}"))]
    }
}

impl LogConfig {
    /// What a run's log keeps: `info` for what the setting does not name.
    pub fn run_levels(&self) -> Levels {
        self.run_level.over(&Levels::ours("info"))
    }

    /// Takes out what is private by shape, and what the setting names.
    ///
    /// # Errors
    /// The patterns don't fit together.
    pub fn redactor(&self) -> anyhow::Result<Redactor> {
        Redactor::new(&List::join(&self.redact))
    }

    /// What the global log keeps; the usual levels, of a worker or of another command, for what the
    /// setting does not name.
    pub fn global_levels(&self, worker: bool) -> Levels {
        let usual = Levels::ours(if worker { "info,sqlx=error" } else { "warn,sqlx=error" });
        self.global_level.as_ref().map_or(usual.clone(), |levels| levels.over(&usual))
    }
}

impl WorkerConfig {
    /// The worker's name: as set, else host name and process id.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(default_worker_name)
    }

    /// How often leases are prolonged: three times in a lease.
    pub fn heartbeat(&self) -> Duration {
        self.lease / 3
    }
}

/// A worker's name where none is set.
pub fn default_worker_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}
