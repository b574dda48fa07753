//! Settings for external parsers, and for the processes in which files are parsed.

use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::value;
use super::value::{Commas, LineList, List};
use crate::parser::VerdictSource;

/// External programs that parse instead of the built-in parser.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "External parsers")]
pub struct ParserConfig {
    /// `PROGRAM/SECTION=COMMAND`, with `*` for any: the command that parses such files, for
    /// instance `fra/*=python3 fra.py {file}`. Repeatable; in the variable, one per line. The first
    /// match counts.
    #[arg(long, env = "PARSELOG_PARSERS", value_name = "RULE", global = true, hide_short_help = true)]
    parser_for: Vec<LineList<ParserRule>>,

    /// Stop an external parser that is silent for this long.
    #[arg(long, env = "PARSELOG_PARSER_SILENCE", default_value = "10m", value_parser = value::period, value_name = "TIME", global = true, hide_short_help = true)]
    pub parser_silence: Duration,

    /// Where the verdict comes from if an external parser states none: from its result and problems
    /// alone, or from its exit code too (0 accepted, 3 rejected).
    #[arg(
        long,
        env = "PARSELOG_VERDICT_FROM",
        default_value = "stated",
        value_parser = verdict_source(),
        value_name = "SOURCE",
        global = true,
        hide_short_help = true
    )]
    pub verdict_from: VerdictSource,

    /// Environment variable that external parsers inherit beside those that every program needs
    /// (`PATH`, `HOME`, `LANG`, `LC_*`, `TZ`, `TMPDIR`, `PYTHON*`). Repeatable; in the variable,
    /// separated by commas.
    #[arg(long, env = "PARSELOG_PASS_ENV", value_name = "NAME", global = true, hide_short_help = true)]
    pass_env: Vec<Commas<VariableName>>,

    /// Most memory of an external parser; unlimited by default.
    #[arg(long, env = "PARSELOG_PARSER_MEMORY", value_parser = value::memory, value_name = "SIZE", global = true, hide_short_help = true)]
    pub parser_memory: Option<ByteSize>,
}

/// The processes in which files are parsed, apart from the worker.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Parse processes")]
pub struct ProcessConfig {
    /// Most memory of the process that parses a file, and of each process of an external parser. A run that
    /// needs more ends as a crash, and no other run with it.
    #[arg(long, env = "PARSELOG_RUN_MEMORY", default_value = "4GiB", value_parser = value::memory, value_name = "SIZE", global = true, hide_short_help = true)]
    pub run_memory: ByteSize,

    /// How many runs a process parses, one after another, before a new one takes its place.
    #[arg(long, env = "PARSELOG_RUNS_PER_PROCESS", default_value = "100", value_parser = value::runs, value_name = "N", global = true, hide_short_help = true)]
    pub runs_per_process: u32,
}

/// The name of an environment variable, as shells write it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct VariableName(String);

impl FromStr for VariableName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim();
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if plain && !name.starts_with(|first: char| first.is_ascii_digit()) {
            Ok(Self(name.to_owned()))
        } else {
            Err("expected names of variables: letters, digits and '_', separated by commas".to_owned())
        }
    }
}

/// Reads where the verdict comes from.
fn verdict_source() -> impl TypedValueParser<Value = VerdictSource> {
    PossibleValuesParser::new([
        PossibleValue::new("stated")
            .help("The program's result or its problems; without both there is no verdict"),
        PossibleValue::new("exit").help("Its exit code too"),
    ])
    .map(|source| if source == "exit" { VerdictSource::Exit } else { VerdictSource::Stated })
}

impl ParserConfig {
    /// The rules, in order; the first match counts.
    pub fn rules(&self) -> Vec<ParserRule> {
        List::join(&self.parser_for)
    }

    /// The variables that external parsers inherit beside the usual ones.
    pub fn passed(&self) -> Vec<String> {
        List::join(&self.pass_env).into_iter().map(|VariableName(name)| name).collect()
    }
}

/// One rule: the command that parses the files of a program and section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParserRule {
    /// A program's code, or `*` for any.
    pub program: String,
    /// A section's code, or `*` for any.
    pub section: String,
    /// The command line.
    pub command: String,
}

impl ParserRule {
    /// The rule by which a command parses every file.
    ///
    /// # Errors
    /// The command line is empty or has an open quote.
    pub fn of_all(command: &str) -> Result<Self, String> {
        let words = shlex::split(command).ok_or("the parser's command line has an open quote")?;
        if words.is_empty() {
            return Err("the parser's command line is empty".to_owned());
        }
        Ok(Self { program: "*".to_owned(), section: "*".to_owned(), command: command.to_owned() })
    }

    /// Whether the command names the submitted file.
    pub fn names_file(&self) -> bool {
        self.command.contains("{file}")
    }
}

impl FromStr for ParserRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "'{text}' is not a parser rule: expected PROGRAM/SECTION=COMMAND, such as 'fra/*=python3 fra.py {{file}}'"
            )
        };
        let (what, command) = text.split_once('=').ok_or_else(expected)?;
        let (program, section) = what.split_once('/').ok_or_else(expected)?;
        let [program, section] = [program, section].map(|code| code.trim().to_ascii_lowercase());
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_code = |code: &str| code == "*" || (!code.is_empty() && code.chars().all(plain));
        if !is_code(&program) || !is_code(&section) {
            return Err(expected());
        }
        Ok(Self { program, section, ..Self::of_all(command)? })
    }
}
