//! What a person at a terminal gets and a program does not: a pager, colours, the terminal's width, and text where
//! a program gets a table.

use std::process::Command;

use crate::support::{Desk, sample};

/// Runs its arguments at a terminal of as many columns as the first says, and prints what came to it; exits as they
/// do.
const TERMINAL: &str = "
import fcntl, os, pty, struct, sys, termios
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, int(sys.argv[1]), 0, 0))
    os.execvp(sys.argv[2], sys.argv[2:])
while True:
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

/// What the program shows at a terminal of 80 columns, with these variables and without `NO_COLOR`.
fn at_terminal(desk: &Desk, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    at_terminal_of(80, desk, arguments, variables)
}

fn at_terminal_of(columns: usize, desk: &Desk, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let program = desk.command(arguments);
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL, &columns.to_string()]).arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
        .env_remove("NO_COLOR")
        .env_remove("PARSELOG_PAGER")
        .env("PAGER", "cat")
        .envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

async fn desk_with_a_run() -> Desk {
    let desk = Desk::new().await;
    desk.ok(&["run", &sample("tanf-active-2021-q1.txt")]);
    desk
}

#[tokio::test]
async fn a_pager_gets_what_is_read_and_none_gets_what_is_followed_or_piped() {
    let desk = desk_with_a_run().await;
    let paged = desk.path("paged");
    let pager = format!("cat > '{paged}'; exit 0");
    let log = desk.ok(&["logs", "@latest"]).out;
    for (variable, arguments) in [("PAGER", ["logs", "@latest"]), ("PARSELOG_PAGER", ["show", "@latest"])] {
        let shown = at_terminal(&desk, &arguments, &[(variable, &pager), ("NO_COLOR", "1")]);
        let read = std::fs::read_to_string(&paged).unwrap();
        assert!(shown.trim().is_empty() && read.contains("FAMILY_TYPE is 7"), "{shown}{read}");
        std::fs::remove_file(&paged).unwrap();
    }
    let shown = at_terminal(&desk, &["logs", "-f", "@latest"], &[("PAGER", &pager), ("NO_COLOR", "1")]);
    assert_eq!(shown.replace("\r\n", "\n"), log);
    let output = desk.command(&["logs", "@latest"]).env("PAGER", &pager).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), log);
    assert!(!std::path::Path::new(&paged).exists());
    // A reader who leaves the pager has had enough.
    at_terminal(&desk, &["logs", "@latest"], &[("PAGER", "true")]);
}

#[tokio::test]
async fn colours_are_for_terminals_and_for_those_who_ask() {
    let desk = desk_with_a_run().await;
    let has_colour = |text: &str| text.contains("\u{1b}[3");
    let logs = ["logs", "@latest"];
    assert!(has_colour(&at_terminal(&desk, &logs, &[])));
    assert!(!has_colour(&at_terminal(&desk, &logs, &[("NO_COLOR", "1")])));
    assert!(!has_colour(&at_terminal(&desk, &["logs", "@latest", "--color", "never"], &[])));
    let piped = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = desk.command(arguments);
        let output = command.env_remove("NO_COLOR").envs(variables.iter().copied()).output().unwrap();
        has_colour(&String::from_utf8(output.stdout).unwrap())
    };
    assert!(!piped(&logs, &[]));
    for variable in ["FORCE_COLOR", "CLICOLOR_FORCE"] {
        assert!(piped(&logs, &[(variable, "1")]) && !piped(&logs, &[(variable, "0")]), "{variable}");
        assert!(!piped(&logs, &[(variable, "1"), ("NO_COLOR", "1")]), "{variable}");
    }
    assert!(piped(&["logs", "@latest", "--color=always"], &[("NO_COLOR", "1")]));
    desk.file("a.txt", &crate::support::sample_text("tanf-active-2021-q1.txt"));
    desk.ok(&["run", &desk.path("a.txt")]);
    desk.file("a.txt", &crate::support::sample_text("tanf-active-2021-q1-corrected.txt"));
    desk.ok(&["run", &desk.path("a.txt")]);
    let diff = desk.ok(&["diff", "a.txt@latest", "a.txt@previous", "--color", "always"]).out;
    assert!(diff.contains("\u{1b}[32m+ line 2:"), "{diff}");
    let diff = desk.ok(&["diff", "a.txt", "--color", "always"]).out;
    assert!(diff.contains("\u{1b}[31m- line 2:"), "{diff}");
}

