//! An external parser ends in time, whole, and for a reason that is told.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parselog::parser::{CancelReason, ParseError, SummaryStatus};

use super::{Run, failure};
use crate::support::PATIENCE;

#[test]
fn the_exit_code_or_the_signal_is_the_failure() {
    let mut run = Run::new();
    assert_eq!(failure(run.script("exit 3")), "the parser exited with code 3");
    assert!(failure(run.script("kill -SEGV $$")).starts_with("the parser was killed by signal 11"));
    assert!(failure(run.command("sh 'open")).contains("open quote"));
}

/// Runs a script until a deadline before which it has written all of these files: a slow machine gets a longer one.
fn timed_out(run: &mut Run, names: &[&str], script: &str) {
    for seconds in [2, 10, 50, 250] {
        names.iter().for_each(|name| drop(fs::remove_file(run.path(name))));
        run.options.timeout = Duration::from_secs(seconds);
        let began = Instant::now();
        let outcome = run.script(script);
        assert!(matches!(outcome, Err(ParseError::Cancelled(CancelReason::TimedOut))), "{outcome:?}");
        assert!(began.elapsed() < run.options.timeout + PATIENCE, "{:?}", began.elapsed());
        if names.iter().all(|name| run.has_written(name)) {
            return;
        }
    }
    panic!("it never wrote {names:?}");
}

#[test]
fn a_parser_that_hangs_forks_and_ignores_sigterm_is_gone_within_the_deadline() {
    let mut run = Run::new();
    let names = ["parent", "child", "daemon"];
    timed_out(
        &mut run,
        &names,
        "trap '' TERM
         (trap '' TERM; while :; do sleep 1; done) & echo $! >\"$2/child\"
         setsid sh -c 'trap \"\" TERM; echo $$ >\"$1/daemon\"; while :; do sleep 1; done' sh \"$2\" &
         echo $$ >\"$2/parent\"; while :; do sleep 1; done",
    );
    for name in names {
        assert!(!lives(run.pid(name)), "{name} is alive");
    }
    assert!(run.messages().iter().any(|line| line.contains("ran for")), "{:?}", run.messages());
}

#[test]
fn a_parser_that_ends_when_asked_has_its_last_words_logged() {
    let mut run = Run::new();
    run.options.grace = 2 * PATIENCE; // It is not waited for in full.
    let script = "trap 'echo tidy; exit 0' TERM; echo yes >\"$2/listens\"; while :; do sleep 0.05; done";
    timed_out(&mut run, &["listens"], script);
    assert!(run.messages().contains(&"tidy"), "{:?}", run.messages());
}

#[test]
fn silence_ends_a_parser_and_words_keep_it_alive() {
    let mut run = Run::new();
    run.options.silence = Some(Duration::from_secs(5));
    // For six seconds.
    run.script("for i in $(seq 30); do echo $i; sleep 0.2; done").expect("it speaks often enough");
    let outcome = run.script("echo once; sleep 1000");
    assert!(matches!(outcome, Err(ParseError::Cancelled(CancelReason::Silent))), "{outcome:?}");
    assert!(run.messages().iter().any(|line| line.contains("silent")), "{:?}", run.messages());
}

#[test]
fn a_cancel_ends_the_parser_with_its_reason() {
    let mut run = Run::new();
    run.cancel.set(CancelReason::Shutdown);
    assert!(matches!(run.script("touch \"$2/ran\""), Err(ParseError::Cancelled(CancelReason::Shutdown))));
    assert!(!run.path("ran").exists(), "one that is cancelled before its start never starts");

    let mut run = Run::new();
    let (started, cancel) = (run.path("pid"), Arc::clone(&run.cancel));
    let asker = thread::spawn(move || {
        wait_until(|| has_written(&started));
        cancel.set(CancelReason::Requested);
    });
    let outcome = run.script("echo $$ >\"$2/pid\"; sleep 1000");
    assert!(matches!(outcome, Err(ParseError::Cancelled(CancelReason::Requested))), "{outcome:?}");
    asker.join().expect("no panic");
    assert!(!lives(run.pid("pid")));
}

#[test]
fn what_a_parser_leaves_running_ends_with_it() {
    let mut run = Run::new();
    let started = Instant::now();
    let outcome =
        run.script("sleep 1000 & echo $! >\"$2/child\"; setsid sleep 1001 >/dev/null 2>&1 & echo done");
    assert_eq!(outcome.expect("an outcome").summary, SummaryStatus::NoVerdict);
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    assert!(!lives(run.pid("child")));
    assert!(run.messages().contains(&"done"));
    assert!(run.messages().iter().any(|line| line.contains("outlived it")), "{:?}", run.messages());
}

#[test]
fn the_memory_limit_holds() {
    let mut run = Run::new();
    run.options.memory = Some(512 << 20);
    let outcome = run.command("python3 -c 'x = bytearray(1 << 30)'");
    assert_eq!(failure(outcome), "the parser exited with code 1; its last words: MemoryError");
    assert!(run.messages().iter().any(|line| line.contains("MemoryError")), "{:?}", run.messages());
    run.command("python3 -c 'x = bytearray(1 << 20)'").expect("it fits");
}

/// Whether a process is there and no zombie.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

impl Run {
    fn has_written(&self, name: &str) -> bool {
        has_written(&self.path(name))
    }
}

/// Whether a script has written its line to this file.
fn has_written(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n'))
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited for too long");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_program_that_does_not_even_start_has_its_last_line_on_stderr_on_the_row() {
    let mut run = Run::new();
    let reason = failure(run.script("echo first >&2; echo 'cannot open x.py' >&2; echo out; exit 2"));
    assert_eq!(reason, "the parser exited with code 2; its last words: cannot open x.py");
}
