//! How wide a text is and whether it has color.

use super::style::{Paint, Style};

/// Columns of a text unless another width is asked for.
const DEFAULT_WIDTH: usize = 80;

/// Columns that numbers and a short place need.
const MIN_WIDTH: usize = 60;

#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) width: usize,
    style: Style,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            width: DEFAULT_WIDTH,
            style: Style::Plain,
        }
    }
}

impl Layout {
    pub(super) fn with_width(self, columns: usize) -> Self {
        Self {
            width: columns.max(MIN_WIDTH),
            ..self
        }
    }

    pub(super) fn with_color(self, color: bool) -> Self {
        let style = if color { Style::Ansi } else { Style::Plain };
        Self { style, ..self }
    }

    pub(super) fn paint(self, paint: Paint, text: &str) -> std::borrow::Cow<'_, str> {
        self.style.paint(paint, text)
    }
}
