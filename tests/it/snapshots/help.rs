//! The help of every subcommand.

use std::process::Command;

use super::holds;

/// Where the options begin that every subcommand has.
const COMMON: &str = "\nWhere things live:\n";

/// The help at a wide terminal; at a narrow one it has the same words, within its width.
fn help(arguments: &[&str]) -> String {
    let [wide, narrow] = [200, 80].map(|columns| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_parselog"));
        let command = command.args(arguments).arg("--help").env_clear().env("COLUMNS", columns.to_string());
        String::from_utf8(command.output().expect("the program starts").stdout).expect("text")
    });
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(&wide), words(&narrow), "{arguments:?}");
    let widest = narrow.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{arguments:?}: {narrow}");
    wide
}

/// The commands that do something, with the words of their groups before them: `runs`, `token list`.
pub(super) fn commands() -> Vec<String> {
    let mut all = Vec::new();
    for name in subcommands(&help(&[])).into_iter().filter(|name| name != "help") {
        let text = help(&[&name]);
        let below = subcommands(&text);
        all.extend(below.iter().filter(|below| *below != "help").map(|below| format!("{name} {below}")));
        // A group alone says its help.
        if !text.contains(&format!("Usage: parselog {name} [OPTIONS] <COMMAND>")) {
            all.push(name);
        }
    }
    all
}

/// The names under `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list.take_while(|line| !line.is_empty());
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next().map(ToOwned::to_owned)).collect()
}

#[test]
fn the_help_of_every_subcommand_is_as_it_was() {
    let whole = help(&[]);
    let (first, common) = whole.split_once(COMMON).expect("the common options");
    holds("help", &format!("{first}{COMMON}{common}"));
    for name in subcommands(&whole).iter().filter(|name| *name != "help") {
        let text = help(&[name]);
        let (own, others) = text.split_once(COMMON).expect("the common options");
        assert!(common.starts_with(others.trim_end()), "{name} has the same common options");
        holds(&format!("help-{name}"), own);
        for below in subcommands(own).iter().filter(|name| *name != "help") {
            let text = help(&[name, below]);
            let own = text.split_once(COMMON).map_or(text.as_str(), |(own, _)| own);
            holds(&format!("help-{name}-{below}"), own);
        }
    }
}
