//! Parses a generated file, and a slice of one with a straightforward Python reader, and says how
//! fast each was, in processor time, so that a busy machine does not change the ratio.
//! `make bench BENCH="parse -- MEGABYTES"`; no subscriber takes the problems.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use parselog::ids::{DataFileId, RunId};
use parselog::parser::tdp::Tdp;
use parselog::parser::tdp::sample::{Sample, Size};
use parselog::parser::{Cancel, Context, Parser as _, Progress, Submission};
use parselog_benches::{peak_memory, root};

const MB: u64 = 1_000_000;
/// What Python reads; the whole file would take it minutes.
const SLICE: u64 = 6 * MB;

fn main() -> Result<()> {
    let megabytes = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(200);
    let folder = tempfile::tempdir()?;
    let (path, slice) = (folder.path().join("whole.txt"), folder.path().join("slice.txt"));
    let mut out = std::io::stdout().lock();

    let started = Instant::now();
    let bytes = write(&path, megabytes * MB)?;
    write(&slice, SLICE)?;
    let seconds = started.elapsed().as_secs_f64();
    writeln!(out, "generated  {:>6} MB in {seconds:.1} s", bytes / MB)?;

    let (before, started, processor) = (peak_memory("self").unwrap_or(0), Instant::now(), processor_time());
    let outcome = parse(&path)?;
    let (waited, seconds) = (started.elapsed().as_secs_f64(), processor_time() - processor);
    let lines = count_lines(&path)?;
    let pace = lines as f64 / seconds;
    writeln!(
        out,
        "parselog   {lines} lines, {} records in {seconds:.2} s ({waited:.2} s passed): {pace:.0} lines/s, \
         {:.0} MB/s, {} problems",
        outcome.records_in_file,
        bytes as f64 / MB as f64 / seconds,
        outcome.error_count(),
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

fn write(path: &Path, bytes: u64) -> Result<u64> {
    let size = Size::Bytes(bytes);
    let (program, section) = ("tanf", "active");
    let sample =
        Sample { program, section, fiscal_year: 2021, fiscal_quarter: 1, size, error_rate: 0.02, seed: 1 };
    sample.write(BufWriter::new(File::create(path)?))
}

fn parse(path: &Path) -> Result<parselog::parser::Outcome> {
    let (cancel, progress) = (Cancel::default(), Progress::default());
    let (run, data_file) = (RunId::new(), DataFileId(1));
    let mut context = Context { run, data_file, cancel: &cancel, progress: &progress, records: None };
    let (program, section) = ("tanf", "active");
    let submission =
        Submission { path, name: "whole.txt", program, section, fiscal_year: 2021, fiscal_quarter: 1 };
    Ok(Tdp::new().parse(&submission, &mut context)?)
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
