//! Shortens the name of a function so that its method stays readable.
//!
//! ```text
//! <shop::Pool<shop::Order<u64>> as base::Store>::find::{{closure}}   the whole name
//! <shop::Pool<shop::Order<…>> as base::Store>::find::{{closure}}     innermost arguments first
//! <shop::Pool<…> as base::Store>::find::{{closure}}
//! <Pool<…> as Store>::find::{{closure}}                              then the paths of type and trait
//! <Pool<…> as …>::find::{{closure}}                                  then the trait
//! <Poo…::find::{{closure}}                                           then the middle
//! ```

use std::borrow::Cow;

const ELLIPSIS: char = '…';

/// The name of a function in at most `width` characters, as reports for a terminal write it.
///
/// Generic arguments go first, the innermost before the outer ones, then the paths of a method's type and
/// trait, then the trait, then the middle of the name. The last segment is cut only if it does not fit by itself.
///
/// ```
/// use tracemalloc::report::short_function;
///
/// let name = "serde_json::map::Map<alloc::string::String,serde_json::value::Value>::insert";
/// assert_eq!(short_function(name, 40), "serde_json::map::Map<…>::insert");
/// ```
pub fn shortened(name: &str, width: usize) -> Cow<'_, str> {
    if fits(name, width) {
        return Cow::Borrowed(name);
    }
    let mut shorter = name.to_owned();
    for depth in (1..=deepest(name)).rev() {
        shorter = without_arguments(&shorter, depth);
        if fits(&shorter, width) {
            return Cow::Owned(shorter);
        }
    }
    let shorter = without_paths(&shorter);
    if fits(&shorter, width) {
        return Cow::Owned(shorter);
    }
    let shorter = without_trait(&shorter);
    if fits(&shorter, width) {
        return Cow::Owned(shorter);
    }
    Cow::Owned(without_middle(&shorter, width))
}

fn fits(text: &str, width: usize) -> bool {
    text.chars().count() <= width
}

/// The characters of a name, each with the number of angle brackets that are open around it. A
/// bracket counts as inside of itself. The `>` of `->` closes none.
fn depths(name: &str) -> impl Iterator<Item = (char, usize)> {
    let (mut depth, mut before) = (0_usize, ' ');
    name.chars().map(move |character| {
        let closes = character == '>' && before != '-';
        before = character;
        if character == '<' {
            depth += 1;
        }
        let inside = depth;
        if closes {
            depth = depth.saturating_sub(1);
        }
        (character, inside)
    })
}

fn deepest(name: &str) -> usize {
    depths(name).map(|(_, depth)| depth).max().unwrap_or(0)
}

/// `name` with `…` for what stands between brackets that are `depth` deep. Brackets that the name begins
/// with hold its type and trait, which are no arguments.
fn without_arguments(name: &str, depth: usize) -> String {
    let mut shorter = String::with_capacity(name.len());
    let (mut left_out, mut before) = (false, ' ');
    let mut in_front = depth == 1 && name.starts_with('<');
    for (character, inside) in depths(name) {
        in_front &= inside > 0;
        let is_bracket = character == '<' || character == '>' && before != '-';
        before = character;
        if inside < depth || in_front || inside == depth && is_bracket {
            shorter.push(character);
            left_out = false;
        } else if !left_out {
            shorter.push(ELLIPSIS);
            left_out = true;
        }
    }
    shorter
}

/// `name` with the last segments of its type and its trait, if it begins with them.
fn without_paths(name: &str) -> String {
    let in_front = depths(name).take_while(|(_, depth)| *depth > 0).count();
    let end = name
        .char_indices()
        .nth(in_front)
        .map_or(name.len(), |(at, _)| at);
    let (in_front, rest) = name.split_at(end);
    let words = in_front.split(' ').map(|word| {
        let path = word.trim_start_matches(['<', '&', '*']);
        let opening = &word[..word.len() - path.len()];
        format!("{opening}{}", last_segment(path).trim_start_matches("::"))
    });
    words.collect::<Vec<_>>().join(" ") + rest
}

