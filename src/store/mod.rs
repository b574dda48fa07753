//! Postgres: the tables and their queries, one file per table.
//!
//! Everything is a free function over an executor, so a caller may put several into one transaction.
//! Only this room, the queue above it and the id types know sqlx. It does not know the contents of
//! logs, and it decides nothing: the queue decides when to claim, end or retry a run, `notify` who is told what,
//! and the callers how much, how long and how often.

pub mod action;
mod address;
pub mod batch;
mod codes;
mod connect;
pub mod data_file;
pub mod entry;
mod executor;
mod failure;
mod filter;
mod find;
pub(crate) mod fit;
pub mod follow;
pub mod health;
mod indexes;
pub mod load;
pub mod log;
pub mod log_read;
mod migrate;
mod narrow;
pub mod notice;
pub mod outbox;
pub mod part;
pub mod piece;
mod pool;
pub mod problem;
pub mod problem_file;
pub mod problem_file_run;
pub mod reparse;
pub mod retention;
pub mod run;
pub mod segment;
pub mod session;
pub mod stream;
pub mod stream_error;
pub mod takeover;
pub mod tally;
pub mod token;
pub mod worker;

pub use action::RunAction;
pub use batch::Batch;
pub use codes::{Action, BatchKind, LogState, NoticeKind, NoticeState, Role, RunStatus};
pub use connect::{connect, connect_within};
pub use data_file::{DataFile, FirstSeen, NewFile, Queued, Request, submit};
pub use entry::AuditEntry;
pub(crate) use failure::DbContext;
pub use failure::{passes, refusal};
pub use filter::{RunFilter, RunOrder, RunSort};
pub use find::{count, find, latest, matching};
pub use log::{ArchivedLog, LogContent};
pub use migrate::{MIGRATOR, migrate, pending, require_migrated};
pub use notice::Notice;
pub use pool::{Connection, Limits, PgPool, Transaction};
pub use run::Run;
pub use session::{NewLink, NewSession, WebSession};
pub use token::{NewToken, Token};
