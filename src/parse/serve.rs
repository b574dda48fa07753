//! The life of a parse process: it limits itself, parses one job after another for the worker at the other end
//! of its wire, and ends with it.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{
    Resource, Rlimit, Signal, getpid, getrlimit, kill_process, set_parent_process_death_signal, setrlimit,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Ear, Flight, Order, ParseNews, ParseTools, RunRow, Sealed, Wire};
use crate::faults;
use crate::parser::{Progress, RecordSink};
use crate::queue::Ending;
use crate::store::FirstSeen;

/// How often the worker learns how far the parse is.
const TOLD: Duration = Duration::from_millis(100);

/// The score by which the system chooses a process to end for lack of memory: the highest, so this one goes
/// first.
const FIRST_TO_GO: &str = "1000";

/// Confines this process. `memory` is its limit in bytes; each of its external programs inherits the same
/// limit.
///
/// # Errors
/// The system refuses a limit.
pub fn confine(memory: u64) -> Result<()> {
    // The thread that started it lives as long as its worker needs it.
    set_parent_process_death_signal(Some(Signal::KILL))
        .context("failed to tie a parse process to its worker")?;
    faults::end_worker_too();
    // An image of the memory would hold the submission.
    limit(Resource::Core, 0).context("failed to switch off core dumps")?;
    limit(Resource::Data, memory).context("failed to limit the memory of a parse process")?;
    // Where the system has no such file, it chooses by itself.
    let _ = fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
    Ok(())
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(resource);
    let current = [current, maximum].into_iter().flatten().fold(most, u64::min);
    Ok(setrlimit(resource, Rlimit { current: Some(current), maximum })?)
}

/// Parses what the worker orders until the worker is gone, or this process is spent. `records` makes the sink
/// for accepted records.
///
/// # Errors
/// A message of the worker can't be understood.
pub async fn serve(
    tools: ParseTools,
    wire: &Wire,
    records: impl Fn() -> Result<Box<dyn RecordSink>>,
) -> Result<()> {
    let mut ear = wire.ear().context("failed to listen to the worker")?;
    while let Some(order) = hear(&mut ear).await? {
        // An order about the last job may come after its end.
        let Order::Parse(job) = order else { continue };
        let flight = Flight::default();
        let (answers_in, answers) = unbounded_channel();
        let row = WorkersRow { wire, answers: answers.into() };
        let parsed = tokio::select! {
            parsed = tools.parse(&job, &flight, &row, &records) => parsed,
            failed = listen(&mut ear, &flight, &answers_in) => return Err(failed),
            never = tell(&row, &flight.progress) => match never {},
        };
        let log = parsed.log.as_ref();
        let sealed =
            log.map(|log| Sealed { tail: log.tail.clone(), closed_at: log.closed_at, lines: log.lines });
        let spent = parsed.left_behind || !tools.syncer.is_alive();
        row.say(&ParseNews::Done { sealed, spent }, log.map(|log| &**log.file()));
        if spent {
            break;
        }
    }
    Ok(())
}

/// The worker's next order; `None` once the worker is gone.
async fn hear(ear: &mut Ear) -> Result<Option<Order>> {
    let received = ear.receive().await.context("failed to understand the worker")?;
    Ok(received.map(|received| received.message))
}

/// Follows the worker's orders about the job in hand; returns why it can't any more.
async fn listen(
    ear: &mut Ear,
    flight: &Flight,
    answers: &UnboundedSender<Result<bool, String>>,
) -> anyhow::Error {
    loop {
        match hear(ear).await {
            // Nobody could take the outcome, and another worker may parse the file next.
            Ok(None) => drop(kill_process(getpid(), Signal::KILL)),
            Ok(Some(Order::Noted(answer))) => drop(answers.send(answer)),
            Ok(Some(Order::Stop(reason))) => flight.stop(reason),
            Ok(Some(Order::Parse(_))) => return anyhow!("the worker ordered two parses at once"),
            Err(error) => return error,
        }
    }
}

/// Tells the worker from time to time how far the parse is.
async fn tell(row: &WorkersRow<'_>, progress: &Progress) -> Infallible {
    loop {
        tokio::time::sleep(TOLD).await;
        row.say(&ParseNews::of(progress), None);
    }
}

impl ParseNews {
    fn of(progress: &Progress) -> Self {
        Self::Progress {
            bytes: progress.bytes.load(Ordering::Relaxed),
            total_bytes: progress.total_bytes.load(Ordering::Relaxed),
            records: progress.records.load(Ordering::Relaxed),
            problems: progress.problems.load(Ordering::Relaxed),
        }
    }
}

/// The row of the run in hand, behind the worker that has it.
struct WorkersRow<'a> {
    wire: &'a Wire,
    answers: tokio::sync::Mutex<UnboundedReceiver<Result<bool, String>>>,
}

impl WorkersRow<'_> {
    fn say(&self, news: &ParseNews, file: Option<&File>) {
        // If the worker is gone, `listen` ends the process.
        let _ = self.wire.send(news, file);
    }
}

impl RunRow for WorkersRow<'_> {
    async fn opened(&self, hold: Option<Arc<File>>) {
        self.say(&ParseNews::Opened, hold.as_deref());
    }

    async fn lost(&self, reason: &str, dropped: Option<u64>) {
        self.say(&ParseNews::Lost { reason: reason.to_owned(), dropped }, None);
    }

    async fn first_seen(&self, seen: &FirstSeen) -> Result<bool> {
        self.say(&ParseNews::FirstSeen(seen.clone()), None);
        let answer = self.answers.lock().await.recv().await;
        answer.context("the worker is gone")?.map_err(|reason| anyhow!("{reason}"))
    }

    async fn ended(&self, ending: &Ending) {
        self.say(&ParseNews::Ended(ending.clone()), None);
    }
}
