//! Reads the command line and the environment. One line refuses an invalid value, with the option's name,
//! the value and the allowed values; an empty variable counts as unset.

use std::env;
use std::error::Error as _;
use std::ffi::OsString;

use anyhow::Result;
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, Error, FromArgMatches};

use super::{Cli, Exit, clock, show};
use crate::record::write_safe;

/// The first argument of a parse process; behind it is the command line of its worker, so that it has the
/// same settings.
pub(super) const PARSE_PROCESS: &str = "parse-process";

/// What the arguments ask for.
pub(super) enum Asked {
    /// This command.
    Command(Box<Cli>),
    /// To be a parse process of this command.
    ParseProcess(Box<Cli>),
    /// Nothing more: an error was printed, or help.
    Exit(Exit),
}

/// Reads the arguments of this process.
///
/// # Errors
/// The output can't be printed.
pub(super) fn read() -> Result<Asked> {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    let is_parse_process = arguments.get(1).is_some_and(|first| first == PARSE_PROCESS);
    if is_parse_process {
        arguments.remove(1);
    }
    if arguments.iter().any(|argument| argument == clock::UTC_FLAG) {
        clock::use_utc();
    }
    let mut command = without_empty(Cli::command());
    let read = command.try_get_matches_from_mut(arguments);
    let error = match read.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) if is_parse_process => return Ok(Asked::ParseProcess(Box::new(cli))),
        Ok(cli) => return Ok(Asked::Command(Box::new(cli))),
        Err(error) => error,
    };
    match line(&command, &error) {
        Some(line) => show::note(&format!("parselog: {line}")),
        None => show::usage(&error)?,
    }
    Ok(Asked::Exit(if error.use_stderr() { Exit::Usage } else { Exit::Ok }))
}

/// The command, which ignores empty variables, as compose's `${VAR:-}` makes them.
fn without_empty(command: Command) -> Command {
    let is_empty = |option: &Arg| {
        let value = option.get_env().and_then(env::var_os);
        value.is_some_and(|value| value.to_string_lossy().trim().is_empty())
    };
    command
        .mut_args(|option| if is_empty(&option) { option.env(Resettable::Reset) } else { option })
        .mut_subcommands(without_empty)
}

/// Says why a value is invalid; `None` for other errors.
fn line(command: &Command, error: &Error) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let shown = text(ContextKind::InvalidArg)?;
    let flag = shown.split_whitespace().next()?;
    let option = options(command).find(|option| option.get_long() == flag.strip_prefix("--"));
    let name = option.map_or(flag.to_owned(), |option| source(option, flag));
    let expected = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(reason), _) => reason.to_string(),
        (None, Some(ContextValue::Strings(values))) if !values.is_empty() => {
            format!("expected {}", values.join(", "))
        }
        _ => "expected a value".to_owned(),
    };
    let is_secret = option.is_some_and(Arg::is_hide_env_values_set);
    let mut line = String::new();
    // Writing to a string does not fail.
    let _ = match text(ContextKind::InvalidValue).filter(|_| !is_secret) {
        Some(value) => write_safe(&mut line, &format!("{name} is '{value}': {expected}")),
        None => write_safe(&mut line, &format!("{name}: {expected}")),
    };
    Some(line)
}

/// The source of a value: the flag if present, else the variable.
fn source(option: &Arg, flag: &str) -> String {
    let given = env::args_os().any(|argument| {
        let argument = argument.to_string_lossy();
        argument.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    });
    let variable = option.get_env().filter(|name| !given && env::var_os(name).is_some());
    variable.map_or(flag.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The options of a command and of its subcommands.
fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    std::iter::once(command).chain(command.get_subcommands()).flat_map(Command::get_arguments)
}
