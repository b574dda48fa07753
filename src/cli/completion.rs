//! `parselog completion`: what a shell needs to complete commands, options, run ids and file names; and the man
//! pages.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, FromArgMatches, ValueEnum};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use clap_complete::{ArgValueCompleter, CompleteEnv, CompletionCandidate};

use super::database::open_running_database;
use super::{Cli, Exit, show};
use crate::record::Safe;
use crate::store::{self, Run, RunFilter};

/// The variable by which a completion script asks this program.
const VARIABLE: &str = "COMPLETE";

/// A person who presses the tab key does not wait longer.
const PATIENCE: Duration = Duration::from_millis(800);

/// How the value of an argument is called that names a run.
const TARGETS: [&str; 2] = ["RUN|FILE", "RUN_"];

/// The runs to choose from: the latest.
const OFFERED: i64 = 50;

/// Print a completion script for a shell, or write one for each shell and the man pages.
///
/// It completes commands, options, run ids and file names. `make install` puts everything where shells look.
#[derive(Debug, Args)]
pub(super) struct CompletionArgs {
    #[arg(required_unless_present = "all")]
    shell: Option<Shell>,
    /// Write the scripts of all shells and the man pages below this folder, as below /usr/share.
    #[arg(long, value_name = "DIR", conflicts_with = "shell")]
    all: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl CompletionArgs {
    pub(super) fn run(self) -> Result<Exit> {
        match (self.shell, self.all) {
            (Some(shell), _) => show::line(String::from_utf8(shell.script()?)?.trim_end())?,
            (None, Some(share)) => {
                for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
                    write(&share.join(shell.place()), &shell.script()?)?;
                }
                let pages = share.join("man/man1");
                fs::create_dir_all(&pages).with_context(|| format!("failed to make {}", pages.display()))?;
                clap_mangen::generate_to(Cli::command(), &pages).context("failed to write the man pages")?;
                show::note(&format!("completions and man pages are in {}", share.display()));
            }
            (None, None) => {}
        }
        Ok(Exit::Ok)
    }
}

impl Shell {
    fn script(self) -> Result<Vec<u8>> {
        let completer: &dyn EnvCompleter = match self {
            Self::Bash => &Bash,
            Self::Zsh => &Zsh,
            Self::Fish => &Fish,
        };
        let mut script = Vec::new();
        completer
            .write_registration(VARIABLE, "parselog", "parselog", "parselog", &mut script)
            .context("failed to make the script")?;
        Ok(script)
    }

    /// Where the shell looks, below a `share` folder.
    fn place(self) -> &'static str {
        match self {
            Self::Bash => "bash-completion/completions/parselog",
            Self::Zsh => "zsh/site-functions/_parselog",
            Self::Fish => "fish/vendor_completions.d/parselog.fish",
        }
    }
}

/// Answers a completion script, if one asks, and ends the process.
pub(super) fn answer() {
    let command = || {
        Cli::command().mut_subcommands(|below| {
            below.mut_args(|argument| {
                let names = argument.get_value_names().into_iter().flatten();
                let is_target = names.into_iter().any(|name| TARGETS.iter().any(|of| name.starts_with(of)));
                if is_target { argument.add(ArgValueCompleter::new(targets)) } else { argument }
            })
        })
    };
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// The runs and files that `typed` may become. Silence is the only answer to a database that is not there.
fn targets(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let special = ["@latest", "@failed", "@rejected"].map(CompletionCandidate::new);
    let mut found: Vec<_> = special.into_iter().collect();
    for run in latest_runs().unwrap_or_default() {
        let id = run.id.to_string();
        let (name, verdict) = (Safe(&run.name).to_string(), run.verdict());
        found.push(
            CompletionCandidate::new(&id[id.len() - 8..]).help(Some(format!("{name}, {verdict}").into())),
        );
        // The shell would put a name that is not safe on the screen as it is; such a file is found by its run.
        if name == run.name {
            found.push(CompletionCandidate::new(name));
        }
    }
    let begins = |candidate: &CompletionCandidate| candidate.get_value().to_string_lossy().starts_with(typed);
    found.retain(begins);
    found.sort_by(|a, b| a.get_value().cmp(b.get_value()));
    found.dedup_by(|a, b| a.get_value() == b.get_value());
    found
}

/// The latest runs of the configured database, or of the embedded one while it runs.
fn latest_runs() -> Result<Vec<Run>> {
    let matches = Cli::command().try_get_matches_from(["parselog", "runs"])?;
    let common = Cli::from_arg_matches(&matches)?.common;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listing = async {
            let pool = open_running_database(&common).await?.context("no database runs")?;
            let filter = RunFilter { limit: Some(OFFERED), ..RunFilter::default() };
            store::find(&pool, &filter).await
        };
        tokio::time::timeout(PATIENCE, listing).await?
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = || format!("failed to write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    fs::write(path, bytes).with_context(failed)
}
