//! The shape of the source: which room imports which, who may use which outside crate, how long
//! and how documented a file is, and that nobody but `cli` prints.
//!
//! A room that does not exist yet is simply absent; one that is not in `ROOMS` is a failure.

mod source;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use parselog::durable::Synced;

pub(crate) use source::files;
use source::{has_word, names_crate, rooms_named, root, sources};

/// The rooms, highest level first, as in the documentation of `lib.rs`. Imports go downward.
const ROOMS: [&[&str]; 9] = [
    &["main"],
    &["cli", "telemetry"],
    &["http"],
    &["worker", "reparse", "report", "doctor"],
    &["recovery"],
    &["archive", "reader", "diff", "notify"],
    &["scope", "queue", "system"],
    &["config"],
    &["spool", "objects", "store", "cluster", "parser"],
];

/// The lowest level.
const GROUND: &[&str] = &["ids", "record", "redact", "gzip", "carry", "durable", "faults"];

/// Imports between rooms of one level that are meant: (who, whom).
const NEIGHBOURS: &[(&str, &str)] = &[
    ("main", "cli"),
    ("cli", "telemetry"),
    ("reparse", "worker"),
    ("worker", "report"),
    ("archive", "reader"),
    ("diff", "reader"),
    ("queue", "store"),
    ("store", "parser"), // The outcome is what a run's row holds.
    ("record", "ids"),
    ("redact", "record"),
    ("durable", "faults"),
];

/// Outside crates that belong to some rooms alone: the crate, and where it may be named.
const WALLS: &[(&str, &[&str])] = &[
    ("sqlx", &["store", "queue", "ids"]),
    ("aws_config", &["objects"]),
    ("aws_credential_types", &["objects"]),
    ("aws_sdk_s3", &["objects"]),
    ("aws_smithy_types", &["objects"]),
    ("aws_smithy_runtime_api", &["objects"]),
    ("lettre", &["notify", "config"]),
    ("flate2", &["gzip"]),
    ("clap", &["main", "cli", "config", "telemetry"]),
    ("indicatif", &["cli"]),
    ("memmap2", &["spool"]),
    ("libc", &["spool"]),
    ("itoa", &["record"]),
    ("calamine", &["parser"]),
    ("quick_xml", &["parser"]),
    ("rust_xlsxwriter", &["report"]),
    ("csv", &["parser", "report", "cli"]),
    ("toml", &["parser", "config"]),
    ("shlex", &["parser", "config"]),
    ("regex_syntax", &["redact"]),
    ("regex", &["redact", "parser", "reader", "diff", "cli"]),
    ("tracing_subscriber", &["scope", "telemetry", "config"]),
    ("rustix", &["config", "cluster", "spool", "parser", "worker", "cli", "faults"]),
];

const LONGEST_FILE: usize = 350;

