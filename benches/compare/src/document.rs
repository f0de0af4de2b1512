//! Puts figures into a document.

use std::error::Error;
use std::fs;
use std::path::Path;

/// Replaces what stands between the marks of that name: `<!-- NAME -->` and `<!-- end of NAME -->`.
///
/// # Errors
/// If the file cannot be read or written, or has no such marks.
pub fn put(file: &Path, name: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let document = fs::read_to_string(file)?;
    let replaced = replaced(&document, name, text)
        .ok_or_else(|| format!("{} has no marks of {name}", file.display()))?;
    Ok(fs::write(file, replaced)?)
}

fn replaced(document: &str, name: &str, text: &str) -> Option<String> {
    let begin = format!("<!-- {name} -->\n");
    let end = format!("<!-- end of {name} -->\n");
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    let text = text.trim_end();
    Some(format!("{before}{begin}\n{text}\n\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn what_stands_between_marks_is_replaced() {
        let document = "a\n<!-- b -->\nold\n<!-- end of b -->\nc\n";
        let new = "a\n<!-- b -->\n\nnew\n\n<!-- end of b -->\nc\n";
        assert_eq!(replaced(document, "b", "new\n").as_deref(), Some(new));
        assert_eq!(replaced(new, "b", "new").as_deref(), Some(new));
        assert_eq!(replaced(document, "c", "new"), None);
        assert_eq!(replaced("<!-- b -->\n", "b", "new"), None);
    }
}
