//! The page of promises names what there is: every fault point, and tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use parselog::durable::Synced;

fn page() -> String {
    fs::read_to_string(root().join("docs/PROMISES.md")).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of every Rust file below a folder.
fn source(folder: &str) -> String {
    fn collect(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, text);
            } else if path.extension().is_some_and(|end| end == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    collect(&root().join(folder), &mut text);
    text
}

#[test]
fn the_table_of_fault_points_is_that_of_the_code() {
    let text = source("src");
    let code: BTreeSet<&str> =
        text.split("faults::point(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect();
    let page = page();
    let table = page.split_once("## The named points").unwrap().1;
    let named: BTreeSet<&str> =
        table.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect();
    assert_eq!(named, code);
    assert!(page.contains(&format!("at {} points", code.len())), "there are {} points", code.len());
}

#[test]
fn the_table_of_syncs_is_that_of_the_code() {
    let page = page();
    let table = page.split_once("## The syncs").unwrap().1.split_once("\n## ").unwrap().0;
    let named: Vec<&str> =
        table.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect();
    assert_eq!(named, Synced::ALL.map(Synced::name));
}

#[test]
fn every_test_that_a_promise_names_exists() {
    let tests = source("tests");
    let page = page();
    let promises = page.split_once("## The named points").unwrap().0;
    let mut count = 0;
    for name in promises.split('`').skip(1).step_by(2).filter(|name| name.contains('_')) {
        assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
        count += 1;
    }
    assert!(count > 15, "only {count} tests are named");
}
