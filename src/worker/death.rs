//! How a parse process died, in words that staff understand.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use bytesize::ByteSize;

/// How a parse process came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Death {
    /// The system could not start it.
    NotStarted(String),
    /// It ended.
    Ended { status: ExitStatus, words: LastWords },
}

/// The words on stderr that explain the death of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LastWords {
    out_of_memory: bool,
    out_of_stack: bool,
    /// The system ended some process for lack of memory meanwhile.
    pub(super) memory_was_short: bool,
}

impl LastWords {
    /// Takes one line into account: the runtime's own words for an allocation that fails, and for a stack that
    /// is too small.
    pub(super) fn hear(&mut self, line: &str) {
        self.out_of_memory |= line.starts_with("memory allocation of ") && line.ends_with(" bytes failed");
        self.out_of_stack |= line.contains("has overflowed its stack");
    }
}

impl Death {
    /// Why the run ended, for people. `memory` is the limit in bytes.
    pub(super) fn reason(&self, memory: u64) -> String {
        let (status, words) = match self {
            Self::NotStarted(error) => return format!("no parse process could be started: {error}"),
            Self::Ended { status, words } => (status, words),
        };
        match (status.signal(), status.code()) {
            _ if words.out_of_memory => {
                format!(
                    "the parse needed more memory than {}, which PARSELOG_RUN_MEMORY allows",
                    ByteSize(memory)
                )
            }
            _ if words.out_of_stack => {
                "the parse overflowed its stack: the file is nested too deeply for the parser".to_owned()
            }
            (Some(9), _) if words.memory_was_short => {
                "the system killed the parse because memory was short (SIGKILL)".to_owned()
            }
            (Some(9), _) => "somebody killed the parse from outside (SIGKILL)".to_owned(),
            (Some(6), _) => "the parser aborted its process (SIGABRT)".to_owned(),
            (Some(7), _) => "the parse touched memory or a file that is gone (SIGBUS)".to_owned(),
            (Some(11), _) => "the parser crashed on memory that is not its own (SIGSEGV)".to_owned(),
            (Some(signal), _) => format!("signal {signal} ended the parse"),
            (None, Some(code)) => format!("the parser ended its process with exit code {code}"),
            (None, None) => "the parse process ended in an unknown way".to_owned(),
        }
    }
}

/// How many processes the system has ended for lack of memory since it started.
pub(super) fn killed_for_memory() -> u64 {
    let counters = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = counters.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_told_in_words() {
        let of = |raw, said: &[&str]| {
            let mut words = LastWords::default();
            said.iter().for_each(|line| words.hear(line));
            Death::Ended { status: ExitStatus::from_raw(raw), words }.reason(2 << 30)
        };
        assert_eq!(
            of(6, &["x", "memory allocation of 2147483648 bytes failed"]),
            "the parse needed more memory than 2.0 GiB, which PARSELOG_RUN_MEMORY allows"
        );
        assert!(of(6, &["thread 'x' (1) has overflowed its stack"]).contains("overflowed its stack"));
        assert!(of(6, &[]).contains("SIGABRT"));
        assert!(of(11, &[]).contains("SIGSEGV"));
        assert!(of(9, &[]).contains("from outside"));
        assert!(of(3 << 8, &[]).contains("exit code 3"));
    }
}
