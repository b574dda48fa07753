//! The things that people do: look up, answer, submit, link, compare, parse again, delete.
//!
//! Each is one file, takes plain values, reports progress by a callback, and fails with a [`DeskError`], which
//! names the kind of failure. This room prints nothing and reads no arguments: the arguments of a command hold help
//! texts and how a value is read, and become the values here once, in `cli`.
//!
//! What is one call of another room has no function here, which would only pass it on: `queue::cancel`,
//! `doctor::verify` and `store::notice` return types that tell the cases apart themselves.

pub mod answer;
pub mod check;
pub mod choose;
pub mod compare;
pub mod compare_reparse;
mod error;
pub mod link;
pub mod lookup;
mod names;
mod nature;
mod outcome;
pub mod problems;
pub mod reparse;
pub mod retention;
pub mod session;
pub mod status;
pub mod stream;
pub mod submit;
pub mod token;
pub mod wait;
pub mod words;

pub use error::{DeskError, Result};
pub use nature::Description;
pub use outcome::{ENDINGS, OUTCOMES, RunOutcome};
