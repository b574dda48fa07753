//! The first sheet of a workbook, as rows of short texts.
//!
//! A workbook's library unpacks whole parts into memory, so the parts are measured first, and a
//! workbook that unpacks to more than [`MOST_UNPACKED`] is refused. Only the first columns are kept,
//! and of each cell only a start; a sheet has at most 1,048,576 rows.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use calamine::{DataRef, Reader as _, Xlsx};

use super::value::Line;

/// Bytes a workbook may unpack to.
const MOST_UNPACKED: u64 = 256 * 1024 * 1024;
/// Columns kept; one more than any layout reads, so that a row that is too wide is noticed.
const COLUMNS: u32 = 3;
/// Bytes kept of a cell.
const LONGEST_CELL: usize = 64;

/// Rows of a sheet that hold something.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    text: Vec<u8>,
    offsets: Vec<u32>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    number: u64,
    text: std::ops::Range<usize>,
    offsets: std::ops::Range<usize>,
}

impl Sheet {
    /// Reads the first sheet of a workbook.
    ///
    /// # Errors
    /// Whatever keeps the file from being read as a workbook, its size included.
    pub(super) fn open(path: &Path) -> Result<Self> {
        measure(path)?;
        let file = BufReader::new(File::open(path)?);
        let mut book: Xlsx<_> = Xlsx::new(file).context("failed to open the workbook")?;
        let name = book.sheet_names().first().cloned().context("the workbook has no sheet")?;
        let mut cells = book.worksheet_cells_reader(&name).context("failed to open the first sheet")?;
        let mut sheet = Self::default();
        while let Some(cell) = cells.next_cell().context("failed to read the first sheet")? {
            let (row, column) = cell.get_position();
            let text = shown(cell.get_value());
            if column < COLUMNS && !text.is_empty() {
                sheet.push(u64::from(row) + 1, column, &text);
            }
        }
        Ok(sheet)
    }

    /// The n-th row that holds something.
    pub(super) fn row(&self, nth: usize) -> Option<Line<'_>> {
        let row = self.rows.get(nth)?;
        Some(Line {
            number: row.number,
            bytes: &self.text[row.text.clone()],
            offsets: &self.offsets[row.offsets.clone()],
            readable: true,
        })
    }

    fn push(&mut self, number: u64, column: u32, text: &str) {
        if self.rows.last().is_none_or(|row| row.number != number) {
            let (text, offsets) = (self.text.len(), self.offsets.len());
            self.offsets.push(0);
            self.rows.push(Row { number, text: text..text, offsets: offsets..offsets + 1 });
        }
        let Some(row) = self.rows.last_mut() else { return };
        // A cell that comes twice, or too late, says nothing.
        let Some(skipped) = (column as usize + 1).checked_sub(row.offsets.len()) else { return };
        let here = (self.text.len() - row.text.start) as u32;
        self.offsets.extend(std::iter::repeat_n(here, skipped));
        self.text.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(LONGEST_CELL)]);
        self.offsets.push((self.text.len() - row.text.start) as u32);
        row.text.end = self.text.len();
        row.offsets.end = self.offsets.len();
    }
}

fn measure(path: &Path) -> Result<()> {
    let mut archive = zip::ZipArchive::new(BufReader::new(File::open(path)?))?;
    let mut left = MOST_UNPACKED;
    for part in 0..archive.len() {
        let part = archive.by_index(part).context("failed to unpack the workbook")?;
        let size =
            io::copy(&mut part.take(left + 1), &mut io::sink()).context("failed to unpack the workbook")?;
        ensure!(size <= left, "the workbook unpacks to more than {} MiB", MOST_UNPACKED >> 20);
        left -= size;
    }
    Ok(())
}

/// A cell's value as text; whole numbers without a fraction, dates as `YYYYMM`.
fn shown(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(truth) => truth.to_string(),
        DataRef::DateTime(date) => {
            let (year, month, ..) = date.to_ymd_hms_milli();
            format!("{year:04}{month:02}")
        }
        DataRef::DateTimeIso(text) => text.chars().filter(char::is_ascii_digit).take(6).collect(),
        DataRef::DurationIso(_) | DataRef::Error(_) => "?".to_owned(),
        DataRef::Empty => String::new(),
    }
}
