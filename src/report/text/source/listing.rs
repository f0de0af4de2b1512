//! Which lines of a function have memory, and which lines to show of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::snapshot::{Frame, FrameFilter, Site};

/// Lines shown above and below one that has memory.
const CONTEXT: u32 = 4;

/// Lines in which the beginning and the end of a function are looked for.
const REACH: usize = 400;

/// Bytes and blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) size: u64,
    pub(super) count: u64,
}

impl Amount {
    fn add(&mut self, site: &Site<'_>) {
        self.size = self.size.saturating_add(site.size);
        self.count = self.count.saturating_add(site.count);
    }
}

/// A function with the memory of its lines. Line 0 stands for code that has no line.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    pub(super) function: &'a str,
    pub(super) file: &'a str,
    pub(super) path: &'a str,
    pub(super) own: Amount,
    pub(super) inclusive: Amount,
    lines: BTreeMap<u32, Line>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    own: Amount,
    inclusive: Amount,
}

/// A row of a listing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown<'t> {
    Line {
        number: u32,
        source: &'t str,
        own: Amount,
        inclusive: Amount,
    },
    /// Lines that are left out.
    Gap,
}

impl Shown<'_> {
    /// Blanks before the source; `None` where there is none.
    pub(super) fn indent(&self) -> Option<usize> {
        match self {
            Self::Line { source, .. } if !source.trim().is_empty() => {
                Some(source.len() - source.trim_start().len())
            }
            _ => None,
        }
    }
}

/// The functions of the frames that `frames` hits, most memory first.
pub(super) fn listings<'a>(sites: &[Site<'a>], frames: &FrameFilter) -> Vec<Listing<'a>> {
    let mut listings: HashMap<(&str, &str), Listing<'a>> = HashMap::new();
    // A stack may have a history and nothing of what is shown.
    for site in sites.iter().filter(|site| site.count > 0) {
        // A block counts once for a function and once for a line, however deep the recursion.
        let mut counted = BTreeSet::new();
        let newest = site.stack.len() - 1;
        for (index, frame) in site.stack.iter().enumerate() {
            let Some(function) = frame.function().map(enclosing) else {
                continue;
            };
            if !is_chosen(frame, function, frames) {
                continue;
            }
            let key = (function, frame.filename());
            let listing = listings
                .entry(key)
                .or_insert_with(|| Listing::new(function, frame));
            let line = listing.lines.entry(frame.lineno()).or_default();
            if counted.insert((key, None)) {
                listing.inclusive.add(site);
            }
            if counted.insert((key, Some(frame.lineno()))) {
                line.inclusive.add(site);
            }
            if index == newest {
                line.own.add(site);
                listing.own.add(site);
            }
        }
    }
    let mut listings: Vec<_> = listings.into_values().collect();
    listings.sort_unstable_by(|a, b| {
        let amount = |listing: &Listing<'_>| (listing.inclusive.size, listing.own.size);
        amount(b)
            .cmp(&amount(a))
            .then_with(|| (a.function, a.file).cmp(&(b.function, b.file)))
    });
    listings
}

/// Whether `frames` hits `frame`, or would if it were one of the `function` that it is written in.
fn is_chosen(frame: &Frame, function: &str, frames: &FrameFilter) -> bool {
    let is_inner = frame.function() != Some(function);
    frames.hits(frame) || is_inner && frames.hits(&frame.clone().with_function(function))
}

/// The function that a closure or an async block is written in.
fn enclosing(function: &str) -> &str {
    let inner = ["::{{", "::{closure", "::{async"]
        .iter()
        .filter_map(|part| function.find(part));
    &function[..inner.min().unwrap_or(function.len())]
}

/// The name that stands behind `fn`, without the path before it and generic arguments behind it.
fn own_name(function: &str) -> &str {
    let mut depth = 0;
    let mut plain = function;
    for (at, character) in function.char_indices().rev() {
        match character {
            '>' => depth += 1,
            '<' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            plain = if character == '<' {
                &function[..at]
            } else {
                plain
            };
            break;
        }
    }
    plain
        .trim_end_matches(':')
        .rsplit("::")
        .next()
        .unwrap_or(plain)
}

impl<'a> Listing<'a> {
    fn new(function: &'a str, frame: &'a Frame) -> Self {
        Self {
            function,
            file: frame.filename(),
            path: frame.path().unwrap_or(frame.filename()),
            own: Amount::default(),
            inclusive: Amount::default(),
            lines: BTreeMap::new(),
        }
    }

