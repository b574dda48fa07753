//! The program itself, at a database and a home of one test's own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::TestDb;

/// A place where the program is run.
pub(crate) struct Desk {
    pub(crate) db: TestDb,
    pub(crate) home: tempfile::TempDir,
}

/// What a command printed.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        Self { db: TestDb::new().await, home: tempfile::tempdir().unwrap() }
    }

    /// The program with these arguments, not started yet. Objects live in a folder of the home.
    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parselog"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PARSELOG_")) {
                command.env_remove(name);
            }
        }
        command.args(arguments).env("DATABASE_URL", self.db.url()).env("PARSELOG_HOME", self.home.path());
        command
            .env("USER", "ann")
            .env("NO_COLOR", "1")
            .env("TZ", "UTC")
            .env("XDG_CONFIG_HOME", self.home.path().join("settings"))
            .env_remove("COLUMNS")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn output(&self, arguments: &[impl AsRef<OsStr>]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program to its end, for what it prints as text.
    pub(crate) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Said {
        Said::of(self.output(arguments))
    }

    /// Runs it and expects that it works.
    pub(crate) fn ok(&self, arguments: &[impl AsRef<OsStr>]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "it said: {}{}", said.out, said.err);
        said
    }

    /// What a command that works prints.
    pub(crate) fn stdout(&self, arguments: &[impl AsRef<OsStr>]) -> Vec<u8> {
        let output = self.output(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Writes a submission of this name into the home, and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.home.path().join(name), text).unwrap();
        self.path(name)
    }

    /// A path in the home.
    pub(crate) fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    /// Every file below a folder of the home.
    pub(crate) fn files(&self, below: &str) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.home.path().join(below), &mut found);
        found.sort();
        found
    }
}

impl Said {
    /// What a command printed that has ended.
    pub(crate) fn of(Output { status, stdout, stderr }: Output) -> Self {
        Self {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// The lines of stdout as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A shipped sample.
pub(crate) fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name);
    path.to_str().unwrap().to_owned()
}

/// The text of a shipped sample.
pub(crate) fn sample_text(name: &str) -> String {
    std::fs::read_to_string(sample(name)).unwrap()
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), found);
        } else {
            found.push(entry.path().to_str().unwrap().to_owned());
        }
    }
}
