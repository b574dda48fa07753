//! The clients that scripts/test-clients installs, at work.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What a client says about a record that it sent.
#[derive(Debug, Deserialize)]
pub(super) struct Sent {
    pub(super) message: String,
    pub(super) level: String,
    #[serde(default)]
    pub(super) traceback: Option<String>,
}

/// A client that is sending; see tests/clients/send.py.
pub(super) struct Sending {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    errors: File,
    said: Vec<Value>,
}

impl Sending {
    /// Starts a client with these arguments and nothing of our environment that concerns parselog.
    pub(super) fn start(command: &mut Command, arguments: &[impl AsRef<OsStr>]) -> Self {
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PARSELOG_")) {
                command.env_remove(name);
            }
        }
        let errors = tempfile::tempfile().unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors.try_clone().unwrap());
        command.args(arguments);
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, input, output, errors, said: Vec::new() }
    }

    /// Waits until it has sent the first half, and stopped.
    pub(super) fn half(&mut self) {
        loop {
            let said = self.next().unwrap_or_else(|| panic!("it ends too soon: {}", self.errors()));
            if said.get("pause").is_some() {
                break;
            }
            self.said.push(said);
        }
    }

    /// Lets it send the second half; returns what it said of all that it sent.
    pub(super) fn rest<T: DeserializeOwned>(mut self) -> Vec<T> {
        self.input.write_all(b"\n").unwrap();
        while let Some(said) = self.next() {
            self.said.push(said);
        }
        let errors = self.errors();
        assert!(self.process.wait().unwrap().success(), "{errors}");
        assert_eq!(errors, "");
        self.said.into_iter().map(|said| serde_json::from_value(said).unwrap()).collect()
    }

    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let bytes = self.output.read_line(&mut line).unwrap();
        (bytes > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    fn errors(&mut self) -> String {
        let mut said = String::new();
        self.errors.rewind().unwrap();
        self.errors.read_to_string(&mut said).unwrap();
        said
    }
}
