//! The claims of a workbook about itself, checked before a library believes them.
//!
//! A reader of workbooks sets memory aside for what the file says it holds, and multiplies some of it: a
//! few bytes can ask for terabytes, which ends the whole process. So every part is unpacked and looked
//! through once, within [`MOST_UNPACKED`], and what claims more than a sheet can hold is refused by name.
//! This file does not know the meaning of cells.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};

use anyhow::{Context as _, Result, anyhow, ensure};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Bytes a workbook may unpack to.
const MOST_UNPACKED: u64 = 256 * 1024 * 1024;
/// Rows and columns of a sheet, by the format.
pub(super) const MOST_ROWS: u64 = 1 << 20;
const MOST_COLUMN_LETTERS: usize = 3;
/// Texts that cells may share: as many as fill the columns that are read, and as many again.
const MOST_TEXTS: u64 = 4 << 20;
/// Bytes that a reader may need for the cell formats, each of which gets copies of the names it uses.
const MOST_FORMATTING: u64 = 64 << 20;
/// Bytes that one cell format takes without names.
const FORMAT: u64 = 512;
/// Characters shown of a part's name.
const LONGEST_NAME: usize = 80;
/// Where the end of an archive is looked for: its last record with the longest remark.
const ARCHIVE_END: u64 = 128 * 1024;
/// Stands before the end of an archive of more than 65,535 parts or 4 GiB.
const LARGE_ARCHIVE: &[u8] = b"PK\x06\x07";

/// Checks a workbook from its first byte to its last.
///
/// # Errors
/// The damage, for the analyst who submitted the file; the message quotes no cell.
pub(super) fn check(file: &mut File) -> Result<()> {
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(size.saturating_sub(ARCHIVE_END)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let is_large = memchr::memmem::find(&end, LARGE_ARCHIVE).is_some();
    ensure!(!is_large, "the workbook claims to be an archive of more than 65,535 parts or 4 GiB (zip64)");
    let mut archive =
        zip::ZipArchive::new(BufReader::new(file)).context("the workbook is damaged: not a zip archive")?;
    let mut left = MOST_UNPACKED;
    let mut seen = Seen::default();
    for nth in 0..archive.len() {
        let damaged = || "the workbook is damaged: a part of it cannot be unpacked";
        let part = archive.by_index(nth).with_context(damaged)?;
        let name: String = part.name().unwrap_or_default().chars().take(LONGEST_NAME).collect();
        let mut part = BufReader::new(part.take(left + 1));
        seen.look_through(&mut part).map_err(|what| anyhow!("the workbook's part {name:?} {what}"))?;
        io::copy(&mut part, &mut io::sink()).with_context(damaged)?;
        let unpacked = left + 1 - part.get_ref().limit();
        ensure!(unpacked <= left, "the workbook unpacks to more than {} MiB", MOST_UNPACKED >> 20);
        left -= unpacked;
    }
    Ok(())
}

/// The contents of a workbook's parts that take memory beyond their own size.
#[derive(Default)]
struct Seen {
    texts: u64,
    formats: u64,
    /// Bytes of the longest name that formats get a copy of.
    longest: u64,
}

impl Seen {
    /// Reads a part up to its end or to the first invalid XML; a reader of workbooks stops there as well.
    fn look_through(&mut self, part: impl BufRead) -> Result<(), String> {
        let mut xml = Reader::from_reader(part);
        (xml.config_mut().check_end_names, xml.config_mut().check_comments) = (false, false);
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            match xml.read_event_into(&mut buffer) {
                Ok(Event::Start(element) | Event::Empty(element)) => self.element(&element)?,
                Ok(Event::Eof) | Err(_) => return Ok(()),
                Ok(_) => {}
            }
        }
    }

    fn element(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        match element.local_name().as_ref() {
            "sst" => attribute(element, "uniqueCount", |count| {
                let claimed = count.trim().parse().unwrap_or(u64::MAX);
                if claimed > MOST_TEXTS {
                    return Err(format!("claims {claimed} shared texts, more than {MOST_TEXTS}"));
                }
                Ok(())
            })?,
            "row" | "c" => attribute(element, "r", |cell| place(cell).map(drop))?,
            "dimension" => attribute(element, "ref", range)?,
            "si" => self.texts += 1,
            "xf" => self.formats += 1,
            "name" | "numFmt" => self.longest = self.longest.max(element.attributes_raw().len() as u64),
            _ => {}
        }
        if self.texts > MOST_TEXTS {
            return Err(format!("holds more than {MOST_TEXTS} shared texts"));
        }
        if self.formats * (FORMAT + 2 * self.longest) > MOST_FORMATTING {
            return Err(format!("holds cell formats of more than {} MiB", MOST_FORMATTING >> 20));
        }
        Ok(())
    }
}

/// Shows each value that an attribute has, should it be there twice, to `check`.
fn attribute(
    element: &BytesStart<'_>,
    name: &str,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<(), String> {
    for attribute in element.attributes().with_checks(false) {
        let attribute = attribute.map_err(|_| "holds an element that is malformed".to_owned())?;
        if attribute.key.as_ref() == name {
            check(&attribute.value)?;
        }
    }
    Ok(())
}

/// A range such as `A1:C9`, which does not end before it begins.
fn range(text: &str) -> Result<(), String> {
    let places = text.split(':').map(place).collect::<Result<Vec<_>, _>>()?;
    let in_order = places.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1);
    in_order.then_some(()).ok_or_else(|| "claims a size that ends before it begins".to_owned())
}

/// Column and row of a cell such as `C9`, or of a row such as `9`; what is neither fails where it is read.
fn place(text: &str) -> Result<(u64, u64), String> {
    let (letters, digits) =
        text.split_at(text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let column = letters
        .bytes()
        .take(MOST_COLUMN_LETTERS)
        .fold(0, |sum, letter| sum * 26 + u64::from(letter.to_ascii_uppercase() - b'A') + 1);
    let row = digits.trim_start_matches('0');
    let row = if row.len() > 18 { u64::MAX } else { row.parse().unwrap_or(0) };
    if letters.len() > MOST_COLUMN_LETTERS || row > MOST_ROWS {
        return Err(format!("names a cell beyond the {MOST_ROWS} rows and 16384 columns of a sheet"));
    }
    Ok((column, row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_a_sheet_are_taken_and_others_refused_whatever_they_overflow() {
        for cell in ["A1", "XFD1048576", "7", "aa10", "", "A", "A1B", "\u{e9}1", "A001"] {
            assert!(place(cell).is_ok(), "{cell}");
        }
        for cell in ["A1048577", "AAAA1", "99999999999999999999999", "ZZZZZZZZZZZZ9"] {
            assert!(place(cell).is_err(), "{cell}");
        }
        assert!(range("A1:C9").is_ok() && range("B2").is_ok());
        assert!(range("C1:A9").is_err() && range("A9:C1").is_err());
    }
}
