//! The files that a program writes to: bounded, given back, and whatever a program does with them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parselog::parser::count_unread;
use parselog::record::Level;

use super::Run;

/// Numbers of the lines that say no more than that.
fn numbers(run: &Run) -> Vec<u64> {
    run.messages().iter().filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
}

/// Runs the script with its output in the run's folder, and calls `watch` with the blocks of its files (512
/// bytes each) again and again while it runs.
fn watched(run: &mut Run, script: &str) -> u64 {
    run.output = Some(run.path("log"));
    let paths = ["log.stdout", "log.stderr"].map(|name| run.path(name));
    let done = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                let blocks = paths.iter().filter_map(|path| Some(fs::metadata(path).ok()?.blocks()));
                most = most.max(blocks.sum::<u64>() * 512);
                thread::sleep(Duration::from_millis(1));
            }
            most
        });
        run.script(script).expect("an outcome");
        done.store(true, Ordering::Relaxed);
        watcher.join().expect("no panic")
    });
    assert!(paths.iter().all(|path| !path.exists()), "the files are left behind");
    most
}

#[test]
fn a_program_that_writes_faster_than_it_is_read_is_slowed_down() {
    let mut run = Run::new();
    // 100 MB of lines of 1,000 bytes, a megabyte at most each hundredth of a second: all at once they could be on the
    // disk before a busy machine has looked once.
    let script = r#"exec python3 -c '
import sys, time
for part in range(100):
    lines = (b"%07d %s\n" % (n, b"x" * 991) for n in range(part * 1000, part * 1000 + 1000))
    sys.stdout.buffer.write(b"".join(lines))
    sys.stdout.flush()
    time.sleep(0.01)'"#;
    let most = watched(&mut run, script);
    assert_eq!(numbers(&run), (0..100_000).collect::<Vec<u64>>());
    assert!(most > 0, "nothing was on the disk");
    eprintln!("{most} bytes of the disk at most");
    assert!(most < 50 << 20, "{most} bytes of the disk for 100 MB");
}

#[test]
fn a_program_may_open_its_output_anew_and_empty_it() {
    for stem in [None, Some("log")] {
        let mut run = Run::new();
        run.output = stem.map(|stem| run.path(stem));
        run.tells = true;
        run.script(
            "for i in 1 2 3; do echo $i; echo e$i > /dev/stderr; echo a$i >> /dev/stderr; heard $i; heard a$i; done
             echo 4 > /dev/stdout; heard 4; echo 5",
        )
        .expect("an outcome");
        assert_eq!(numbers(&run), [1, 2, 3, 4, 5]);
        for line in ["e1", "a1", "e2", "a2", "e3", "a3"] {
            assert_eq!(
                run.messages().iter().filter(|said| **said == line).count(),
                1,
                "{:?}",
                run.messages()
            );
        }
        let emptied = run.said.iter().filter(|said| said.message.contains("empties its own"));
        assert_eq!(
            emptied.map(|said| said.level).collect::<Vec<_>>(),
            [Level::Warn; 2],
            "one for each stream"
        );
    }
}

#[test]
fn lines_that_a_program_empties_before_they_are_read_count_as_dropped() {
    let mut run = Run::new();
    run.output = Some(run.path("log"));
    run.dropped = 1;
    // 7 MB are written and emptied in less time than it takes to read them.
    run.script(
        "head -c 7000000 /dev/zero | tr '\\0' x | fold -w 99 > $2/all
         cat $2/all; sleep 0.05; echo last > /dev/stdout",
    )
    .expect("an outcome");
    let emptied = run.said.iter().position(|said| said.message.contains("emptied its own stdout, and"));
    let emptied = emptied.expect("a warning");
    let numbers: Vec<u64> = run.said.iter().map(|said| said.seq).collect();
    assert_eq!(numbers[emptied] - numbers[emptied - 1], 2, "the lost line has a number");
    assert_eq!(run.messages().last(), Some(&"last"));
}

#[test]
fn zeros_are_what_was_written_and_holes_are_nothing() {
    let mut run = Run::new();
    run.output = Some(run.path("log"));
    run.tells = true;
    // The last line is written behind a hole of a MiB, through a descriptor that does not append.
    let script = r#"printf 'a\0b\n'; heard ab
python3 -c 'import os, time
f = os.open("/dev/stdout", os.O_WRONLY)
os.ftruncate(f, 0); time.sleep(0.2)
os.lseek(f, 1 << 20, 0); os.write(f, b"behind\n")'"#;
    run.script(script).expect("an outcome");
    let said = run.messages();
    assert_eq!((said[0], said[said.len() - 1]), ("a\0b", "behind"), "{said:?}");
}

#[test]
fn each_event_of_a_program_says_how_far_its_output_was_read() {
    let mut run = Run::new();
    run.output = Some(run.path("log"));
    run.tells = true;
    run.script("echo one; heard one; echo two >&2; heard two; echo three").expect("an outcome");
    let output: Vec<_> = run.said.iter().map(|said| said.output).collect();
    assert_eq!(output, [Some([4, 0]), Some([4, 4]), Some([10, 4])]);
}

#[test]
fn lines_that_nobody_read_are_counted_with_one_that_has_no_end() {
    let run = Run::new();
    assert_eq!(count_unread(&run.path("log")).expect("no files"), 0);
    fs::write(run.path("log.stdout"), "one\ntwo\n").expect("a file");
    fs::write(run.path("log.stderr"), "three").expect("a file");
    assert_eq!(count_unread(&run.path("log")).expect("readable files"), 3);
}
