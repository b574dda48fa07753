//! parselog gives every data-file parse run its own log.
//!
//! The rooms, highest first; imports go downward only (`tests/it/architecture` checks it):
//!
//! ```text
//! main cli telemetry > desk > worker report doctor > recovery
//!   > archive reader diff notify > scope queue system > config
//!   > spool objects store cluster parser > ids record redact gzip carry durable faults
//! ```

pub mod archive;
pub mod carry;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod desk;
pub mod diff;
pub mod doctor;
pub mod durable;
pub mod faults;
pub mod gzip;
pub mod ids;
pub mod notify;
pub mod objects;
pub mod parser;
pub mod queue;
pub mod reader;
pub mod record;
pub mod recovery;
pub mod redact;
pub mod report;
pub mod scope;
pub mod spool;
pub mod store;
pub mod system;
pub mod telemetry;
pub mod worker;
