//! What people do, whoever asks: look up, submit, link, compare, parse once more, let go.
//!
//! Each is one file, takes what it needs as values, tells progress by a callback, and fails with a
//! [`DeskError`], which says what kind of failure it is. This room prints nothing and reads no arguments.

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
