//! The streams of a program's output.

use crate::record::STREAMS;

/// Where a line was written to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    /// Lines without a level of their own are INFO.
    Stdout,
    /// Lines without a level of their own are WARN, except the remains of a progress bar.
    Stderr,
}

impl Stream {
    /// Both, in the order of [`STREAMS`].
    pub(super) const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Its name, and the ending of its file.
    pub(super) fn name(self) -> &'static str {
        STREAMS[self as usize]
    }
}
