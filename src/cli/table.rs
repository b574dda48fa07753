//! Tables: rows under headings, for every list, no wider than the terminal. Cells may hold anything: this file
//! makes them safe.
//!
//! Piped to a program a table is whole. On a terminal, ids are as short as people type them, and what does not fit
//! is left out in this order: columns that say nothing, then columns that are not needed, then the ends of texts.

use std::cmp::Reverse;
use std::fmt::{self, Display};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::show;
use crate::clock;
use crate::ids::RunId;
use crate::record::Safe;

/// Characters of an id on a terminal, from its end: ids of one minute begin alike.
const SHORT_ID: usize = 8;

/// The width down to which a text is cut before a column that is not needed goes, and below which it is not cut.
const COMFORTABLE: usize = 14;
const LEAST: usize = 6;

/// Columns between two columns.
const GAP: usize = 2;

/// Rows under a line of headings, in columns as wide as their contents.
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<TableRow<N>>,
    indent: &'static str,
    least: [usize; N],
    /// The width of the terminal, if somebody reads at one.
    width: Option<usize>,
    /// Whether a column without any text is left out.
    drops_empty: bool,
}

struct Column {
    heading: String,
    /// For numbers.
    right: bool,
    is_id: bool,
    /// Its cells may lose their ends.
    elastic: bool,
    /// How little it is needed: 0 for a column that always stays.
    spare: usize,
}

enum TableRow<const N: usize> {
    Cells([String; N]),
    /// An extra line about the row before.
    More(String),
}

impl<const N: usize> Table<N> {
    /// A table with these columns. Marks in front of a heading say what its column is: `>` aligned to the right,
    /// for numbers; `#` ids of runs and batches, the ends of which are enough at a terminal; `@` times, so that the heading names the zone; `~` texts that may be cut; `?`
    /// not needed where there is little room, and `??` even less.
    pub(super) fn new(columns: [&'static str; N]) -> Self {
        Self {
            columns: columns.map(Column::new),
            rows: Vec::new(),
            indent: "",
            least: [0; N],
            width: show::width(),
            drops_empty: false,
        }
    }

    /// The same without the columns in which no row has a text.
    pub(super) fn without_empty(self) -> Self {
        Self { drops_empty: true, ..self }
    }

    /// The same as a part of a longer text: indented, with columns of a minimum width, so that several
    /// such tables line up.
    pub(super) fn within(self, least: [usize; N]) -> Self {
        Self { indent: "  ", least, ..self }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [&dyn Display; N]) {
        self.rows.push(TableRow::Cells(cells.map(|cell| Safe(cell).to_string())));
    }

    /// Adds an extra line about the row before.
    pub(super) fn more(&mut self, text: impl Display) {
        self.rows.push(TableRow::More(Safe(text).to_string()));
    }

    /// Whether it has no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Its cells, as far as the width matters.
    fn cells(&self) -> Vec<[&str; N]> {
        let short = |column: &Column, cell: &'_ str| {
            let is_long = self.width.is_some() && column.is_id && cell.parse::<RunId>().is_ok();
            let cut = cell.char_indices().rev().nth(SHORT_ID - 1).filter(|_| is_long);
            cut.map_or(0, |(at, _)| at)
        };
        let rows = self.rows.iter().filter_map(|row| match row {
            TableRow::Cells(cells) => Some(cells),
            TableRow::More(_) => None,
        });
        rows.map(|cells| std::array::from_fn(|at| &cells[at][short(&self.columns[at], &cells[at])..]))
            .collect()
    }

    /// How wide each column is; `None` for one that is left out.
    fn widths(&self, cells: &[[&str; N]]) -> [Option<usize>; N] {
        let mut widths: [Option<usize>; N] = std::array::from_fn(|at| {
            let widest = cells.iter().map(|row| row[at].width()).max().unwrap_or_default();
            if widest == 0 && self.drops_empty {
                return None;
            }
            Some(widest.max(self.columns[at].heading.width()).max(self.least[at]))
        });
        let Some(width) = self.width else { return widths };
        let room = width.saturating_sub(self.indent.len());
        let says_nothing = |at: usize| cells.iter().all(|row| matches!(row[at], "" | "-"));
        let mut optional: Vec<usize> = (0..N).rev().filter(|at| self.columns[*at].spare > 0).collect();
        optional.sort_by_key(|at| Reverse(self.columns[*at].spare));
        for at in optional.iter().copied().filter(|at| says_nothing(*at)) {
            if total(&widths) > room {
                widths[at] = None;
            }
        }
        for at in optional {
            if total(&self.cut(widths, COMFORTABLE, room)) > room {
                widths[at] = None;
            }
        }
        self.cut(widths, LEAST, room)
    }