#[test]
fn imports_go_downward_only() {
    let mut complaints = String::new();
    for source in sources() {
        let Some(level) = level_of(&source.room) else {
            let _ = writeln!(complaints, "{}: `{}` is in no level of ROOMS", source.path, source.room);
            continue;
        };
        for other in rooms_named(&source.code) {
            let known = NEIGHBOURS.contains(&(source.room.as_str(), other.as_str()));
            match level_of(&other) {
                _ if other == source.room || known => {}
                None => {
                    let _ = writeln!(complaints, "{}: `crate::{other}` is no room", source.path);
                }
                Some(below) if below > level => {}
                Some(_) => {
                    let _ = writeln!(
                        complaints,
                        "{}: `{}` may not import `{other}`, which is not below it",
                        source.path, source.room
                    );
                }
            }
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
fn each_outside_crate_stays_in_its_rooms() {
    let mut complaints = String::new();
    for source in sources() {
        for (outside, rooms) in WALLS {
            if !rooms.contains(&source.room.as_str()) && names_crate(&source.code, outside) {
                let _ = writeln!(complaints, "{}: `{outside}` belongs to {}", source.path, rooms.join(", "));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
fn every_file_says_what_it_owns() {
    let silent: Vec<String> =
        sources().filter(|source| !source.text.starts_with("//! ")).map(|source| source.path).collect();
    assert!(silent.is_empty(), "no `//!` header: {silent:?}");
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let long: Vec<String> = ["src", "tests", "benches"]
        .iter()
        .flat_map(|folder| files(&root().join("..").join(folder)))
        .map(|path| (fs::read_to_string(&path).expect("a readable file").lines().count(), path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "over {LONGEST_FILE} lines: {long:?}");
}

#[test]
fn only_the_command_line_prints() {
    let printers: Vec<String> = sources()
        .filter(|source| source.room != "cli")
        .filter(|source| {
            ["println!", "eprintln!", "print!", "eprint!", "dbg!"]
                .iter()
                .any(|name| has_word(&source.code, name))
        })
        .map(|source| source.path)
        .collect();
    assert!(printers.is_empty(), "only src/cli may print: {printers:?}");
}

#[test]
fn the_command_line_prints_in_one_file() {
    let printers: Vec<String> = sources()
        .filter(|source| source.room == "cli" && source.path != "cli/show.rs")
        .filter(|source| {
            ["stdout", "stderr", "println!", "eprintln!", "print!", "eprint!"]
                .iter()
                .any(|name| has_word(&source.code, name))
        })
        .map(|source| source.path)
        .collect();
    assert!(printers.is_empty(), "only src/cli/show.rs may name stdout and stderr: {printers:?}");
}

/// So that the power-loss harness can leave out each sync by its name, and no new one goes untested.
#[test]
fn every_sync_has_a_name_and_one_place() {
    let mut complaints = String::new();
    for source in sources().filter(|source| source.room != "durable") {
        for call in ["sync_all", "sync_data", "fsync", "fdatasync", "syncfs", "msync"] {
            if has_word(&source.code.replace('.', " "), call) {
                let _ = writeln!(complaints, "{}: `{call}` goes around `durable`", source.path);
            }
        }
    }
    for sync in Synced::ALL {
        let variant = format!("Synced::{sync:?}");
        let inside = usize::from(sync == Synced::Folder);
        let places = sources().filter(|source| source.room != "durable").map(|source| source.code);
        let count: usize = places
            .map(|code| {
                code.split(&variant).skip(1).filter(|rest| !rest.starts_with(char::is_alphanumeric)).count()
            })
            .sum();
        if count + inside != 1 {
            let _ = writeln!(complaints, "`{variant}` is used in {count} places");
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
fn the_map_in_lib_names_every_room() {
    let map = fs::read_to_string(root().join("lib.rs")).expect("src/lib.rs");
    let rooms: BTreeSet<String> = sources().map(|source| source.room).filter(|room| room != "main").collect();
    let header: String = map.lines().filter(|line| line.starts_with("//!")).collect();
    let unnamed: Vec<_> = rooms.iter().filter(|room| !has_word(&header, room)).collect();
    assert!(unnamed.is_empty(), "the documentation of lib.rs does not name {unnamed:?}");
}

#[test]
fn counts_and_json_reach_a_row_through_the_boundary_alone() {
    let mut complaints = String::new();
    for source in sources().filter(|source| matches!(source.room.as_str(), "store" | "queue")) {
        if source.path.ends_with("fit.rs") {
            continue;
        }
        for around in ["cast_signed", "bind(Json(", "| Json("] {
            if source.code.contains(around) {
                let _ = writeln!(complaints, "{}: `{around}` goes around `store::fit`", source.path);
            }
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

fn level_of(room: &str) -> Option<usize> {
    let upper = ROOMS.iter().position(|rooms| rooms.contains(&room));
    upper.or_else(|| GROUND.contains(&room).then_some(ROOMS.len()))
}
