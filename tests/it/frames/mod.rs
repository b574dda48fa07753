//! Frames of Python's own making: every CPython on the machine says what its pickles are.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, thread};

use parselog::frames::pickle::Machine;
use serde_json::{Value, json};

const ORACLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/frames/oracle.py");

/// Every CPython of the machine, one of each version.
pub fn pythons() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    let versions = fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    let mut found = BTreeMap::new();
    for folder in folders {
        let names = (6..40).map(|minor| format!("python3.{minor}")).chain(["python3".to_owned()]);
        for python in names.map(|name| folder.join(name)).filter(|python| python.is_file()) {
            let version =
                Command::new(&python).args(["-c", "import sys; print(sys.version)"]).output().unwrap();
            if version.status.success() {
                found.entry(version.stdout).or_insert(python);
            }
        }
    }
    assert!(!found.is_empty(), "python3 is missing");
    found.into_values().collect()
}

/// A value with its floats as their bits, which no two writers write differently.
fn with_bits(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            json!({"float": hex::encode(number.as_f64().unwrap().to_be_bytes())})
        }
        Value::Array(values) => values.into_iter().map(with_bits).collect(),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, with_bits(value))).collect(),
        value => value,
    }
}

/// Compares all that one Python says; returns how much it said.
fn compare(python: &PathBuf, seed: &str, count: &str) -> usize {
    let mut command = Command::new(python);
    command.args([ORACLE, seed, count]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let said = command.output().unwrap();
    assert!(said.status.success(), "{}: {}", python.display(), said.status);
    let (mut machine, mut compared) = (Machine::default(), 0);
    for line in String::from_utf8(said.stdout).unwrap().lines() {
        let (pickle, expected) = line.split_once(' ').unwrap();
        let read = machine.read(&hex::decode(pickle).unwrap());
        let expected: Value = serde_json::from_str(expected).unwrap();
        if expected.is_null() {
            continue;
        }
        let read = read.map(|members| with_bits(Value::Object(members.into_iter().collect())));
        assert_eq!(read, Ok(expected), "{} {seed}: {pickle}", python.display());
        compared += 1;
    }
    compared
}

#[test]
fn a_pickle_is_read_as_every_python_of_the_machine_reads_it() {
    let count = env::var("PARSELOG_PICKLES").unwrap_or_else(|_| "150".to_owned());
    let seed = env::var("PARSELOG_SEED").unwrap_or_else(|_| "1".to_owned());
    let running: Vec<_> = pythons()
        .into_iter()
        .map(|python| {
            let (seed, count) = (seed.clone(), count.clone());
            thread::spawn(move || compare(&python, &seed, &count))
        })
        .collect();
    let least = 5 * count.parse::<usize>().unwrap();
    for python in running {
        let compared = python.join().unwrap();
        assert!(compared > least, "only {compared} pickles");
    }
}
