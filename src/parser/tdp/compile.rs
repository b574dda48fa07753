//! Turns the schema files into layouts, once at start, and refuses what makes no sense.
//!
//! Every error says which file, record type, field or rule it is about. Nothing here reads a
//! submission.

use anyhow::{Context as _, Result, bail, ensure};

use super::grammar::{self, Names};
use super::layout::{
    Cell, Cipher, Duplicates, Field, Header, Hot, Kind, Link, Mark, Place, Precheck, Program, Quiet,
    RecordType, Relation, Roles, Rule, Section, Segment,
};
use super::raw::{RawCommon, RawField, RawHeader, RawProgram, RawRecord, RawSection};
use super::value::At;

/// All programs, and what they share.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub programs: Vec<Program>,
    pub cipher: Cipher,
    /// FIPS codes of territories.
    pub territories: Vec<String>,
}

/// Compiles the common file and one file per program, each given with its name.
///
/// # Errors
/// The first thing that cannot be read or that names something unknown, with where it stands.
pub(super) fn catalogue(common: (&str, &str), programs: &[(&str, &str)]) -> Result<Catalogue> {
    let shared: RawCommon = toml::from_str(common.1).with_context(|| common.0.to_owned())?;
    let programs = programs
        .iter()
        .map(|(name, text)| {
            let raw: RawProgram = toml::from_str(text).with_context(|| (*name).to_owned())?;
            program(&raw, &shared).with_context(|| (*name).to_owned())
        })
        .collect::<Result<Vec<_>>>()?;
    let cipher = cipher(&shared).with_context(|| format!("{}: cipher", common.0))?;
    Ok(Catalogue { programs, cipher, territories: shared.territory.fips })
}

impl Catalogue {
    /// The program and section of these codes.
    pub(super) fn find(&self, program: &str, section: &str) -> Option<(&Program, &Section)> {
        let programs = self.programs.iter().filter(|known| known.code == program);
        programs
            .flat_map(|known| known.sections.iter().map(move |section| (known, section)))
            .find(|(_, known)| known.code == section)
    }
}

fn cipher(raw: &RawCommon) -> Result<Cipher> {
    let (from, to) = (raw.cipher.from.as_bytes(), raw.cipher.to.as_bytes());
    ensure!(from.len() == to.len(), "`from` and `to` differ in length");
    let mut table: Box<[u8; 256]> = Box::new(std::array::from_fn(|byte| byte as u8));
    from.iter().zip(to).for_each(|(&from, &to)| table[usize::from(from)] = to);
    Ok(Cipher { flag: raw.cipher.flag.clone(), table })
}

fn program(raw: &RawProgram, common: &RawCommon) -> Result<Program> {
    let sections = raw
        .section
        .iter()
        .map(|section| compile_section(section, raw).with_context(|| format!("section {}", section.code)));
    Ok(Program {
        code: raw.program.clone(),
        header: raw.header.as_ref().map(|header| compile_header(header, raw, common)).transpose()?,
        sections: sections.collect::<Result<_>>()?,
    })
}

fn compile_header(raw: &RawHeader, program: &RawProgram, common: &RawCommon) -> Result<Header> {
    let find = |name: &str| {
        let mut records = program.record.iter().chain(&common.record);
        let found = records.find(|record| record.name == name);
        record(found.with_context(|| format!("no record type is named {name}"))?, None, None)
    };
    let (header, trailer) = (find(&raw.record)?, find(&raw.trailer)?);
    let role = |role: &str| {
        let name = common.header.get(role).with_context(|| format!("the header has no role {role}"))?;
        position(&header, name)
    };
    let roles = Roles {
        year: role("year")?,
        quarter: role("quarter")?,
        section: role("section")?,
        fips: role("fips")?,
        tribe: role("tribe")?,
        program: role("program")?,
        encryption: role("encryption")?,
    };
    let count = raw.count.as_deref().map(|name| position(&trailer, name)).transpose()?;
    let (programs, tribal_program) = (raw.programs.clone(), common.tribal_program.clone());
    Ok(Header { roles, count, programs, tribe: raw.tribe, tribal_program, record: header, trailer })
}

fn position(record: &RecordType, name: &str) -> Result<usize> {
    let mut fields = record.segments[0].fields.iter();
    fields
        .position(|field| field.name == name)
        .with_context(|| format!("record {} has no field {name}", record.name))
}

