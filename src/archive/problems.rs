//! The problems of a log, counted by kind, for questions across runs.
//!
//! A kind has names alone: no message and no value of a submission is read. What a parser writes in the place of a
//! name and is none counts without it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use anyhow::Context as _;

use super::{Archiver, again, blocking};
use crate::carry;
use crate::ids::RunId;
use crate::record::event::ProblemEvent;
use crate::redact::Redactor;
use crate::spool::{SealedLog, TailReader};
use crate::store;
use crate::store::problem::{self, KindCount, ProblemKind};

/// Most kinds of one run; further problems count by their category alone.
const MOST_KINDS: usize = 2000;

/// Bytes of a name.
const LONGEST_NAME: usize = 64;

/// Bytes of a log to read at once.
const AT_ONCE: usize = 1 << 20;

/// Counts problems while their lines come.
#[derive(Debug, Clone)]
pub struct ProblemCounter {
    redactor: Redactor,
    kinds: BTreeMap<ProblemKind, u64>,
}

impl ProblemCounter {
    /// The redactor tells names from private values.
    pub fn new(redactor: Redactor) -> Self {
        Self { redactor, kinds: BTreeMap::new() }
    }

    /// Goes on behind lines whose problems are counted.
    pub fn behind(redactor: Redactor, counts: Vec<KindCount>) -> Self {
        let kinds = counts.into_iter().map(|count| (count.kind, count.problems)).collect();
        Self { redactor, kinds }
    }

    /// Takes one line of a log.
    ///
    /// # Errors
    /// The line of a problem is damaged.
    pub fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(event) = ProblemEvent::read(line)? else { return Ok(()) };
        let name = |text: &str| self.name(text).unwrap_or_default().to_owned();
        let mut kind = ProblemKind {
            category: event.category.into(),
            record_type: name(&event.record_type),
            item: name(&event.item),
            field: name(&event.field),
            deprecated: event.deprecated,
        };
        if self.kinds.len() >= MOST_KINDS && !self.kinds.contains_key(&kind) {
            [&mut kind.record_type, &mut kind.item, &mut kind.field].into_iter().for_each(String::clear);
        }
        *self.kinds.entry(kind).or_default() += 1;
        Ok(())
    }

    /// How many problems there are of each kind.
    pub fn finish(self) -> Vec<KindCount> {
        let counts = self.kinds.into_iter();
        counts.map(|(kind, problems)| KindCount { kind, problems }).collect()
    }

    /// How many there are of each kind so far.
    pub fn counts(&self) -> Vec<KindCount> {
        self.clone().finish()
    }

    /// The text if it is a name.
    fn name<'t>(&self, text: &'t str) -> Option<&'t str> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let is_name = text.len() <= LONGEST_NAME && text.bytes().all(fits);
        (is_name && self.redactor.redact(text) == text).then_some(text)
    }
}

impl Archiver {
    /// Counts the problems of a run whose log is archived: these, or else those that it reads there. False if the
    /// database does not take them now, but may later.
    pub(super) async fn count_problems(&self, log: &Arc<SealedLog>, found: Option<Vec<KindCount>>) -> bool {
        let Some(run) = log.head.run() else { return true };
        let found = match found {
            Some(found) => found,
            None => match self.all_problems_of(log).await {
                Some(found) => found,
                None => return true,
            },
        };
        let mut tries = 1;
        while let Err(error) = problem::count(&self.system.pool, run, &found).await {
            if let Err(error) = again(error, &mut tries).await {
                said(run, &error);
                return !store::passes(&error);
            }
        }
        true
    }

    /// The problems of a log, of which the beginning may be given back.
    async fn all_problems_of(&self, log: &Arc<SealedLog>) -> Option<Vec<KindCount>> {
        let given = blocking(log, SealedLog::given_back).await;
        let run = log.head.run()?;
        match given.context("failed to read how a log begins").inspect_err(|error| said(run, error)).ok()? {
            None => self.problems_of(log, Vec::new()).await,
            Some(given) => {
                let before: Option<Vec<KindCount>> = serde_json::from_value(given.noted).ok()?;
                self.problems_behind(log, given.raw_bytes, before?).await
            }
        }
    }

    /// The problems of a log, behind lines that are elsewhere and have these; `None` if they can't be counted.
    pub(super) async fn problems_of(
        &self,
        log: &Arc<SealedLog>,
        before: Vec<KindCount>,
    ) -> Option<Vec<KindCount>> {
        self.problems_behind(log, 0, before).await
    }

    /// The same, from byte `at` of its file on.
    async fn problems_behind(
        &self,
        log: &Arc<SealedLog>,
        at: u64,
        before: Vec<KindCount>,
    ) -> Option<Vec<KindCount>> {
        let run = log.head.run()?;
        let mut counter = ProblemCounter::behind(self.system.redactor.clone(), before);
        let mut tail = TailReader::new(Arc::clone(log.file()), at);
        let count = move || loop {
            let lines = tail.lines(AT_ONCE)?;
            if lines.is_empty() {
                return io::Result::Ok(counter.finish());
            }
            lines.split_inclusive(|byte| *byte == b'\n').try_for_each(|line| counter.line(line))?;
        };
        let counted = carry::spawn_blocking(count).await.context("counting panicked");
        counted.and_then(|found| Ok(found?)).inspect_err(|error| said(run, error)).ok()
    }
}

/// Nothing is lost, and `parselog problems` says what is not counted.
pub(super) fn said(run: RunId, error: &anyhow::Error) {
    if store::passes(error) {
        tracing::debug!(%run, "its problems are not counted yet: {error:#}");
    } else {
        tracing::warn!(%run, "its problems can't be counted: {error:#}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &str) -> Vec<u8> {
        format!(r#"{{"timestamp":"2026-11-21T06:30:23.123456Z","seq":7,"level":"WARN","target":"parselog::problem","message":"m","record":4,"fields":{{{fields}}}}}"#)
            .into_bytes()
    }

    #[test]
    fn kinds_without_end_count_together_by_category() {
        let mut counter = ProblemCounter::new(Redactor::default());
        for number in 0..2 * MOST_KINDS {
            counter.line(&line(&format!(r#""category":3,"field":"F{number}""#))).expect("a problem");
        }
        let found = counter.finish();
        assert_eq!(found.len(), MOST_KINDS + 1);
        assert_eq!(found.iter().map(|one| one.problems).sum::<u64>(), 2 * MOST_KINDS as u64);
    }
}