    /// Cuts the widest text until all fit, none below `least` or its heading.
    fn cut(&self, mut widths: [Option<usize>; N], least: usize, room: usize) -> [Option<usize>; N] {
        while total(&widths) > room {
            let can = |at: usize| {
                let least = least.max(self.columns[at].heading.width());
                widths[at].filter(|width| self.columns[at].elastic && *width > least)
            };
            let Some(widest) = (0..N).filter(|at| can(*at).is_some()).max_by_key(|at| can(*at)) else {
                break;
            };
            widths[widest] = widths[widest].map(|width| width - 1);
        }
        widths
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, cells: [&str; N], widths: &[Option<usize>; N]) -> fmt::Result {
        let mut line = String::new();
        for ((cell, column), width) in cells.into_iter().zip(&self.columns).zip(widths) {
            let Some(width) = *width else { continue };
            if !line.is_empty() {
                line += &" ".repeat(GAP);
            }
            let cell = shortened(cell, width);
            let blank = " ".repeat(width.saturating_sub(cell.width()));
            line += &if column.right { blank + &cell } else { cell + &blank };
        }
        write!(f, "{}{}", self.indent, line.trim_end())
    }
}

impl Column {
    fn new(marked: &str) -> Self {
        let heading = marked.trim_start_matches(['>', '#', '@', '~', '?']);
        let marks = &marked[..marked.len() - heading.len()];
        let zone = if marks.contains('@') { format!(" ({})", clock::zone()) } else { String::new() };
        Self {
            heading: heading.to_owned() + &zone,
            right: marks.contains('>'),
            is_id: marks.contains('#'),
            elastic: marks.contains('~'),
            spare: marks.matches('?').count(),
        }
    }
}

impl<const N: usize> Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = self.cells();
        let widths = self.widths(&cells);
        self.line(f, self.columns.each_ref().map(|column| column.heading.as_str()), &widths)?;
        let mut cells = cells.into_iter();
        for row in &self.rows {
            f.write_str("\n")?;
            match row {
                TableRow::Cells(_) => self.line(f, cells.next().unwrap_or([""; N]), &widths)?,
                TableRow::More(text) => {
                    let room = self.width.unwrap_or(usize::MAX).saturating_sub(4);
                    write!(f, "    {}", shortened(text, room))?;
                }
            }
        }
        Ok(())
    }
}

fn total<const N: usize>(widths: &[Option<usize>; N]) -> usize {
    let shown = widths.iter().flatten();
    shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
}

/// The text in so many columns; `…` stands for an end that has no room.
pub(super) fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for character in text.chars() {
        used += character.width().unwrap_or_default();
        if used > width {
            break;
        }
        kept.push(character);
    }
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_as_wide_as_what_they_hold_and_no_cell_breaks_out_of_its_line() {
        let mut table = Table { width: None, ..Table::new(["NAME", ">COUNT", "WHY"]) };
        table.row([&"a\nb\u{1b}[2J", &7, &""]);
        table.row([&"b", &12_345_678, &"because"]);
        table.more("more\r\u{202e}");
        assert_eq!(
            table.to_string(),
            "NAME              COUNT  WHY\n\
             a\\nb\\u{1b}[2J         7\n\
             b              12345678  because\n    more\\r\\u{202e}"
        );
        let mut part = Table { width: None, ..Table::new(["NAME", ">COUNT"]).within([6, 7]) };
        part.row([&"a", &1]);
        assert_eq!(part.to_string(), "  NAME      COUNT\n  a             1");
    }

    #[test]
    fn a_terminal_gets_short_ids_and_what_fits() {
        let at = |width| {
            let mut table = Table { width, ..Table::new(["#RUN", "?~NOTE", ">?N", "~NAME", "~?WHY"]) };
            table.row([
                &"01a1fd0e-adc4-7bdf-87e8-32e8b0a2289e",
                &"-",
                &12,
                &"a long name of a file.txt",
                &"as it says so itself, 表表表",
            ]);
            table.to_string()
        };
        assert!(at(None).starts_with("RUN                                   NOTE  "));
        assert!(at(None).ends_with(
            "\n01a1fd0e-adc4-7bdf-87e8-32e8b0a2289e  -     12  a long name of a file.txt  \
                                    as it says so itself, 表表表"
        ));
        assert_eq!(
            at(Some(100)).lines().last(),
            Some("b0a2289e  -     12  a long name of a file.txt  as it says so itself, 表表表")
        );
        assert_eq!(
            at(Some(56)).lines().last(),
            Some("b0a2289e  12  a long name of a fi…  as it says so itsel…")
        );
        assert_eq!(at(Some(40)), "RUN        N  NAME\nb0a2289e  12  a long name of a file.txt");
        assert_eq!(at(Some(20)), "RUN       NAME\nb0a2289e  a long na…");
        let mut table = Table { width: Some(80), ..Table::new(["#ABOUT"]) };
        table.row([&"service:a-longer-name"]);
        assert_eq!(table.to_string(), "ABOUT\nservice:a-longer-name", "it is no id");
        for width in 16..100 {
            use unicode_width::UnicodeWidthStr as _;
            assert!(at(Some(width)).lines().all(|line| line.width() <= width), "{width}");
        }
    }
}
