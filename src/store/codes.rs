//! The codes that rows hold as text, as Rust enums.

use std::fmt;
use std::str::FromStr;

use sqlx::Postgres;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};

use crate::parser::SummaryStatus;

/// Defines an enum with its texts, and reads and writes it as text: in SQL, JSON and arguments.
macro_rules! codes {
    ($(#[$about:meta])* $name:ident, $what:literal { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// All codes, in the order of a life cycle.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The code as the row holds it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or_else(|| {
                    let known = Self::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(", ");
                    format!("unknown {} '{text}'; expected one of {known}", $what)
                })
            }
        }

        text_column!($name, |text| Ok(text.parse::<$name>()?));
    };
}

/// Lets a type that has `as_str` be a text column.
macro_rules! text_column {
    ($name:ident, |$text:ident| $decode:expr) => {
        impl sqlx::Type<Postgres> for $name {
            fn type_info() -> PgTypeInfo {
                <str as sqlx::Type<Postgres>>::type_info()
            }

            fn compatible(info: &PgTypeInfo) -> bool {
                <str as sqlx::Type<Postgres>>::compatible(info)
            }
        }

        impl sqlx::Encode<'_, Postgres> for $name {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                <&str as sqlx::Encode<'_, Postgres>>::encode(self.as_str(), buffer)
            }
        }

        impl<'r> sqlx::Decode<'r, Postgres> for $name {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                let $text = <&str as sqlx::Decode<'r, Postgres>>::decode(value)?;
                $decode
            }
        }
    };
}

codes! {
    /// The status of a run (`parse_file_meta.status`).
    RunStatus, "run status" {
        /// Waits for a worker.
        Queued = "queued",
        /// A worker has it, under a lease.
        Running = "running",
        /// Parsed; the verdict on the submission is the summary status.
        Success = "success",
        /// The parse itself failed.
        Fail = "fail",
        /// Stopped: by a person, a timeout or a shutdown.
        Terminate = "terminate",
        /// Nothing was done.
        Inaction = "inaction",
        /// The worker died or lost its lease.
        Crash = "crash",
    }
}

impl RunStatus {
    /// Whether the run has ended; such a row keeps its status for ever.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

codes! {
    /// What happened to a run or another task (`run_action.action`).
    Action, "action" {
        /// It began.
        Run = "run",
        /// It ended well.
        Success = "success",
        /// It failed.
        Fail = "fail",
        /// It was stopped.
        Terminate = "terminate",
        /// There was nothing to do.
        Inaction = "inaction",
        /// Its process died.
        Crash = "crash",
    }
}

codes! {
    /// Where a run's log is (`log.state`).
    LogState, "log state" {
        /// No log was opened yet.
        None = "none",
        /// Being written, in a spool.
        Open = "open",
        /// Complete, in a spool.
        Sealed = "sealed",
        /// In the object store, at `logs_uri`.
        Archived = "archived",
        /// The upload failed: in a spool, to be tried again.
        Fallback = "fallback",
        /// The log could not be kept; `archive_error` says why.
        Lost = "lost",
        /// Deleted on purpose; counts and hashes remain.
        Pruned = "pruned",
    }
}

codes! {
    /// The kind of a batch (`parse_meta.kind`).
    BatchKind, "kind of batch" {
        /// Files that somebody submitted.
        Submission = "submission",
        /// Files to parse again.
        Reparse = "reparse",
    }
}

codes! {
    /// The subject of a mail (`notice.kind`).
    NoticeKind, "kind of notice" {
        /// The outcome of a submission, for its submitter.
        Result = "result",
        /// A run ended without a verdict and will not be retried.
        RunFailed = "run-failed",
        /// A log could not be archived at once, or is lost.
        LogKeptBack = "log-kept-back",
        /// A run is past its deadline, or its lease expired, and nobody ended it.
        RunStuck = "run-stuck",
        /// A batch is past its deadline with runs that have not ended.
        BatchOverdue = "batch-overdue",
        /// A logger of a stream wrote errors.
        StreamErrors = "stream-errors",
    }
}

codes! {
    /// The state of a mail (`notice.state`).
    NoticeState, "notice state" {
        /// To be sent.
        Queued = "queued",
        /// Handed to the mail server; if this lasts, the server may or may not have taken it.
        Sending = "sending",
        /// The mail server took it.
        Sent = "sent",
        /// Given up: the mail server refused it, or did not answer for days.
        Failed = "failed",
        /// A person decided not to send it.
        Dismissed = "dismissed",
    }
}

codes! {
    /// What somebody who asks over HTTP may do (`token.role`).
    Role, "role" {
        /// To send records, and nothing else.
        Ingest = "ingest",
        /// To read what was logged.
        Staff = "staff",
        /// Also to act: parse again, cancel, send a notice again.
        Operator = "operator",
        /// Also to see who read and did what.
        Admin = "admin",
    }
}

impl Role {
    /// Whether whoever has this role may do what needs the other: each includes those before it, but only a
    /// sender sends.
    pub fn covers(self, needed: Self) -> bool {
        (self == Self::Ingest) == (needed == Self::Ingest) && self >= needed
    }
}

text_column!(SummaryStatus, |text| SummaryStatus::ALL
    .into_iter()
    .find(|status| status.as_str() == text)
    .ok_or_else(|| format!("unknown summary status '{text}'").into()));
