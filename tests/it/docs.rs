//! What the README and ARCHITECTURE.md say is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use parselog::cli::Cli;

use crate::architecture::files;

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
fn files_that_the_docs_and_the_source_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = files(&root.join("src")).into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path.display().to_string(), text)
    });
    for (page, text) in pages().into_iter().chain(source) {
        for word in text.split(|c: char| c.is_whitespace() || "`()|,*:\"".contains(c)) {
            let word = word.trim_end_matches(['.', ';']);
            let folders = ["tests/", "samples/", "localstack/", "examples/", "scripts/", "src/", "python/"];
            if folders.iter().any(|folder| word.starts_with(folder)) {
                assert!(root.join(word).exists(), "{page} names {word}");
            }
        }
    }
}

/// The pieces of code in a page: each line of a block, each span between backticks.
fn code(page: &str) -> Vec<String> {
    let mut in_block = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            found.push(line.trim_start_matches("$ ").split(" #").next().unwrap_or_default().to_owned());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(ToOwned::to_owned));
        }
    }
    found
}

fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readmes = ["README.md", "ARCHITECTURE.md", "localstack/README.md", "python/README.md"];
    let mut names = readmes.map(ToOwned::to_owned).to_vec();
    let docs = fs::read_dir(root.join("docs")).unwrap().flatten();
    names.extend(docs.map(|entry| format!("docs/{}", entry.file_name().to_str().unwrap())));
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

#[test]
fn commands_and_options_that_the_docs_name_exist() {
    let cli = Cli::command();
    let named = |command: &clap::Command, flag: &str| {
        command.get_arguments().any(|argument| argument.get_long() == Some(flag))
    };
    let mut seen = 0;
    for (page, text) in pages() {
        for code in code(&text) {
            let Some(words) = code.strip_prefix("parselog ") else { continue };
            let words: Vec<&str> = words.split_whitespace().collect();
            // An option of all commands, or a word that stands for any of them.
            let Some(name) = words.first().filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
            else {
                continue;
            };
            let command = cli.find_subcommand(name);
            let command = command.unwrap_or_else(|| panic!("{page} names `parselog {name}`"));
            let below: Vec<&clap::Command> = command.get_subcommands().collect();
            for word in words.iter().filter_map(|word| word.strip_prefix("--")) {
                let flag = word.split(['=', '`', ',', ';', ')']).next().unwrap_or_default();
                let known = ["help", "version"].contains(&flag)
                    || std::iter::once(&command).chain(&below).any(|command| named(command, flag))
                    || cli.get_arguments().any(|argument| argument.get_long() == Some(flag));
                assert!(known, "{page}: `parselog {name}` has no --{flag}");
            }
            seen += 1;
        }
    }
    assert!(seen > 50, "the commands of the docs are not found: {seen}");
}

#[test]
fn targets_of_make_that_the_docs_name_exist() {
    let makefile = read("Makefile");
    for (page, text) in pages() {
        for code in code(&text) {
            let Some(target) = code.strip_prefix("make ").and_then(|words| words.split(' ').next()) else {
                continue;
            };
            let exists = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
            assert!(exists, "{page} names `make {target}`");
        }
    }
}

#[test]
fn the_package_holds_what_is_needed_to_build_it_and_nothing_else() {
    let listed = std::process::Command::new(env!("CARGO"))
        .args(["package", "--list", "--locked", "--offline", "--allow-dirty"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let listed: BTreeSet<&str> = listed.lines().collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in files(&root.join("src")) {
        let file = file.strip_prefix(root).unwrap().to_str().unwrap();
        assert!(listed.contains(file), "{file} is not in the package");
    }
    for folder in ["assets", "templates"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let file = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
            assert!(listed.contains(file.as_str()), "{file} is not in the package");
        }
    }
    let made = ["Cargo.toml", "Cargo.toml.orig", "Cargo.lock", ".cargo_vcs_info.json", "ARCHITECTURE.md"];
    let needed = ["build.rs", "examples/letters.rs", "LICENSE-MIT", "LICENSE-APACHE", "README.md"];
    for file in needed.into_iter().chain(["src/parser/tdp/schema/tanf.toml"]) {
        assert!(listed.contains(file), "{file} is not in the package");
    }
    let is_known = |file: &str| {
        ["src/", "assets/", "templates/", "migrations/", "examples/parsers/"]
            .iter()
            .any(|folder| file.starts_with(folder))
            || made.contains(&file)
            || needed.contains(&file)
    };
    let junk: Vec<_> = listed.iter().filter(|file| !is_known(file)).collect();
    assert!(junk.is_empty(), "{junk:?}");
}
