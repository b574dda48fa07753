//! `parselog.toml`, completions and man pages.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::support::{Desk, sample};

/// Runs a command in a working folder of its own, with this `parselog.toml` in it.
fn with_file(desk: &Desk, toml: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = desk.home.path().join("work");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("parselog.toml"), toml).unwrap();
    desk.command(arguments).current_dir(folder).envs(variables.iter().copied()).output().unwrap()
}

fn held(output: &Output, setting: &str) -> (Value, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let row =
        rows.into_iter().find(|row| row["setting"] == setting).unwrap_or_else(|| panic!("{setting}: {text}"));
    (row["value"].clone(), row["from"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_setting_says_whether_it_comes_from_a_flag_a_variable_a_file_or_nowhere() {
    let desk = Desk::new().await;
    let toml = "log-cap = '1GiB'\nparser-silence = '1m'\nslots = 7\n[prune]\nolder-than = '400d'\n";
    let show = ["config", "show", "--json", "--parser-silence", "3m"];
    let output = with_file(&desk, toml, &show, &[("PARSELOG_SLOTS", "5")]);
    let file = desk.path("work/parselog.toml");
    assert_eq!(held(&output, "parser-silence"), ("3m".into(), "--parser-silence".to_owned()));
    assert_eq!(held(&output, "slots"), ("5".into(), "PARSELOG_SLOTS".to_owned()));
    assert_eq!(held(&output, "log-cap"), ("1GiB".into(), file.clone()));
    assert_eq!(held(&output, "lease"), ("15s".into(), "default".to_owned()));
    assert_eq!(held(&output, "bucket"), (Value::Null, "default".to_owned()));
    assert_eq!(held(&output, "prune.older-than"), ("400d".into(), file));
    // A URL may hold a password.
    assert_eq!(held(&output, "database-url"), ("(set)".into(), "DATABASE_URL".to_owned()));
}

#[tokio::test]
async fn the_nearer_file_counts_and_each_does_what_it_says() {
    let desk = Desk::new().await;
    let far = desk.home.path().join("settings/parselog");
    fs::create_dir_all(&far).unwrap();
    fs::write(far.join("parselog.toml"), "reports = 'csv'\nparser-silence = '9m'\n").unwrap();
    let data = desk.file("x.dat", "x\n");
    let toml = "reports = 'json'\nparser-for = ['odd/*=echo hello {file}']\n\
                [submit]\nprogram = 'odd'\nsection = 'all'\nyear = 2024\nquarter = 1\n";
    let output = with_file(&desk, toml, &["run", "--json", &data], &[]);
    let row: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((row["program"].as_str(), row["fiscal_year"].as_i64()), (Some("odd"), Some(2024)));
    assert!(row["report_uri"].as_str().unwrap().contains(".json"), "{row}");
    let other = with_file(
        &desk,
        toml,
        &[
            "run",
            "--json",
            &sample("tanf-active-2021-q1.txt"),
            "--program",
            "tanf",
            "--section",
            "active",
            "--year",
            "2021",
        ],
        &[],
    );
    let row: Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(row["program"].as_str(), Some("tanf"), "a flag goes before the file");
    let show = with_file(&desk, toml, &["config", "show", "--json"], &[]);
    assert_eq!(held(&show, "parser-silence").0, "9m");
    let pruned = with_file(&desk, "[prune]\nolder-than = '400d'\n", &["prune", "--dry-run"], &[]);
    assert!(String::from_utf8_lossy(&pruned.stdout).contains("nothing to delete"), "{pruned:?}");
}

#[tokio::test]
async fn a_wrong_file_is_refused_in_one_line_with_its_path_and_what_is_wrong() {
    let desk = Desk::new().await;
    for (toml, part) in [
        ("slotz = 3\n", "unknown setting 'slotz'"),
        ("[worker]\nprogram = 'x'\n", "unknown setting 'program' in [worker]"),
        ("slots = 0\n", "slots in "),
        ("bucket = ['one', 'two']\n", "expected one value"),
        ("[prune]\nforce = 'perhaps'\n", "expected true or false"),
        ("slots = \n", "can't use "),
        ("slots = { a = 1979-05-27 }\n", "a is neither text"),
    ] {
        let output = with_file(&desk, toml, &["worker", "--drain"], &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.trim_end().lines().count()), (Some(2), 1), "{toml}: {said}");
        assert!(said.contains(part) && said.contains("work/parselog.toml"), "{toml}: {said}");
    }
}

#[tokio::test]
async fn a_shell_completes_commands_options_run_ids_and_file_names() {
    let desk = Desk::new().await;
    desk.ok(&["run", &sample("tanf-active-2021-q1.txt")]);
    let id = desk.ok(&["runs", "--json"]).json()[0]["id"].as_str().unwrap()[28..].to_owned();
    let complete = |words: &[&str]| {
        let line = [&["--", "parselog"], words].concat();
        let mut command = desk.command(&line);
        let index = words.len().to_string();
        let output = command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(complete(&["ru"]).contains("runs"));
    assert!(complete(&["logs", "--tai"]).contains("--tail"));
    assert!(complete(&["logs", &id[..3]]).contains(&id));
    assert!(complete(&["show", "tanf-"]).contains("tanf-active-2021-q1.txt"));
    assert!(complete(&["diff", "@"]).contains("@rejected"));

    let text = std::fs::read_to_string(sample("tanf-active-2021-q1.txt")).unwrap();
    desk.ok(&["submit", &desk.file("evil\u{1b}[2J\n.txt", &text)]);
    for typed in ["evil", ""] {
        assert!(!complete(&["show", typed]).contains("evil"), "no name with an escape is offered");
    }
}

#[tokio::test]
async fn scripts_and_man_pages_are_written_where_shells_and_man_look() {
    let desk = Desk::new().await;
    let share = desk.path("share");
    desk.ok(&["completion", "--all", &share]);
    for place in [
        "bash-completion/completions/parselog",
        "zsh/site-functions/_parselog",
        "fish/vendor_completions.d/parselog.fish",
        "man/man1/parselog.1",
        "man/man1/parselog-logs.1",
    ] {
        let text =
            fs::read_to_string(format!("{share}/{place}")).unwrap_or_else(|_| panic!("{place} is missing"));
        assert!(text.contains("parselog"), "{place}");
    }
    assert!(desk.ok(&["completion", "fish"]).out.contains("complete"));
}
