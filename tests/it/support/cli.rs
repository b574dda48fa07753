//! The `parselog` command, on a test's own database and home.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use super::TestDb;

/// A home for the command and the database it works on.
pub(crate) struct Desk {
    pub(crate) db: TestDb,
    pub(crate) home: tempfile::TempDir,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        Self { db: TestDb::new().await, home: tempfile::tempdir().expect("a folder") }
    }

    /// The command with these arguments, to be started.
    pub(crate) fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parselog"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PARSELOG_")) {
                command.env_remove(name);
            }
        }
        command.env("DATABASE_URL", self.db.url()).env("PARSELOG_HOME", self.home.path());
        command.args(arguments);
        command
    }

    /// What comes of the command.
    pub(crate) fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Output {
        self.command(arguments).output().expect("the command starts")
    }

    /// What a command that works prints.
    pub(crate) fn stdout(&self, arguments: &[impl AsRef<OsStr>]) -> Vec<u8> {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A path in the home.
    pub(crate) fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Every file below a folder of the home.
    pub(crate) fn files(&self, below: &str) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.home.path().join(below), &mut found);
        found.sort();
        found
    }
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), found);
        } else {
            found.push(entry.path().to_str().expect("UTF-8").to_owned());
        }
    }
}
