//! Tables with columns of even width, which are Markdown too.

pub struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<'a>(heads: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            heads: heads.into_iter().map(str::to_owned).collect(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, first: impl Into<Vec<String>>, others: Vec<String>) {
        let mut cells = first.into();
        cells.extend(others);
        self.rows.push(cells);
    }

    /// The first column is text, the others are numbers.
    pub fn text(&self) -> String {
        let lines = || std::iter::once(&self.heads).chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let mut text = String::new();
        for (number, line) in lines().enumerate() {
            let cells = line.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, &width))| match column {
                0 => format!("| {cell:<width$} "),
                _ => format!("| {cell:>width$} "),
            });
            text.extend(cells);
            text.push_str("|\n");
            if number == 0 {
                let rules = widths
                    .iter()
                    .enumerate()
                    .map(|(column, width)| match column {
                        0 => format!("| {} ", "-".repeat(*width)),
                        _ => format!("| {}: ", "-".repeat(width.saturating_sub(1).max(1))),
                    });
                text.extend(rules);
                text.push_str("|\n");
            }
        }
        text
    }
}
