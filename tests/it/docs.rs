//! What the README and ARCHITECTURE.md say is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use parselog::cli::Cli;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Every option with a variable, as `(variable, flag)`.
fn options() -> BTreeSet<(String, String)> {
    let cli = Cli::command();
    let commands = std::iter::once(&cli).chain(cli.get_subcommands());
    commands
        .flat_map(clap::Command::get_arguments)
        .filter_map(|option| {
            Some((option.get_env()?.to_str()?.to_owned(), format!("--{}", option.get_long()?)))
        })
        .collect()
}

#[test]
fn the_configuration_table_lists_every_variable_with_its_flag_and_nothing_else() {
    let readme = read("README.md");
    let listed: BTreeSet<(String, String)> = readme
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('`');
            let variable = cells.next()?.to_owned();
            let flag = cells.nth(1)?.to_owned();
            (!variable.contains(' ') && flag.starts_with("--")).then_some((variable, flag))
        })
        .collect();
    assert_eq!(listed, options());
}

#[test]
fn the_command_table_lists_every_subcommand_once() {
    let readme = read("README.md");
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = command.get_name();
        let rows = readme.lines().filter_map(|line| line.strip_prefix("| `parselog ")?.strip_prefix(name));
        let rows = rows.filter(|rest| rest.starts_with([' ', '`'])).count();
        assert_eq!(rows, 1, "README.md lists `parselog {name}` so often");
    }
}

#[test]
fn the_architecture_names_every_room_and_no_other() {
    let architecture = read("ARCHITECTURE.md");
    let described: BTreeSet<String> = architecture
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(room, _)| room.to_owned()))
        .collect();
    let rooms: BTreeSet<String> = read("src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';').map(ToOwned::to_owned))
        .collect();
    assert_eq!(described, rooms.into_iter().filter(|room| room != "config").collect());
}

#[test]
fn files_that_the_docs_name_exist() {
    for doc in ["README.md", "ARCHITECTURE.md"] {
        for word in read(doc).split(|c: char| c.is_whitespace() || "`()|,".contains(c)) {
            let word = word.trim_end_matches(['.', ':', ';']);
            if word.starts_with("tests/")
                || word.starts_with("samples/")
                || word.starts_with("localstack/")
                || word.starts_with("examples/")
            {
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(word).exists(), "{doc} names {word}");
            }
        }
    }
}
