//! parselog with parsers of a team's own, in a binary of the team's own.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use super::{CliError, run_command_line};
use crate::parse::Parsers;
use crate::parser::Parser;

/// Bytes from which an allocation has pages of its own, which go back to the system with it.
#[cfg(target_env = "gnu")]
const OWN_PAGES: std::ffi::c_int = 256 << 10;

/// The whole program, with every command. A program of a team's own is this with its parsers.
#[derive(Debug, Default)]
pub struct App {
    parsers: OwnParsers,
    /// What is wrong with how it was put together.
    wrong: Option<String>,
}

/// Parsers that were linked in, each with the program and section of its files.
#[derive(Clone, Default)]
pub(super) struct OwnParsers(Vec<(String, String, Arc<dyn Parser>)>);

impl App {
    /// parselog as it comes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with a parser for the files that `files` names as `PROGRAM/SECTION`, each a code in lower case
    /// or `*` for any. Of several parsers for a file the first counts. A command that the settings or the
    /// command line name for the file goes before them all; the built-in parser gets what is left.
    #[must_use]
    pub fn parser(mut self, files: &str, parser: impl Parser + 'static) -> Self {
        match files.split_once('/') {
            Some((program, section)) if is_code(program) && is_code(section) => {
                self.parsers.0.push((program.to_owned(), section.to_owned(), Arc::new(parser)));
            }
            _ => {
                self.wrong.get_or_insert(format!(
                    "a parser is for '{files}': expected PROGRAM/SECTION in lower case, such as fra/* or */*"
                ));
            }
        }
        self
    }

    /// Runs the command line of this process; the exit code is documented in `--help`.
    pub fn main(self) -> ExitCode {
        give_large_buffers_back();
        run_command_line(self.wrong.map_or(Ok(self.parsers), |wrong| Err(CliError::usage(wrong))))
    }
}

impl OwnParsers {
    /// Those parsers, and then these.
    pub(super) fn behind(&self, parsers: Parsers) -> Parsers {
        let with = |parsers: Parsers, (program, section, parser): &(String, String, Arc<dyn Parser>)| {
            parsers.with(program, section, Arc::clone(parser))
        };
        self.0.iter().fold(parsers, with)
    }
}

impl fmt::Debug for OwnParsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(program, section, _)| (program, section))).finish()
    }
}

/// Keeps large buffers out of the heap, where what is allocated behind one keeps its pages with the process. glibc does so
/// by itself at first, but raises the limit up to 32 MiB with each large buffer that is freed: a worker that sent the
/// parts of a long log then kept 30 MB more than one that sent none.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the standard library has no words for it")]
fn give_large_buffers_back() {
    // SAFETY: it sets a number, before there is a second thread. It fails only for a limit of more than 32 MiB.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES) };
}

/// Other allocators do so by themselves.
#[cfg(not(target_env = "gnu"))]
fn give_large_buffers_back() {}

fn is_code(text: &str) -> bool {
    text == "*"
        || (!text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'))
}
