//! The one vocabulary of outcomes: a run's status until it has a verdict, then the verdict. Every command shows
//! these words and takes them.

use std::fmt;
use std::str::FromStr;

use crate::parser::SummaryStatus;
use crate::store::{RunFilter, RunStatus};

/// What came of a run, or the place that it has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// As the row has it; `success` stands for every verdict.
    Status(RunStatus),
    Verdict(SummaryStatus),
}

/// The words, as people type them: of every run, and of runs that have ended.
pub const OUTCOMES: &str = "queued, running, accepted, accepted-with-errors, partially-accepted, rejected, \
     no-verdict, success (any of these five), fail, terminate, inaction, crash";
pub const ENDINGS: &str = "accepted, accepted-with-errors, partially-accepted, rejected, no-verdict, \
     success (any of these five), fail, terminate, inaction, crash";

impl RunOutcome {
    /// As the rows have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status(status) => status.as_str(),
            Self::Verdict(verdict) => verdict.as_str(),
        }
    }

    /// Selects runs with any of these outcomes.
    pub fn select(outcomes: &[Self], filter: &mut RunFilter) {
        for outcome in outcomes {
            match outcome {
                Self::Status(status) => filter.status.push(*status),
                Self::Verdict(verdict) => filter.verdict.push(*verdict),
            }
        }
    }
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RunOutcome {
    type Err = String;

    /// Reads an outcome as it is typed or as it is shown, whatever its case.
    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.trim().to_lowercase().replace(['-', '_'], " ");
        let verdict = SummaryStatus::ALL.into_iter().find(|verdict| {
            let name = verdict.as_str().to_lowercase();
            name == words || (words == "partially accepted" && *verdict == SummaryStatus::PartiallyAccepted)
        });
        let status = || RunStatus::ALL.iter().find(|status| status.as_str() == words);
        match (verdict, status()) {
            (Some(verdict), _) => Ok(Self::Verdict(verdict)),
            (None, Some(status)) => Ok(Self::Status(*status)),
            (None, None) => Err(format!("expected one of {OUTCOMES}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_read_as_it_is_typed_and_as_it_is_shown() {
        let typed = OUTCOMES.split(", ").map(|word| word.split(' ').next().unwrap_or_default());
        let read: Vec<RunOutcome> = typed.map(|word| word.parse().expect(word)).collect();
        assert_eq!(read.len(), SummaryStatus::ALL.len() + RunStatus::ALL.len());
        for outcome in read {
            assert_eq!(outcome.to_string().parse(), Ok(outcome));
            assert_eq!(outcome.to_string().to_uppercase().replace(' ', "-").parse(), Ok(outcome));
        }
        assert!("good".parse::<RunOutcome>().is_err_and(|error| error.contains("partially-accepted")));
    }
}
