//! The source as the rules see it: code without comments and without the contents of strings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One source file: its room, its path below `src`, its text and its code.
pub(super) struct Source {
    pub(super) room: String,
    pub(super) path: String,
    pub(super) text: String,
    pub(super) code: String,
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file but `lib.rs`, which is the map and only lists the rooms.
pub(super) fn sources() -> impl Iterator<Item = Source> {
    let paths = files(&root());
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

/// The Rust files in a folder and below it, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The rooms that follow `crate::`, or `parselog::` in main, in a list of several too.
pub(super) fn rooms_named(code: &str) -> BTreeSet<String> {
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

pub(super) fn names_crate(code: &str, name: &str) -> bool {
    let used = format!("{name}::");
    let imported = format!("use {name};");
    [used, imported].iter().any(|pattern| has_word(code, pattern))
}

pub(super) fn has_word(text: &str, word: &str) -> bool {
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
