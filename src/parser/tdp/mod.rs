//! The built-in parser for TDP submissions: TANF, Tribal TANF, SSP, program audit and FRA.
//!
//! What records look like and which rules hold is data, in `schema/`, one file per program; the
//! engine knows no field by name. A new field, record type or section is a change of those files; a
//! new program is one more file, named in `SCHEMAS` below.
//!
//! Where the real system has quirks, this parser does the following instead:
//! - A case's records are found wherever they stand in the file, not only in adjacent lines.
//! - A case may have 17 records in a month, whichever case of the file it is.
//! - A header with a wrong field refuses the file; it does not end "Accepted with Errors" with no record.
//! - A second trailer is reported (category 7).
//! - A trailer with a malformed count, an FRA date with a malformed month, and a line that is not UTF-8 are
//!   problems of that line; they do not end the parse.
//! - The parser ignores a byte order mark and empty lines behind the trailer; in a sheet also blanks around a
//!   cell, blank cells beside the data, and hidden sheets. A number has the leading zeros that its format
//!   shows.
//! - A header is in the first line, with or without blanks before it.
//! - A jurisdiction is a state or a territory by its FIPS code, and the rule that pilot states are
//!   exempt from is applied to all.

mod check;
mod claims;
mod compile;
mod emit;
mod engine;
mod grammar;
mod header;
mod index;
mod invent;
mod job;
mod layout;
mod lines;
mod period;
mod phrase;
mod raw;
mod record;
pub mod sample;
mod shape;
mod sheet;
mod source;
mod survey;
mod tally;
mod value;
mod wording;

use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context as _, ensure};

use super::{Context, Outcome, ParseError, Parser, Submission};
use compile::Catalogue;
pub use header::Identity;

/// The schema files, each with its name.
const COMMON: (&str, &str) = ("common.toml", include_str!("schema/common.toml"));
const SCHEMAS: [(&str, &str); 5] = [
    ("tanf.toml", include_str!("schema/tanf.toml")),
    ("tribal.toml", include_str!("schema/tribal.toml")),
    ("ssp.toml", include_str!("schema/ssp.toml")),
    ("audit.toml", include_str!("schema/audit.toml")),
    ("fra.toml", include_str!("schema/fra.toml")),
];

/// The schemas are part of the program, so a broken one is found by the first test that parses.
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| match compile::catalogue(COMMON, &SCHEMAS) {
    Ok(catalogue) => catalogue,
    Err(error) => panic!("a built-in schema is broken: {error:#}"),
});

/// The built-in parser.
#[derive(Debug, Clone, Copy)]
pub struct Tdp {
    lines_per_share: u64,
}

impl Default for Tdp {
    fn default() -> Self {
        Self::new()
    }
}

impl Tdp {
    /// The parser, with its schemas compiled.
    ///
    /// # Panics
    /// A schema that is part of the program is broken.
    pub fn new() -> Self {
        LazyLock::force(&CATALOGUE);
        Self { lines_per_share: engine::LINES_PER_SHARE }
    }

    /// The parser with another bound on the lines it keeps track of at once, at least one.
    /// Fewer lines take less memory and more readings of the file.
    pub fn with_lines_per_share(lines: u64) -> Self {
        Self { lines_per_share: lines.max(1) }
    }
}

impl Parser for Tdp {
    fn parse(&self, submission: &Submission<'_>, context: &mut Context<'_>) -> Result<Outcome, ParseError> {
        let known = CATALOGUE.find(submission.program, submission.section).with_context(|| {
            format!("no layout for program {:?}, section {:?}", submission.program, submission.section)
        })?;
        check_period(submission)?;
        engine::parse(&CATALOGUE, known, submission, context, self.lines_per_share)
    }
}

/// Programs and their sections that there are layouts for, such as `("tanf", "active")`.
pub fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    CATALOGUE.programs.iter().flat_map(|program| {
        program.sections.iter().map(|section| (program.code.as_str(), section.code.as_str()))
    })
}

/// The description in a file's header; `None` without a readable header. Sheets
/// have none, and a program audit cannot be told from the program's own file.
///
/// # Errors
/// The file cannot be read.
pub fn identify(path: &Path) -> anyhow::Result<Option<Identity>> {
    header::identify(&CATALOGUE, path)
}

/// Whether the files of this program begin with a header, which names their state.
pub fn has_header(program: &str) -> bool {
    CATALOGUE.programs.iter().any(|known| known.code == program && known.header.is_some())
}

fn check_period(submission: &Submission<'_>) -> anyhow::Result<()> {
    ensure!((1..=4).contains(&submission.fiscal_quarter), "a fiscal quarter is a number from 1 to 4");
    ensure!((1900..=9998).contains(&submission.fiscal_year), "a fiscal year has four digits");
    Ok(())
}