#[tokio::test]
async fn a_terminal_gets_short_ids_within_its_width_and_the_report_as_text() {
    let desk = desk_with_a_run().await;
    let shown = at_terminal(&desk, &["runs"], &[]);
    let id = desk.ok(&["runs", "--json"]).json()[0]["id"].as_str().unwrap().to_owned();
    assert!(shown.contains(&id[28..]) && !shown.contains(&id), "{shown}");
    assert!(shown.lines().all(|line| line.trim_end().chars().count() <= 80), "{shown}");
    let report = at_terminal(&desk, &["report", "@latest"], &[]);
    assert!(report.contains("why ") && report.contains("NEXT"), "{report}");
    let csv = at_terminal(&desk, &["report", "@latest", "--format", "csv"], &[]);
    assert_eq!(csv.replace("\r\n", "\n"), desk.ok(&["report", "@latest"]).out.replace("\r\n", "\n"));
}

#[tokio::test]
async fn a_progress_bar_fits_on_one_line_of_the_terminal_and_says_how_far_it_is() {
    let desk = Desk::new().await;
    let period = ["--year", "2021", "--quarter", "1"];
    let file = desk.path("long.txt");
    let sample = [&["sample", "--force", "--size", "12M", "--error-rate", "0.3"], &period[..], &[&file]];
    let (sample, run) = (sample.concat(), [&["run"], &period[..], &[&file]].concat());
    for (columns, arguments) in [(40, &sample), (80, &sample), (40, &run), (80, &run), (120, &run)] {
        let shown = at_terminal_of(columns, &desk, arguments, &[]);
        // Each frame begins by emptying the line.
        let frames = shown.split(['\r', '\n']).flat_map(|line| line.split("\u{1b}[2K"));
        let frames: Vec<&str> = frames.filter(|frame| frame.contains('%')).collect();
        assert!(!frames.is_empty(), "{shown:?}");
        for frame in frames {
            // A bar that is longer than a line moves the cursor back up over the lines that it takes.
            assert!(!frame.contains('\u{1b}') && frame.chars().count() <= columns, "{columns}: {frame:?}");
            let counts = ["records, ", " problems"];
            assert!(
                arguments[0] == "sample" || counts.iter().all(|words| frame.contains(words)),
                "{frame:?}"
            );
        }
    }
}

#[tokio::test]
async fn times_are_in_the_readers_zone_and_name_it() {
    let desk = desk_with_a_run().await;
    let in_zone = |arguments: &[&str]| {
        let output = desk.command(arguments).env("TZ", "XYZ-05:30").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(in_zone(&["runs"]).contains("QUEUED (+05:30)"));
    assert!(in_zone(&["runs", "--utc"]).contains("QUEUED (UTC)"));
    assert!(in_zone(&["show", "@latest"]).contains(" +05:30 by ann"));
    assert!(in_zone(&["logs", "@latest"]).lines().all(|line| line[19..].contains("+05:30 ")));
    assert!(in_zone(&["logs", "@latest", "--utc"]).lines().all(|line| line[19..].contains("Z ")));
    assert_eq!(in_zone(&["runs", "--json"]), desk.ok(&["runs", "--json"]).out);
    let worker = ["worker", "--drain", "--drain-wait", "0s"];
    let own_log = desk.command(&worker).env("TZ", "XYZ-05:30").output().unwrap().stderr;
    let own_log = String::from_utf8(own_log).unwrap();
    assert!(own_log.contains("worker stopped") && own_log.lines().all(|line| line.contains("+05:30 INFO")));
    // A time without a zone is one of the reader's: half an hour from now in UTC is hours ago in theirs.
    let soon = (chrono::Utc::now() + chrono::TimeDelta::minutes(30)).format("%Y-%m-%d %H:%M").to_string();
    assert!(!in_zone(&["runs", "--json", "--since", &soon]).is_empty());
    assert!(in_zone(&["runs", "--json", "--utc", "--since", &soon]).is_empty());
}
