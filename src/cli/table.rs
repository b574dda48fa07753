//! Tables: rows under headings, for every list. Cells may hold anything: this file makes them safe.

use std::fmt::{self, Display};

use crate::record::Safe;

/// Rows under a line of headings, in columns as wide as their contents.
pub(super) struct Table<const N: usize> {
    columns: [&'static str; N],
    rows: Vec<TableRow<N>>,
    indent: &'static str,
    least: [usize; N],
}

enum TableRow<const N: usize> {
    Cells([String; N]),
    /// An extra line about the row before.
    More(String),
}

impl<const N: usize> Table<N> {
    /// A table with these columns; `>` before a heading aligns its cells to the right, for numbers.
    pub(super) fn new(columns: [&'static str; N]) -> Self {
        Self { columns, rows: Vec::new(), indent: "", least: [0; N] }
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

    fn line(&self, f: &mut fmt::Formatter<'_>, cells: [&str; N], widths: &[usize; N]) -> fmt::Result {
        let mut line = String::new();
        for ((cell, column), width) in cells.iter().zip(self.columns).zip(*widths) {
            let gap = if line.is_empty() { "" } else { "  " };
            line += &match column.strip_prefix('>') {
                Some(_) => format!("{gap}{cell:>width$}"),
                None => format!("{gap}{cell:width$}"),
            };
        }
        write!(f, "{}{}", self.indent, line.trim_end())
    }
}

impl<const N: usize> Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = self.columns.map(|column| column.trim_start_matches('>'));
        let mut widths = headings.map(|heading| heading.chars().count());
        for (width, least) in widths.iter_mut().zip(self.least) {
            *width = least.max(*width);
        }
        for row in &self.rows {
            if let TableRow::Cells(cells) = row {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = cell.chars().count().max(*width);
                }
            }
        }
        self.line(f, headings, &widths)?;
        for row in &self.rows {
            f.write_str("\n")?;
            match row {
                TableRow::Cells(cells) => self.line(f, cells.each_ref().map(String::as_str), &widths)?,
                TableRow::More(text) => write!(f, "    {text}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_as_wide_as_what_they_hold_and_no_cell_breaks_out_of_its_line() {
        let mut table = Table::new(["NAME", ">COUNT", "WHY"]);
        table.row([&"a\nb\u{1b}[2J", &7, &""]);
        table.row([&"b", &12_345_678, &"because"]);
        table.more("more\r\u{202e}");
        assert_eq!(
            table.to_string(),
            "NAME              COUNT  WHY\n\
             a\\nb\\u{1b}[2J         7\n\
             b              12345678  because\n    more\\r\\u{202e}"
        );
        let mut part = Table::new(["NAME", ">COUNT"]).within([6, 7]);
        part.row([&"a", &1]);
        assert_eq!(part.to_string(), "  NAME      COUNT\n  a             1");
    }
}
