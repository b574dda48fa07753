//! Settings for the streams of other processes' logs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;

use super::{Commas, List, http, value};
use crate::ids::ServiceName;

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

    /// `NAME=AGE`: how long the segments of a stream are kept, with `*` for any; the first match counts. Without
    /// one, they are kept for ever. Repeatable; in the variable, separated by commas.
    #[arg(long = "keep-stream", env = "PARSELOG_KEEP_STREAMS", value_name = "NAME=AGE")]
    pub keep_streams: Vec<Commas<KeptFor>>,
}

/// How long the segments of a stream are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFor {
    /// The stream; `None` for any.
    stream: Option<ServiceName>,
    age: Duration,
}

impl IntakeConfig {
    /// How long segments of this stream are kept; `None` for ever.
    pub fn kept_for(&self, stream: &ServiceName) -> Option<Duration> {
        let rules = List::join(&self.keep_streams);
        let rule = rules.into_iter().find(|rule| rule.stream.as_ref().is_none_or(|of| of == stream));
        rule.map(|rule| rule.age)
    }
}

impl FromStr for KeptFor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (stream, age) = text.split_once('=').ok_or("expected NAME=AGE, such as celery=30d or *=400d")?;
        Ok(Self { stream: (stream != "*").then(|| ServiceName::of(stream)), age: value::period(age)? })
    }
}

/// Where log handlers send records.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log handlers")]
pub struct CollectConfig {
    /// Address and port to listen on. Whoever can connect can write; only loopback is safe from other machines.
    #[arg(
        long = "collect-listen",
        env = "PARSELOG_COLLECT_LISTEN",
        default_value = "127.0.0.1:9020",
        value_parser = http::address,
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// Unix socket to listen on too. Whoever may write to it can write.
    #[arg(long, env = "PARSELOG_COLLECT_SOCKET", value_name = "PATH")]
    pub collect_socket: Option<PathBuf>,

    /// Largest frame or line; a larger one is skipped and counted.
    #[arg(long, env = "PARSELOG_FRAME_CAP", default_value = "1MiB", value_parser = value::size, value_name = "SIZE")]
    pub frame_cap: ByteSize,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self {
            stream_rules: None,
            segment_size: ByteSize::mib(64),
            segment_age: Duration::from_secs(3600),
            leave_free: ByteSize::mib(256),
            keep_streams: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::builder::Resettable;
    use clap::{Args, Command, FromArgMatches};

    use super::{IntakeConfig, KeptFor};
    use crate::ids::ServiceName;

    #[test]
    fn the_usual_settings_of_streams_are_those_of_the_command_line() {
        let command = IntakeConfig::augment_args(Command::new("collect"));
        let command = command.mut_args(|option| option.env(Resettable::Reset));
        let parsed = IntakeConfig::from_arg_matches(&command.get_matches_from(["collect"]));
        assert_eq!(parsed.ok(), Some(IntakeConfig::default()));
    }

    #[test]
    fn the_first_rule_for_a_stream_says_how_long_it_is_kept() {
        let command = IntakeConfig::augment_args(Command::new("collect"));
        let command = command.mut_args(|option| option.env(Resettable::Reset));
        let line = ["collect", "--keep-stream", "celery=30d,a b=1d", "--keep-stream", "*=400d"];
        let parsed = IntakeConfig::from_arg_matches(&command.get_matches_from(line)).expect("settings");
        let days = |name| parsed.kept_for(&ServiceName::of(name)).map(|age| age.as_secs() / 86_400);
        assert_eq!([days("celery"), days("a b"), days("info")], [Some(30), Some(1), Some(400)]);
        assert_eq!(IntakeConfig::default().kept_for(&ServiceName::of("info")), None);
        assert!("celery".parse::<KeptFor>().is_err() && "celery=soon".parse::<KeptFor>().is_err());
    }
}
