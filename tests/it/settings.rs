//! Every setting is read by its type: nonsense is refused by name, and what is empty is unset.

use std::collections::BTreeSet;
use std::process::Output;

use clap::{Arg, CommandFactory};
use parselog::cli::Cli;

use crate::support::{Desk, sample};

/// Settings that may be any text: a folder or a file has any name, and a secret is as others made it.
const ANY_TEXT: [&str; 7] = [
    "PARSELOG_HOME",
    "PARSELOG_SPOOL",
    "PARSELOG_REFUGE",
    "PARSELOG_STREAM_RULES",
    "PARSELOG_COLLECT_SOCKET",
    "PARSELOG_OIDC_SECRET",
    "PARSELOG_OIDC_SECRET_FILE",
];

/// What no other setting takes: no number, size, time, address, URL, level, rule, name or pattern.
const NONSENSE: &str = "(?! non sense";

/// Options with a variable, as `(variable, flag, secret, a command line that has it)`.
fn options() -> BTreeSet<(String, String, bool, &'static [&'static str])> {
    let cli = Cli::command();
    let option = |option: &Arg, command: &'static [&'static str]| {
        let variable = option.get_env()?.to_str()?.to_owned();
        Some((variable, format!("--{}", option.get_long()?), option.is_hide_env_values_set(), command))
    };
    let of_serve = cli.find_subcommand("serve").into_iter().flat_map(clap::Command::get_arguments);
    // Those of `ui` are among those of `serve`.
    let others = cli.get_subcommands().filter(|command| !["serve", "ui"].contains(&command.get_name()));
    let others = std::iter::once(&cli).chain(others).flat_map(clap::Command::get_arguments);
    let of_serve = of_serve.filter_map(|found| option(found, &["serve"]));
    others.filter_map(|found| option(found, &["worker", "--drain"])).chain(of_serve).collect()
}

fn refused(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("parselog: ") && stderr.contains("expected"), "{stderr}");
    stderr
}

#[tokio::test]
async fn nonsense_in_any_setting_is_refused_in_one_line_with_name_value_and_what_is_allowed() {
    let desk = Desk::new().await;
    let options = options();
    assert!(options.len() > 25, "{options:?}");
    for (variable, flag, secret, command) in options {
        if ANY_TEXT.contains(&variable.as_str()) {
            continue;
        }
        let said = refused(&desk.command(command).env(&variable, NONSENSE).output().unwrap());
        assert!(said.starts_with(&format!("parselog: {variable}")), "{said}");
        assert_eq!(said.contains(NONSENSE), !secret, "{said}");
        if flag != "--s3-path-style" {
            let given = format!("{flag}={NONSENSE}");
            let said = refused(&desk.command(command).arg(&given).output().unwrap());
            assert!(said.starts_with(&format!("parselog: {flag}")), "{said}");
            assert_eq!(said.contains(NONSENSE), !secret, "{said}");
        }
    }
}

#[tokio::test]
async fn a_variable_that_is_empty_is_unset_whichever_it_is() {
    let desk = Desk::new().await;
    desk.ok(&["submit", &sample("tanf-active-2021-q1.txt")]);
    for empty in ["", " ", "\n"] {
        let mut worker = desk.command(&["worker", "--drain", "--global-level", "warn"]);
        for (variable, ..) in options() {
            // These two say where this test's database and files are.
            if variable != "DATABASE_URL" && variable != "PARSELOG_HOME" {
                worker.env(variable, empty);
            }
        }
        let output = worker.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{empty:?}");
    }
    assert_eq!(desk.ok(&["runs", "--json", "--status", "success"]).json().len(), 1);
}

#[tokio::test]
async fn values_that_would_do_nothing_or_too_much_are_refused_and_their_parts_are_named() {
    let desk = Desk::new().await;
    for (variable, value, part) in [
        ("PARSELOG_LEVEL", "wanr", "'wanr'"),
        ("PARSELOG_LEVEL", "30", "'30'"),
        ("PARSELOG_GLOBAL_LEVEL", "info,sqlx=loud", "'loud'"),
        ("PARSELOG_REDACT", "CASE-\\d+\nx*", "'x*' matches the empty text"),
        ("PARSELOG_REDACT", "\\b", "'\\b' matches the empty text"),
        ("PARSELOG_MAIL_ADMINS", "ann@example.org, bob@@example.org", "'bob@@example.org'"),
        ("PARSELOG_SLOTS", "0", "1 to 1000"),
        ("PARSELOG_SWEEP", "0s", "more than zero"),
        ("PARSELOG_LEASE", "900y", "ten years"),
        ("PARSELOG_BUCKET", "s3://submissions", "without s3://"),
        ("PARSELOG_MAIL_LINKS", "8d", "a week"),
        ("PARSELOG_LOG_CAP", "1", "16 KiB"),
        ("PARSELOG_PARSERS", "fra=python3 x.py", "'fra=python3 x.py'"),
        ("PARSELOG_PARSERS", "fra/*=python3 'x.py", "open quote"),
        ("DATABASE_URL", "mysql://ann:secret@host/db", "postgres://"),
        ("PARSELOG_SMTP_URL", "http://ann:secret@host", "smtps://"),
    ] {
        let output = desk.command(&["worker", "--drain"]).env(variable, value).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{variable}={value}: {said}");
        assert!(said.starts_with(&format!("parselog: {variable}")) && said.contains(part), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    for (variable, value) in [
        ("PARSELOG_LEVEL", "WARNING, sqlx = critical"),
        ("PARSELOG_MAIL_ADMINS", "ann@example.org, bob@example.org ,"),
        ("PARSELOG_REDACT", "CASE-\\d+\r\n\n  \nfile [0-9]+\n"),
        ("PARSELOG_PARSERS", "FRA/*=cat {file}\n\n"),
    ] {
        let output = desk.command(&["runs"]).env(variable, value).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_long_help_of_every_command_is_whole() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut cli = Cli::command();
    let help: String =
        cli.get_subcommands_mut().map(|command| words(&command.render_long_help().to_string())).collect();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let blocks: Vec<_> = text.split("#[derive(Debug, Args)]").collect();
        for pair in blocks.windows(2) {
            // One without `pub` is a part of another, which speaks for it.
            let item = pair[1].lines().find(|line| line.contains("struct ")).unwrap_or_default();
            if !item.starts_with("pub(super)") {
                continue;
            }
            let comment: Vec<_> = pair[0].lines().rev().take_while(|line| line.starts_with("///")).collect();
            let comment: Vec<_> = comment.into_iter().rev().map(|line| line[3..].trim()).collect();
            for paragraph in comment.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()) {
                let paragraph = words(&paragraph.join(" ").replace('`', ""));
                let help = help.replace('`', "");
                assert!(help.contains(paragraph.trim_end_matches('.')), "no help says: {paragraph}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}
