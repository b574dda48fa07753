//! Answers readers on other machines, who ask for bytes of an archive that grows here: the store gives no part of an
//! upload that goes on.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::RemoteTail;
use crate::carry;
use crate::ids::LogId;
use crate::spool::hole_in;
use crate::store::log_read::{self, LogRead};

/// How often to look whether somebody asks, …
const LOOK: Duration = Duration::from_secs(1);
/// … but for so long after a question, in every round.
const MORE: Duration = Duration::from_secs(20);

/// The most bytes of one answer.
const LONGEST: u64 = 16 << 20;

/// When somebody looked for questions, and found some.
#[derive(Debug, Default)]
pub(super) struct Readers {
    looked: Option<Instant>,
    asked: Option<Instant>,
}

impl Readers {
    fn are_due(&self) -> bool {
        let is_within = |since: Option<Instant>, limit| since.is_some_and(|at| at.elapsed() < limit);
        is_within(self.asked, MORE) || !is_within(self.looked, LOOK)
    }
}

impl RemoteTail {
    /// Answers what is asked of the archives that grow here, and of which parts are up.
    pub(super) async fn answer(&self, readers: &mut Readers) -> Result<()> {
        let logs: Vec<LogId> =
            self.lock().iter().filter(|(_, shipping)| shipping.up > 0).map(|(log, _)| *log).collect();
        if logs.is_empty() || !readers.are_due() {
            return Ok(());
        }
        readers.looked = Some(Instant::now());
        for read in log_read::open(&self.pool, &logs).await? {
            readers.asked = Some(Instant::now());
            let path = self.spool.growing_path(read.log);
            let answer = carry::spawn_blocking(move || bytes(&path, read));
            let answer = answer.await.context("reading an archive panicked")?;
            log_read::answer(&self.pool, read.id, answer).await?;
        }
        Ok(())
    }
}

/// The bytes, or why there are none.
fn bytes(path: &Path, read: LogRead) -> Result<Vec<u8>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err("its archive is made anew".to_owned());
        }
        Err(error) => return Err(format!("its archive can't be read: {error}")),
    };
    if read.bytes > LONGEST {
        return Err(format!("{} bytes are too many at once", read.bytes));
    }
    let mut bytes = vec![0; read.bytes as usize];
    file.read_exact_at(&mut bytes, read.at).map_err(|error| format!("its archive can't be read: {error}"))?;
    // Behind the reading: what is given back meanwhile reads as zeros.
    if read.at < hole_in(&file) {
        return Err("it has left the spool already".to_owned());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_refused_with_the_reason() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("archive");
        let read = LogRead { id: 1, log: LogId::new(), at: 2, bytes: 3 };
        assert_eq!(bytes(&path, read), Err("its archive is made anew".to_owned()));
        std::fs::write(&path, b"abcdef").expect("an archive");
        assert_eq!(bytes(&path, read).as_deref(), Ok(&b"cde"[..]));
        assert!(bytes(&path, LogRead { at: 4, ..read }).is_err_and(|why| why.contains("can't be read")));
        assert!(bytes(&path, LogRead { bytes: 1 << 30, ..read }).is_err_and(|why| why.contains("too many")));
    }
}
