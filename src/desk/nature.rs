//! The nature of a file: by its submitter's description and its own header.

use std::path::Path;

use anyhow::Context;
use uuid::Uuid;

use super::{DeskError, Result};
use crate::ids::SUBMITTED;
use crate::parser::tdp;

/// The submitter's description of files. A file's own header fills the gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    pub program: Option<String>,
    pub section: Option<String>,
    pub fiscal_year: Option<i32>,
    pub fiscal_quarter: Option<i16>,
    /// State, territory or tribe.
    pub state: Option<String>,
    /// Addresses that get the result by mail.
    pub emails: Vec<String>,
}

/// The nature of a file.
#[derive(Debug, Clone)]
pub(super) struct Nature {
    pub(super) program: String,
    pub(super) section: String,
    pub(super) fiscal_year: i32,
    pub(super) fiscal_quarter: i16,
    /// From the header, or from the submitter.
    pub(super) state: Option<String>,
    /// The hash of a file that should name its state but is unreadable: its bytes alone identify it, so that
    /// it never passes for another state's.
    unknown: Option<[u8; 32]>,
}

impl Nature {
    /// Combines the submitter's description with the file's header.
    pub(super) fn of(
        name: &str,
        path: &Path,
        what: &Description,
        hash: impl FnOnce() -> Result<[u8; 32]>,
    ) -> Result<Self> {
        let said = tdp::identify(path).with_context(|| format!("can't submit {name}"))?;
        let program = what.program.clone().or_else(|| said.as_ref().map(|said| said.program.clone()));
        let section = what.section.clone().or_else(|| said.as_ref().map(|said| said.section.clone()));
        let fiscal_year = what.fiscal_year.or_else(|| said.as_ref().map(|said| said.fiscal_year));
        let fiscal_quarter =
            what.fiscal_quarter.or_else(|| said.as_ref().map(|said| i16::from(said.fiscal_quarter)));
        let state = what.state.clone().or_else(|| said.and_then(|said| said.state));
        match (program, section, fiscal_year, fiscal_quarter) {
            (Some(program), Some(section), Some(fiscal_year), Some(fiscal_quarter)) => {
                let unread = state.is_none() && tdp::has_header(&program);
                let unknown = if unread { Some(hash()?) } else { None };
                Ok(Self { program, section, fiscal_year, fiscal_quarter, state, unknown })
            }
            _ => Err(DeskError::Invalid(format!(
                "{name} does not say what it is (it has no submission header that can be read): \
                 give --program, --section, --year and --quarter"
            ))),
        }
    }

    /// What makes it the same file as another submission of the same state, or of the same submitter
    /// where no state is known.
    pub(super) fn identity(&self, name: &str) -> String {
        self.place(&self.unknown(), name)
    }

    /// Where it is stored; with a submission's own id, where no other submission is.
    pub(super) fn key(&self, name: &str, own: Option<Uuid>) -> String {
        let state = self.state.as_deref().map_or_else(|| self.unknown(), |state| format!("{state}/"));
        let own = own.map(|id| format!("{id}-")).unwrap_or_default();
        self.place(&state, &format!("{own}{name}"))
    }

    fn place(&self, of: &str, name: &str) -> String {
        let Self { program, section, fiscal_year, fiscal_quarter, .. } = self;
        format!("{SUBMITTED}/{fiscal_year}/Q{fiscal_quarter}/{of}{program}/{section}/{name}")
    }

    fn unknown(&self) -> String {
        self.unknown.map(|hash| format!("unknown-{}/", hex::encode(&hash[..8]))).unwrap_or_default()
    }
}
