//! The submitted file as a stream of lines or rows, read as often as it takes.
//!
//! The first bytes decide the kind of file; between text and csv, the name decides.
//! In a csv file every line is a row: a cell that spans lines is not known to any layout, so such a row is
//! refused, once, with the lines that go on with it. Cells have no blanks around them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use csv_core::ReadRecordResult;

use super::lines::{LONGEST_LINE, LineReader};
use super::sheet::Sheet;
use super::value::{Flaw, SourceLine};

/// Bytes that decide the kind of file.
const SNIFFED: usize = 4096;
/// Cells read of a csv row.
const MOST_CELLS: usize = 64;
/// Columns that layouts read; blank cells beside them say nothing.
const DATA: usize = 2;
/// Lines that a cell may go on for.
const MOST_CELL_LINES: usize = 8;

/// The kind of a submitted file.
#[derive(Debug, Clone)]
pub(super) enum FileKind {
    Text,
    Csv,
    Sheet(Arc<Sheet>),
    /// Why it cannot be read, for the analyst who submitted it.
    Unknown(String),
}

/// Reads one file from its start.
pub(super) enum Source {
    Text { lines: LineReader<File>, offsets: Vec<u32>, number: u64 },
    Csv { lines: LineReader<File>, cells: Box<Cells>, number: u64, quote: OpenQuote },
    Sheet { sheet: Arc<Sheet>, next: usize },
}

impl FileKind {
    /// Decides the kind of file. It reads a workbook as a whole.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn of(path: &Path, name: &str) -> Result<Self> {
        let mut start = Vec::new();
        let mut file = File::open(path).context("failed to open the submitted file")?;
        let sniffed = (&mut file).take(SNIFFED as u64).read_to_end(&mut start);
        sniffed.context("failed to read the submitted file")?;
        if start.starts_with(b"PK\x03\x04") {
            // The source of the error may quote a cell.
            let sheet = Sheet::open(file).map(|sheet| Self::Sheet(Arc::new(sheet)));
            return Ok(sheet.unwrap_or_else(|error| Self::Unknown(error.to_string())));
        }
        if let Some(why) = no_text(&start) {
            return Ok(Self::Unknown(why.to_owned()));
        }
        let is_csv = Path::new(name).extension().is_some_and(|ext| ext.eq_ignore_ascii_case("csv"));
        Ok(if is_csv { Self::Csv } else { Self::Text })
    }
}

