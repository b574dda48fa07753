//! What a person sees while this process waits for a run: the lines of its log, or how far it is.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;

use super::show;
use crate::carry;
use crate::desk::words::counted;
use crate::ids::RunId;
use crate::reader::{Follower, News, Selection};
use crate::record::{Record, Safe};
use crate::system::System;
use crate::worker::RunsInFlight;

/// How often to move the bar.
const TICK: Duration = Duration::from_millis(100);

/// Hands every line of the log to `each`, until the log is complete.
///
/// # Errors
/// The log can't be read.
async fn follow(system: System, run: RunId, mut each: impl FnMut(&Record)) -> Result<()> {
    let mut follower = Follower::new(system, run, Selection::default());
    while let Some(news) = follower.next().await? {
        if let News::Lines(lines) = news {
            lines.iter().for_each(|line| each(&Record::decode_lossy(line)));
        }
    }
    Ok(())
}

/// Prints every line to stderr, since the command's data is something else; a log that can't be read is said, and
/// ends nothing.
pub(super) async fn print(system: System, run: RunId) {
    if let Err(error) = follow(system, run, show::note_record).await {
        show::note(&format!("the lines of its log can't be shown: {error:#}"));
    }
}

/// Shows how far the parse is: of the file, or, for a program that does not say, by its last line.
pub(super) fn progress_bar(system: System, in_flight: RunsInFlight, run: RunId) -> JoinHandle<()> {
    carry::spawn(async move {
        let bar = show::bar([
            (
                100,
                "{bar:20} {percent:>3}%  {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}  {wide_msg}",
            ),
            (60, "{bar:20} {percent:>3}%  {wide_msg}"),
            (0, "{percent:>3}%  {wide_msg}"),
        ]);
        if bar.is_hidden() {
            return;
        }
        let last = Mutex::new(String::new());
        let latest = || last.lock().unwrap_or_else(PoisonError::into_inner);
        let following = last_messages(system, run, |message| message.clone_into(&mut latest()));
        let showing = async {
            let mut ticks = tokio::time::interval(TICK);
            let mut spinner = None;
            loop {
                ticks.tick().await;
                let Some(progress) = in_flight.progress(run) else { continue };
                let [bytes, total, records, problems] =
                    [&progress.bytes, &progress.total_bytes, &progress.records, &progress.problems]
                        .map(|count| count.load(Ordering::Relaxed));
                let counts = format!("{}, {}", counted(records, "record"), counted(problems, "problem"));
                if bytes == 0 {
                    let text = format!("{counts}  {}", Safe(&*latest()));
                    spinner.get_or_insert_with(show::spinner).set_message(text);
                } else {
                    if spinner.take().is_some() {
                        bar.reset_eta(); // What came before is no part of its pace.
                    }
                    bar.set_message(counts);
                    bar.set_length(total);
                    bar.set_position(bytes);
                }
            }
        };
        tokio::join!(following, showing);
    })
}

/// Hands the message of the last line to `each`; an error only means that the spinner shows no lines.
async fn last_messages(system: System, run: RunId, mut each: impl FnMut(&str)) {
    let shown = |record: &Record| {
        if record.tail.is_none() && record.head.is_none() {
            each(&record.message);
        }
    };
    if let Err(error) = follow(system, run, shown).await {
        tracing::debug!("the spinner shows no lines: {error:#}");
    }
}
