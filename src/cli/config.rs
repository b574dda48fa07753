//! `parselog config show`: every setting, its value, and where that comes from.

use std::env;

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, CommandFactory, Subcommand};
use serde::Serialize;

use super::table::Table;
use super::{Cli, Exit, arguments, show};
use crate::config::FileSettings;

/// Show the settings. `parselog.toml` holds them by the names of their options: in the working folder, in
/// `~/.config/parselog`, or in `/etc`. Flags and variables go before it.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// List every setting with its value, and the flag, variable or file that it comes from.
    Show {
        /// Print one JSON object per setting.
        #[arg(long)]
        json: bool,
    },
}

/// A setting as it holds.
#[derive(Debug, Serialize)]
struct Held {
    setting: String,
    /// `None` if it has none; a secret says only that it is set.
    value: Option<String>,
    from: String,
}

impl ConfigArgs {
    pub(super) fn run(self) -> Result<Exit> {
        let ConfigCommand::Show { json } = self.command;
        let matches = Cli::command().ignore_errors(true).get_matches();
        let held = held(arguments::file_settings(), &matches);
        if json {
            held.iter().try_for_each(show::json)?;
            return Ok(Exit::Ok);
        }
        let mut table = Table::new(["SETTING", "~VALUE", "~FROM"]);
        for Held { setting, value, from } in &held {
            table.row([setting, &value.as_deref().unwrap_or("-"), from]);
        }
        show::line(table)?;
        Ok(Exit::Ok)
    }
}

fn held(files: &FileSettings, matches: &ArgMatches) -> Vec<Held> {
    let cli = Cli::command();
    let mut all: Vec<Held> =
        settings_of(&cli).map(|option| of_option(option, files, Some(matches))).collect();
    for command in cli.get_subcommands() {
        for held in settings_of(command).map(|option| of_option(option, files, None)) {
            // Commands share some settings.
            if all.iter().all(|known| known.setting != held.setting) {
                all.push(held);
            }
        }
    }
    let of_commands = files.names().filter_map(|(table, name, setting)| {
        let from = setting.path.display().to_string();
        Some(Held { setting: format!("{}.{name}", table?), value: Some(setting.values.join(", ")), from })
    });
    all.extend(of_commands);
    all
}

/// The options with a variable.
fn settings_of(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|option| option.get_env().is_some())
}

fn of_option(option: &Arg, files: &FileSettings, matches: Option<&ArgMatches>) -> Held {
    let name = option.get_long().unwrap_or_default();
    let id = option.get_id().as_str();
    let by_flag = matches.filter(|matches| matches.value_source(id) == Some(ValueSource::CommandLine));
    let variable = option.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let by_variable = env::var(&variable).ok().filter(|value| !value.trim().is_empty());
    let defaults = option.get_default_values();
    let (value, from) = if let Some(matches) = by_flag {
        let raw = matches.get_raw(id).into_iter().flatten();
        (Some(raw.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(", ")), format!("--{name}"))
    } else if let Some(value) = by_variable {
        (Some(value), variable)
    } else if let Some(setting) = files.get(None, name) {
        (Some(setting.values.join(", ")), setting.path.display().to_string())
    } else {
        let value: Vec<_> = defaults.iter().map(|value| value.to_string_lossy()).collect();
        ((!value.is_empty()).then(|| value.join(", ")), "default".to_owned())
    };
    let is_secret = option.is_hide_env_values_set();
    let value = value.map(|value| if is_secret { "(set)".to_owned() } else { value });
    Held { setting: name.to_owned(), value, from }
}
