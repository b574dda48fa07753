//! What commands print: nothing that could fool a terminal, and nothing lost unnoticed.

mod devices;
mod hostile;

use std::collections::BTreeSet;

use clap::CommandFactory;
use parselog::cli::Cli;

/// Fails unless each subcommand of the program is among these command lines.
fn assert_every_command(lines: &[&[&str]]) {
    let walked: BTreeSet<&str> = lines.iter().map(|line| line[0]).collect();
    let cli = Cli::command();
    let missing: Vec<&str> =
        cli.get_subcommands().map(clap::Command::get_name).filter(|name| !walked.contains(name)).collect();
    assert!(missing.is_empty(), "this test does not run {missing:?}");
}
