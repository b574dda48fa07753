//! Settings for the streams of other processes' logs.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;

use super::value;

/// How streams are kept.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Streams")]
pub struct IntakeConfig {
    /// TOML file with the rules by which records go to streams; without it, the built-in ones.
    #[arg(long, env = "PARSELOG_STREAM_RULES", value_name = "FILE")]
    pub stream_rules: Option<PathBuf>,

    /// Size at which a stream gets a new segment, and the old one is archived.
    #[arg(long, env = "PARSELOG_SEGMENT_SIZE", default_value = "64MiB", value_parser = value::log_cap, value_name = "SIZE")]
    pub segment_size: ByteSize,

    /// Age at which a stream gets a new segment, and the old one is archived.
    #[arg(long, env = "PARSELOG_SEGMENT_AGE", default_value = "1h", value_parser = value::period, value_name = "TIME")]
    pub segment_age: Duration,

    /// Free space on the spool's disk below which streams keep only errors, and count the rest.
    #[arg(long, env = "PARSELOG_LEAVE_FREE", default_value = "256MiB", value_parser = value::size, value_name = "SIZE")]
    pub leave_free: ByteSize,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self {
            stream_rules: None,
            segment_size: ByteSize::mib(64),
            segment_age: Duration::from_secs(3600),
            leave_free: ByteSize::mib(256),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::builder::Resettable;
    use clap::{Args, Command, FromArgMatches};

    use super::IntakeConfig;

    #[test]
    fn the_usual_settings_of_streams_are_those_of_the_command_line() {
        let command = IntakeConfig::augment_args(Command::new("collect"));
        let command = command.mut_args(|option| option.env(Resettable::Reset));
        let parsed = IntakeConfig::from_arg_matches(&command.get_matches_from(["collect"]));
        assert_eq!(parsed.ok(), Some(IntakeConfig::default()));
    }
}
