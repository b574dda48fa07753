//! What the commands print, whole: help, lists, comparisons and errors, as snapshots beside this file.
//!
//! A difference fails the test. `INSTA_UPDATE=always` takes it over where it is meant.

mod answer;
mod commands;
mod help;
mod outputs;
mod shapes;

use regex::Regex;

use crate::support::{Desk, Said};

/// Holds what was printed against the snapshot of this name.
fn holds(name: &str, printed: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(".");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, printed));
}

/// What a command printed and how it ended, without what differs from one time to the next.
fn printed(desk: &Desk, arguments: &[&str]) -> String {
    without_what_differs(desk, arguments, desk.run(arguments))
}

/// What several commands print at a terminal of so many columns.
fn printed_at(desk: &Desk, columns: &str, commands: &[&[&str]]) -> String {
    let one = |arguments: &&[&str]| {
        let output = desk.command(arguments).env("COLUMNS", columns).output().expect("the program starts");
        without_what_differs(desk, arguments, Said::of(output))
    };
    commands.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn without_what_differs(desk: &Desk, arguments: &[&str], said: Said) -> String {
    let Said { code, out, err } = said;
    let home = desk.path("");
    let shown = arguments.join(" ").replace(&home, "");
    let mut text = format!("$ parselog {shown}\n{out}");
    for line in err.lines() {
        text += &format!("stderr: {line}\n");
    }
    if code != 0 {
        text += &format!("exit code: {code}\n");
    }
    for (pattern, instead) in [
        (regex::escape(home.trim_end_matches('/')).as_str(), "HOME"),
        ("file://[^ ]*…", "file://…"),
        ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
        (r"\b[0-9a-f]{8}\b", "SHORT_ID"),
        ("[0-9]{8}T[0-9]{6}Z", "STAMP"),
        (r"(parselog_[0-9]+_|link=)[0-9a-f]{64}", "${1}SECRET"),
        (r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( UTC|Z)?", "TIME"),
        (r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2}\b", "20YY-MM-DD"),
        (r" +[0-9]+\.[0-9] s\b", " TOOK"),
        (r" +[0-9.]+ (B|KiB)\b", " SIZE"),
    ] {
        text = Regex::new(pattern).expect("a pattern").replace_all(&text, instead).into_owned();
    }
    text
}

/// What several commands printed, one after the other.
fn all_printed(desk: &Desk, commands: &[&[&str]]) -> String {
    commands.iter().map(|arguments| printed(desk, arguments)).collect::<Vec<_>>().join("\n")
}
