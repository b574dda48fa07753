//! Chooses the parser: an external command if a rule names one, else the built-in parser.

use std::sync::Arc;

use anyhow::Result;

use crate::config::ParserRule;
use crate::parser::tdp::{self, Tdp};
use crate::parser::{CommandOptions, CommandParser, Parser};

/// The parsers of a worker.
pub struct Parsers {
    rules: Vec<AssignedParser>,
    built_in: Arc<dyn Parser>,
}

struct AssignedParser {
    program: String,
    section: String,
    parser: Arc<dyn Parser>,
}

impl Parsers {
    /// The first matching rule counts. All commands run under `options`.
    ///
    /// # Errors
    /// A command line that can't be read.
    pub fn new(rules: &[ParserRule], options: &CommandOptions) -> Result<Self> {
        let rule = |rule: &ParserRule| {
            let parser = Arc::new(CommandParser::new(&rule.command, options.clone())?);
            Ok(AssignedParser { program: rule.program.clone(), section: rule.section.clone(), parser })
        };
        let rules = rules.iter().map(rule).collect::<Result<_>>()?;
        #[cfg(feature = "faults")]
        if let Some(parser) = crate::parser::acknowledging::Acknowledging::from_env() {
            return Ok(Self { rules, built_in: Arc::new(Tdp::new()) }.with("*", "*", Arc::new(parser)));
        }
        Ok(Self { rules, built_in: Arc::new(Tdp::new()) })
    }

    /// The same with one more rule, behind all others: `parser` reads the files of this program and section,
    /// each a code or `*`. So a parser of one's own in this process gets its runs.
    #[must_use]
    pub fn with(mut self, program: &str, section: &str, parser: Arc<dyn Parser>) -> Self {
        self.rules.push(AssignedParser { program: program.to_owned(), section: section.to_owned(), parser });
        self
    }

    /// The programs and sections of the files that there is a parser for, each a code or `*` for any.
    pub fn kinds(&self) -> Vec<(String, String)> {
        let rules = self.rules.iter().map(|rule| (rule.program.clone(), rule.section.clone()));
        let built_in = tdp::sections().map(|(program, section)| (program.to_owned(), section.to_owned()));
        rules.chain(built_in).collect()
    }

    /// The parser of such files.
    pub fn of(&self, program: &str, section: &str) -> Arc<dyn Parser> {
        let fits = |pattern: &str, code: &str| pattern == "*" || pattern == code;
        let rule =
            self.rules.iter().find(|rule| fits(&rule.program, program) && fits(&rule.section, section));
        Arc::clone(rule.map_or(&self.built_in, |rule| &rule.parser))
    }
}
