//! What is compiled is used: each dependency of each package is named by its code.

use std::fs;
use std::path::PathBuf;

use super::source::{files, root};

/// A package's manifest, the table of dependencies, and the folders of the code that may use them.
const PACKAGES: [(&str, &str, &[&str]); 4] = [
    ("Cargo.toml", "dependencies", &["src"]),
    ("Cargo.toml", "dev-dependencies", &["tests", "examples"]),
    ("benches/Cargo.toml", "dependencies", &["benches"]),
    // What its targets check, the tests check too.
    ("fuzz/Cargo.toml", "dependencies", &["fuzz/targets", "tests/it"]),
];

fn names(code: &str, outside: &str) -> bool {
    let path = format!("{outside}::");
    let before = |at: usize| code[..at].chars().next_back();
    code.match_indices(&path)
        .any(|(at, _)| before(at).is_none_or(|last| !last.is_alphanumeric() && last != '_'))
}

#[test]
fn each_dependency_is_used() {
    let top = root().join("..");
    for (manifest, table, folders) in PACKAGES {
        let text = fs::read_to_string(top.join(manifest)).expect(manifest);
        let manifest_table: toml::Table = text.parse().expect(manifest);
        let code: Vec<String> = folders
            .iter()
            .flat_map(|folder| files(&top.join(folder)))
            .map(|path: PathBuf| fs::read_to_string(path).expect("a readable file"))
            .collect();
        assert!(!code.is_empty(), "{manifest}: no code in {folders:?}");
        let dependencies = manifest_table[table].as_table().expect(table);
        let unused: Vec<&String> = dependencies
            .keys()
            .filter(|name| !code.iter().any(|code| names(code, &name.replace('-', "_"))))
            .collect();
        assert!(unused.is_empty(), "{manifest}, [{table}]: nobody names {unused:?} in {folders:?}");
    }
}
