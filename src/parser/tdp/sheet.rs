//! The first visible sheet of a workbook, as rows of short texts.
//!
//! A workbook's library unpacks whole parts into memory and believes what they claim, so `claims` looks
//! through them first. Only the first columns are kept, and of each cell only a start.

use std::fs::File;
use std::io::BufReader;

use anyhow::{Context as _, Result, ensure};
use calamine::{DataRef, Reader as _, SheetType, SheetVisible, Xlsx};

use super::claims::{self, MOST_ROWS};
use super::value::SourceLine;

/// Columns kept; one more than any layout reads, so that a row that is too wide is noticed.
const COLUMNS: u32 = 3;
/// Bytes kept of a cell.
const LONGEST_CELL: usize = 64;
/// Digits that a number format fills up to at most; no field has more.
const MOST_DIGITS: usize = 18;

/// Rows of a sheet that hold something.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    /// The start of its name.
    pub name: String,
    /// Sheets of the workbook that are not read.
    pub others: usize,
    text: Vec<u8>,
    offsets: Vec<u32>,
    rows: Vec<SheetRow>,
}

#[derive(Debug)]
struct SheetRow {
    number: u64,
    text: std::ops::Range<usize>,
    offsets: std::ops::Range<usize>,
}

impl Sheet {
    /// Reads the first visible sheet of a workbook.
    ///
    /// # Errors
    /// Why the file is not a readable workbook, its size included; the message of the error itself,
    /// without its causes, is for the analyst who submitted it and holds nothing of the cells.
    pub(super) fn open(mut file: File) -> Result<Self> {
        claims::check(&mut file)?;
        let mut book: Xlsx<_> = Xlsx::new(BufReader::new(file))
            .context("the workbook cannot be opened; save it again as an Excel workbook (.xlsx)")?;
        let is_data = |sheet: &&calamine::Sheet| {
            sheet.typ == SheetType::WorkSheet && sheet.visible == SheetVisible::Visible
        };
        let name = book.sheets_metadata().iter().find(is_data).map(|sheet| sheet.name.clone());
        let name = name.context("the workbook has no visible sheet with cells")?;
        let others = book.sheets_metadata().len() - 1;
        let mut sheet = Self { name: start_of(&name), others, ..Self::default() };
        let unreadable = format!("the sheet '{}' cannot be read; save the workbook again", sheet.name);
        let mut cells = book.worksheet_cells_reader(&name).with_context(|| unreadable.clone())?;
        while let Some((cell, style)) = cells.next_cell_with_style_id().with_context(|| unreadable.clone())? {
            let (row, column) = cell.get_position();
            if column >= COLUMNS {
                continue;
            }
            let format = cells.styles().get(style).and_then(|style| style.number_format.as_ref());
            let text = shown(cell.get_value(), format.map_or("", |format| &format.format_code));
            let text = text.trim();
            if !text.is_empty() {
                sheet.push(u64::from(row) + 1, column, text);
            }
            ensure!(sheet.rows.len() as u64 <= MOST_ROWS, "the sheet has more than {MOST_ROWS} rows");
        }
        Ok(sheet)
    }

    /// The n-th row that holds something.
    pub(super) fn row(&self, nth: usize) -> Option<SourceLine<'_>> {
        let row = self.rows.get(nth)?;
        Some(SourceLine {
            number: row.number,
            bytes: &self.text[row.text.clone()],
            offsets: &self.offsets[row.offsets.clone()],
            flaw: None,
        })
    }

    fn push(&mut self, number: u64, column: u32, text: &str) {
        if self.rows.last().is_none_or(|row| row.number != number) {
            let (text, offsets) = (self.text.len(), self.offsets.len());
            self.offsets.push(0);
            self.rows.push(SheetRow { number, text: text..text, offsets: offsets..offsets + 1 });
        }
        let Some(row) = self.rows.last_mut() else { return };
        // Ignore a cell that comes twice, or behind a later column.
        let Some(skipped) = (column as usize + 1).checked_sub(row.offsets.len()) else { return };
        let here = (self.text.len() - row.text.start) as u32;
        self.offsets.extend(std::iter::repeat_n(here, skipped));
        self.text.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(LONGEST_CELL)]);
        self.offsets.push((self.text.len() - row.text.start) as u32);
        row.text.end = self.text.len();
        row.offsets.end = self.offsets.len();
    }
}

/// A cell's value as the sheet shows it: whole numbers without a fraction and with the leading zeros of
/// their number format, dates as `YYYYMM`.
fn shown(value: &DataRef<'_>, format: &str) -> String {
    match value {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) if number.fract() == 0.0 && *number >= 0.0 => {
            let width = zeros(format);
            format!("{number:0width$}")
        }
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

/// Digits that a number format such as `000-00-0000` fills up to; 0 for one that does not.
fn zeros(format: &str) -> usize {
    let is_filled = format.chars().all(|c| matches!(c, '0' | '-' | '\\' | ' ' | '"'));
    if is_filled { format.bytes().filter(|&byte| byte == b'0').count().min(MOST_DIGITS) } else { 0 }
}

/// The start of a sheet's name, control characters escaped.
fn start_of(name: &str) -> String {
    name.chars().take(31).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_leading_zeros_that_its_format_shows() {
        for (format, text) in [
            ("000000000", "012345678"),
            (r"000\-00\-0000", "012345678"),
            ("General", "12345678"),
            ("0", "12345678"),
        ] {
            assert_eq!(shown(&DataRef::Float(12_345_678.0), format), text, "{format}");
        }
        assert_eq!(shown(&DataRef::Float(0.5), "000"), "0.5");
        assert_eq!(zeros(&"0".repeat(1000)), MOST_DIGITS);
    }
}
