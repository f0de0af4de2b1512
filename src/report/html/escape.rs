//! Texts of unknown origin, made fit for a page: none ends the element that it stands in, and none
//! hides or turns what stands beside it.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use serde_json::ser::Formatter;

use crate::report::visible;

/// A text for the content of an element or for an attribute in quotes.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Escaped<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in visible::escaped(self.0.as_ref()).chars() {
            match character {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                other => out.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// JSON for the content of a `script` element. There is no escaping in such an element: it ends at
/// the first `</script`, and `<!--` changes where that is looked for. Both need a `<`.
pub(super) struct InScript;

impl Formatter for InScript {
    fn write_string_fragment<W>(&mut self, out: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        let mut pieces = fragment.split('<');
        out.write_all(pieces.next().unwrap_or_default().as_bytes())?;
        for piece in pieces {
            out.write_all(b"\\u003c")?;
            out.write_all(piece.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[test]
    fn markup_is_text() {
        let shown = |text| Escaped(text).to_string();
        assert_eq!(
            shown("<a b='c' d=\"e\">&</a>"),
            "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;&lt;/a&gt;"
        );
        assert_eq!(shown("a\u{202e}b\0"), "a\\u{202e}b\\u{0}");
        assert_eq!(shown("größe"), "größe");
    }

    #[test]
    fn a_script_element_is_not_left() {
        #[track_caller]
        fn check(text: &str, json: &str) {
            let mut out = Vec::new();
            let mut serializer = serde_json::Serializer::with_formatter(&mut out, InScript);
            text.serialize(&mut serializer).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), json);
            assert_eq!(serde_json::from_str::<String>(json).unwrap(), text);
        }
        check("", r#""""#);
        check("<", r#""\u003c""#);
        check("a</script><!--b", r#""a\u003c/script>\u003c!--b""#);
        check("\"<\\<\n<", r#""\"\u003c\\\u003c\n\u003c""#);
    }
}
