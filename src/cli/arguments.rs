//! Reads the command line and the environment. One line refuses an invalid value, with the option's name,
//! the value and the allowed values; an empty variable counts as unset.

use std::env;
use std::error::Error as _;
use std::ffi::OsString;
use std::sync::OnceLock;

use anyhow::Result;
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, Error, FromArgMatches};

use super::{Cli, CliError, Exit, show};
use crate::clock;
use crate::config::{FileSetting, FileSettings};
use crate::record::write_safe;

/// The first argument of a parse process; behind it is the command line of its worker, so that it has the
/// same settings.
pub(super) const PARSE_PROCESS: &str = "parse-process";

/// The first argument of a receiver; behind it is the command line of its collector.
pub(super) const RECEIVER: &str = "receiver";

/// What the arguments ask for.
pub(super) enum Asked {
    /// This command.
    Command(Box<Cli>),
    /// To be a parse process of this command.
    ParseProcess(Box<Cli>),
    /// To be a receiver of this command.
    Receiver(Box<Cli>),
    /// Nothing more: an error was printed, or help.
    Exit(Exit),
}

/// Reads the arguments of this process.
///
/// # Errors
/// The output can't be printed.
pub(super) fn read() -> Result<Asked> {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    let part = [PARSE_PROCESS, RECEIVER]
        .into_iter()
        .find(|part| arguments.get(1).is_some_and(|first| first == part));
    if part.is_some() {
        arguments.remove(1);
    }
    if arguments.iter().any(|argument| argument == clock::UTC_FLAG) {
        clock::use_utc();
    }
    let files = FileSettings::read().map_err(|error| CliError::usage(format!("{error:#}")))?;
    let mut command = with_files(without_empty(Cli::command()), FILES.get_or_init(|| files))?;
    let read = command.try_get_matches_from_mut(arguments);
    let error = match read.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => {
            let cli = Box::new(cli);
            return Ok(match part {
                Some(PARSE_PROCESS) => Asked::ParseProcess(cli),
                Some(_) => Asked::Receiver(cli),
                None => Asked::Command(cli),
            });
        }
        Err(error) => error,
    };
    match line(&command, &error) {
        Some(line) => show::note(&format!("parselog: {line}")),
        None => show::usage(&error)?,
    }
    Ok(Asked::Exit(if error.use_stderr() { Exit::Usage } else { Exit::Ok }))
}

/// The settings of the files.
static FILES: OnceLock<FileSettings> = OnceLock::new();

/// The settings of the files, once the arguments are read.
pub(super) fn file_settings() -> &'static FileSettings {
    FILES.get_or_init(FileSettings::default)
}

/// The table of the options that `run` and `submit` share.
const SHARED: (&str, &str) = ("submit", "run");

/// The command, whose options have the values of the files by default: those with a variable by their name, and
/// those of one command in its table.
fn with_files(command: Command, files: &'static FileSettings) -> Result<Command> {
    for (table, name, setting) in files.names() {
        let is_known = match table {
            None => {
                options(&command).any(|option| option.get_env().is_some() && option.get_long() == Some(name))
            }
            Some(table) => command
                .find_subcommand(table)
                .is_some_and(|below| below.get_arguments().any(|option| option.get_long() == Some(name))),
        };
        if !is_known {
            let table = table.map(|table| format!(" in [{table}]")).unwrap_or_default();
            let path = setting.path.display();
            return Err(CliError::usage(format!(
                "{path}: unknown setting '{name}'{table}: expected the name of an option, as `parselog config show` \
                 lists them, or in the table of a command one of its own"
            )));
        }
        check(&command, table, name, setting)?;
    }
    let value = |option: Arg, tables: &[&str]| {
        let Some(name) = option.get_long() else { return option };
        let general = files.get(None, name).filter(|_| option.get_env().is_some());
        let own = || tables.iter().find_map(|table| files.get(Some(table), name));
        match general.or_else(own) {
            Some(setting) => option.default_values(setting.values.iter().map(String::as_str)).required(false),
            None => option,
        }
    };
    let command = command.mut_args(|option| value(option, &[]));
    Ok(command.mut_subcommands(|below| {
        let name = below.get_name().to_owned();
        let tables = if name == SHARED.1 { vec![&*name, SHARED.0] } else { vec![&*name] };
        below.mut_args(|option| value(option, &tables))
    }))
}

/// Checks a value of a file as if it stood on the command line: clap takes defaults for sound.
fn check(command: &Command, table: Option<&str>, name: &str, setting: &FileSetting) -> Result<()> {
    let has =
        |command: &Command| command.get_arguments().find(|option| option.get_long() == Some(name)).cloned();
    let owner = match table {
        Some(table) => command.find_subcommand(table),
        None if has(command).is_some() => None,
        None => command.get_subcommands().find(|below| has(below).is_some()),
    };
    let Some(option) = has(owner.unwrap_or(command)) else { return Ok(()) };
    if !option.get_action().takes_values() {
        let is_flag = setting.values.iter().all(|value| matches!(value.as_str(), "true" | "false"));
        let said = format!("{name} in {}: expected true or false", setting.path.display());
        return if is_flag { Ok(()) } else { Err(CliError::usage(said)) };
    }
    let mut words = vec!["parselog".to_owned()];
    words.extend(owner.map(|owner| owner.get_name().to_owned()));
    words.extend(setting.values.iter().map(|value| format!("--{name}={value}")));
    let read = without_variables(Cli::command()).try_get_matches_from(words);
    let Some(error) = read.err() else { return Ok(()) };
    if error.kind() == ErrorKind::ArgumentConflict {
        return Err(CliError::usage(format!("{name} in {}: expected one value", setting.path.display())));
    }
    line(command, &error).map_or(Ok(()), |line| Err(CliError::usage(line)))
}

fn without_variables(command: Command) -> Command {
    command.mut_args(|option| option.env(Resettable::Reset)).mut_subcommands(without_variables)
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

/// The source of a value: the flag if present, else the variable, else the file.
fn source(option: &Arg, flag: &str) -> String {
    let given = env::args_os().any(|argument| {
        let argument = argument.to_string_lossy();
        argument.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    });
    let variable = option.get_env().filter(|name| !given && env::var_os(name).is_some());
    if let Some(name) = variable {
        return name.to_string_lossy().into_owned();
    }
    let name = flag.trim_start_matches('-');
    let in_file = file_settings().names().find(|(_, known, _)| *known == name && !given);
    in_file.map_or(flag.to_owned(), |(.., setting)| format!("{name} in {}", setting.path.display()))
}

/// The options of a command and of its subcommands.
fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    std::iter::once(command).chain(command.get_subcommands()).flat_map(Command::get_arguments)
}
