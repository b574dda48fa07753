//! Settings for Postgres.

use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use super::value;

/// The Postgres to use, and its limits.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseConfig {
    /// Postgres to use; without one, parselog keeps a private cluster in its home. In a user's name or
    /// password, write / as %2F, ? as %3F, # as %23 and @ as %40.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_parser = value::database_url,
        value_name = "URL",
        global = true,
        hide_short_help = true
    )]
    pub database_url: Option<SecretString>,

    /// How long the private cluster stays up after its last use; `0s` stops it with the last command.
    #[arg(
        long,
        env = "PARSELOG_DB_IDLE",
        value_name = "TIME",
        default_value = "10m",
        value_parser = value::duration,
        global = true,
        hide_short_help = true
    )]
    pub db_idle: Duration,

    /// Most connections of one process to Postgres; one more listens for new runs. By default, two
    /// per slot of a worker and six more.
    #[arg(
        long,
        env = "PARSELOG_DATABASE_CONNECTIONS",
        value_name = "N",
        value_parser = value::connections,
        global = true,
        hide_short_help = true
    )]
    pub database_connections: Option<u32>,

    /// How long Postgres may take for one statement. Known long statements get twenty times as long.
    #[arg(
        long,
        env = "PARSELOG_DATABASE_TIMEOUT",
        default_value = "30s",
        value_parser = value::period,
        value_name = "TIME",
        global = true,
        hide_short_help = true
    )]
    pub database_timeout: Duration,
}

impl DatabaseConfig {
    /// Connections for `slots` runs at once: as set, else enough that no task waits for another.
    pub fn connections(&self, slots: usize) -> u32 {
        let enough = u32::try_from(slots).unwrap_or(u32::MAX).saturating_mul(2).saturating_add(6);
        self.database_connections.unwrap_or(enough)
    }
}
