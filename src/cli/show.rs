//! Prints for every command: the only file that names stdout and stderr.
//!
//! Lines and tables have every character escaped that could move a cursor or reorder text.
//! Output counts as printed once it is written: [`finish`] writes the rest and reports errors, so that no
//! command loses its last lines unnoticed.

use std::io::{self, BufRead, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Result;
use clap::ColorChoice;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;
use serde::Serialize;

use super::CliError;
use super::pager::Pager;
use crate::clock;
use crate::record::{Record, Text, TextStyle, push_json_escaped, write_safe};

/// Bytes per write to stdout.
const AT_ONCE: usize = 1 << 16;

/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(100);

static STDOUT: LazyLock<Mutex<BufWriter<Box<dyn Write + Send>>>> =
    LazyLock::new(|| Mutex::new(BufWriter::with_capacity(AT_ONCE, Box::new(io::stdout()))));

/// The pager that shows stdout, if one does.
static PAGER: Mutex<Option<Pager>> = Mutex::new(None);

/// What `--color` says.
static COLOR: OnceLock<ColorChoice> = OnceLock::new();

/// The reader of stdout has gone away.
static READER_GONE: AtomicBool = AtomicBool::new(false);

/// Stdout, for data other than lines: logs, reports, records. It writes the bytes unchanged, in large
/// pieces, the last one with [`finish`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        STDOUT.lock().unwrap_or_else(PoisonError::into_inner).write(bytes).map_err(|error| failed(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        STDOUT.lock().unwrap_or_else(PoisonError::into_inner).flush().map_err(|error| failed(&error))
    }
}

/// From now on a pager shows stdout, if it is a terminal and somebody wants one.
pub(super) fn page() {
    if !is_terminal() {
        return;
    }
    if let Some((pager, input)) = Pager::start() {
        let mut out = STDOUT.lock().unwrap_or_else(PoisonError::into_inner);
        *out = BufWriter::with_capacity(AT_ONCE, input);
        *PAGER.lock().unwrap_or_else(PoisonError::into_inner) = Some(pager);
    }
}

/// Writes the rest of stdout, and waits until nobody reads it in a pager any more.
///
/// # Errors
/// It can't be written, now or before.
pub(super) fn finish() -> Result<()> {
    let written = Out.flush();
    if let Some(pager) = PAGER.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let mut out = STDOUT.lock().unwrap_or_else(PoisonError::into_inner);
        *out = BufWriter::new(Box::new(io::sink()));
        pager.wait();
    }
    Ok(written?)
}

/// Looks whether somebody still reads stdout, where another process wrote to it.
///
/// # Errors
/// The reader has gone away.
pub(super) fn look_for_reader() -> Result<()> {
    let stdout = io::stdout();
    let mut looked = [PollFd::new(&stdout, PollFlags::empty())];
    let answers = poll(&mut looked, Some(&Timespec::default())).map_err(io::Error::from)?;
    if answers > 0 && looked[0].revents().contains(PollFlags::ERR) {
        return Err(failed(&ErrorKind::BrokenPipe.into()).into());
    }
    Ok(())
}

/// Whether a reader such as `head` had enough: then unwritten output is not an error.
pub(super) fn reader_is_gone() -> bool {
    READER_GONE.load(Ordering::Relaxed)
}

/// Whether stdout is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The columns of the terminal that stdout is, or those that the variable `COLUMNS` names; `None` where a program
/// reads.
pub(super) fn width() -> Option<usize> {
    let named = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    named.or_else(terminal).filter(|columns| *columns > 0)
}

/// Takes over what `--color` says.
pub(super) fn set_color(choice: ColorChoice) {
    let _ = COLOR.set(choice);
}

/// Whether to colour stdout.
pub(super) fn color() -> bool {
    wants_color(is_terminal())
}

