//! Parses a generated file, and a slice of one with a straightforward Python reader, and says how
//! fast each was, in processor time, so that a busy machine does not change the ratio.
//! `make bench BENCH="parse -- MEGABYTES"`. The problems go to the log of a run, as ever.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use parselog_benches::{in_runs, parse_sample, peak_memory, root, subscriber, write_sample};

const MB: u64 = 1_000_000;
/// What Python reads; the whole file would take it minutes.
const SLICE: u64 = 6 * MB;

fn main() -> Result<()> {
    let megabytes = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(200);
    let folder = tempfile::tempdir()?;
    let (path, slice) = (folder.path().join("whole.txt"), folder.path().join("slice.txt"));
    let mut out = std::io::stdout().lock();

    let started = Instant::now();
    let bytes = write_sample(&path, megabytes * MB)?;
    write_sample(&slice, SLICE)?;
    let seconds = started.elapsed().as_secs_f64();
    writeln!(out, "generated  {:>6} MB in {seconds:.1} s", bytes / MB)?;

    tracing::subscriber::set_global_default(subscriber())?;
    let (before, started, processor) = (peak_memory("self").unwrap_or(0), Instant::now(), processor_time());
    let (outcome, tails) = in_runs(1, folder.path(), |run| run[0].span().in_scope(|| parse_sample(&path)));
    let outcome = outcome?;
    let (waited, seconds) = (started.elapsed().as_secs_f64(), processor_time() - processor);
    let lines = count_lines(&path)?;
    let pace = lines as f64 / seconds;
    writeln!(
        out,
        "parselog   {lines} lines, {} records in {seconds:.2} s ({waited:.2} s passed): {pace:.0} lines/s, \
         {:.0} MB/s, {} problems, {} events in the log",
        outcome.records_in_file,
        bytes as f64 / MB as f64 / seconds,
        outcome.error_count(),
        tails[0].events.total(),
    )?;
    writeln!(
        out,
        "           peak memory {} MB, of it {} MB before the parse",
        peak_memory("self").unwrap_or(0) / 1000,
        before / 1000
    )?;

    let (lines, seconds) = python(&slice)?;
    let python = lines / seconds;
    writeln!(out, "reader.py  {lines} lines in {seconds:.2} s: {python:.0} lines/s")?;
    writeln!(out, "ratio      {:.0} times", pace / python)?;
    Ok(())
}

/// Lines and seconds of the Python reader.
fn python(path: &Path) -> Result<(f64, f64)> {
    let root = root();
    let output = Command::new("python3")
        .args([root.join("benches/reader.py"), root.join("src/parser/tdp/schema/tanf.toml")])
        .arg("active")
        .arg(path)
        .output()
        .context("failed to run python3")?;
    ensure!(output.status.success(), "reader.py failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [lines, _, seconds] = numbers[..] else { anyhow::bail!("reader.py said {text:?}") };
    Ok((lines, seconds))
}

fn count_lines(path: &Path) -> Result<usize> {
    use std::io::BufRead as _;
    Ok(std::io::BufReader::new(File::open(path)?).split(b'\n').count())
}

/// Seconds of processor time this process has used; counted in hundredths by the system.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
