//! Settings for a worker.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::value::{self, AgeLimit};

/// How old the Parquet files of problems become, if nothing is set.
pub const PROBLEM_FILES: Duration = Duration::from_secs(600);

/// What of a running log stays in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SpoolKeep {
    /// All of it.
    All,
    /// What is not up yet.
    Tail,
}

/// What of running logs outlives this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct RemoteTailConfig {
    /// How old an event of a running log may become before another machine could read it, should this one be lost;
    /// `off` keeps logs on this machine until their runs are over. By default `1s` with a database and a bucket that
    /// other machines share.
    #[arg(long, env = "PARSELOG_REMOTE_TAIL", value_parser = value::remote_tail, value_name = "TIME")]
    remote_tail: Option<AgeLimit>,
}

/// How a worker works.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Worker")]
pub struct WorkerConfig {
    /// Runs at once.
    #[arg(long, env = "PARSELOG_SLOTS", default_value = "2", value_parser = value::slots, value_name = "N")]
    pub slots: usize,

    /// The worker's name on rows and in logs; by default host name and process id.
    #[arg(long, env = "PARSELOG_WORKER_NAME", value_parser = value::name, value_name = "NAME")]
    pub name: Option<String>,

    /// How long a run stays a worker's without a heartbeat.
    #[arg(long, env = "PARSELOG_LEASE", default_value = "15s", value_parser = value::period, value_name = "TIME")]
    pub lease: Duration,

    /// How long one run may take.
    #[arg(long, env = "PARSELOG_RUN_TIMEOUT", default_value = "2h", value_parser = value::period, value_name = "TIME")]
    pub run_timeout: Duration,

    /// How long runs may continue after SIGTERM; then the worker hands them back.
    #[arg(long, env = "PARSELOG_SHUTDOWN_GRACE", default_value = "25s", value_parser = value::duration, value_name = "TIME")]
    pub shutdown_grace: Duration,

    /// How often to check the queue without a notification.
    #[arg(long, env = "PARSELOG_POLL", default_value = "5s", value_parser = value::period, value_name = "TIME")]
    pub poll: Duration,

    #[command(flatten)]
    pub remote_tail: RemoteTailConfig,

    /// What of a running log stays in the spool: `all` of it, or only the `tail` that the store has not confirmed yet.
    /// Needs a remote tail and a bucket.
    #[arg(long, env = "PARSELOG_SPOOL_KEEP", default_value = "all", value_name = "WHAT")]
    pub spool_keep: SpoolKeep,

    /// How often to retry logs left in the spool.
    #[arg(long, env = "PARSELOG_SWEEP", default_value = "30s", value_parser = value::period, value_name = "TIME")]
    pub sweep: Duration,

    /// How long after a run was archived the Parquet files in the bucket have its problems; `off` writes none.
    #[arg(long, env = "PARSELOG_PROBLEM_FILES", default_value = "10m", value_parser = value::problem_files, value_name = "TIME")]
    pub problem_files: AgeLimit,
}

impl RemoteTailConfig {
    /// How old an event may become before it has left the machine; `shared` is whether other machines share the
    /// database and the object store.
    pub fn age(self, shared: bool) -> Option<Duration> {
        match self.remote_tail {
            None => shared.then_some(Duration::from_secs(1)),
            Some(AgeLimit::Off) => None,
            Some(AgeLimit::AtMost(age)) => Some(age),
        }
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            slots: 2,
            name: None,
            lease: Duration::from_secs(15),
            run_timeout: Duration::from_secs(2 * 3600),
            shutdown_grace: Duration::from_secs(25),
            poll: Duration::from_secs(5),
            remote_tail: RemoteTailConfig::default(),
            spool_keep: SpoolKeep::All,
            sweep: Duration::from_secs(30),
            problem_files: AgeLimit::AtMost(PROBLEM_FILES),
        }
    }
}

impl WorkerConfig {
    /// The worker's name: as set, else host name and process id.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(default_worker_name)
    }

    /// Time between heartbeats: a third of a lease.
    pub fn heartbeat(&self) -> Duration {
        self.lease / 3
    }
}

/// A worker's name if none is set.
pub fn default_worker_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use clap::builder::Resettable;
    use clap::{Args, Command, FromArgMatches};

    use super::WorkerConfig;

    #[test]
    fn the_usual_settings_of_a_worker_are_those_of_its_command_line() {
        let command = WorkerConfig::augment_args(Command::new("worker"));
        let command = command.mut_args(|option| option.env(Resettable::Reset));
        let parsed = WorkerConfig::from_arg_matches(&command.get_matches_from(["worker"]));
        assert_eq!(parsed.ok(), Some(WorkerConfig::default()));
    }
}
