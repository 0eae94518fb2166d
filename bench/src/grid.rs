//! A table of texts, aligned for a terminal or as Markdown.

use std::fmt::Write as _;

/// Rows under a header. The first columns are texts, the others are numbers.
#[derive(Clone, Debug)]
pub struct Grid {
    texts: usize,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// An empty table with so many columns of texts.
    pub fn new(texts: usize, header: &[&str]) -> Self {
        Self { texts, header: header.iter().map(|&text| text.to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row, as long as the header.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        let width = |column: usize| lines().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let mut text = String::new();
        for row in lines() {
            let mut line = String::new();
            for (at, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let _ =
                    if at < self.texts { write!(line, "{cell:<width$}  ") } else { write!(line, "{cell:>width$}  ") };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// For a document.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = format!("|{}{}\n", "---|".repeat(self.texts), "--:|".repeat(self.header.len() - self.texts));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        line(&self.header) + &rule + &rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let mut grid = Grid::new(1, &["tool", "wall s"]);
        grid.row(vec!["lifeboat".to_owned(), "1.5".to_owned()]);
        grid.row(vec!["tar".to_owned(), "12.25".to_owned()]);
        assert_eq!(grid.text(), "tool      wall s\nlifeboat     1.5\ntar        12.25\n");
        assert_eq!(grid.markdown(), "| tool | wall s |\n|---|--:|\n| lifeboat | 1.5 |\n| tar | 12.25 |\n");
    }
}
