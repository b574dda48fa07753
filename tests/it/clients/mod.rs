//! Real clients from the registries log into parselog, configured as docs/INTAKE.md says: what they sent is what
//! is stored.

mod over_collect;
mod over_http;
mod over_run;
mod page;
mod problems;
mod sending;
mod stored;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::skip::skip;

/// What scripts/test-clients has installed.
pub(crate) struct Installed(PathBuf);

impl Installed {
    /// `None` if the test is left out.
    pub(crate) fn find() -> Option<Self> {
        let folder = std::env::var("PARSELOG_TEST_CLIENTS").ok();
        if folder.is_none() {
            skip("PARSELOG_TEST_CLIENTS names no clients: run eval \"$(scripts/test-clients)\"");
        }
        Some(Self(folder?.into()))
    }

    /// A file of it, if it could be installed.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        let path = self.0.join(name);
        if !path.exists() {
            skip(&format!("{} is missing: run scripts/test-clients", path.display()));
            return None;
        }
        Some(path)
    }

    /// The program of rsyslog, and where its libraries are if that is not where it looks.
    fn rsyslog(&self) -> Option<(PathBuf, Option<PathBuf>)> {
        let installed = Path::new("/usr/sbin/rsyslogd");
        if installed.exists() {
            return Some((installed.to_owned(), None));
        }
        let program = self.path("rsyslog/usr/sbin/rsyslogd")?;
        let libraries = std::fs::read_dir(self.path("rsyslog/usr/lib")?).unwrap().flatten();
        Some((program, libraries.map(|entry| entry.path()).find(|path| path.join("rsyslog").exists())))
    }

    /// A program of tests/clients in Python.
    fn python(&self, script: &str) -> Option<Command> {
        let mut command = Command::new(self.path("python/bin/python")?);
        command.arg("-B").arg(here("tests/clients").join(script));
        Some(command)
    }
}

/// A file of this project.
fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn pip_installs_the_handler_as_it_is_here() {
    let Some(python) = Installed::find().and_then(|installed| installed.path("python/bin/python")) else {
        return;
    };
    let script = "import inspect, parselog_handler; print(inspect.getsource(parselog_handler), end='')";
    let output = Command::new(python).args(["-I", "-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let here = include_str!("../../../python/parselog_handler.py");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), here);
}
