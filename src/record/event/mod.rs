//! The events of which reports, comparisons and mails are made: their targets and fields, written and read
//! here alone, so that no two readers take the same line for different things.

mod loose;
mod outcome;
mod problem;
mod submission;

pub use outcome::OutcomeEvent;
pub use problem::ProblemEvent;
pub use submission::SubmissionEvent;

/// The target of a problem in the submission.
pub const PROBLEM: &str = "parselog::problem";
/// The target of what was submitted.
pub const SUBMISSION: &str = "parselog::submission";
/// The target of what the parse came to.
pub const OUTCOME: &str = "parselog::outcome";
/// The target of what an external parser says beside its problems.
pub const EXTERNAL: &str = "parselog::external";
