//! What the tests need changes no feature of what the program is built from: else cargo would compile
//! that, and all that stands on it, a second time after `make run`.

use std::collections::BTreeSet;
use std::process::Command;

/// Each package with its version and features, as cargo resolves them for these edges.
fn packages(edges: &str, more: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--prefix",
            "none",
            "--format",
            "{p} [{f}]",
            "--edges",
            edges,
        ])
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| line.trim_end_matches(" (*)").to_owned());
    lines.filter(|line| !line.is_empty() && !line.starts_with("parselog ")).collect()
}

#[test]
fn the_tests_compile_no_dependency_of_the_program_with_other_features() {
    let program = packages("normal,build", &[]);
    let tests = packages("normal,build,dev", &["--features", "faults"]);
    assert!(program.len() > 100, "cargo tree names only {} packages", program.len());
    let twice: Vec<_> = program.difference(&tests).collect();
    assert!(twice.is_empty(), "compiled once more for the tests: {twice:?}");
}
