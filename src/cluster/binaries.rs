//! Where the installed Postgres is: `$PG_BIN`, `PATH`, and the folders that packages use.

use std::cmp::Reverse;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

const NEEDED: [&str; 2] = ["initdb", "postgres"];

/// A folder with everything a cluster needs, all of one version.
#[derive(Debug)]
pub(super) struct Binaries {
    dir: PathBuf,
}

impl Binaries {
    /// Finds Postgres. `made_by` is the major version of an existing cluster: no other can run it.
    pub(super) fn find(made_by: Option<u32>) -> anyhow::Result<Self> {
        if let Some(dir) = env::var_os("PG_BIN").filter(|dir| !dir.is_empty()) {
            let dir = PathBuf::from(dir);
            if !is_complete(&dir) {
                bail!("PG_BIN names {}, which lacks one of: {}", dir.display(), NEEDED.join(", "));
            }
            return Self::choose(&[dir], made_by);
        }
        let found: Vec<PathBuf> = candidates().into_iter().filter(|dir| is_complete(dir)).collect();
        Self::choose(&found, made_by)
    }

    /// The path of one program.
    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.dir.join(program)
    }

    fn choose(found: &[PathBuf], made_by: Option<u32>) -> anyhow::Result<Self> {
        let Some(first) = found.first() else { bail!(missing()) };
        let Some(wanted) = made_by else { return Ok(Self { dir: first.clone() }) };
        for dir in found {
            if major_version(dir)? == wanted {
                return Ok(Self { dir: dir.clone() });
            }
        }
        bail!(
            "the embedded database was made by PostgreSQL {wanted}, and only {} was found: install \
             PostgreSQL {wanted}, name its bin folder in PG_BIN, or set DATABASE_URL",
            first.display()
        )
    }
}

/// One line on what to do without any Postgres.
fn missing() -> String {
    let install =
        if cfg!(target_os = "macos") { "brew install postgresql" } else { "apt-get install postgresql" };
    format!(
        "no PostgreSQL was found: run `{install}`, or name the bin folder of one in PG_BIN, or set \
         DATABASE_URL to a database of your own"
    )
}

fn candidates() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    dirs.extend(versioned("/usr/lib/postgresql", "", "bin"));
    dirs.extend(versioned("/usr", "pgsql-", "bin"));
    for brew in ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"] {
        dirs.push(Path::new(brew).join("postgresql/bin"));
        dirs.extend(versioned(brew, "postgresql@", "bin"));
    }
    dirs
}

/// The folders `<parent>/<prefix><number>/<inner>`, highest number first.
fn versioned(parent: &str, prefix: &str, inner: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join(inner)))
        })
        .collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, dir)| dir).collect()
}

fn is_complete(dir: &Path) -> bool {
    dir.is_absolute() && NEEDED.iter().all(|program| dir.join(program).is_file())
}

/// The major version of a folder's server, from `postgres (PostgreSQL) 15.12 (Debian …)`.
fn major_version(dir: &Path) -> anyhow::Result<u32> {
    let program = dir.join("postgres");
    let output = Command::new(&program)
        .arg("--version")
        .output()
        .with_context(|| format!("failed to run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace()
        .find_map(|word| word.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .with_context(|| format!("failed to read the version of {}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_postgres_one_line_says_what_to_run() {
        let error = Binaries::choose(&[], None).expect_err("nothing was found").to_string();
        assert!(error.contains("install postgresql") && error.contains("DATABASE_URL"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn a_cluster_of_another_version_is_refused_by_name() {
        let installed = Binaries::find(None).expect("tests need PostgreSQL").dir;
        let error = Binaries::choose(&[installed], Some(7)).expect_err("nobody has 7").to_string();
        assert!(error.contains("PostgreSQL 7"), "{error}");
    }
}
