//! Patterns with wildcards, as CPython's `fnmatch` reads them.
//!
//! `*` is any run of characters, also an empty one and also across `/`; `?` is any one character;
//! `[set]` is one character of a set and `[!set]` one that is not in it. There is no escape
//! character: `[*]` is a literal star. A pattern matches a whole name, and every text is a pattern.

use std::str::Chars;

/// A pattern, taken apart once.
#[derive(Clone, Debug)]
pub(super) struct Glob(Vec<Token>);

#[derive(Clone, Debug)]
enum Token {
    Char(char),
    AnyChar,
    AnyRun,
    Set(Set),
}

/// Ranges of characters, both ends included. A reversed range holds none.
#[derive(Clone, Debug)]
struct Set {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = pattern.chars();
        while let Some(first) = rest.next() {
            tokens.push(match first {
                '*' => Token::AnyRun,
                '?' => Token::AnyChar,
                '[' => read_set(&mut rest).map_or(Token::Char('['), Token::Set),
                other => Token::Char(other),
            });
        }
        Self(tokens)
    }

    /// Takes time proportional to pattern times name at worst: only the last `*` met is ever
    /// reconsidered, since an earlier one could reach no place that the last one cannot.
    pub(super) fn matches(&self, name: &str) -> bool {
        let mut rest = name.chars();
        let mut position = 0;
        let mut retry: Option<(usize, Chars<'_>)> = None;
        loop {
            let matched = match self.0.get(position) {
                Some(Token::AnyRun) => {
                    retry = Some((position + 1, rest.clone()));
                    true
                }
                Some(token) => rest.next().is_some_and(|c| token.accepts(c)),
                None if rest.as_str().is_empty() => return true,
                None => false,
            };
            if matched {
                position += 1;
                continue;
            }
            let Some((after_star, from)) = &mut retry else {
                return false;
            };
            if from.next().is_none() {
                return false;
            }
            position = *after_star;
            rest = from.clone();
        }
    }
}

impl Token {
    /// Whether the token takes the one character `c`.
    fn accepts(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::AnyChar | Self::AnyRun => true,
            Self::Set(set) => set.contains(c),
        }
    }
}

impl Set {
    fn contains(&self, c: char) -> bool {
        let listed = self
            .ranges
            .iter()
            .any(|&(low, high)| (low..=high).contains(&c));
        listed != self.negated
    }
}

/// Reads a set from behind its `[` to behind its `]`. Without a `]` it is none, and `rest` stays.
fn read_set(rest: &mut Chars<'_>) -> Option<Set> {
    let text = rest.as_str();
    let (negated, body) = match text.strip_prefix('!') {
        Some(body) => (true, body),
        None => (false, text),
    };
    // A `]` in first place is a member.
    let from = usize::from(body.starts_with(']'));
    let end = from + body[from..].find(']')?;
    *rest = body[end + 1..].chars();
    Some(Set {
        negated,
        ranges: read_ranges(&body[..end]),
    })
}

fn read_ranges(members: &str) -> Vec<(char, char)> {
    let mut ranges = Vec::new();
    let mut rest = members.chars();
    while let Some(low) = rest.next() {
        let mut ahead = rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(high)) => {
                ranges.push((low, high));
                rest = ahead;
            }
            _ => ranges.push((low, low)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matched: &[&str], unmatched: &[&str]) {
        let glob = Glob::new(pattern);
        for name in matched {
            assert!(glob.matches(name), "{pattern:?} must match {name:?}");
        }
        for name in unmatched {
            assert!(!glob.matches(name), "{pattern:?} must not match {name:?}");
        }
    }

    #[test]
    fn wildcards() {
        check("", &[""], &["a"]);
        check("*", &["", "a", "a/b\n.c"], &[]);
        check("a*", &["a", "ab"], &["", "ba"]);
        check("*.rs", &[".rs", "src/a.rs", "a.rs.rs"], &["a.rsx"]);
        check("a*b*c", &["abc", "aXbYbZc"], &["acb", "abcd"]);
        check("?", &["a", "é", "\n"], &["", "ab"]);
        check("a\\*", &["a\\", "a\\b"], &["a*"]);
        check("*aab", &["aaab", "aabaab"], &["aaba"]);
    }

    #[test]
    fn sets() {
        check("[abc]", &["a", "c"], &["d", "", "ab"]);
        check("[a-c]", &["a", "b", "c"], &["-", "d"]);
        check("[!a-c]", &["d", "-", "!"], &["a", ""]);
        check("[*]", &["*"], &["a"]);
        check("[]]", &["]"], &["["]);
        check("[!]]", &["["], &["]"]);
        check("[]-a]", &["]", "^", "a"], &["-"]);
        check("[-a]", &["-", "a"], &["b"]);
        check("[a-]", &["-", "a"], &["b"]);
        check("[a-c-e]", &["b", "-", "e"], &["d"]);
        check("[^a]", &["^", "a"], &["b"]);
        check("[c-a]", &[], &["a", "b", "c", "-"]);
        check("[!c-a]", &["a", "b"], &[""]);
    }

    #[test]
    fn brackets_that_never_close_are_literal() {
        check("[", &["["], &[""]);
        check("[!", &["[!"], &["["]);
        check("[]", &["[]"], &["]"]);
        check("[a*", &["[a", "[ab"], &["a"]);
        check("[!]", &["[!]"], &["a"]);
    }

    /// A matcher that tries every split takes 2^40 steps here and more.
    #[test]
    fn many_stars_take_no_exponential_time() {
        let glob = Glob::new(&"*a".repeat(40));
        assert!(!glob.matches(&("a".repeat(4000) + "b")));
        assert!(Glob::new(&"a*".repeat(40)).matches(&"a".repeat(4000)));
    }
}
