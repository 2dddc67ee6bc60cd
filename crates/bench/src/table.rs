//! Markdown tables that are readable as text too.

use std::fmt;

/// A table; every row has as many cells as the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    /// One with these columns and no rows.
    pub fn new(columns: &[&str]) -> Self {
        let header = columns.iter().map(|&column| column.to_owned()).collect();
        Self { rows: vec![header] }
    }

    /// Adds a row; the cells that it lacks are empty.
    pub fn row(&mut self, mut cells: Vec<String>) {
        cells.resize(self.rows[0].len(), String::new());
        self.rows.push(cells);
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default().max(3)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, row) in self.rows.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                write!(f, "| {cell:<0$} ", self.width(column))?;
            }
            writeln!(f, "|")?;
            if i == 0 {
                for column in 0..row.len() {
                    write!(f, "|{:-<1$}", "", self.width(column) + 2)?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["µs", "name"]);
        table.row(vec!["1,000".to_owned()]);
        let expected = "| µs    | name |\n|-------|------|\n| 1,000 |      |\n";
        assert_eq!(table.to_string(), expected);
    }
}
