//! Compiles one record type of a schema file into its segments, fields and rules.
//!
//! `compile` has the sections' use of record types.

use anyhow::{Context as _, Result, bail, ensure};

use super::grammar::{self, Names};
use super::layout::{Cell, Field, FieldKind, Hot, LineSegment, Precheck, Quiet, RecordType, Rule, Submitter};
use super::phrase;
use super::raw::{RawField, RawRecord};
use super::value::At;

/// Compiles a record type; `month` and `case` name the fields that hold them.
///
/// # Errors
/// The unreadable part, with the record type and field.
pub(super) fn record(raw: &RawRecord, month: Option<&str>, case: Option<&str>) -> Result<RecordType> {
    let compile = || {
        ensure!(raw.blocks > 0 && raw.months > 0, "it has no segment");
        ensure!(!raw.fields.is_empty(), "it has no fields");
        let segments = (0..raw.blocks * raw.months).map(|nth| segment(raw, nth, month, case));
        Ok(RecordType { name: raw.name.clone(), segments: segments.collect::<Result<_>>()? })
    };
    compile().with_context(|| format!("record {}", raw.name))
}

fn segment(raw: &RawRecord, nth: usize, month: Option<&str>, case: Option<&str>) -> Result<LineSegment> {
    let (block, month_index) = (nth / raw.months, nth % raw.months);
    let shift = block * raw.block_width;
    let fields = raw
        .fields
        .iter()
        .map(|field_| field(field_, shift, month_index).with_context(|| format!("field {}", field_.name)));
    let fields: Vec<Field> = fields.collect::<Result<_>>()?;
    let owned = names(raw);
    let names = owned.names();
    let find = |name: &String| {
        let found = fields.iter().position(|field| field.name == *name);
        found.with_context(|| format!("no field is named {name:?}"))
    };
    let (sentences, quiet) = match &raw.later {
        Some(later) if nth > 0 => (&later.prechecks, quiet(&later.quiet)?),
        _ => (&raw.prechecks, Quiet::Never),
    };
    let place = |name: &str| match name {
        "state" => Ok(Submitter::State),
        "territory" => Ok(Submitter::Territory),
        "tribe" => Ok(Submitter::Tribe),
        other => bail!("{other:?} is not a position"),
    };
    let deprecated = raw.deprecated_rules.iter();
    let month = month.map(|name| find(&name.to_owned())).transpose()?;
    let mut segment = LineSegment {
        prechecks: sentences.iter().map(|text| precheck(text, shift)).collect::<Result<_>>()?,
        quiet,
        rules: rules(&raw.rules, &names)?,
        deprecated_rules: deprecated
            .map(|raw| Ok((place(&raw.place)?, grammar::rule(&raw.rule, &names)?)))
            .collect::<Result<_>>()?,
        month,
        case: case.and_then(|name| fields.iter().position(|field| field.name == name)),
        partial_key: raw.partial_key.iter().map(find).collect::<Result<_>>()?,
        partial_except: grammar::conditions(&raw.partial_except, &names)?,
        exact_except: grammar::conditions(&raw.exact_except, &names)?,
        marks: Vec::new(),
        hot: Hot::default(),
        fields,
    };
    segment.hot = hot(&segment);
    let needs_month = segment.prechecks.iter().any(|precheck| matches!(precheck, Precheck::MonthInQuarter));
    ensure!(!needs_month || month.is_some(), "a pre-check needs the month, but no field holds it");
    Ok(segment)
}

/// Rules in order; one that has the same conditions as the one before it knows that it has.
fn rules(texts: &[String], names: &Names<'_>) -> Result<Vec<Rule>> {
    let mut rules = Vec::new();
    let mut before = None;
    for text in texts {
        let when = text.split_once(" then ").map(|(when, _)| when);
        rules.push(Rule { repeats: when.is_some() && when == before, ..grammar::rule(text, names)? });
        before = when;
    }
    Ok(rules)
}

/// The parts of the fields that reading and checking needs.
fn hot(segment: &LineSegment) -> Hot {
    let fields = &segment.fields;
    let mut hot = Hot {
        cells: fields.iter().map(|field| cell(field.at, field.kind)).collect(),
        all: ranges(fields.iter().map(|field| field.at)),
        partial: ranges(segment.partial_key.iter().map(|&field| fields[field].at)),
        ..Hot::default()
    };
    for (number, field) in fields.iter().enumerate().filter(|(_, field)| field.required) {
        let from = hot.tests.len();
        hot.tests.extend(field.checks.iter().map(|check| check.test.clone()));
        hot.required.push((number, from..hot.tests.len()));
    }
    hot
}

