//! The phrases of the schema files that check one value, such as `int 0..16 or in 98 99`.
//!
//! Sentences that name fields and record types are read in `grammar`.

use std::iter::Peekable;

use anyhow::{Context as _, Result, bail, ensure};

use super::check::{Check, Test};

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

/// Reads checks joined by `or`, up to the first word that belongs to none.
pub(super) fn alternatives<'w>(
    words: &mut Peekable<impl Iterator<Item = &'w str>>,
    is_number: bool,
) -> Result<Check> {
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
                    other => bail!("`not {other}` is not a check"),
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
            other => bail!("`age {other}` is not a check"),
        },
        range => {
            let (least, most) =
                range.split_once("..").with_context(|| format!("{range:?} is not a check"))?;
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

pub(super) fn number(text: &str) -> Result<i64> {
    text.parse().with_context(|| format!("{text:?} is not a number"))
}

/// Splits at blanks, but keeps text in single quotes together, quotes included.
pub(super) fn words(text: &str) -> Result<Vec<String>> {
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
    fn a_phrase_that_makes_no_sense_is_refused_with_its_text() {
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
    }
}
