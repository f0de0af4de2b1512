//! Texts of unknown origin, made fit for a terminal: nothing steers it, and nothing is too long.

use std::borrow::Cow;

pub(super) use self::terminal_text as escaped;

const ELLIPSIS: char = '…';

/// `text` with escapes in the place of characters that would move the cursor of a terminal, change
/// its colors or turn the direction of writing.
///
/// Names in a snapshot come from symbol tables and from files of other machines, so they may hold
/// anything. Every report for a terminal shows them this way.
///
/// ```
/// use tracemalloc::report::terminal_text;
///
/// assert_eq!(terminal_text("src/größe.rs"), "src/größe.rs");
/// assert_eq!(terminal_text("\x1b[2J"), "\\u{1b}[2J");
/// ```
pub fn terminal_text(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if steers(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, separators of lines, and characters that are not shown or turn the direction
/// of writing: Unicode's property `Default_Ignorable_Code_Point`, in ranges that hold reserved code
/// points too.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // The soft hyphen, the grapheme joiner, marks without width and Hangul fillers.
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                // Line and paragraph separators, embeddings, isolates.
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                // Variation selectors.
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                // Tags and more variation selectors.
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// The end of `text`, which distinguishes paths. Cut after a `/` if that costs little.
pub(super) fn keep_end(text: &str, width: usize) -> Cow<'_, str> {
    let len = text.chars().count();
    if len <= width {
        return Cow::Borrowed(text);
    }
    let kept = width.saturating_sub(1);
    let mut end = skip(text, len - kept);
    if let Some(slash) = end.find('/')
        && end[..slash].chars().count() * 3 <= kept
    {
        end = &end[slash..];
    }
    Cow::Owned(format!("{ELLIPSIS}{end}"))
}

/// The start of `text`.
pub(super) fn keep_start(text: &str, width: usize) -> Cow<'_, str> {
    if text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    let start: String = text.chars().take(width.saturating_sub(1)).collect();
    Cow::Owned(format!("{}{ELLIPSIS}", start.trim_end()))
}

fn skip(text: &str, characters: usize) -> &str {
    let start = text.char_indices().nth(characters);
    &text[start.map_or(text.len(), |(index, _)| index)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped() {
        assert_eq!(escaped("größe → 漢字"), "größe → 漢字");
        assert_eq!(escaped("\x1b[31m\r\n\u{7}"), "\\u{1b}[31m\\r\\n\\u{7}");
        assert_eq!(escaped("a\u{202e}b\u{9b}c"), "a\\u{202e}b\\u{9b}c");
        assert_eq!(escaped("\u{200b}\u{2066}"), "\\u{200b}\\u{2066}");
        assert_eq!(escaped("a\u{ad}b\u{e0041}"), "a\\u{ad}b\\u{e0041}");
        assert_eq!(escaped("\u{fe0f}\u{3164}"), "\\u{fe0f}\\u{3164}");
    }

    #[test]
    fn paths_keep_their_end() {
        assert_eq!(keep_end("src/main.rs:12", 14), "src/main.rs:12");
        assert_eq!(
            keep_end("crate-1.0.0/src/parser/mod.rs:12", 20),
            "…/parser/mod.rs:12"
        );
        assert_eq!(keep_end("abcdefghij", 5), "…ghij");
        assert_eq!(keep_end("ääääääääää", 5), "…ääää");
    }

    #[test]
    fn source_keeps_its_start() {
        assert_eq!(keep_start("let a = b;", 10), "let a = b;");
        assert_eq!(keep_start("let a = b;", 7), "let a…");
    }

    /// Widths that leave no room must not panic.
    #[test]
    fn no_room_is_no_panic() {
        for width in 0..4 {
            for text in ["", "a", "a/b/c/d", "漢字漢字漢"] {
                for shortened in [keep_end(text, width), keep_start(text, width)] {
                    assert!(shortened.chars().count() <= width.max(1));
                }
            }
        }
    }
}
