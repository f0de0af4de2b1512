//! Whose coroutine a function drops: the body of an async function or an async block.
//!
//! The code that drops an unfinished coroutine is made from its body, so it has lines of the body, and its
//! name has the type of the coroutine, whose path begins with the function around it:
//!
//! ```text
//! drop_in_place<app::load::{async_fn_env#0}>    inlined, in debug information
//! core::ptr::drop_in_place<app::load::{{closure}}>    a symbol
//! ```

use super::super::demangle::{COROUTINES, plain_path};

/// A coroutine that a function drops.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    /// The path of the function around the coroutine.
    pub(super) owner: String,
    /// What the coroutine is called in that function, as in `{async_fn#0}`; symbols may not tell.
    name: Option<String>,
}

impl Dropped {
    /// The coroutine that the function called `name` drops. `name`: an entry's, or a symbol's after demangling.
    pub(super) fn by(name: &str) -> Option<Self> {
        let (path, inside) = name.split_once("drop_in_place")?;
        if !matches!(path, "" | "core::ptr::") {
            return None;
        }
        let inside = inside.strip_prefix("::").unwrap_or(inside);
        let inside = inside.strip_prefix('<')?.strip_suffix('>')?;
        let (owner, last) = match path {
            "" => of_entry(inside)?,
            _ => of_symbol(inside)?,
        };
        let owner = plain_path(owner);
        let is_path = |letter: char| letter.is_alphanumeric() || "_:{}#<> ".contains(letter);
        (owner.contains("::") && owner.chars().all(is_path)).then_some(Self { owner, name: last })
    }

    /// True if the closure `name`, an entry's name such as `{async_fn#0}<u8>`, may be this coroutine.
    pub(super) fn may_be(&self, name: &str) -> bool {
        let kind = name.strip_prefix('{').and_then(|name| name.split_once('#'));
        let is_coroutine = kind.is_some_and(|(kind, _)| COROUTINES.contains(&kind));
        let is_alike = |own: &String| name.strip_prefix(own.as_str()).is_some_and(is_end);
        is_coroutine && self.name.as_ref().is_none_or(is_alike)
    }
}

fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('<')
}

/// The parts of `app::load::{async_fn_env#0}<u8>`.
fn of_entry(inside: &str) -> Option<(&str, Option<String>)> {
    let at = inside.rfind("::{")?;
    let (kind, rest) = inside[at + 3..].split_once("_env#")?;
    let (number, rest) = rest.split_once('}')?;
    let is_whole = is_end(rest) && COROUTINES.contains(&kind);
    is_whole.then(|| (&inside[..at], Some(format!("{{{kind}#{number}}}"))))
}

/// The parts of `app::load::{{closure}}`, or of `app::load::{closure#0}` with new linkage names.
fn of_symbol(inside: &str) -> Option<(&str, Option<String>)> {
    let at = inside.rfind("::{")?;
    let closure = inside[at + 2..]
        .trim_start_matches('{')
        .strip_prefix("closure")?;
    let number = closure.trim_end_matches('}').trim_start_matches('#');
    let is_whole = number.bytes().all(|byte| byte.is_ascii_digit());
    // Numbers in symbols count closures of all kinds.
    is_whole.then_some((inside[..at].trim_end_matches(':'), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_drops_have_the_function_around() {
        for (name, owner) in [
            ("drop_in_place<app::load::{async_fn_env#0}>", "app::load"),
            (
                "drop_in_place<app::load::{async_fn_env#0}<u8>>",
                "app::load",
            ),
            (
                "drop_in_place<app::a::{impl#1}::put::{async_fn#0}::{async_block_env#2}>",
                "app::a::{impl#1}::put::{async_fn#0}",
            ),
            (
                "core::ptr::drop_in_place<app::load::{{closure}}>",
                "app::load",
            ),
            (
                "core::ptr::drop_in_place::<app::load::{closure#0}>",
                "app::load",
            ),
            (
                "core::ptr::drop_in_place::<<app::Store>::put::{closure#0}>",
                "app::Store::put",
            ),
            (
                "core::ptr::drop_in_place::<app::load::<u8>::{closure#0}>",
                "app::load",
            ),
        ] {
            let dropped = Dropped::by(name).map(|dropped| dropped.owner);
            assert_eq!(dropped.as_deref(), Some(owner), "{name}");
        }
    }

    #[test]
    fn other_drops_tell_nothing() {
        for name in [
            "",
            "drop_in_place",
            "drop_in_place<>",
            "drop_in_place<app::Row>",
            // The code of a closure is not in what drops it.
            "drop_in_place<app::load::{closure_env#0}>",
            "drop_in_place<alloc::boxed::Box<app::load::{async_fn_env#0}>>",
            "drop_in_place<(app::load::{async_fn_env#0}, u8)>",
            "core::ptr::drop_in_place<alloc::vec::Vec<app::load::{{closure}}>>",
            "core::ptr::drop_in_place<app::load::{{closure}}::Inner>",
            "app::drop_in_place<app::load::{{closure}}>",
        ] {
            assert_eq!(Dropped::by(name), None, "{name}");
        }
    }

    #[test]
    fn a_coroutine_is_known_by_its_kind_and_number() {
        let entry = Dropped::by("drop_in_place<app::load::{async_fn_env#0}>").expect("a coroutine");
        assert!(entry.may_be("{async_fn#0}"));
        assert!(entry.may_be("{async_fn#0}<u8>"));
        assert!(!entry.may_be("{async_fn#01}"));
        assert!(!entry.may_be("{async_block#0}"));
        let symbol = Dropped::by("core::ptr::drop_in_place<app::load::{{closure}}>");
        let symbol = symbol.expect("a coroutine");
        assert!(symbol.may_be("{async_block#3}"));
        assert!(!symbol.may_be("{closure#0}"));
        assert!(!symbol.may_be("push"));
    }
}
