//! Turns the schema files into layouts, once at start, and refuses invalid ones.
//!
//! Every error says which file, record type, field or rule it is about. Nothing here reads a
//! submission.

use anyhow::{Context as _, Result, bail, ensure};

use super::grammar;
use super::layout::{Cipher, Duplicates, Header, Link, Mark, Program, RecordType, Relation, Roles, Section};
use super::raw::{RawCommon, RawHeader, RawProgram, RawRecord, RawSection};
use super::shape::{names, record};

/// All programs, and the parts that they share.
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
/// The first unreadable part or unknown name, with its position.
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
    let mut marks = MarkBits { next: 0, raws: &raws, records: &mut records };
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
struct MarkBits<'a> {
    next: u8,
    raws: &'a [&'a RawRecord],
    records: &'a mut Vec<RecordType>,
}

impl MarkBits<'_> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::tdp::value::At;
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
            (r#"at = "29-30""#, r#"at = "30-29""#, &["field FUNDING_STREAM", "not a range of positions"]),
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