    /// The lines to show, from the function's first to its last. Without a text only those that have
    /// memory.
    pub(super) fn rows<'t>(&self, text: Option<&'t str>) -> Vec<Shown<'t>> {
        let source: Vec<&str> = text.map_or_else(Vec::new, |text| text.lines().collect());
        let mut shown: BTreeSet<u32> = self.lines.keys().copied().collect();
        let numbered = self.lines.keys().copied().filter(|number| *number > 0);
        let (first, last) = (numbered.clone().min(), numbered.max());
        if let (Some(first), Some(last)) = (first, last) {
            let (begin, end) = self.extent(&source, first as usize, last as usize);
            shown.extend([begin, end]);
            for &number in self.lines.keys().filter(|number| **number > 0) {
                let around = number.saturating_sub(CONTEXT)..=number.saturating_add(CONTEXT);
                shown.extend(around.filter(|near| (begin..=end).contains(near)));
            }
        }
        // A gap of one line takes as much room as the line.
        let mut rows = Vec::new();
        let mut previous = None;
        for number in shown {
            match number - previous.unwrap_or(number) {
                2 => rows.push(self.row(&source, number - 1)),
                3.. => rows.push(Shown::Gap),
                _ => {}
            }
            rows.push(self.row(&source, number));
            previous = Some(number).filter(|number| *number > 0);
        }
        rows
    }

    fn row<'t>(&self, source: &[&'t str], number: u32) -> Shown<'t> {
        let line = self.lines.get(&number).copied().unwrap_or_default();
        let at = (number as usize).checked_sub(1);
        Shown::Line {
            number,
            source: at
                .and_then(|at| source.get(at))
                .copied()
                .unwrap_or_default(),
            own: line.own,
            inclusive: line.inclusive,
        }
    }

    /// The first and last line of the function around the lines `first` to `last`: from `fn` and its
    /// name to the brace that stands as far to the left. Where they are not found, those lines.
    fn extent(&self, source: &[&str], first: usize, last: usize) -> (u32, u32) {
        let name = own_name(self.function);
        let declaration = format!("fn {name}");
        let is_declaration = |line: &str| {
            let after = line.split_once(&declaration).map(|(_, after)| after);
            after.is_some_and(|after| after.starts_with(['(', '<']))
        };
        let lines_to = |from: usize, to: usize| source.get(from..to.min(source.len()));
        let above = lines_to(first.saturating_sub(REACH), first).unwrap_or_default();
        let Some(distance) = above.iter().rev().position(|line| is_declaration(line)) else {
            return (first as u32, last as u32);
        };
        let begin = first - distance;
        let indent = |line: &str| line.len() - line.trim_start().len();
        let own_indent = indent(source[begin - 1]);
        let below = lines_to(last - 1, last + REACH).unwrap_or_default();
        let is_end = |line: &&str| line.trim_start().starts_with('}') && indent(line) == own_indent;
        let end = below
            .iter()
            .position(is_end)
            .map_or(last, |distance| last + distance);
        (begin as u32, end as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{BlockSum, Domain, Snapshot, StackHistory, Trace, Traceback, View};

    fn frame(function: &str, line: u32) -> Frame {
        Frame::new("a.rs", line).with_function(function)
    }

    fn snapshot(stacks: &[(&[(&str, u32)], u64)]) -> Snapshot {
        let trace = |(stack, size): &(&[(&str, u32)], u64)| {
            let frames = stack.iter().map(|(function, line)| frame(function, *line));
            let stack = Traceback::from_oldest_first(frames).expect("a stack of some frames");
            Trace::new(Domain::HEAP, *size, stack)
        };
        Snapshot::from_traces(stacks.iter().map(trace), 9)
    }

    /// Function, own bytes, bytes with calls.
    fn sums(snapshot: &Snapshot, pattern: &str) -> Vec<(String, u64, u64)> {
        let sites = snapshot.sites();
        let listings = listings(&sites, &FrameFilter::function(pattern));
        listings
            .iter()
            .map(|listing| {
                (
                    listing.function.to_owned(),
                    listing.own.size,
                    listing.inclusive.size,
                )
            })
            .collect()
    }

    #[test]
    fn a_function_that_has_given_everything_back_is_not_listed() {
        let live = snapshot(&[(&[("a::f", 3)], 100)]);
        let gone = snapshot(&[(&[("a::g", 9)], 8)]).stacks()[0].clone();
        let history = StackHistory {
            allocated: BlockSum::new(8, 1),
            ..StackHistory::default()
        };
        let live = live.with_history([(gone, Domain::HEAP, history)]);
        assert_eq!(sums(&live, "*"), [("a::f".to_owned(), 100, 100)]);
        let all = live.view(View::Allocated).expect("history was recorded");
        assert_eq!(sums(&all, "*"), [("a::g".to_owned(), 8, 8)]);
    }

    #[test]
    fn a_line_counts_a_block_once_and_a_closure_for_its_function() {
        let snapshot = snapshot(&[
            (&[("a::f", 3), ("a::f", 3), ("a::g", 9)], 100),
            (
                &[("a::f", 3), ("std::map", 1), ("a::f::{{closure}}", 3)],
                10,
            ),
            (&[("a::g", 9)], 1),
        ]);
        let sums_of_all = [("a::f".to_owned(), 10, 110), ("a::g".to_owned(), 101, 101)];
        assert_eq!(sums(&snapshot, "a::*"), sums_of_all);
        assert_eq!(sums(&snapshot, "*::g"), sums_of_all[1..]);
        let sites = snapshot.sites();
        let listings = listings(&sites, &FrameFilter::function("*::f"));
        let line = listings[0].lines[&3];
        assert_eq!(
            (line.own.size, line.inclusive.size, line.inclusive.count),
            (10, 110, 2)
        );
    }

    #[test]
    fn names_of_inner_functions_end_at_the_enclosing_one() {
        for inner in [
            "a::f::{{closure}}",
            "a::f::{closure#0}::{closure#1}",
            "a::f::{async_fn#0}",
            "a::f",
        ] {
            assert_eq!(enclosing(inner), "a::f");
        }
    }

    #[track_caller]
    fn check_rows(function: &str, lines: &[u32], text: &str, expected: &[i64]) {
        let stacks: Vec<_> = lines.iter().map(|line| [(function, *line)]).collect();
        let stacks: Vec<(&[(&str, u32)], u64)> =
            stacks.iter().map(|stack| (&stack[..], 1)).collect();
        let snapshot = snapshot(&stacks);
        let sites = snapshot.sites();
        let listings = listings(&sites, &FrameFilter::function("*"));
        let rows = listings[0].rows(Some(text).filter(|text| !text.is_empty()));
        let numbers = rows.iter().map(|row| match row {
            Shown::Line { number, .. } => i64::from(*number),
            Shown::Gap => -1,
        });
        assert_eq!(numbers.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_function_is_shown_from_its_head_to_its_brace() {
        let text = "use a;\n\n    fn load<T>(\n    ) {\n        let a = 1;\n        if a {\n        }\n    }\n}\n";
        check_rows("m::load", &[5], text, &[3, 4, 5, 6, 7, 8]);
        check_rows("<m::T as m::A<B>>::load", &[5], text, &[3, 4, 5, 6, 7, 8]);
        check_rows("m::load<u8>", &[5], text, &[3, 4, 5, 6, 7, 8]);
        check_rows("m::other", &[5], text, &[5]);
        check_rows("m::load", &[5, 6], "", &[5, 6]);
        check_rows("m::load", &[0, 5], text, &[0, 3, 4, 5, 6, 7, 8]);
        // A file that has become shorter since, and the last line there is.
        check_rows("m::load", &[500], text, &[500]);
        check_rows("m::load", &[u32::MAX], text, &[i64::from(u32::MAX)]);
        check_rows("load::<", &[5], text, &[5]);
        check_rows("", &[5], text, &[5]);
    }

    #[test]
    fn lines_far_from_memory_are_left_out() {
        let body = "        let a = 1;\n".repeat(30);
        let text = format!("    fn load() {{\n{body}    }}\n");
        check_rows(
            "load",
            &[2, 20],
            &text,
            &[
                1, 2, 3, 4, 5, 6, -1, 16, 17, 18, 19, 20, 21, 22, 23, 24, -1, 32,
            ],
        );
        check_rows(
            "load",
            &[2, 11],
            &text,
            &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, -1, 32],
        );
    }
}
