//! The header, the first line of a file: describes the file, and must match the submission.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::compile::Catalogue;
use super::layout::{Fault, Header, Program, Reading, Section, Submitter};
use super::lines::LineReader;
use super::period::Period;
use super::record::Values;
use super::source::text_line;
use super::value::{SourceLine, Value};
use super::wording;
use crate::parser::Category;

/// The description in a file's header, in the words of [`crate::parser::Submission`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Program code, such as `tanf`.
    pub program: String,
    /// Section code, such as `active`.
    pub section: String,
    /// Fiscal year, four digits.
    pub fiscal_year: i32,
    /// Fiscal quarter, 1 to 4.
    pub fiscal_quarter: u8,
    /// Code of the state or territory, or of the tribe if it names no state.
    pub state: Option<String>,
}

/// A problem with the first line.
#[derive(Debug)]
pub(super) struct HeaderProblem {
    pub category: Category,
    pub item: String,
    pub field: String,
    pub message: String,
}

/// A header in which everything could be read.
struct Said {
    program: String,
    letter: String,
    /// Empty for none.
    fips: String,
    /// Empty for none.
    tribe: String,
    period: Option<Period>,
    encryption: String,
}

/// How to read the file, with its minor problems; or the problem that refuses the file.
pub(super) fn read<'s>(
    catalogue: &'s Catalogue,
    (program, header): (&Program, &Header),
    section: &Section,
    period: Period,
    line: &SourceLine<'_>,
) -> std::result::Result<(Reading<'s>, Vec<HeaderProblem>), Vec<HeaderProblem>> {
    let (said, warnings) = understand(header, line, period)?;
    let refuse = |message: String| {
        let (item, field) = (String::new(), String::new());
        Err(vec![HeaderProblem { category: Category::File, item, field, message }])
    };
    let needs_tribe = said.program == header.tribal_program && said.fips.is_empty();
    let has_tribe = !said.tribe.is_empty();
    if needs_tribe != has_tribe {
        return refuse(if needs_tribe {
            "the header names neither a state nor a tribe".to_owned()
        } else {
            format!(
                "the header names a tribe, which does not go with program {} and state {}",
                said.program, said.fips
            )
        });
    }
    if !header.programs.contains(&said.program) || header.tribe != has_tribe {
        let tribe = if has_tribe { " of a tribe" } else { "" };
        return refuse(format!(
            "the header is for program {}{tribe}, but the submission is for {}",
            said.program, program.code
        ));
    }
    if said.letter != section.letter {
        return refuse(format!(
            "the header is for section {}, but the submission is for {} ({})",
            said.letter, section.code, section.letter
        ));
    }
    if said.period != Some(period) {
        let says = said
            .period
            .map_or(String::new(), |said| format!(" calendar year {} quarter {}", said.year, said.quarter));
        return refuse(format!(
            "the header says{says}, but fiscal year {} quarter {} is calendar year {} quarter {}",
            period.fiscal_year, period.fiscal_quarter, period.year, period.quarter
        ));
    }
    let cipher = (said.encryption == catalogue.cipher.flag).then_some(&catalogue.cipher);
    let place = match (has_tribe, catalogue.territories.contains(&said.fips)) {
        (true, _) => Submitter::Tribe,
        (false, true) => Submitter::Territory,
        (false, false) => Submitter::State,
    };
    Ok((Reading { period, cipher, place }, warnings))
}

/// The description in the file's header; `None` without a readable header.
///
/// # Errors
/// The file cannot be read.
pub(super) fn identify(catalogue: &Catalogue, path: &Path) -> Result<Option<Identity>> {
    let mut lines = LineReader::new(File::open(path).context("failed to open the file")?);
    let Some(first) = lines.next().context("failed to read the file")? else { return Ok(None) };
    let mut offsets = Vec::new();
    let line = first_line(first.bytes, &mut offsets);
    for program in &catalogue.programs {
        let Some(header) = &program.header else { continue };
        let Ok((said, _)) = understand(header, &line, Period::from_calendar(2000, 1)) else { continue };
        if !header.programs.contains(&said.program) || header.tribe == said.tribe.is_empty() {
            continue;
        }
        let section = program.sections.iter().find(|section| section.letter == said.letter);
        if let (Some(section), Some(period)) = (section, said.period) {
            return Ok(Some(Identity {
                program: program.code.clone(),
                section: section.code.clone(),
                fiscal_year: period.fiscal_year,
                fiscal_quarter: period.fiscal_quarter,
                state: [said.fips, said.tribe].into_iter().find(|code| !code.is_empty()),
            }));
        }
    }
    Ok(None)
}

/// The header line, without blanks around it.
pub(super) fn first_line<'a>(bytes: &'a [u8], offsets: &'a mut Vec<u32>) -> SourceLine<'a> {
    let trimmed = std::str::from_utf8(bytes).map_or(bytes, |text| text.trim().as_bytes());
    text_line(trimmed, 1, offsets)
}

fn understand(
    header: &Header,
    line: &SourceLine<'_>,
    period: Period,
) -> std::result::Result<(Said, Vec<HeaderProblem>), Vec<HeaderProblem>> {
    let segment = &header.record.segments[0];
    let problem = |category, message| {
        let (item, field) = (String::new(), String::new());
        HeaderProblem { category, item, field, message }
    };
    if let Some(flaw) = line.flaw {
        return Err(vec![problem(Category::File, wording::flaw(flaw))]);
    }
    let mut problems = Vec::new();
    segment.precheck(line, period, |failed| {
        problems.push(problem(Category::File, wording::precheck(segment, failed, line, period)));
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut record = Values::default();
    segment.read(line, None, &mut record);
    let mut fatal = false;
    segment.check(&record, Submitter::State, |finding| {
        let (field, message) = wording::finding(segment, finding, &record, line);
        fatal |= !matches!(finding, Fault::Failed(field, _) if field.warning);
        let (item, field) = (field.item.clone(), field.name.clone());
        problems.push(HeaderProblem { category: Category::Field, item, field, message });
    });
    if fatal {
        return Err(problems);
    }
    let text = |field: usize| match record.values[field] {
        Value::Text(span) => String::from_utf8_lossy(span.of(&record.bytes)).into_owned(),
        Value::Number(number) => number.to_string(),
        Value::Blank => String::new(),
    };
    let roles = &header.roles;
    let code = |field| Some(text(field)).filter(|code| !is_zero(code)).unwrap_or_default();
    let year = text(roles.year).parse().ok();
    let quarter = text(roles.quarter).parse().ok();
    let said = Said {
        program: text(roles.program),
        letter: text(roles.section),
        fips: code(roles.fips),
        tribe: code(roles.tribe),
        period: year.zip(quarter).map(|(year, quarter)| Period::from_calendar(year, quarter)),
        encryption: text(roles.encryption),
    };
    Ok((said, problems))
}

/// True for an empty code: blank, or all zeros.
fn is_zero(code: &str) -> bool {
    code.bytes().all(|byte| byte == b'0')
}
