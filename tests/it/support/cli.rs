//! The program itself, at a database and a home of one test's own.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::TestDb;

/// A place where the program is run.
pub(crate) struct Desk {
    pub(crate) db: TestDb,
    pub(crate) home: TempDir,
}

/// What a command printed.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        Self { db: TestDb::new().await, home: TempDir::new().unwrap() }
    }

    /// The program with these arguments, not started yet. Objects live in a folder of the home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parselog"));
        command
            .args(arguments)
            .env("DATABASE_URL", self.db.url())
            .env("PARSELOG_HOME", self.home.path().join("home"))
            .env("USER", "ann")
            .env("NO_COLOR", "1")
            .env_remove("PARSELOG_BUCKET")
            .env_remove("PARSELOG_SPOOL")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        Said {
            code: status.code().unwrap_or(-1),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Runs it and expects that it works.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{arguments:?} said: {}{}", said.out, said.err);
        said
    }

    /// Writes a submission of this name into the home, and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Said {
    /// The lines of stdout as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A shipped sample.
pub(crate) fn sample(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name);
    std::fs::read_to_string(path).unwrap()
}
