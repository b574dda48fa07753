//! The beginning of a complete log that was given back: how much of it is here all the same, and how it comes back.
//!
//! What is here is never overwritten: it may be the last copy.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use super::SealedLog;
use super::files::remove_if_there;
use super::given::{GIVEN, GivenBack, hole_in};
use crate::durable::{self, Synced};
use crate::{carry, gzip};

impl SealedLog {
    /// Whether the beginning is here all the same, since the process died before it was a hole. Then the log is a whole
    /// one from now on.
    ///
    /// # Errors
    /// It can't be read.
    pub fn has_kept(&self) -> io::Result<bool> {
        carry::may_block();
        let Some(given) = self.given_back()? else { return Ok(true) };
        if hole_in(&self.file) > 0 || !self.is_beginning(&given, io::empty())? {
            return Ok(false);
        }
        remove_if_there(&self.path().with_extension(GIVEN))?;
        Ok(true)
    }

    /// Where the first line begins that is here: no later than what was given back ends.
    ///
    /// # Errors
    /// It can't be read.
    pub fn first_here(&self) -> io::Result<u64> {
        carry::may_block();
        let Some(given) = self.given_back()? else { return Ok(0) };
        let (mut at, mut bytes) = (hole_in(&self.file), vec![0; 1 << 16]);
        while at < given.raw_bytes {
            let read = self.file.read_at(&mut bytes, at)?;
            match memchr::memchr(b'\n', &bytes[..read]) {
                Some(end) => return Ok((at + end as u64 + 1).min(given.raw_bytes)),
                None if read == 0 => break,
                None => at += read as u64,
            }
        }
        Ok(given.raw_bytes)
    }

    /// Whether this is the beginning that was given back, with what is here of it.
    ///
    /// # Errors
    /// One of both can't be read.
    pub fn is_its_beginning(&self, beginning: impl Read) -> io::Result<bool> {
        carry::may_block();
        let given = self.given_back()?;
        given.map_or(Ok(true), |given| self.is_beginning(&given, beginning))
    }

    /// Writes the beginning that was given back where it was, which [it is](Self::is_its_beginning). What is here of it
    /// stays as it is. Repeatable.
    ///
    /// # Errors
    /// It is another one after all, it can't be read, or the disk has no room for it; the log stays without it.
    pub fn fill_in(&self, beginning: impl Read) -> io::Result<()> {
        carry::may_block();
        let Some(given) = self.given_back()? else { return Ok(()) };
        let disk = rustix::fs::fstatvfs(&*self.file)?;
        if disk.f_bavail * disk.f_frsize < hole_in(&self.file) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let is_it = self.merge(&given, beginning, |at, bytes| self.file.write_all_at(bytes, at))?;
        if !is_it {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "another beginning than was given back"));
        }
        durable::data(&self.file, Synced::Beginning)?;
        remove_if_there(&self.path().with_extension(GIVEN))
    }

    fn is_beginning(&self, given: &GivenBack, beginning: impl Read) -> io::Result<bool> {
        self.merge(given, beginning, |_, _| Ok(()))
    }

    /// Reads what is here of the beginning, and what is not from `beginning`, and hands out where that makes a
    /// difference. Says whether it is what was given back.
    fn merge(
        &self,
        given: &GivenBack,
        mut beginning: impl Read,
        mut gained: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        let (mut at, mut sha256) = (0, Sha256::new());
        let (mut here, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        while at < given.raw_bytes {
            let size = here.len().min((given.raw_bytes - at) as usize);
            let (here, other) = (&mut here[..size], &mut other[..size]);
            self.file.read_exact_at(here, at)?;
            let found = read_fully(&mut beginning, other)?;
            // No line has a zero.
            if memchr::memchr(0, here).is_some() {
                if found < size {
                    return Ok(false);
                }
                here.iter_mut()
                    .zip(&*other)
                    .for_each(|(here, other)| *here = if *here == 0 { *other } else { *here });
                gained(at, here)?;
            }
            sha256.update(&*here);
            at += size as u64;
        }
        Ok(gzip::state_of(&sha256) == given.raw_sha256)
    }
}