impl Source {
    /// Opens the file; `None` for one of unknown kind.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn open(kind: &FileKind, path: &Path) -> Result<Option<Self>> {
        let lines = || File::open(path).map(LineReader::new).context("failed to open the submitted file");
        Ok(match kind {
            FileKind::Text => Some(Self::Text { lines: lines()?, offsets: Vec::new(), number: 0 }),
            FileKind::Csv => {
                let (lines, cells, quote) = (lines()?, Box::default(), OpenQuote::default());
                Some(Self::Csv { lines, cells, number: 0, quote })
            }
            FileKind::Sheet(sheet) => Some(Self::Sheet { sheet: Arc::clone(sheet), next: 0 }),
            FileKind::Unknown(_) => None,
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
    pub(super) fn next(&mut self) -> Result<Option<SourceLine<'_>>> {
        match self {
            Self::Text { lines, offsets, number } => {
                let Some(line) = lines.next().context("failed to read the submitted file")? else {
                    return Ok(None);
                };
                *number += 1;
                if line.is_ascii {
                    return Ok(Some(SourceLine {
                        number: *number,
                        bytes: line.bytes,
                        offsets: &[],
                        flaw: None,
                    }));
                }
                Ok(Some(text_line(line.bytes, *number, offsets)))
            }
            Self::Csv { lines, cells, number, quote } => loop {
                let Some(line) = lines.next().context("failed to read the submitted file")? else {
                    return Ok(None);
                };
                *number += 1;
                match quote.line(line.bytes) {
                    CsvLine::Row => return Ok(Some(cells.split(line.bytes, *number))),
                    CsvLine::Start => {
                        let row = cells.split(line.bytes, *number);
                        return Ok(Some(SourceLine { flaw: Some(Flaw::OpenQuote), ..row }));
                    }
                    CsvLine::Rest => {}
                }
            },
            Self::Sheet { sheet, next } => {
                *next += 1;
                Ok(sheet.row(*next - 1))
            }
        }
    }
}

/// A line of text, with the offsets of its characters if some are longer than a byte.
pub(super) fn text_line<'a>(bytes: &'a [u8], number: u64, offsets: &'a mut Vec<u32>) -> SourceLine<'a> {
    offsets.clear();
    if bytes.is_ascii() {
        return SourceLine { number, bytes, offsets, flaw: None };
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // A line that was cut may end within a character.
        Err(error) if error.error_len().is_none() && bytes.len() == LONGEST_LINE => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(error) => return SourceLine { number, bytes, offsets, flaw: Some(not_utf8(bytes, &error)) },
    };
    offsets.extend(text.char_indices().map(|(offset, _)| offset as u32));
    offsets.push(text.len() as u32);
    SourceLine { number, bytes: text.as_bytes(), offsets, flaw: None }
}

fn not_utf8(bytes: &[u8], error: &std::str::Utf8Error) -> Flaw {
    let before = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
    Flaw::NotUtf8 { after: before.chars().count() }
}

/// Why a file that begins like this is not text. One that is text but for some bytes is: each of its lines
/// is looked at by itself, wherever in the file it stands.
fn no_text(start: &[u8]) -> Option<&'static str> {
    let is_zero = |from: usize| start.iter().skip(from).step_by(2).take(32).all(|&byte| byte == 0);
    let is_utf16 = start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff");
    if is_utf16 || start.len() > 3 && is_zero(0) != is_zero(1) {
        return Some("the file is UTF-16 text; save it as UTF-8");
    }
    if start.starts_with(b"\xd0\xcf\x11\xe0") {
        return Some(
            "the file is an old workbook (.xls) or has a password; save it as .xlsx without a password",
        );
    }
    let is_control = |byte: &u8| *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c | 0x1a);
    let is_utf8 = match std::str::from_utf8(start) {
        Ok(_) => true,
        // The last character may be cut in two.
        Err(error) => error.error_len().is_none(),
    };
    (!is_utf8 && start.iter().any(is_control)).then_some("the file is neither UTF-8 text nor a workbook")
}

/// The kind of a line in a csv file.
#[derive(Debug, PartialEq, Eq)]
enum CsvLine {
    Row,
    /// The first line of a row that goes on in the next.
    Start,
    /// Belongs to the row before.
    Rest,
}

/// Follows a quote that is not closed over the lines that belong to its cell. A line that looks like a row
/// of its own ends it, so that a stray quote takes no row along.
#[derive(Debug, Default)]
pub(super) struct OpenQuote {
    /// Lines that may still belong to the cell.
    left: usize,
}

impl OpenQuote {
    fn line(&mut self, bytes: &[u8]) -> CsvLine {
        let quotes = memchr::memchr_iter(b'"', bytes);
        if self.left > 0 {
            let first = quotes.clone().next();
            if memchr::memchr(b',', &bytes[..first.unwrap_or(bytes.len())]).is_none() {
                self.left = if first.is_some() { 0 } else { self.left - 1 };
                return CsvLine::Rest;
            }
        }
        let is_open = quotes.count() % 2 == 1;
        self.left = if is_open { MOST_CELL_LINES } else { 0 };
        if is_open { CsvLine::Start } else { CsvLine::Row }
    }
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
    fn split(&mut self, bytes: &[u8], number: u64) -> SourceLine<'_> {
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
        // No cell at all is a row of no position, told from a row of single bytes by its offsets.
        self.offsets.push(0);
        let flaw = std::str::from_utf8(bytes).err().map(|error| not_utf8(bytes, &error));
        let (mut start, mut kept, mut filled) = (0, 0, 0);
        for (nth, &end) in self.ends[..cells].iter().enumerate() {
            let cell = &self.text[start..end];
            let trimmed = std::str::from_utf8(cell).map_or(cell, |text| text.trim().as_bytes());
            let from = start + (trimmed.as_ptr() as usize - cell.as_ptr() as usize);
            let length = trimmed.len();
            self.text.copy_within(from..from + length, kept);
            (start, kept) = (end, kept + length);
            self.offsets.push(kept as u32);
            filled = if length > 0 { nth + 1 } else { filled };
        }
        self.offsets.truncate(1 + filled.max(DATA.min(cells)));
        SourceLine { number, bytes: &self.text[..kept], offsets: &self.offsets, flaw }
    }
}
