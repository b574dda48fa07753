//! The shape of the source: which room imports which, who may use which outside crate, how long
//! and how documented a file is, and that nobody but `cli` prints.
//!
//! It reads the text of `src`, with comments and strings taken out. A room that does not exist yet
//! is simply absent; one that is not in `ROOMS` is a failure.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use parselog::durable::Synced;

/// The rooms, highest level first, as in the documentation of `lib.rs`. Imports go downward.
const ROOMS: [&[&str]; 8] = [
    &["main"],
    &["cli", "telemetry"],
    &["http"],
    &["worker", "reparse", "report", "doctor"],
    &["recovery"],
    &["archive", "reader", "diff", "notify"],
    &["scope", "queue"],
    &["spool", "objects", "store", "cluster", "parser"],
];

/// The lowest level.
const GROUND: &[&str] = &["ids", "record", "redact", "gzip", "carry", "config", "durable", "faults"];

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
    ("config", "record"), // Levels and patterns are settings in the words of these rooms.
    ("config", "redact"),
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

/// One source file: its room, its path below `src`, its text and its code.
struct Source {
    room: String,
    path: String,
    text: String,
    code: String,
}

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
    let long: Vec<String> = sources()
        .map(|source| (source.text.lines().count(), source.path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
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
fn the_reading_of_source_sees_code_and_nothing_else() {
    let code = code_of(
        "use crate::{ids::RunId, store};\n// crate::cli\n/* crate::worker */\nlet x = \"crate::http\";\n\
         let y = r#\"crate::reader\"#; let c = '\"'; fn f<'a>(x: &'a str) { crate::queue::claim() }\n\
         use crate::spool::{Journal, recover::{a, b}};",
    );
    let named: Vec<String> = rooms_named(&code).into_iter().collect();
    assert_eq!(named, ["ids", "queue", "spool", "store"]);
    assert!(names_crate("use sqlx::PgPool;", "sqlx") && names_crate("#[derive(sqlx::Type)]", "sqlx"));
    assert!(!names_crate("let csv = my_csv::read(); csv.next()", "csv"));
}

fn level_of(room: &str) -> Option<usize> {
    let upper = ROOMS.iter().position(|rooms| rooms.contains(&room));
    upper.or_else(|| GROUND.contains(&room).then_some(ROOMS.len()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file but `lib.rs`, which is the map and only lists the rooms.
fn sources() -> impl Iterator<Item = Source> {
    let mut paths = Vec::new();
    collect(&root(), &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "src holds no file");
    paths.into_iter().filter(|path| !path.ends_with("lib.rs")).map(|path| {
        let text = fs::read_to_string(&path).expect("a readable source file");
        let path = path.strip_prefix(root()).expect("a path below src").to_str().expect("UTF-8").to_owned();
        let room = path.split('/').next().expect("a first part").trim_end_matches(".rs").to_owned();
        // A unit test at the end of a file may use more than the file itself.
        let code = code_of(text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default());
        Source { room, path, text, code }
    })
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// The rooms that follow `crate::`, or `parselog::` in main, in a list of several too.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for start in ["crate::", "parselog::"] {
        for (at, _) in code.match_indices(start).filter(|(at, _)| !continues_a_word(code, *at)) {
            let rest = &code[at + start.len()..];
            let Some(list) = rest.strip_prefix('{') else {
                rooms.extend(first_word(rest));
                continue;
            };
            let mut depth = 0;
            let mut item_starts = true;
            for (at, c) in list.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => item_starts = true,
                    c if item_starts && !c.is_whitespace() => {
                        rooms.extend(first_word(&list[at..]));
                        item_starts = false;
                    }
                    _ => {}
                }
            }
        }
    }
    rooms
}

/// The leading lower-case name of a path; a type or a macro at the root is no room.
fn first_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    word.starts_with(|c: char| c.is_ascii_lowercase()).then_some(word)
}

fn names_crate(code: &str, name: &str) -> bool {
    let used = format!("{name}::");
    let imported = format!("use {name};");
    [used, imported].iter().any(|pattern| has_word(code, pattern))
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let next = text[at + word.len()..].chars().next();
        let ends =
            !word.ends_with(char::is_alphanumeric) || !next.is_some_and(|c| c.is_alphanumeric() || c == '_');
        ends && !continues_a_word(text, at)
    })
}

/// Whether the name at `at` is the tail of a longer name or path.
fn continues_a_word(text: &str, at: usize) -> bool {
    text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
        || (text[..at].ends_with("::") && text[..at - 2].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The text without comments and without the contents of strings.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            raw_string(rest)
        } else if c == '"' {
            quoted(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\'") {
            rest[1..].find('\'').map_or(1, |end| end + 2)
        } else {
            0
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            rest = &rest[skipped..];
        }
    }
    code
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of `r"…"` or `r#"…"#`; 0 for a raw identifier such as `r#type`.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    text[start..].find(&end).map_or(text.len(), |at| start + at + end.len())
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
