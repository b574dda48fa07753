//! What the benches share.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::Utc;
use parselog::ids::{BatchId, DataFileId, RunId};
use parselog::parser::tdp::Tdp;
use parselog::parser::tdp::sample::{Sample, Size};
use parselog::parser::{Cancel, Context, Outcome, Parser as _, Progress, Submission};
use parselog::record::{Head, LogEnding, RunSubject, SCHEMA_VERSION, Subject, Tail};
use parselog::scope::LogScope;
use parselog::spool::{Spool, Syncer};
use parselog::telemetry;
use tracing::Subscriber;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;

const PROGRAM: &str = "tanf";
const SECTION: &str = "active";

/// The project's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the project")
}

/// The `parselog` program that was built beside this bench: `make bench` builds it first.
pub fn program() -> PathBuf {
    let bench = std::env::current_exe().expect("a running program has a path");
    let profile = bench.ancestors().nth(2).expect("benches lie in `<profile>/deps`");
    profile.join("parselog")
}

/// The most memory that a process ever had, in kilobytes. `process` is an id or `self`; `None` where
/// the system does not say.
pub fn peak_memory(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// The most memory that a worker had, and one of its parse processes, in MB.
#[derive(Debug, Default)]
pub struct Peak {
    pub worker: u64,
    pub parse_process: u64,
}

/// Waits for a process; the peaks of its memory and of its children's.
///
/// # Errors
/// It failed.
pub fn watch(process: &mut Child) -> Result<Peak> {
    let id = process.id().to_string();
    let mut peak = Peak::default();
    let ended = loop {
        peak.worker = peak.worker.max(peak_memory(&id).unwrap_or_default() / 1000);
        for child in children(&id) {
            peak.parse_process = peak.parse_process.max(peak_memory(&child).unwrap_or_default() / 1000);
        }
        match process.try_wait()? {
            Some(ended) => break ended,
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    ensure!(ended.success(), "it ended with {ended}");
    Ok(peak)
}

/// The processes that a process has started.
pub fn children(process: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The processor time of a process (an id or `self`), of its children, and of those that have ended; `None` where the
/// system does not say.
pub fn processor_time(process: &str) -> Option<Duration> {
    /// Of the ticks in `/proc`, on every Linux.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program, in parentheses, may hold anything; utime is the twelfth word behind it.
    let words = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
    let ticks: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    let own = (ticks.len() == 4)
        .then(|| Duration::from_millis(ticks.iter().sum::<u64>() * 1000 / TICKS_PER_SECOND));
    let of_children = children(process).iter().filter_map(|child| processor_time(child)).sum::<Duration>();
    own.map(|own| own + of_children)
}

/// Writes an invented submission of about so many bytes; returns its size in bytes.
///
/// # Errors
/// It can't be written.
pub fn write_sample(path: &Path, bytes: u64) -> Result<u64> {
    let (program, section, size) = (PROGRAM, SECTION, Size::Bytes(bytes));
    let sample =
        Sample { program, section, fiscal_year: 2021, fiscal_quarter: 1, size, error_rate: 0.02, seed: 1 };
    sample.write(BufWriter::new(File::create(path)?))
}

/// Parses such a submission.
///
/// # Errors
/// The file can't be read.
pub fn parse_sample(path: &Path) -> Result<Outcome> {
    let (cancel, progress) = (Cancel::default(), Progress::default());
    let (run, data_file) = (RunId::new(), DataFileId(1));
    let mut context =
        Context { run, data_file, cancel: &cancel, progress: &progress, records: None, output: None };
    let (program, section) = (PROGRAM, SECTION);
    let submission =
        Submission { path, name: "sample.txt", program, section, fiscal_year: 2021, fiscal_quarter: 1 };
    Ok(Tdp::new().parse(&submission, &mut context)?)
}

/// The subscriber that sorts events into the logs of runs.
pub fn subscriber() -> impl Subscriber + Send + Sync {
    let levels = || "info".parse().expect("levels");
    Registry::default().with(telemetry::layer(levels(), levels(), drop))
}

/// Does `work` with the logs of so many runs open, under the subscriber that is current; returns what
/// `work` returns, and the tail of each log.
pub fn in_runs<T>(runs: usize, folder: &Path, work: impl FnOnce(&[LogScope]) -> T) -> (T, Vec<Tail>) {
    let spool = Spool::open(&folder.join("spool"), 1 << 40).expect("a spool");
    let syncer = Syncer::start();
    let open = |_| {
        let (scope, error) = LogScope::open(&spool, &syncer, &head());
        assert!(error.is_none(), "{error:?}");
        scope
    };
    let scopes: Vec<LogScope> = (0..runs).map(open).collect();
    let done = work(&scopes);
    let seal = |scope: LogScope| {
        let log = scope.seal(LogEnding::Success, None).expect("sealed").expect("a file");
        let tail = log.tail.clone();
        log.remove().expect("removed");
        tail
    };
    (done, scopes.into_iter().map(seal).collect())
}

fn head() -> Head {
    let run = RunId::new();
    Head {
        version: SCHEMA_VERSION,
        log: run.into(),
        bucket: "bench".to_owned(),
        log_key: "log".to_owned(),
        worker: "bench".to_owned(),
        started: Utc::now(),
        subject: Subject::Run(RunSubject {
            run,
            lease_token: uuid::Uuid::new_v4(),
            attempt: 1,
            data_file: DataFileId(1),
            batch: BatchId(1),
            reparse: None,
            key: "file".to_owned(),
            object_version: String::new(),
        }),
    }
}

/// The program, which listens at a free port, with the embedded database.
pub struct Served {
    pub child: Child,
    pub address: SocketAddr,
    pub home: tempfile::TempDir,
}

impl Served {
    /// Starts it to serve HTTP, with these options.
    ///
    /// # Errors
    /// It does not listen.
    pub fn start(options: &[&str]) -> Result<Self> {
        Self::listening(&[&["serve", "--listen", "127.0.0.1:0"], options].concat())
    }

    /// Starts it to collect what log handlers send, with these options.
    ///
    /// # Errors
    /// It does not listen.
    pub fn collecting(options: &[&str]) -> Result<Self> {
        Self::listening(&[&["collect", "--collect-listen", "127.0.0.1:0"], options].concat())
    }

    fn listening(arguments: &[&str]) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let mut command = Command::new(program());
        command.args(arguments).args(["--db-idle", "0s"]).env("PARSELOG_HOME", home.path());
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let mut lines =
            BufReader::new(child.stderr.take().context("no stderr")?).lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let (_, said) = line.rsplit_once("address=").filter(|_| line.contains("listening for"))?;
            said.trim().parse().ok()
        });
        let address = address.context("it does not listen")?;
        parselog::carry::thread(move || lines.for_each(drop));
        Ok(Self { child, address, home })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // The figures are there already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