fn compile_section(raw: &RawSection, program: &RawProgram) -> Result<Section> {
    ensure!(!raw.records.is_empty(), "it has no records");
    let raws = raw.records.iter().map(|name| {
        let found = program.record.iter().find(|record| record.name == *name);
        found.with_context(|| format!("no record type is named {name}"))
    });
    let raws = raws.collect::<Result<Vec<_>>>()?;
    let mut records = Vec::new();
    for record_ in &raws {
        records.push(record(record_, Some(&program.month), program.case.as_deref())?);
    }
    let mut marks = Marks { next: 0, raws: &raws, records: &mut records };
    let live = raw.case_rules.iter().map(|text| (text, false));
    let relations = live
        .chain(raw.deprecated_case_rules.iter().map(|text| (text, true)))
        .map(|(text, deprecated)| {
            let rule = grammar::relation(text)?;
            let mut types = Vec::new();
            let needs = marks.next()?;
            for name in &rule.needs {
                types.push(marks.add(needs, name, &rule.needs_with, None).with_context(|| text.clone())?);
            }
            let every = marks.next()?;
            marks.add(every, &rule.every, &rule.with, None).with_context(|| text.clone())?;
            Ok(Relation {
                every,
                types,
                needs,
                deprecated,
                needs_text: rule.needs_with,
                every_text: rule.with,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let links = raw
        .linked_rules
        .iter()
        .map(|text| {
            let rule = grammar::link(text)?;
            let (fails, when) = (marks.next()?, marks.next()?);
            let fails_it = Some(rule.needs.as_str());
            let record = marks.add(fails, &rule.every, &rule.with, fails_it).with_context(|| text.clone())?;
            marks.add(when, &rule.when, &rule.when_with, None).with_context(|| text.clone())?;
            let demand = grammar::demand(&rule.needs, &names(raws[usize::from(record)]).names())?;
            let when_text = format!("{} with {}", rule.when, rule.when_with);
            Ok(Link { fails, when, when_text, demand })
        })
        .collect::<Result<Vec<_>>>()?;
    let duplicates = match raw.duplicates.as_str() {
        "delete case" => Duplicates::DeleteCase,
        "delete type" => Duplicates::DeleteType,
        "delete copies" => Duplicates::DeleteCopies,
        "keep" => Duplicates::Keep,
        other => {
            bail!("duplicates = {other:?} is none of `delete case`, `delete type`, `delete copies`, `keep`")
        }
    };
    let (code, letter) = (raw.code.clone(), raw.letter.clone());
    Ok(Section { code, letter, records, duplicates, most_records: raw.most_records, relations, links })
}

/// Hands out the bits by which rules between records recognise them.
struct Marks<'a> {
    next: u8,
    raws: &'a [&'a RawRecord],
    records: &'a mut Vec<RecordType>,
}

impl Marks<'_> {
    fn next(&mut self) -> Result<u8> {
        ensure!(self.next < 16, "a section can tell only 16 kinds of record apart by its rules");
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Gives a bit to the records of one type for which the conditions hold; returns the type.
    fn add(&mut self, bit: u8, name: &str, with: &str, fails: Option<&str>) -> Result<u8> {
        let found = self.records.iter().position(|record| record.name == name);
        let index = found.with_context(|| format!("the section has no record type {name}"))?;
        let owned = names(self.raws[index]);
        for segment in &mut self.records[index].segments {
            let when = grammar::conditions(with, &owned.names())?;
            let fails = fails.map(|text| grammar::demand(text, &owned.names())).transpose()?;
            segment.marks.push(Mark { bit, when, fails });
        }
        Ok(index as u8)
    }
}

fn record(raw: &RawRecord, month: Option<&str>, case: Option<&str>) -> Result<RecordType> {
    let compile = || {
        ensure!(raw.blocks > 0 && raw.months > 0, "it has no segment");
        ensure!(!raw.fields.is_empty(), "it has no fields");
        let segments = (0..raw.blocks * raw.months).map(|nth| segment(raw, nth, month, case));
        Ok(RecordType { name: raw.name.clone(), segments: segments.collect::<Result<_>>()? })
    };
    compile().with_context(|| format!("record {}", raw.name))
}

fn segment(raw: &RawRecord, nth: usize, month: Option<&str>, case: Option<&str>) -> Result<Segment> {
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
        "state" => Ok(Place::State),
        "territory" => Ok(Place::Territory),
        "tribe" => Ok(Place::Tribe),
        other => bail!("{other:?} is no place"),
    };
    let deprecated = raw.deprecated_rules.iter();
    let month = month.map(|name| find(&name.to_owned())).transpose()?;
    let mut segment = Segment {
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

/// What reading and checking needs of the fields.
fn hot(segment: &Segment) -> Hot {
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

fn cell(at: At, kind: Kind) -> Cell {
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
        ("number", "") => Kind::Number,
        ("text", "") => Kind::Text,
        ("text", "zero pad") => Kind::ZeroPadded,
        ("text", "decrypt") => Kind::Ciphered,
        ("number", "month of quarter") => Kind::MonthOfQuarter(month as u8),
        (kind, transform) => bail!("type {kind:?} with transform {transform:?} is not known"),
    };
    let is_number = matches!(kind, Kind::Number | Kind::MonthOfQuarter(_));
    let letter = if raw.monthly { ["A", "B", "C"].get(month).copied().unwrap_or_default() } else { "" };
    let checks = raw.checks.iter().map(|text| grammar::check(text, is_number));
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
    read().with_context(|| format!("{text:?} is no range of positions such as 8-19"))
}

/// Field names of a raw record, with whether each holds numbers.
struct OwnedNames(Vec<(String, bool)>);

fn names(raw: &RawRecord) -> OwnedNames {
    OwnedNames(raw.fields.iter().map(|field| (field.name.clone(), field.kind == "number")).collect())
}

impl OwnedNames {
    fn names(&self) -> Names<'_> {
        Names { fields: &self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::tdp::{COMMON, SCHEMAS};

    /// The error of a TANF schema in which one text is replaced by another.
    fn refusal(from: &str, to: &str) -> String {
        let (name, text) = SCHEMAS[0];
        assert!(text.contains(from), "{from} is not in {name}");
        let broken = text.replacen(from, to, 1);
        match catalogue(COMMON, &[(name, &broken)]) {
            Ok(_) => panic!("{to} was taken"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn the_built_in_schemas_make_sense() {
        let catalogue = catalogue(COMMON, &SCHEMAS).expect("schemas");
        assert_eq!(catalogue.programs.len(), SCHEMAS.len());
        let sections = catalogue.programs.iter().map(|program| program.sections.len()).sum::<usize>();
        assert_eq!(sections, 4 + 4 + 4 + 1 + 1);
    }

    #[test]
    fn a_broken_schema_is_refused_with_the_place_and_the_reason() {
        for (from, to, says) in [
            (
                r#"checks = ["1..2"]"#,
                r#"checks = ["1..x"]"#,
                &["record T1", "field FUNDING_STREAM", "1..x"][..],
            ),
            (r#"checks = ["1..2"]"#, r#"checks = ["int 1..2"]"#, &["FUNDING_STREAM", "`int` is for text"]),
            (
                r#"checks = ["int 0..99"]"#,
                r#"checks = ["0..99"]"#,
                &["field STRATUM", "a text field needs `int`"],
            ),
            (r#"at = "29-30""#, r#"at = "30-29""#, &["field FUNDING_STREAM", "no range of positions"]),
            ("length >= 117", "length > 117", &["record T1", "pre-check", "length > 117"]),
            ("if CASH_AMOUNT > 0", "if CASH > 0", &["record T1", "no field is named \"CASH\""]),
            (r#"type = "number""#, r#"type = "numeric""#, &["field RPT_MONTH_YEAR", "numeric"]),
            ("required = true", "requird = true", &["tanf.toml", "requird"]),
            (r#"records = ["T1", "T2", "T3"]"#, r#"records = ["T1", "T2", "T9"]"#, &["section active", "T9"]),
            ("every T2 needs T1", "every T2 needs T8", &["section active", "T8"]),
            ("every T2 needs T1", "some T2 need T1", &["section active", "some T2 need T1"]),
            (r#"duplicates = "delete case""#, r#"duplicates = "drop""#, &["section active", "drop"]),
            (r#"count = "record_count""#, r#"count = "records""#, &["TRAILER", "records"]),
            (r#"month = "RPT_MONTH_YEAR""#, r#"month = "MONTH""#, &["record T1", "MONTH"]),
        ] {
            let error = refusal(from, to);
            assert!(says.iter().all(|part| error.contains(part)), "{to}: {error}");
        }
    }

    #[test]
    fn a_new_field_and_a_new_program_are_changes_of_data() {
        let (_, text) = SCHEMAS[0];
        let row = r#"  { item = "30", name = "PETS", at = "117-119", type = "number", checks = ["0..20"] },"#;
        let at = text.find("]\nrules").expect("end of T1");
        let text = format!("{}{row}\n{}", &text[..at], &text[at..]).replacen("\"tanf\"", "\"pets\"", 1);
        let catalogue = catalogue(COMMON, &[SCHEMAS[0], ("pets.toml", &text)]).expect("schemas");
        let (_, section) = catalogue.find("pets", "active").expect("section");
        let field = section.records[0].segments[0].fields.last().expect("field");
        assert_eq!((field.name.as_str(), field.at), ("PETS", At { start: 117, end: 119 }));
    }
}