fn cell(at: At, kind: FieldKind) -> Cell {
    let width = at.end - at.start;
    Cell { at, kind, mask: if width > 8 { 0 } else { u64::MAX >> (64 - 8 * width) } }
}

/// The same positions in as few ranges as possible, in order.
fn ranges(fields: impl Iterator<Item = At>) -> Vec<At> {
    let mut all: Vec<At> = fields.collect();
    all.sort_by_key(|at| at.start);
    let mut joined: Vec<At> = Vec::new();
    for at in all {
        match joined.last_mut() {
            Some(last) if at.start <= last.end => last.end = last.end.max(at.end),
            _ => joined.push(at),
        }
    }
    joined
}

fn field(raw: &RawField, shift: usize, month: usize) -> Result<Field> {
    let mut place = at(&raw.at)?;
    let width = place.end - place.start;
    let shift = if raw.block { shift } else { 0 } + if raw.monthly { month * width } else { 0 };
    place = At { start: place.start + shift, end: place.end + shift };
    let kind = match (raw.kind.as_str(), raw.transform.as_str()) {
        ("number", "") => FieldKind::Number,
        ("text", "") => FieldKind::Text,
        ("text", "zero pad") => FieldKind::ZeroPadded,
        ("text", "decrypt") => FieldKind::Ciphered,
        ("number", "month of quarter") => FieldKind::MonthOfQuarter(month as u8),
        (kind, transform) => bail!("type {kind:?} with transform {transform:?} is not known"),
    };
    let is_number = matches!(kind, FieldKind::Number | FieldKind::MonthOfQuarter(_));
    let letter = if raw.monthly { ["A", "B", "C"].get(month).copied().unwrap_or_default() } else { "" };
    let checks = raw.checks.iter().map(|text| phrase::check(text, is_number));
    Ok(Field {
        item: format!("{}{letter}", raw.item),
        name: raw.name.clone(),
        at: place,
        kind,
        required: raw.required,
        warning: raw.warning,
        sensitive: raw.sensitive,
        checks: checks.collect::<Result<_>>()?,
    })
}

fn precheck(text: &str, shift: usize) -> Result<Precheck> {
    let read = || {
        let (text, shift) = text.strip_prefix("block ").map_or((text, 0), |rest| (rest, shift));
        let shifted = |range: &str| at(range).map(|at| At { start: at.start + shift, end: at.end + shift });
        Ok(match text.split(' ').collect::<Vec<_>>().as_slice() {
            ["length", ">=", least] => Precheck::LengthAtLeast(least.parse()?),
            ["length", "=", length] => Precheck::LengthExactly(length.parse()?),
            ["starts", "with", start] => Precheck::StartsWith((*start).to_owned()),
            ["month", "in", "quarter"] => Precheck::MonthInQuarter,
            [range, "filled"] => Precheck::Filled(shifted(range)?),
            [range, "filled,", "not", "zeros"] => Precheck::FilledNotZeros(shifted(range)?),
            [range, "quarter"] => {
                let range = shifted(range)?;
                ensure!(range.end - range.start == 5, "a quarter is five characters, YYYYQ");
                Precheck::Quarter(range)
            }
            _ => bail!("no such pre-check"),
        })
    };
    read().with_context(|| format!("the pre-check {text:?} cannot be read"))
}

fn quiet(text: &str) -> Result<Quiet> {
    match text.strip_prefix("unless ").and_then(|rest| rest.strip_suffix(" has data")) {
        Some(range) => Ok(Quiet::UnlessData(at(range)?)),
        None if text == "always" => Ok(Quiet::Always),
        None => bail!("quiet = {text:?} is neither `always` nor `unless 61-101 has data`"),
    }
}

fn at(text: &str) -> Result<At> {
    let read = || {
        let (start, end) = text.split_once('-')?;
        let (start, end) = (start.parse().ok()?, end.parse().ok()?);
        (start < end && end < 10_000).then_some(At { start, end })
    };
    read().with_context(|| format!("{text:?} is not a range of positions such as 8-19"))
}

/// Field names of a raw record, with whether each holds numbers.
pub(super) struct OwnedNames(Vec<(String, bool)>);

pub(super) fn names(raw: &RawRecord) -> OwnedNames {
    OwnedNames(raw.fields.iter().map(|field| (field.name.clone(), field.kind == "number")).collect())
}

impl OwnedNames {
    pub(super) fn names(&self) -> Names<'_> {
        Names { fields: &self.0 }
    }
}
