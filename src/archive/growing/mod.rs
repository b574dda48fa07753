//! The archive that grows with its log: while a run goes on, what it logged is compressed and goes up in parts, so that
//! at the end only the rest is left to do.
//!
//! It becomes the same bytes in the same parts as the archive that is made at once, so for this machine nothing but its
//! file beside the log says that it was begun: whoever finds the log of a dead process makes and puts it anew, and then
//! aborts the upload. For other machines it is noted how far it is up. The bytes come from the spool's files, on a thread that leaves the processors to the parses.

mod marks;
mod members;
mod noter;
mod parts;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use self::marks::{MarkMaker, PartMarks};
use self::members::{Made, MemberWriter};
use self::noter::{ConfirmedPart, PartNoter};
use self::parts::PartSender;
use super::pack::Packed;
use super::{Archiver, ProblemCounter, blocking};
use crate::carry;
use crate::ids::LogId;
use crate::objects::{ObjectResult, Upload, UploadedPart};
use crate::record::Head;
use crate::spool::{SealedLog, Spool};
use crate::store::problem::KindCount;

/// A log of fewer bytes is compressed in a moment, when it is over.
const LARGE: u64 = 4 << 20;

/// How often to look whether a log is large.
const LOOK: Duration = Duration::from_millis(250);

/// An archive that grows, if its log does. Dropped, it stops where it is.
#[derive(Debug)]
pub struct GrowingArchive {
    log: LogId,
    stop: watch::Sender<bool>,
    /// It begins when the log is large.
    begun: AbortOnDropHandle<Option<Begun>>,
}

/// What works on it.
#[derive(Debug)]
struct Begun {
    thread: JoinHandle<io::Result<MemberWriter>>,
    sending: Option<Sending>,
}

/// The upload of its parts; `None` if there is none, or none any more.
pub(super) type Sending = AbortOnDropHandle<ObjectResult<Option<(Upload, Vec<UploadedPart>)>>>;

/// An archive that has grown to its end.
pub(super) struct GrownArchive {
    pub(super) packed: Packed,
    /// Sends what is left, if the store takes parts.
    pub(super) sending: Option<Sending>,
    /// The problems of the log, if they could be counted.
    pub(super) problems: Option<Vec<KindCount>>,
}

impl Archiver {
    /// Begins the archive of the log that has this head, or will have it in a moment.
    pub fn grow(&self, head: &Head) -> GrowingArchive {
        let (stop, stopped) = watch::channel(false);
        let begun = carry::spawn(begin(self.clone(), head.clone(), stopped));
        GrowingArchive { log: head.log, stop, begun: AbortOnDropHandle::new(begun) }
    }

    /// Begins to note which parts of the log's archive are up, if the log is to outlive its machine and goes up in parts.
    fn noting(&self, path: &Path, head: &Head) -> Option<(MarkMaker, mpsc::UnboundedSender<ConfirmedPart>)> {
        let system = &self.system;
        let sizes = self.tail.kept().and_then(|_| system.objects.part_sizes())?;
        let marks = PartMarks::default();
        let maker = MarkMaker::new(sizes, marks.clone());
        let gives_back = self.gives_back.then(|| head.clone());
        let (archiver, log, path) = (self.clone(), head.log, path.to_owned());
        let (sender, confirmed) = mpsc::unbounded_channel();
        // It ends with the parts.
        drop(carry::spawn(PartNoter { archiver, log, path, sizes, marks, gives_back }.run(confirmed)));
        Some((maker, sender))
    }
}

impl GrowingArchive {
    /// Compresses the rest of the complete log, and sends it. `None` if the archive has to be made at once: the log is
    /// small, or something failed on the way.
    pub(super) async fn finish(self, log: &Arc<SealedLog>) -> Option<GrownArchive> {
        self.stop.send_replace(true);
        let Begun { thread, sending } = self.begun.await.ok()??;
        thread.thread().unpark();
        let finish = move |log: &SealedLog| {
            let members = thread.join().map_err(|_| io::Error::other("its thread panicked"))??;
            members.finish(log)
        };
        match blocking(log, finish).await {
            Ok((packed, problems)) => Some(GrownArchive { packed, sending, problems }),
            Err(error) => {
                tracing::debug!(log = %self.log, "the archive that grew with its log is made anew: {error}");
                None
            }
        }
    }
}

/// Waits until the log is large; `None` if it is over before.
async fn begin(archiver: Archiver, head: Head, mut stopped: watch::Receiver<bool>) -> Option<Begun> {
    let (system, log) = (&archiver.system, head.log);
    let spool = system.spool.clone();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return None,
            () = tokio::time::sleep(LOOK) => {}
        }
        let spool = spool.clone();
        if carry::spawn_blocking(move || is_large(&spool, log)).await.ok()? {
            break;
        }
    }
    let (made, more) = watch::channel(Made::default());
    let path = spool.growing_path(log);
    let (marks, noter) = archiver.noting(&path, &head).unzip();
    let sender = PartSender::new(system, &head, path, noter, archiver.gives_back);
    let sending = sender.map(|sender| carry::spawn(sender.send(more)));
    let problems = ProblemCounter::new(system.redactor.clone());
    let thread = carry::thread_behind(move || {
        MemberWriter::begin(&spool, log, made, problems, marks).and_then(|it| it.follow(&stopped))
    });
    Some(Begun { thread, sending: sending.map(AbortOnDropHandle::new) })
}

fn is_large(spool: &Spool, log: LogId) -> bool {
    let Some(entry) = spool.find(log) else { return false };
    fs::metadata(entry.path).is_ok_and(|file| file.len() >= LARGE)
}
