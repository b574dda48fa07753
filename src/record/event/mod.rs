//! The events that reports, comparisons and mails need: only this room writes and reads their targets and
//! fields, so that no two readers understand the same line differently.

mod loose;
mod outcome;
mod problem;
mod submission;

pub use outcome::OutcomeEvent;
pub use problem::ProblemEvent;
pub use submission::SubmissionEvent;

/// The target of a problem in the submission.
pub const PROBLEM: &str = "parselog::problem";
/// The target of the submission.
pub const SUBMISSION: &str = "parselog::submission";
/// The target of the outcome.
pub const OUTCOME: &str = "parselog::outcome";
/// The target of an external parser's other output.
pub const EXTERNAL: &str = "parselog::external";
