//! What an operator may set about external parsers.

use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::{Commas, Lines, List, ParserRule, value};
use crate::parser::VerdictSource;

/// External programs that parse instead of the built-in parser.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "External parsers")]
pub struct ParserConfig {
    /// `PROGRAM/SECTION=COMMAND`, with `*` for any: the command that parses such files, for
    /// instance `fra/*=python3 fra.py {file}`. May be given more than once, one per line in the
    /// variable; the first that fits counts.
    #[arg(long, env = "PARSELOG_PARSERS", value_name = "RULE", global = true, hide_short_help = true)]
    parser_for: Vec<Lines<ParserRule>>,

    /// An external parser that says nothing for this long is stopped.
    #[arg(long, env = "PARSELOG_PARSER_SILENCE", default_value = "10m", value_parser = value::period, value_name = "TIME", global = true, hide_short_help = true)]
    pub parser_silence: Duration,

    /// What says that a submission is accepted, where an external parser's result states no verdict:
    /// its result and its problems alone, or its exit code too (0 accepted, 3 rejected).
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

    /// A variable of the environment that external parsers inherit beside those that every program
    /// needs (`PATH`, `HOME`, `LANG`, `LC_*`, `TZ`, `TMPDIR`, `PYTHON*`); may be given more than once,
    /// separated by commas in the variable.
    #[arg(long, env = "PARSELOG_PASS_ENV", value_name = "NAME", global = true, hide_short_help = true)]
    pass_env: Vec<Commas<VariableName>>,

    /// Memory that an external parser may use; unlimited without it.
    #[arg(long, env = "PARSELOG_PARSER_MEMORY", value_parser = value::memory, value_name = "SIZE", global = true, hide_short_help = true)]
    pub parser_memory: Option<ByteSize>,
}

/// The name of a variable of the environment, as shells write them.
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

/// Reads what says that a submission is accepted.
fn verdict_source() -> impl TypedValueParser<Value = VerdictSource> {
    PossibleValuesParser::new([
        PossibleValue::new("stated")
            .help("The program's result or its problems; one that says nothing has no verdict"),
        PossibleValue::new("exit").help("Its exit code too"),
    ])
    .map(|source| if source == "exit" { VerdictSource::Exit } else { VerdictSource::Stated })
}

impl ParserConfig {
    /// The rules, the first that fits first.
    pub fn rules(&self) -> Vec<ParserRule> {
        List::join(&self.parser_for)
    }

    /// The variables that external parsers inherit beside the usual ones.
    pub fn passed(&self) -> Vec<String> {
        List::join(&self.pass_env).into_iter().map(|VariableName(name)| name).collect()
    }
}
