//! The command line of an external parser: words, with placeholders in them.

use std::ffi::OsString;

use anyhow::{Context as _, bail};

use super::environment::Facts;

const PLACEHOLDERS: [&str; 6] = ["file", "name", "program", "section", "year", "quarter"];

/// A command line that was split and checked once.
#[derive(Debug, Clone)]
pub(super) struct Template {
    words: Vec<Vec<Part>>,
    program: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Placeholder(&'static str),
}

impl Template {
    pub(super) fn parse(command_line: &str) -> anyhow::Result<Self> {
        let words = shlex::split(command_line)
            .with_context(|| format!("the parser's command line has an open quote: {command_line}"))?;
        let program = words.first().context("the parser's command line is empty")?.clone();
        let words = words.iter().map(|word| parts(word)).collect::<anyhow::Result<_>>()?;
        Ok(Self { words, program })
    }

    /// The first word, for messages.
    pub(super) fn program(&self) -> &str {
        &self.program
    }

    /// Puts the facts in place of the placeholders. Placeholders within a fact stay as they are.
    pub(super) fn words(&self, facts: &Facts<'_>) -> Vec<OsString> {
        let fill = |part: &Part| match part {
            Part::Text(text) => OsString::from(text),
            Part::Placeholder(name) => facts.value(name),
        };
        self.words.iter().map(|parts| parts.iter().map(fill).collect()).collect()
    }
}

/// Splits a word at `{name}`. Braces around anything but a plain name are text, as in JSON.
fn parts(word: &str) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(open) = rest.find('{') {
        text.push_str(&rest[..open]);
        rest = &rest[open..];
        let close = rest.find('}').unwrap_or(0);
        let name = rest.get(1..close).unwrap_or_default();
        if let Some(known) = PLACEHOLDERS.into_iter().find(|known| *known == name) {
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(Part::Placeholder(known));
            rest = &rest[close + 1..];
        } else if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            bail!(
                "unknown placeholder {{{name}}} in the parser's command line; known: {{{}}}",
                PLACEHOLDERS.join("} {")
            );
        } else {
            text.push('{');
            rest = &rest[1..];
        }
    }
    text.push_str(rest);
    parts.push(Part::Text(text));
    parts.retain(|part| *part != Part::Text(String::new()));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_found_within_words() {
        let template = Template::parse("sh -c 'x {y z}' --in={file} '' {\"a\":1} q{quarter}{year}").unwrap();
        assert_eq!(template.program(), "sh");
        assert_eq!(template.words[2], [Part::Text("x {y z}".to_owned())]);
        assert_eq!(template.words[3], [Part::Text("--in=".to_owned()), Part::Placeholder("file")]);
        assert_eq!(template.words[4], [], "an empty word stays a word");
        assert_eq!(template.words[5], [Part::Text("{a:1}".to_owned())]);
        let last = [Part::Text("q".to_owned()), Part::Placeholder("quarter"), Part::Placeholder("year")];
        assert_eq!(template.words[6], last);
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_refused() {
        for (line, reason) in [("", "empty"), ("  ", "empty"), ("a 'b", "open quote"), ("a {fil}", "{fil}")] {
            let error = Template::parse(line).expect_err(line).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