/// Reads until the buffer is full, or nothing more comes.
fn read_fully(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::sync::Arc;

    use chrono::Utc;
    use uuid::Uuid;

    use super::*;
    use crate::ids::{BatchId, DataFileId, RunId};
    use crate::record::{Head, LevelCounts, LogCount, LogEnding, RunSubject, SCHEMA_VERSION, Subject, Tail};
    use crate::spool::files::file_of;
    use crate::spool::given::punch;

    fn head(run: RunId) -> Head {
        Head {
            version: SCHEMA_VERSION,
            log: run.into(),
            bucket: "files".to_owned(),
            log_key: "a.log.gz".to_owned(),
            worker: "one".to_owned(),
            started: Utc::now(),
            subject: Subject::Run(RunSubject {
                run,
                lease_token: Uuid::nil(),
                attempt: 1,
                data_file: DataFileId(1),
                batch: BatchId(1),
                reparse: None,
                key: "a.txt".to_owned(),
                object_version: String::new(),
            }),
        }
    }

    fn raw() -> Vec<u8> {
        (0..10_000).flat_map(|number| format!("line {number:0>30}\n").into_bytes()).collect()
    }

    /// A log of this folder that gave the first `hole` bytes of these back, or was about to; and how many were to go.
    fn given_log(folder: &Path, raw: &[u8], hole: u64) -> (SealedLog, usize) {
        let head = head(RunId::new());
        let path = file_of(folder, head.log, "log");
        fs::write(&path, raw).expect("a log");
        let file = File::options().read(true).write(true).open(&path).expect("the log");
        let raw_bytes = 6_000 * 36;
        let given = GivenBack {
            head: String::new(),
            raw_bytes,
            lines: 6_000,
            count: LogCount::default(),
            last_micros: None,
            output: [0; 2],
            raw_sha256: gzip::state_of(&Sha256::new_with_prefix(&raw[..raw_bytes as usize])),
            noted: serde_json::Value::Null,
        };
        fs::write(path.with_extension(GIVEN), serde_json::to_vec(&given).expect("text")).expect("a note");
        punch(&file, hole).expect("a hole");
        let events = LevelCounts::default();
        let tail = Tail { ending: LogEnding::Crash, reason: None, events, dropped: 0 };
        let (closed_at, leftovers) = (Utc::now(), None);
        let log = SealedLog { head, tail, closed_at, lines: 10_000, path, file: Arc::new(file), leftovers };
        (log, raw_bytes as usize)
    }

    fn content(log: &SealedLog) -> Vec<u8> {
        fs::read(log.path()).expect("the log")
    }

    #[test]
    fn a_log_that_only_said_what_it_would_give_back_is_a_whole_one() {
        let (folder, raw) = (tempfile::tempdir().expect("a folder"), raw());
        let (log, _) = given_log(folder.path(), &raw, 0);
        assert!(log.has_kept().expect("a look") && log.given_back().expect("a look").is_none());
        assert!(content(&log) == raw);
        let (log, given) = given_log(folder.path(), &raw, 1 << 17);
        assert!(!log.has_kept().expect("a look") && log.given_back().expect("a look").is_some());
        let first = log.first_here().expect("a look") as usize;
        assert!(raw[first - 1] == b'\n' && first > 1 << 17 && first < (1 << 17) + 36 && first < given);
    }

    #[test]
    fn a_beginning_comes_back_only_if_it_is_the_one_and_what_is_here_stays() {
        let (folder, raw) = (tempfile::tempdir().expect("a folder"), raw());
        let (log, given) = given_log(folder.path(), &raw, 1 << 17);
        let left = content(&log);
        let mut other = raw.clone();
        other[9] = b'x';
        for wrong in [&other[..], &raw[..given - 36], &raw[..100], b""] {
            assert!(!log.is_its_beginning(wrong).expect("a look"));
        }
        assert!(content(&log) == left);
        // A process that was killed while it wrote had come so far.
        log.file.write_all_at(&raw[..70_000], 0).expect("room");
        assert!(!log.has_kept().expect("a look") && log.is_its_beginning(&raw[..]).expect("a look"));
        log.fill_in(&raw[..]).expect("the beginning");
        assert!(content(&log) == raw && log.given_back().expect("a look").is_none());
    }

    #[test]
    fn another_beginning_changes_nothing_of_what_is_here() {
        let (folder, raw) = (tempfile::tempdir().expect("a folder"), raw());
        let (log, given) = given_log(folder.path(), &raw, 1 << 17);
        log.fill_in(&vec![b'x'; given][..]).expect_err("another one");
        assert!(content(&log)[1 << 17..] == raw[1 << 17..] && log.given_back().expect("a look").is_some());
    }
}
