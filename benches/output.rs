//! Lines per second from an external program into the log of its run: through files beside the log, through
//! files in memory, and, as a measure, through two pipes that a thread each reads and logs.
//! `make bench BENCH="output -- LINES"`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result};
use parselog::carry;
use parselog::ids::{DataFileId, RunId};
use parselog::parser::{Cancel, CommandOptions, CommandParser, Context, Parser as _, Progress, Submission};
use parselog_benches::{in_runs, subscriber};

fn main() -> Result<()> {
    let lines: u64 = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(2_000_000);
    // On a real disk, as a spool is.
    let folder = tempfile::tempdir_in(parselog_benches::root().join("target"))?;
    let path = folder.path().join("lines");
    let mut file = BufWriter::new(File::create(&path)?);
    for n in 0..lines {
        writeln!(file, "record {n} was read and is as it should be")?;
    }
    file.flush()?;
    tracing::subscriber::set_global_default(subscriber())?;

    let mut out = std::io::stdout().lock();
    let stem = folder.path().join("output");
    let mut paces = Vec::new();
    for (name, output) in [("pipes", None), ("memory", Some(None)), ("files", Some(Some(stem.as_path())))] {
        let started = Instant::now();
        let (done, tails) = in_runs(1, folder.path(), |run| {
            run[0].span().in_scope(|| match output {
                None => through_pipes(&path),
                Some(stem) => through_parser(&path, stem),
            })
        });
        done?;
        let pace = tails[0].events.total() as f64 / started.elapsed().as_secs_f64();
        paces.push(pace);
        writeln!(out, "{name:<8} {} events: {pace:>9.0} lines/s", tails[0].events.total())?;
    }
    writeln!(out, "files/pipes {:.2}", paces[2] / paces[0])?;
    Ok(())
}

fn through_parser(path: &Path, output: Option<&Path>) -> Result<()> {
    let parser = CommandParser::new("cat {file}", CommandOptions::default())?;
    let (cancel, progress) = (Cancel::default(), Progress::default());
    let submission = Submission {
        path,
        name: "lines",
        program: "tanf",
        section: "active",
        fiscal_year: 2021,
        fiscal_quarter: 1,
    };
    let (run, data_file) = (RunId::new(), DataFileId(1));
    let mut context = Context { run, data_file, cancel: &cancel, progress: &progress, records: None, output };
    parser.parse(&submission, &mut context)?;
    Ok(())
}

fn through_pipes(path: &Path) -> Result<()> {
    let mut program = Command::new("cat").arg(path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) =
        (program.stdout.take().context("a pipe")?, program.stderr.take().context("a pipe")?);
    let readers = [carry::thread(move || log_lines(stdout)), carry::thread(move || log_lines(stderr))];
    for reader in readers {
        reader.join().expect("no panic")?;
    }
    program.wait()?;
    Ok(())
}

fn log_lines(pipe: impl Read) -> Result<()> {
    for line in BufReader::with_capacity(64 << 10, pipe).lines() {
        let line = line?;
        tracing::info!(target: "parselog::external", "{line}");
    }
    Ok(())
}