/// By `--color`; else never with `NO_COLOR`, always with `FORCE_COLOR` or `CLICOLOR_FORCE`, else on a terminal.
fn wants_color(is_terminal: bool) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    match COLOR.get() {
        Some(ColorChoice::Always) => true,
        Some(ColorChoice::Never) => false,
        _ if is_set("NO_COLOR") => false,
        _ => is_set("FORCE_COLOR") || is_set("CLICOLOR_FORCE") || is_terminal,
    }
}

/// How a person reads a record on stdout.
pub(super) fn style() -> TextStyle {
    TextStyle { color: color(), offset_at: clock::offset_at, on_lines: true }
}

/// Starts a program beside this one that reads and prints nothing here. That it can't be started is no failure.
pub(super) fn start_beside(program: &str, argument: &Path) {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = command.spawn();
}

/// Prints a line, or several, to stdout. Wrap values from outside in [`Safe`](crate::record::Safe) first,
/// or their line breaks would pass for ours.
pub(super) fn line(text: impl std::fmt::Display) -> Result<()> {
    Out.write_all(printable(&text.to_string()).as_bytes())?;
    Ok(Out.flush()?)
}

/// Prints a line to stderr, for everything except the command's data.
pub(super) fn note(text: &str) {
    // Nobody reads a stderr that can't be written to.
    let _ = io::stderr().lock().write_all(printable(text).as_bytes());
}

/// Prints a record of a log to stderr, as people read it.
pub(super) fn note_record(record: &Record) {
    let style = TextStyle { color: wants_color(io::stderr().is_terminal()), ..style() };
    let _ = writeln!(io::stderr().lock(), "{}", Text { record, style });
}

/// Prints what clap says: an error to stderr, help and version to stdout.
pub(super) fn usage(said: &clap::Error) -> Result<()> {
    let plain = said.render().to_string();
    let shown = printable(plain.trim_end_matches('\n'));
    if said.use_stderr() && shown.trim_end() != plain.trim_end() {
        note(&plain); // It quotes what would fool a terminal, so it goes without its colours.
    } else {
        said.print().and_then(|()| io::stdout().flush()).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Prints a value as JSON on one line, for scripts.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    write_json(&mut Out, value)?;
    Ok(Out.flush()?)
}

/// Writes a value as JSON on one line, with every character escaped that reorders text or moves a
/// cursor, so that a terminal can show it.
pub(super) fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut text = json_text(value)?;
    text.push(b'\n');
    out.write_all(&text)
}

/// A value as JSON, escaped for terminals.
pub(super) fn json_text(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    push_json_escaped(&mut text, &serde_json::to_string(value)?);
    Ok(text)
}

/// A progress bar on stderr, of the first of indicatif's templates for which the terminal has enough columns; it shows
/// itself on a terminal only.
pub(super) fn bar<const N: usize>(templates: [(usize, &str); N]) -> ProgressBar {
    let columns = tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    let fitting = templates.into_iter().find(|(least, _)| *least <= columns);
    let style = fitting.and_then(|(_, template)| ProgressStyle::with_template(template).ok());
    let style = style.unwrap_or_else(ProgressStyle::default_bar);
    ProgressBar::no_length().with_style(style).with_finish(ProgressFinish::AndClear)
}

/// A spinner on stderr with a message, for what has no known length; it shows itself on a terminal only.
pub(super) fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}");
    let spinner =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.enable_steady_tick(TURN);
    spinner.with_finish(ProgressFinish::AndClear)
}

/// Asks a person, on stderr; without a terminal there must be `--yes`.
///
/// # Errors
/// There is nobody to ask; `undone` says what did not happen.
pub(super) fn agrees(question: &str, undone: &str) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(CliError::usage(format!("{undone}: no terminal to ask at; say --yes")));
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The text with an end of line, and no control character but line breaks.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 1);
    for line in text.split('\n') {
        let _ = write_safe(&mut shown, line);
        shown.push('\n');
    }
    shown
}

fn failed(error: &io::Error) -> io::Error {
    if error.kind() == ErrorKind::BrokenPipe {
        READER_GONE.store(true, Ordering::Relaxed);
    }
    io::Error::new(error.kind(), format!("failed to write to stdout: {error}"))
}
