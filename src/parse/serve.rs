//! The life of a parse process: it limits itself, parses one job after another for the worker at the other end
//! of its wire, and ends with it.

use std::fs::{self, File};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{
    Resource, Rlimit, Signal, getpid, getrlimit, kill_process, set_parent_process_death_signal, setrlimit,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Flight, Order, ParseJob, ParseNews, ParseTools, RunRow, Sealed, Wire};
use crate::parser::{Progress, RecordSink};
use crate::queue::Ending;
use crate::store::FirstSeen;
use crate::{carry, faults};

/// How often the worker learns how far the parse is.
const TOLD: Duration = Duration::from_millis(100);

/// The score by which the system chooses a process to end for lack of memory: the highest, so this one goes
/// first.
const FIRST_TO_GO: &str = "1000";

/// The parse in hand, for the thread that listens.
type InHand = Arc<Mutex<Option<Flight>>>;

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
    wire: Wire,
    records: impl Fn() -> Result<Box<dyn RecordSink>>,
) -> Result<()> {
    let wire = Arc::new(wire);
    let in_hand = InHand::default();
    let (jobs_in, mut jobs) = unbounded_channel();
    let (answers_in, answers) = unbounded_channel();
    let listener = {
        let (wire, in_hand) = (Arc::clone(&wire), Arc::clone(&in_hand));
        carry::thread(move || listen(&wire, &in_hand, &jobs_in, &answers_in))
    };
    let row = WorkersRow { wire: Arc::clone(&wire), answers: answers.into() };
    while let Some((job, flight)) = jobs.recv().await {
        let teller = tell(&wire, &flight);
        let parsed = tools.parse(&job, &flight, &row, &records).await;
        teller.abort();
        *lock(&in_hand) = None;
        let log = parsed.log.as_ref();
        let sealed =
            log.map(|log| Sealed { tail: log.tail.clone(), closed_at: log.closed_at, lines: log.lines });
        let spent = parsed.left_behind || !tools.syncer.is_alive();
        row.say(&ParseNews::Done { sealed, spent }, log.map(|log| &**log.file()));
        if spent {
            return Ok(());
        }
    }
    listener.join().map_err(|_| anyhow!("the listener of a parse process panicked"))?
}

/// Passes on the worker's messages, until the worker is gone.
fn listen(
    wire: &Wire,
    in_hand: &InHand,
    jobs: &UnboundedSender<(Box<ParseJob>, Flight)>,
    answers: &UnboundedSender<Result<bool, String>>,
) -> Result<()> {
    loop {
        let received = wire.receive().context("failed to understand the worker");
        // The receivers are there as long as the process has something to do.
        match received? {
            None => break,
            Some(received) => match received.message {
                Order::Parse(job) => {
                    // At once, so that a request to stop which comes right behind the job finds it.
                    let flight = Flight::default();
                    *lock(in_hand) = Some(flight.clone());
                    drop(jobs.send((job, flight)));
                }
                Order::Noted(answer) => drop(answers.send(answer)),
                Order::Stop(reason) => {
                    if let Some(flight) = &*lock(in_hand) {
                        flight.stop(reason);
                    }
                }
            },
        }
    }
    if lock(in_hand).is_some() {
        // Nobody could take the outcome, and another worker may parse the file next.
        let _ = kill_process(getpid(), Signal::KILL);
    }
    Ok(())
}

/// Tells the worker from time to time how far the parse is.
fn tell(wire: &Arc<Wire>, flight: &Flight) -> tokio::task::JoinHandle<()> {
    let (wire, progress) = (Arc::clone(wire), Arc::clone(&flight.progress));
    carry::spawn(async move {
        loop {
            tokio::time::sleep(TOLD).await;
            // If the worker is gone, the listener ends the process.
            let _ = wire.send(&ParseNews::of(&progress), None);
        }
    })
}

fn lock(in_hand: &InHand) -> std::sync::MutexGuard<'_, Option<Flight>> {
    in_hand.lock().unwrap_or_else(PoisonError::into_inner)
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
struct WorkersRow {
    wire: Arc<Wire>,
    answers: tokio::sync::Mutex<UnboundedReceiver<Result<bool, String>>>,
}

impl WorkersRow {
    fn say(&self, news: &ParseNews, file: Option<&File>) {
        // If the worker is gone, the listener ends the process.
        let _ = self.wire.send(news, file);
    }
}

impl RunRow for WorkersRow {
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
