//! The things that people do: look up, answer, submit, link, compare, parse again, delete.
//!
//! Each is one file, takes plain values, reports progress by a callback, and fails with a [`DeskError`], which
//! names the kind of failure. This room prints nothing and reads no arguments.

pub mod answer;
pub mod compare;
pub mod compare_reparse;
mod error;
pub mod history;
pub mod link;
pub mod lookup;
mod nature;
pub mod reparse;
pub mod retention;
pub mod submit;

pub use error::{DeskError, Result};
pub use nature::Description;
