//! The first pass over all lines: finds the end of the file, a second header, and the lines to read.

use std::path::Path;

use anyhow::Context as _;

use super::check::same;
use super::layout::Header;
use super::source::{FileKind, Source};
use super::value::SourceLine;
use crate::parser::{Context, ParseError};

/// The result of the first pass.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The last line that is not blank, or the last one before the trailer.
    pub lines: u64,
    /// Lines behind it, which hold nothing.
    pub behind: u64,
    /// Lines that are neither header nor trailer.
    pub details: u64,
    pub second_header: Option<u64>,
    pub trailers: u64,
}

/// Looks at every line once; stops at a second header.
pub(super) fn survey(
    header: Option<&Header>,
    path: &Path,
    kind: &FileKind,
    context: &Context<'_>,
) -> Result<Survey, ParseError> {
    let mut survey = Survey::default();
    let mut source = Source::open(kind, path)?.context("the file is of unknown kind")?;
    while let Some(line) = source.next()? {
        context.cancel.check()?;
        let Some(header) = header else {
            survey.lines = line.number;
            survey.details += 1;
            continue;
        };
        if survey.trailers > 0 && line.is_filler() {
            survey.behind += 1;
            continue;
        }
        survey.lines = line.number;
        survey.details += std::mem::take(&mut survey.behind);
        if line.number > 1 && starts_with(&line, &header.record.name) {
            survey.second_header = Some(line.number);
            break;
        }
        let trailer = is_trailer(header, &line);
        survey.trailers += u64::from(trailer);
        survey.details += u64::from(line.number > 1 && !trailer);
    }
    Ok(survey)
}

pub(super) fn is_trailer(header: &Header, line: &SourceLine<'_>) -> bool {
    starts_with(line, &header.trailer.name)
}

/// True for a line of this type.
#[inline]
pub(super) fn starts_with(line: &SourceLine<'_>, name: &str) -> bool {
    line.bytes.get(..name.len()).is_some_and(|start| same(start, name.as_bytes()))
}
