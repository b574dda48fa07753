//! The submitted file as a stream of lines or rows, read as often as it takes.
//!
//! What kind of file it is is decided by its first bytes and, between text and csv, by its name.
//! In a csv file every line is a row: a cell that spans lines is not known to any layout.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use csv_core::ReadRecordResult;

use super::lines::{LONGEST_LINE, Lines};
use super::sheet::Sheet;
use super::value::Line;

/// Bytes that decide what kind of file it is.
const SNIFFED: usize = 4096;
/// Cells read of a csv row.
const MOST_CELLS: usize = 64;

/// What kind of file was submitted.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Text,
    Csv,
    Sheet(Arc<Sheet>),
    /// Why it cannot be read, for the analyst who submitted it.
    Unknown(String),
}

/// Reads one file from its start.
pub(super) enum Source {
    Text { lines: Lines<File>, offsets: Vec<u32>, number: u64 },
    Csv { lines: Lines<File>, cells: Box<Cells>, number: u64 },
    Sheet { sheet: Arc<Sheet>, next: usize },
}

impl Kind {
    /// Decides what kind of file this is. A workbook is read as a whole.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn of(path: &Path, name: &str) -> Result<Self> {
        let mut start = Vec::new();
        let mut file = File::open(path).context("failed to open the submitted file")?;
        let sniffed = (&mut file).take(SNIFFED as u64).read_to_end(&mut start);
        sniffed.context("failed to read the submitted file")?;
        if start.starts_with(b"PK\x03\x04") {
            // What the error comes of may quote a cell.
            let sheet = Sheet::open(file).map(|sheet| Self::Sheet(Arc::new(sheet)));
            return Ok(sheet.unwrap_or_else(|error| Self::Unknown(error.to_string())));
        }
        let readable = match std::str::from_utf8(&start) {
            Ok(_) => true,
            // The last character may be cut in two.
            Err(error) => error.error_len().is_none() && start.len() == SNIFFED,
        };
        let is_csv = Path::new(name).extension().is_some_and(|ext| ext.eq_ignore_ascii_case("csv"));
        Ok(match (readable, is_csv) {
            (false, _) => Self::Unknown("the file is neither UTF-8 text nor a workbook".to_owned()),
            (true, true) => Self::Csv,
            (true, false) => Self::Text,
        })
    }
}

impl Source {
    /// Opens the file; `None` for one of unknown kind.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn open(kind: &Kind, path: &Path) -> Result<Option<Self>> {
        let lines = || File::open(path).map(Lines::new).context("failed to open the submitted file");
        Ok(match kind {
            Kind::Text => Some(Self::Text { lines: lines()?, offsets: Vec::new(), number: 0 }),
            Kind::Csv => Some(Self::Csv { lines: lines()?, cells: Box::default(), number: 0 }),
            Kind::Sheet(sheet) => Some(Self::Sheet { sheet: Arc::clone(sheet), next: 0 }),
            Kind::Unknown(_) => None,
        })
    }

    /// Bytes read so far; for a sheet 0, since it is in memory.
    pub(super) fn consumed(&self) -> u64 {
        match self {
            Self::Text { lines, .. } | Self::Csv { lines, .. } => lines.consumed(),
            Self::Sheet { .. } => 0,
        }
    }

    /// The next line or row.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>> {
        match self {
            Self::Text { lines, offsets, number } => {
                let Some(line) = lines.next().context("failed to read the submitted file")? else {
                    return Ok(None);
                };
                *number += 1;
                if line.is_ascii {
                    return Ok(Some(Line {
                        number: *number,
                        bytes: line.bytes,
                        offsets: &[],
                        readable: true,
                    }));
                }
                Ok(Some(text_line(line.bytes, *number, offsets)))
            }
            Self::Csv { lines, cells, number } => {
                let Some(line) = lines.next().context("failed to read the submitted file")? else {
                    return Ok(None);
                };
                *number += 1;
                Ok(Some(cells.split(line.bytes, *number)))
            }
            Self::Sheet { sheet, next } => {
                *next += 1;
                Ok(sheet.row(*next - 1))
            }
        }
    }
}

/// A line of text, with the offsets of its characters where they are not single bytes.
pub(super) fn text_line<'a>(bytes: &'a [u8], number: u64, offsets: &'a mut Vec<u32>) -> Line<'a> {
    offsets.clear();
    if bytes.is_ascii() {
        return Line { number, bytes, offsets, readable: true };
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // A line that was cut may end within a character.
        Err(error) if error.error_len().is_none() && bytes.len() == LONGEST_LINE => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return Line { number, bytes, offsets, readable: false },
    };
    offsets.extend(text.char_indices().map(|(offset, _)| offset as u32));
    offsets.push(text.len() as u32);
    Line { number, bytes: text.as_bytes(), offsets, readable: true }
}

/// Splits csv lines into cells.
pub(super) struct Cells {
    reader: csv_core::Reader,
    text: Box<[u8]>,
    ends: [usize; MOST_CELLS],
    offsets: Vec<u32>,
}

impl Default for Cells {
    fn default() -> Self {
        let text = vec![0; LONGEST_LINE].into_boxed_slice();
        Self { reader: csv_core::Reader::new(), text, ends: [0; MOST_CELLS], offsets: Vec::new() }
    }
}

impl Cells {
    fn split(&mut self, bytes: &[u8], number: u64) -> Line<'_> {
        self.reader.reset();
        self.offsets.clear();
        let (mut input, mut written, mut cells) = (bytes, 0, 0);
        // Without a line end the reader asks for more once, and takes nothing for the end.
        loop {
            let (result, read, wrote, ended) =
                self.reader.read_record(input, &mut self.text[written..], &mut self.ends[cells..]);
            (input, written, cells) = (&input[read..], written + wrote, cells + ended);
            if result != ReadRecordResult::InputEmpty {
                break;
            }
        }
        let text = &self.text[..written];
        if cells > 0 {
            self.offsets.push(0);
            self.offsets.extend(self.ends[..cells].iter().map(|&end| end as u32));
        } else {
            // No cell at all: a row of no position, told from a row of single bytes by its offsets.
            self.offsets.push(0);
        }
        Line { number, bytes: text, offsets: &self.offsets, readable: std::str::from_utf8(text).is_ok() }
    }
}
