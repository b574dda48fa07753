//! The sentences of the schema files, read into checks and rules.
//!
//! Fields and record types are looked up through [`Names`], so that a sentence which names something
//! unknown is refused with its own text in the error. Nothing is evaluated here.

use std::iter::Peekable;

use anyhow::{Context as _, Result, bail, ensure};

use super::check::{Check, Test};
use super::layout::{Condition, Rule, RuleKind};

/// What the sentences of one record type may name.
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
pub(super) struct Relation {
    /// The record type each of which needs something.
    pub every: String,
    /// Only those for which this holds.
    pub with: String,
    /// Record types, at least one of which must be there.
    pub needs: Vec<String>,
    /// Only those for which this holds count.
    pub needs_with: String,
}

/// A demand on a record because of another record of the same case number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub every: String,
    pub with: String,
    /// The demand: a field and its check.
    pub needs: String,
    pub when: String,
    pub when_with: String,
}

/// Reads one check, such as `int 0..16 or in 98 99`.
pub(super) fn check(text: &str, is_number: bool) -> Result<Check> {
    let read = || {
        let words = words(text)?;
        let mut words = words.iter().map(String::as_str).peekable();
        let check = alternatives(&mut words, is_number)?;
        ensure!(words.peek().is_none(), "{:?} is not expected", words.next().unwrap_or_default());
        Ok(check)
    };
    read().with_context(|| format!("the check {text:?} cannot be read"))
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
pub(super) fn relation(text: &str) -> Result<Relation> {
    let read = || {
        let (every, with, rest) = every(text)?;
        let (types, needs_with) = rest.split_once(" with ").unwrap_or((rest, ""));
        let needs = types.split(" or ").map(|name| name.trim().to_owned()).collect();
        Some(Relation { every, with, needs, needs_with: needs_with.to_owned() })
    };
    read().with_context(|| format!("the rule {text:?} cannot be read: expected `every … needs …`"))
}

/// Reads `every T2 [with …] needs FIELD CHECK when T1 [with …]`.
pub(super) fn link(text: &str) -> Result<Link> {
    let read = || {
        let (every, with, rest) = every(text)?;
        let (needs, other) = rest.split_once(" when ")?;
        let (when, when_with) = other.split_once(" with ").unwrap_or((other, ""));
        let needs = needs.to_owned();
        Some(Link { every, with, needs, when: when.to_owned(), when_with: when_with.to_owned() })
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

fn alternatives<'w>(words: &mut Peekable<impl Iterator<Item = &'w str>>, is_number: bool) -> Result<Check> {
    let mut checks = vec![one(words, is_number)?];
    while words.next_if_eq(&"or").is_some() {
        checks.push(one(words, is_number)?);
    }
    if checks.len() == 1 {
        return Ok(checks.remove(0));
    }
    let demand = checks.iter().map(|check| check.demand.as_str()).collect::<Vec<_>>().join(" or ");
    Ok(Check { demand, test: Test::AnyOf(checks.into_iter().map(|check| check.test).collect()) })
}

fn one<'w>(words: &mut Peekable<impl Iterator<Item = &'w str>>, is_number: bool) -> Result<Check> {
    let as_int = words.next_if_eq(&"int").is_some();
    ensure!(!(as_int && is_number), "`int` is for text fields only");
    let numbers = is_number || as_int;
    let word = words.next().context("a check is missing")?;
    let mut argument = || words.next().context("a value is missing");
    let (test, demand) = match word {
        "=" | "in" => {
            let listed = if word == "=" { vec![argument()?] } else { list(words)? };
            let demand = choice("be", &listed);
            if numbers {
                (number_in(all_numbers(&listed)?), demand)
            } else {
                (Test::TextIn(all_texts(&listed)), demand)
            }
        }
        "!=" | "not" => {
            let listed = match word {
                "!=" => vec![argument()?],
                _ => match argument()? {
                    "in" => list(words)?,
                    "repeated" => {
                        let demand = "not be the same digit throughout".to_owned();
                        return Ok(Check { test: Test::NotRepeated, demand });
                    }
                    other => bail!("`not {other}` is no check"),
                },
            };
            let demand = choice("not be", &listed);
            match numbers {
                true => (Test::NumberNotIn { barred: all_numbers(&listed)?, blank_passes: !as_int }, demand),
                false => (Test::TextNotIn(all_texts(&listed)), demand),
            }
        }
        ">" | ">=" => {
            ensure!(numbers, "a text field needs `int` before `{word}`");
            let least = number(argument()?)? + i64::from(word == ">");
            (Test::Between(least, i64::MAX), format!("be {least} or more"))
        }
        "number" => (Test::Numeric, "be a number".to_owned()),
        "filled" => (Test::Filled, "be filled".to_owned()),
        "blank" => (Test::AllBlank, "be blank".to_owned()),
        "alphanumeric" => (Test::Alphanumeric, "hold only letters and digits".to_owned()),
        "digits" => {
            let count = argument()?;
            (Test::Digits(count.parse()?), format!("have {count} digits"))
        }
        "year" => {
            ensure!(argument()? == ">", "`year` needs `>`");
            let year = number(argument()?)?;
            (Test::YearAbove(year), format!("have a year after {year}"))
        }
        "month" => (Test::Month, "have a month from 01 to 12".to_owned()),
        "day" => (Test::Day, "have a day from 01 to 31".to_owned()),
        "quarter" => (Test::Quarter, "end in a quarter from 1 to 4".to_owned()),
        "from" => {
            let month = argument()?;
            (Test::From(number(month)?), format!("be {month} or later"))
        }
        "ssn" => {
            let demand =
                "be a valid social security number (9 digits, no part all zeros, not starting with 666)";
            (Test::Ssn, demand.to_owned())
        }
        "age" => match argument()? {
            "<" => {
                let years = argument()?;
                (Test::AgeBelow(years.parse()?), format!("be of someone younger than {years}"))
            }
            ">=" => {
                let years = argument()?;
                (Test::AgeFrom(years.parse()?), format!("be of someone aged {years} or more"))
            }
            other => bail!("`age {other}` is no check"),
        },
        range => {
            let (least, most) = range.split_once("..").with_context(|| format!("{range:?} is no check"))?;
            ensure!(numbers, "a text field needs `int` before `{range}`");
            let (least, most) = (number(least)?, number(most)?);
            ensure!(least <= most, "{least} is above {most}");
            (Test::Between(least, most), format!("be between {least} and {most}"))
        }
    };
    Ok(Check { test, demand })
}

/// The values of `in`, up to the next word of the sentence.
fn list<'w>(words: &mut Peekable<impl Iterator<Item = &'w str>>) -> Result<Vec<&'w str>> {
    let mut all = Vec::new();
    while let Some(word) = words.next_if(|word| !matches!(*word, "or" | "and" | "then")) {
        all.push(word);
    }
    ensure!(!all.is_empty(), "`in` needs values");
    Ok(all)
}

