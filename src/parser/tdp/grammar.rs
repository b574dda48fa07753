//! The sentences of the schema files, read into conditions and rules.
//!
//! Fields and record types are looked up through [`Names`], so that a sentence which names something
//! unknown is refused with its own text in the error. Nothing is evaluated here.

use std::iter::Peekable;

use anyhow::{Context as _, Result, ensure};

use super::layout::{Condition, Rule, RuleKind};
use super::phrase::{alternatives, number, words};

/// The names that sentences of one record type may use.
pub(super) struct Names<'a> {
    /// Field names in layout order, with whether each holds numbers.
    pub fields: &'a [(String, bool)],
}

impl Names<'_> {
    fn field(&self, name: &str) -> Result<usize> {
        self.fields
            .iter()
            .position(|(field, _)| field == name)
            .with_context(|| format!("no field is named {name:?}"))
    }
}

/// A rule about several records, before its conditions are compiled for each record type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawRelation {
    /// The record type each of which needs something.
    pub every: String,
    /// Only those for which this holds.
    pub with: String,
    /// Record types, at least one of which must exist.
    pub needs: Vec<String>,
    /// Only those for which this holds count.
    pub needs_with: String,
}

/// A demand on a record because of another record of the same case number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawLink {
    pub every: String,
    pub with: String,
    /// The demand: a field and its check.
    pub needs: String,
    pub when: String,
    pub when_with: String,
}

/// Reads conditions joined by `and`; an empty text gives none.
pub(super) fn conditions(text: &str, names: &Names<'_>) -> Result<Vec<Condition>> {
    let read = || {
        let words = words(text)?;
        let mut words = words.iter().map(String::as_str).peekable();
        let mut all = Vec::new();
        while words.peek().is_some() {
            all.push(condition(&mut words, names)?);
            ensure!(words.peek().is_none_or(|word| *word == "and"), "{:?} is not expected", words.next());
            words.next();
        }
        Ok(all)
    };
    read().with_context(|| format!("the condition {text:?} cannot be read"))
}

/// Reads exactly one condition.
pub(super) fn demand(text: &str, names: &Names<'_>) -> Result<Condition> {
    let mut all = conditions(text, names)?;
    ensure!(all.len() == 1, "{text:?} is not one demand");
    Ok(all.remove(0))
}

/// Reads a rule about the fields of one record.
pub(super) fn rule(text: &str, names: &Names<'_>) -> Result<Rule> {
    let read = || {
        let words = words(text)?;
        let list: Vec<&str> = words.iter().map(String::as_str).collect();
        let fields =
            |names_: &[&str]| names_.iter().map(|name| names.field(name)).collect::<Result<Vec<_>>>();
        let kind = match list.as_slice() {
            ["sum", parts @ .., ">", least] => {
                RuleKind::SumAbove { parts: fields(parts)?, least: number(least)? }
            }
            [total, "=", "sum", parts @ ..] => {
                RuleKind::SumEquals { total: names.field(total)?, parts: fields(parts)? }
            }
            ["if", rest @ ..] => {
                let mut words = rest.iter().copied().peekable();
                let mut when = vec![condition(&mut words, names)?];
                while words.next_if_eq(&"and").is_some() {
                    when.push(condition(&mut words, names)?);
                }
                ensure!(words.next() == Some("then"), "`then` is missing");
                let then = condition(&mut words, names)?;
                ensure!(words.next().is_none(), "something follows the demand");
                RuleKind::Demand { when, then }
            }
            _ => {
                let mut words = list.iter().copied().peekable();
                let then = condition(&mut words, names)?;
                ensure!(words.next().is_none(), "something follows the demand");
                RuleKind::Demand { when: Vec::new(), then }
            }
        };
        Ok(Rule { kind, repeats: false })
    };
    read().with_context(|| format!("the rule {text:?} cannot be read"))
}

/// Reads `every T1 [with …] needs T2 [or T3] [with …]`.
pub(super) fn relation(text: &str) -> Result<RawRelation> {
    let read = || {
        let (every, with, rest) = every(text)?;
        let (types, needs_with) = rest.split_once(" with ").unwrap_or((rest, ""));
        let needs = types.split(" or ").map(|name| name.trim().to_owned()).collect();
        Some(RawRelation { every, with, needs, needs_with: needs_with.to_owned() })
    };
    read().with_context(|| format!("the rule {text:?} cannot be read: expected `every … needs …`"))
}

/// Reads `every T2 [with …] needs FIELD CHECK when T1 [with …]`.
pub(super) fn link(text: &str) -> Result<RawLink> {
    let read = || {
        let (every, with, rest) = every(text)?;
        let (needs, other) = rest.split_once(" when ")?;
        let (when, when_with) = other.split_once(" with ").unwrap_or((other, ""));
        let needs = needs.to_owned();
        Some(RawLink { every, with, needs, when: when.to_owned(), when_with: when_with.to_owned() })
    };
    read().with_context(|| format!("the rule {text:?} cannot be read: expected `every … needs … when …`"))
}

fn every(text: &str) -> Option<(String, String, &str)> {
    let (subject, rest) = text.strip_prefix("every ")?.split_once(" needs ")?;
    let (every, with) = subject.split_once(" with ").unwrap_or((subject, ""));
    Some((every.to_owned(), with.to_owned(), rest))
}

fn condition<'w>(
    words: &mut Peekable<impl Iterator<Item = &'w str>>,
    names: &Names<'_>,
) -> Result<Condition> {
    let field = names.field(words.next().context("a field name is missing")?)?;
    Ok(Condition { field, check: alternatives(words, names.fields[field].1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_that_makes_no_sense_is_refused_with_its_text() {
        let names = Names { fields: &[("A".to_owned(), true)] };
        for text in ["if A > 0 then B > 0", "if A > 0", "sum A B > 0", "A = sum C", "A 1..2 A"] {
            assert!(rule(text, &names).is_err(), "{text}");
        }
        assert!(relation("every T1 wants T2").is_err() && link("every T1 needs T2").is_err());
    }
}
