//! Who parses what: an external command where a rule names one, else the built-in parser.

use std::sync::Arc;

use anyhow::{Context, Result};

use crate::parser::tdp::Tdp;
use crate::parser::{CommandOptions, CommandParser, Parser};

/// The parsers of a worker.
pub struct Parsers {
    rules: Vec<Rule>,
    built_in: Arc<dyn Parser>,
}

struct Rule {
    program: String,
    section: String,
    parser: Arc<dyn Parser>,
}

impl Parsers {
    /// Rules such as `fra/*=python3 fra.py {file}`, with `*` for any program or section; the first
    /// that fits counts. All commands run under `options`.
    ///
    /// # Errors
    /// A rule that can't be read.
    pub fn new(rules: &[String], options: &CommandOptions) -> Result<Self> {
        let rules = rules.iter().map(|rule| read_rule(rule, options)).collect::<Result<_>>()?;
        #[cfg(feature = "faults")]
        if let Some(parser) = crate::parser::acknowledging::Acknowledging::from_env() {
            return Ok(Self { rules, built_in: Arc::new(parser) });
        }
        Ok(Self { rules, built_in: Arc::new(Tdp::new()) })
    }

    /// The same with one more rule, before all others: `parser` reads the files of this program and
    /// section, each a code or `*`. This is how a parser of one's own, in this process, gets its runs.
    #[must_use]
    pub fn with(mut self, program: &str, section: &str, parser: Arc<dyn Parser>) -> Self {
        self.rules.insert(0, Rule { program: program.to_owned(), section: section.to_owned(), parser });
        self
    }

    /// The parser of such files.
    pub fn of(&self, program: &str, section: &str) -> Arc<dyn Parser> {
        let fits = |pattern: &str, code: &str| pattern == "*" || pattern == code;
        let rule =
            self.rules.iter().find(|rule| fits(&rule.program, program) && fits(&rule.section, section));
        Arc::clone(rule.map_or(&self.built_in, |rule| &rule.parser))
    }
}

fn read_rule(rule: &str, options: &CommandOptions) -> Result<Rule> {
    let parts = rule.split_once('=').and_then(|(what, command)| Some((what.split_once('/')?, command)));
    let ((program, section), command) =
        parts.with_context(|| format!("'{rule}' is no parser rule: write 'PROGRAM/SECTION=COMMAND', such as 'fra/*=python3 fra.py {{file}}'"))?;
    let parser = CommandParser::new(command, options.clone())?;
    Ok(Rule {
        program: program.trim().to_owned(),
        section: section.trim().to_owned(),
        parser: Arc::new(parser),
    })
}
