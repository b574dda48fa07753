//! Rules that give files to external parsers.

use std::str::FromStr;

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
