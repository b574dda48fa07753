//! The shape of the source: which room and which file uses which, who may use which outside crate, how
//! long and how documented a file is, and that nobody but `cli` prints.
//!
//! The rooms and their levels are listed in `ARCHITECTURE.md` alone; `plan` reads them there.

mod dependencies;
mod graph;
mod plan;
mod source;
mod sql;
mod words;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use parselog::durable::Synced;
use syn::visit::{self, Visit};

use graph::Graph;
use plan::levels;
pub(crate) use source::files;
use source::{Source, all_sources, root, sources};

/// Imports between rooms of one level that are meant: (who, whom).
const NEIGHBOURS: &[(&str, &str)] = &[
    ("main", "cli"),
    ("cli", "telemetry"),
    ("worker", "report"),
    ("diff", "reader"),
    ("store", "parser"), // The outcome is what a run's row holds.
    ("record", "ids"),
    ("frames", "record"),
    ("durable", "faults"),
];

/// Outside crates that belong to some rooms alone: the crate, and where it may be named.
const WALLS: &[(&str, &[&str])] = &[
    ("sqlx", &["store", "queue", "ids"]),
    ("aws_config", &["objects"]),
    ("aws_credential_types", &["objects"]),
    ("aws_sdk_s3", &["objects"]),
    ("lettre", &["notify", "config"]),
    ("flate2", &["gzip", "http"]),
    ("parquet", &["dataset"]),
    ("askama", &["http"]),
    ("hmac", &["notify"]),
    ("jsonwebtoken", &["oidc"]),
    ("oauth2", &["oidc"]),
    ("reqwest", &["notify", "oidc"]),
    ("axum", &["http"]),
    ("hyper", &["http"]),
    ("hyper_util", &["http"]),
    ("prometheus_client", &["http"]),
    ("prost", &["http"]),
    ("snap", &["http"]),
    ("zstd", &["http"]),
    ("redis", &["publish"]),
    ("subtle", &["desk"]),
    ("clap", &["cli", "config"]),
    ("indicatif", &["cli"]),
    ("unicode_width", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("strsim", &["desk"]),
    ("memmap2", &["spool"]),
    ("libc", &["spool", "collector", "cli"]),
    ("itoa", &["record"]),
    ("calamine", &["parser"]),
    ("quick_xml", &["parser"]),
    ("rust_xlsxwriter", &["report"]),
    ("csv", &["report", "cli"]),
    ("toml", &["config", "intake", "parser"]),
    ("shlex", &["parser", "config"]),
    ("regex_syntax", &["redact"]),
    ("regex", &["redact", "parser", "reader", "http", "cli"]),
    ("tracing_subscriber", &["scope", "telemetry", "config"]),
    (
        "rustix",
        &[
            "cli",
            "collector",
            "config",
            "cluster",
            "spool",
            "parser",
            "parse",
            "objects",
            "http",
            "faults",
            "carry",
        ],
    ),
    ("secrecy", &["config", "cli", "notify", "oidc", "desk", "http", "publish"]),
];

const LONGEST_FILE: usize = 350;
const SHORTEST_FILE: usize = 50;

/// Files that are shorter, and why. A `main.rs` and a `mod.rs` may be.
const SHORT: &[(&str, &str)] = &[
    ("archive/reports.rs", "the places of reports, for those who delete and those who look"),
    ("cli/migrate.rs", "one file per subcommand"),
    ("cli/pager.rs", "another program's life, apart from what is printed"),
    ("cli/parse_process.rs", "one file per subcommand"),
    ("cluster/detach.rs", "unsafe code stands alone"),
    ("collector/message.rs", "both processes share it, and neither owns it"),
    ("http/api/health.rs", "one file for each kind of client"),
    ("http/api/loki.rs", "one file for each kind of client"),
    ("http/route.rs", "the table and those who fill it share it, and none owns it"),
    ("parse/ending.rs", "the words of an ending, not the way to it"),
    ("parser/command/stream.rs", "five files share it, and none owns it"),
    ("scope/mark.rs", "the layer and the spans that threads are in share it"),
    ("spool/missing.rs", "three ways to close a log share it"),
    ("store/follow.rs", "one file per table"),
];

#[test]
fn imports_go_downward_only() {
    let graph = Graph::of(all_sources());
    let levels = levels();
    let level_of = |room: &str| levels.iter().position(|rooms| rooms.iter().any(|known| known == room));
    let mut complaints = String::new();
    let mut needed = Vec::new();
    for source in sources() {
        let Some(level) = level_of(&source.room) else {
            let _ = writeln!(complaints, "{}: `{}` is no room of ARCHITECTURE.md", source.path, source.room);
            continue;
        };
        for used in graph.uses(&source.module) {
            let Some(other) = used.first().filter(|other| **other != source.room) else { continue };
            let pair = (source.room.as_str(), other.as_str());
            if level_of(other).is_some_and(|below| below > level) {
                continue;
            }
            match NEIGHBOURS.iter().find(|known| **known == pair) {
                Some(known) => needed.push(known),
                None => {
                    let _ = writeln!(
                        complaints,
                        "{}: `{}` may not use `{other}`, which is not below it",
                        source.path, source.room
                    );
                }
            }
        }
    }
    for pair in NEIGHBOURS.iter().filter(|pair| !needed.contains(pair)) {
        let _ = writeln!(complaints, "take {pair:?} out of NEIGHBOURS, nobody needs it");
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
fn each_outside_crate_stays_in_its_rooms() {
    let mut complaints = String::new();
    let sources: Vec<_> = sources().collect();
    for (outside, rooms) in WALLS {
        for source in &sources {
            if !rooms.contains(&source.room.as_str()) && source.code.names_crate(outside) {
                let _ = writeln!(complaints, "{}: `{outside}` belongs to {}", source.path, rooms.join(", "));
            }
        }
        for room in *rooms {
            if !sources.iter().any(|source| source.room == *room && source.code.names_crate(outside)) {
                let _ = writeln!(complaints, "`{outside}` is not used in `{room}`: say so in WALLS");
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
fn no_file_is_shorter_than_a_noun_needs() {
    let is_short = |source: &Source| source.text.lines().count() < SHORTEST_FILE;
    let may_be = |path: &str| path.ends_with("main.rs") || path.ends_with("mod.rs");
    let short: BTreeSet<String> = sources()
        .filter(|source| is_short(source) && !may_be(&source.path))
        .map(|source| source.path)
        .collect();
    let known = SHORT.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(short, known, "under {SHORTEST_FILE} lines, and those of SHORT");
}

const PRINTING: [&str; 5] = ["println", "eprintln", "print", "eprint", "dbg"];

#[test]
fn only_the_command_line_prints() {
    let printers: Vec<String> = sources()
        .filter(|source| source.room != "cli")
        .filter(|source| PRINTING.iter().any(|name| source.code.macros.contains(*name)))
        .map(|source| source.path)
        .collect();
    assert!(printers.is_empty(), "only src/cli may print: {printers:?}");
}

#[test]
fn the_command_line_prints_in_one_file() {
    let printers: Vec<String> = sources()
        .filter(|source| source.room == "cli" && source.path != "cli/show.rs")
        .filter(|source| {
            let code = &source.code;
            ["stdout", "stderr"].iter().any(|name| code.names.contains(*name))
                || PRINTING.iter().any(|name| code.macros.contains(*name))
        })
        .map(|source| source.path)
        .collect();
    assert!(printers.is_empty(), "only src/cli/show.rs may name stdout and stderr: {printers:?}");
}

/// So that the power-loss harness can leave out each sync by its name, and no new one goes untested.
#[test]
fn every_sync_has_a_name_and_one_place() {
    let mut complaints = String::new();
    let sources: Vec<_> = sources().filter(|source| source.room != "durable").collect();
    for source in &sources {
        for call in ["sync_all", "sync_data", "fsync", "fdatasync", "syncfs", "msync"] {
            if source.code.names.contains(call) {
                let _ = writeln!(complaints, "{}: `{call}` goes around `durable`", source.path);
            }
        }
    }
    for sync in Synced::ALL {
        let variant = ["Synced".to_owned(), format!("{sync:?}")];
        let inside = usize::from(sync == Synced::Folder);
        let paths = sources.iter().flat_map(|source| &source.code.paths);
        let count = paths.filter(|path| path.ends_with(&variant)).count();
        if count + inside != 1 {
            let _ = writeln!(complaints, "`Synced::{sync:?}` is used in {count} places");
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// Finds values that are bound or made without `store::fit`.
#[derive(Default)]
struct Unfitted(Vec<&'static str>);

impl Unfitted {
    fn makes_json(expression: &syn::Expr) -> bool {
        let syn::Expr::Call(call) = expression else { return false };
        matches!(&*call.func, syn::Expr::Path(called) if called.path.segments.last().is_some_and(|last| last.ident == "Json"))
    }
}

impl<'ast> Visit<'ast> for Unfitted {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "cast_signed" {
            self.0.push("cast_signed");
        }
        if call.method == "bind" && call.args.first().is_some_and(Self::makes_json) {
            self.0.push("bind(Json(…))");
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        if Self::makes_json(&closure.body) {
            self.0.push("|…| Json(…)");
        }
        visit::visit_expr_closure(self, closure);
    }
}

#[test]
fn counts_and_json_reach_a_row_through_the_boundary_alone() {
    let mut complaints = String::new();
    for source in sources().filter(|source| matches!(source.room.as_str(), "store" | "queue")) {
        if source.path.ends_with("fit.rs") {
            continue;
        }
        let mut unfitted = Unfitted::default();
        unfitted.visit_file(&source.syntax);
        for around in unfitted.0 {
            let _ = writeln!(complaints, "{}: `{around}` goes around `store::fit`", source.path);
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}
