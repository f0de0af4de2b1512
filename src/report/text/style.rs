//! Color, where it was asked for.

use std::borrow::Cow;
use std::io::IsTerminal;

/// Whether text is set off by the escape sequences that terminals understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Ansi,
}

/// What a piece of text is, which decides how it is set off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Normal,
    Strong,
    Faint,
    Growth,
    Decline,
}

impl Style {
    pub(super) fn paint(self, paint: Paint, text: &str) -> Cow<'_, str> {
        let code = match (self, paint) {
            (Self::Plain, _) | (_, Paint::Normal) => return Cow::Borrowed(text),
            (Self::Ansi, Paint::Strong) => "1",
            (Self::Ansi, Paint::Faint) => "2",
            (Self::Ansi, Paint::Growth) => "31",
            (Self::Ansi, Paint::Decline) => "32",
        };
        Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
    }
}

/// Whether color is welcome on `out`: it is a terminal, the variable `NO_COLOR` is unset or empty,
/// and `TERM` is not `dumb`.
///
/// ```
/// use tracemalloc::report::{Text, terminal_color};
///
/// let snapshot = tracemalloc::Snapshot::from_traces([], 25);
/// let mut out = std::io::stdout().lock();
/// let table = Text::new().color(terminal_color(&out));
/// table.write(&snapshot, &mut out)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn terminal_color(out: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    out.is_terminal() && !refused && !dumb
}