fn choice(verb: &str, values: &[&str]) -> String {
    match values {
        [one] => format!("{verb} {}", shown(one)),
        many => {
            format!("{verb} one of {}", many.iter().map(|value| shown(value)).collect::<Vec<_>>().join(", "))
        }
    }
}

fn shown(value: &str) -> String {
    let bare = unquoted(value);
    if bare.trim().is_empty() { "blank".to_owned() } else { bare.to_owned() }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(value)
}

fn number_in(numbers: Box<[i64]>) -> Test {
    match numbers.iter().try_fold(0, |bits, &n| (0..64).contains(&n).then(|| bits | 1 << n)) {
        Some(bits) => Test::NumberOf(bits),
        None => Test::NumberIn(numbers),
    }
}

fn all_numbers(values: &[&str]) -> Result<Box<[i64]>> {
    values.iter().map(|value| number(value)).collect()
}

fn all_texts(values: &[&str]) -> Box<[Box<[u8]>]> {
    values.iter().map(|value| unquoted(value).as_bytes().into()).collect()
}

fn number(text: &str) -> Result<i64> {
    text.parse().with_context(|| format!("{text:?} is no number"))
}

/// Splits at blanks, keeping what stands between single quotes together, quotes included.
fn words(text: &str) -> Result<Vec<String>> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in text.chars() {
        quoted ^= character == '\'';
        if character == ' ' && !quoted {
            words.push(String::new());
        } else if let Some(word) = words.last_mut() {
            word.push(character);
        }
    }
    ensure!(!quoted, "a quote is not closed");
    words.retain(|word| !word.is_empty());
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_says_what_it_demands() {
        for (text, is_number, demand) in [
            ("0..99", true, "be between 0 and 99"),
            ("int 0..16 or in 98 99", false, "be between 0 and 16 or be one of 98, 99"),
            ("> 0", true, "be 1 or more"),
            ("in ' ' E", false, "be one of blank, E"),
            ("!= 99", false, "not be 99"),
        ] {
            assert_eq!(check(text, is_number).expect(text).demand, demand);
        }
    }

    #[test]
    fn a_sentence_that_makes_no_sense_is_refused_with_its_text() {
        for (text, is_number) in [
            ("between 1 and 2", true),
            ("9..1", true),
            ("0..99", false),
            ("int 0..99", true),
            ("in", true),
            ("in 1 x", true),
            ("digits x", false),
            ("number number", false),
            ("in 'a", false),
            ("> ", true),
        ] {
            let error = format!("{:#}", check(text, is_number).expect_err(text));
            assert!(error.contains("cannot be read"), "{error}");
        }
        let names = Names { fields: &[("A".to_owned(), true)] };
        for text in ["if A > 0 then B > 0", "if A > 0", "sum A B > 0", "A = sum C", "A 1..2 A"] {
            assert!(rule(text, &names).is_err(), "{text}");
        }
        assert!(relation("every T1 wants T2").is_err() && link("every T1 needs T2").is_err());
    }
}