/// `name` with `…` for its trait, if it begins with a type and a trait.
fn without_trait(name: &str) -> String {
    let in_front = depths(name).take_while(|(_, depth)| *depth > 0);
    let characters: Vec<(char, usize)> = in_front.collect();
    let is_trait = |at: &usize| {
        let words = characters[..*at]
            .iter()
            .rev()
            .map(|(character, _)| *character);
        words.take(4).eq(" sa ".chars()) && characters[at - 1].1 == 1
    };
    match (4..characters.len()).rev().find(is_trait) {
        Some(at) => {
            let before = name.chars().take(at);
            let after = name.chars().skip(characters.len() - 1);
            before.chain([ELLIPSIS]).chain(after).collect()
        }
        None => name.to_owned(),
    }
}

/// The start of a path and its last segment, with closures in it.
fn without_middle(path: &str, width: usize) -> String {
    let last = last_segment(path);
    let room = width.saturating_sub(last.chars().count() + 1);
    if room > 0 && last.len() < path.len() {
        let start: String = path.chars().take(room).collect();
        return format!("{start}{ELLIPSIS}{last}");
    }
    let kept = width.saturating_sub(1);
    let skipped = last.chars().count().saturating_sub(kept);
    let end: String = last.chars().skip(skipped).collect();
    format!("{ELLIPSIS}{end}")
}

/// The last segment of a path, from its colons on. A segment in braces or brackets, such as a closure
/// or the arguments of a function, belongs to the segment in front of it.
fn last_segment(path: &str) -> &str {
    let mut start = 0;
    let mut open = 0;
    for ((at, _), (_, depth)) in path.char_indices().zip(depths(path)) {
        let next = path[at..].strip_prefix("::");
        if depth == 0 && next.is_some_and(|segment| !segment.starts_with(['{', '<', ':'])) {
            start = at;
        }
        open = depth;
    }
    // A name whose brackets do not match is no path.
    if open > 1 { path } else { &path[start..] }
}

#[cfg(test)]
mod tests {
    use super::shortened;

    const TRAIT_METHOD: &str = "<shop::Pool<shop::Order<u64>> as base::Store>::find::{{closure}}";

    #[test]
    fn arguments_go_first_then_paths_then_the_middle() {
        let at = |width| shortened(TRAIT_METHOD, width).into_owned();
        assert_eq!(at(64), TRAIT_METHOD);
        for shorter in [
            "<shop::Pool<shop::Order<…>> as base::Store>::find::{{closure}}",
            "<shop::Pool<…> as base::Store>::find::{{closure}}",
            "<Pool<…> as Store>::find::{{closure}}",
            "<Pool<…> as …>::find::{{closure}}",
            "<Pool<…> as…::find::{{closure}}",
            "<…::find::{{closure}}",
        ] {
            assert_eq!(at(shorter.chars().count()), shorter);
        }
    }

    #[test]
    fn the_method_stays_whole_while_it_fits() {
        let long = "axum::handler::service::HandlerService::call::{closure#0}";
        assert_eq!(
            shortened(long, 40),
            "axum::handler::servi…::call::{closure#0}"
        );
        assert_eq!(shortened(long, 21), "a…::call::{closure#0}");
        assert_eq!(shortened("serde_json::de::from_str", 13), "se…::from_str");
        assert_eq!(shortened("collect::<Vec<String>>", 14), "collect::<…>");
    }

    /// Two methods of one generic type read differently in eighty columns.
    #[test]
    fn functions_that_differ_in_their_method_alone_stay_apart() {
        let name = |method| {
            format!(
                "<axum::handler::Layered<tower::util::Either<A, B>, F, (T1, T2), S> as \
                 tower::Service<http::Request<B>>>::{method}::{{{{closure}}}}"
            )
        };
        let (call, ready) = (name("call"), name("poll_ready"));
        for width in 24..90 {
            let shown = [shortened(&call, width), shortened(&ready, width)];
            assert!(shown[0].contains("::call::{{closure}}"), "{shown:?}");
            assert!(shown[1].contains("poll_ready::{{closure}}"), "{shown:?}");
        }
    }

    #[test]
    fn an_arrow_closes_no_bracket() {
        assert_eq!(
            shortened("app::apply<fn(&str) -> usize, u8>::run", 20),
            "app::apply<…>::run"
        );
    }

    #[test]
    fn any_width_is_kept() {
        for width in 1..30 {
            for name in [
                TRAIT_METHOD,
                "漢字漢字漢字漢字",
                "a<b",
                "a>b>c",
                "::<",
                "operator<<",
            ] {
                let shown = shortened(name, width);
                assert!(shown.chars().count() <= width, "{name} {width} {shown}");
            }
        }
    }
}
