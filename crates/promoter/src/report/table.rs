//! Tables of a report, within the width of a terminal.

use std::io::{self, Write};

use wording::{Width, columns, row};

/// The space between two columns.
const GAP: &str = "  ";

/// A table with names on the left and numbers on the right.
pub(super) struct TextTable {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    pub(super) fn new(header: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row with as many cells as the header.
    pub(super) fn add(&mut self, row: impl IntoIterator<Item = String>) {
        self.rows.push(row.into_iter().collect());
    }

    /// Writes the table: with each name before its numbers if they fit, otherwise above them. In a very narrow terminal,
    /// each number follows the name of its column.
    pub(super) fn write(
        &self,
        out: &mut impl Write,
        indent: usize,
        width: Width,
    ) -> io::Result<()> {
        let widths = self.widths();
        let Some((&name, numbers)) = widths.split_first() else { return Ok(()) };
        let numbers_take: usize = numbers.iter().map(|it| it + GAP.len()).sum();
        let beside = width.fits(indent + name + numbers_take);
        let below = width.fits(indent + numbers_take);
        for row in [&self.header].into_iter().chain(&self.rows) {
            let Some((first, rest)) = row.split_first() else { continue };
            let cells: String = rest
                .iter()
                .zip(numbers)
                .map(|(cell, &wide)| format!("{GAP}{cell:>wide$}"))
                .collect();
            match (beside, below) {
                (true, _) => writeln!(out, "{:indent$}{first:name$}{cells}", "")?,
                (false, true) => writeln!(out, "{:indent$}{first}\n{:indent$}{cells}", "", "")?,
                (false, false) if std::ptr::eq(row, &self.header) => {}
                (false, false) => writeln!(out, "{}", self.pairs(row, indent, width))?,
            }
        }
        Ok(())
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<_> = self.header.iter().map(|it| columns(it)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = columns(cell).max(*width);
            }
        }
        widths
    }

    fn pairs(&self, cells: &[String], indent: usize, width: Width) -> String {
        let cells = self.header.iter().zip(cells).enumerate();
        let parts: Vec<_> = cells
            .map(|(at, (name, cell))| match at {
                0 => cell.clone(),
                _ => format!("{name} {cell}"),
            })
            .collect();
        row(indent, &parts, width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_or_puts_names_above_their_numbers() {
        let mut table = TextTable::new(["project", "present", "lost"]);
        table.add(["a-long-name", "1", "20"].map(str::to_owned));
        table.add(["b", "720456", "3"].map(str::to_owned));
        let shown = |width| {
            let mut out = Vec::new();
            table.write(&mut out, 0, width).expect("memory");
            String::from_utf8(out).expect("UTF-8")
        };
        let beside =
            "project      present  lost\na-long-name        1    20\nb             720456     3\n";
        assert_eq!(shown(Width::Unlimited), beside);
        assert_eq!(shown(Width::Columns(26)), beside);
        assert_eq!(
            shown(Width::Columns(25)),
            "project\n  present  lost\na-long-name\n        1    20\nb\n   720456     3\n"
        );
        assert_eq!(
            shown(Width::Columns(14)),
            "a-long-name\n  present 1\n  lost 20\nb\n  present\n    720456\n  lost 3\n"
        );
    }
}
