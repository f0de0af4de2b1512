//! A file of Rust, split into code, comments and tests without a parser: enough for laws about
//! words and paths.

/// One file, line by line. Both texts have the same number of lines.
pub(crate) struct Source {
    /// From the root of the repository, such as `src/engine/thread/guard.rs`.
    pub(crate) path: String,
    /// As written.
    pub(crate) lines: Vec<String>,
    /// Code alone: comments, the contents of literals, and tests are blank.
    pub(crate) code: Vec<String>,
    /// Lines that belong to tests.
    pub(crate) test_lines: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut code: Vec<String> = code_of(text).lines().map(str::to_owned).collect();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        code.resize(lines.len(), String::new());
        let test_lines = blank_tests(&mut code);
        Self {
            path: path.to_owned(),
            lines,
            code,
            test_lines,
        }
    }

    /// Every line of code with its number, counted from 1.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.iter().map(String::as_str))
    }
}

/// True if `word` stands in `text` by itself, not as a part of a longer name.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let goes_on_before = word.starts_with(part) && before.is_some_and(part);
        let goes_on_after = word.ends_with(part) && after.is_some_and(part);
        !goes_on_before && !goes_on_after
    })
}

/// The text with everything blank that is in comments, strings and characters.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let blank = blank_len(rest, code.chars().next_back());
        if blank == 0 {
            code.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            let (blanked, after) = rest.split_at(blank);
            code.extend(blanked.chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = after;
        }
    }
    code
}

/// How many bytes the comment or literal takes that `text` begins with, 0 if none does.
fn blank_len(text: &str, before: Option<char>) -> usize {
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if text.starts_with("//") {
        text.find('\n').unwrap_or(text.len())
    } else if text.starts_with("/*") {
        block_comment_len(text)
    } else if text.starts_with('"') {
        string_len(text)
    } else if text.starts_with('r') && (!in_name || matches!(before, Some('b' | 'c'))) {
        raw_string_len(text)
    } else if text.starts_with('\'') {
        character_len(text)
    } else {
        0
    }
}

fn block_comment_len(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string_len(text: &str) -> usize {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 2;
    text[start..]
        .find(&end)
        .map_or(text.len(), |at| start + at + end.len())
}

/// A character, not a lifetime.
fn character_len(text: &str) -> usize {
    let mut rest = text.char_indices().skip(1);
    match (rest.next(), rest.next()) {
        (Some((_, '\\')), Some((at, c))) => {
            let start = at + c.len_utf8();
            text[start..].find('\'').map_or(0, |end| start + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// Blanks items that are compiled for tests only; returns the number of their lines.
fn blank_tests(code: &mut [String]) -> usize {
    let mut blanked = 0;
    let mut at = 0;
    while at < code.len() {
        let attribute = code[at].trim();
        let end = if attribute == "#[cfg(test)]" || attribute.starts_with("#[cfg(all(test,") {
            item_end(code, at)
        } else {
            at
        };
        for line in &mut code[at..end] {
            line.clear();
        }
        blanked += end - at;
        at = end.max(at + 1);
    }
    blanked
}

/// The line after the item whose attribute is in line `start`.
fn item_end(code: &[String], start: usize) -> usize {
    let mut depth = 0;
    for (at, line) in code.iter().enumerate().skip(start) {
        let is_attribute = at == start || line.trim_start().starts_with("#[");
        for c in line.chars() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                ';' if depth == 0 => return at + 1,
                _ => {}
            }
        }
        if depth == 0 && !is_attribute && line.contains('}') {
            return at + 1;
        }
    }
    code.len()
}

#[test]
fn comments_literals_and_tests_are_no_code() {
    let text = r##"
let a = "unsafe // \" {"; // unsafe
let b = r#"unsafe " "#; /* unsafe /* unsafe */ unsafe */ let c = '"';
fn d<'a>(e: &'a str, f: char) { f == '\'' || f == '\u{7f}' }
#[cfg(test)]
mod tests {
    fn g() { unsafe { ']' }; }
}
#[cfg(test)]
#[expect(unused)]
use h::unsafe_;
#[cfg(not(test))]
unsafe fn i() {}
"##;
    let source = Source::new("src/a.rs", text);
    let unsafe_lines: Vec<usize> = source
        .numbered()
        .filter(|(_, code)| has_word(code, "unsafe"))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(unsafe_lines, [13]);
    assert_eq!(source.test_lines, 7);
    assert!(source.code[2].contains("let c ="));
    assert!(source.code[3].contains("fn d<'a>(e: &'a str, f: char) { f =="));
    assert_eq!(source.lines.len(), source.code.len());
}

#[test]
fn words_are_whole() {
    assert!(has_word("unsafe {", "unsafe"));
    assert!(!has_word("unsafe_code", "unsafe"));
    assert!(has_word("(Vec::new", "Vec::"));
    assert!(!has_word("MyVec::new", "Vec::"));
    assert!(has_word("std::thread::spawn", "thread::"));
}
