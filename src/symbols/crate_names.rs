//! The crate of a function, read from its demangled name.
//!
//! A name is a path (`serde_json::de::from_str`), or a type or an implementation in angle brackets
//! (`<app::Point as core::fmt::Display>::fmt`). An implementation belongs to the crate of its type
//! or to that of its trait, and the name does not say which. Rust's orphan rule does in most cases:
//! the standard library implements no foreign trait, and a trait of the standard library on a type
//! of the standard library is implemented elsewhere only if its arguments name a type from there.

use std::cell::Cell;

/// Crates of the toolchain.
const STANDARD: [&str; 5] = ["alloc", "core", "proc_macro", "std", "test"];

/// Brackets in brackets that are followed; a name that nests deeper is no honest one.
const MAX_NESTING: usize = 64;

/// Types that are read in one name. An implementation's type may be read once for itself and once
/// for its arguments, so without a bound each level of nesting could double the work.
const MAX_TYPES: u32 = 256;

/// What may still be read of one name.
struct Budget(Cell<u32>);

impl Budget {
    /// `None` if there is nothing left.
    fn spend(&self) -> Option<()> {
        self.0.set(self.0.get().checked_sub(1)?);
        Some(())
    }
}

/// True for a crate of the standard library proper.
pub(super) fn is_standard(crate_name: &str) -> bool {
    STANDARD.contains(&crate_name)
}

/// The crate of `function`, a demangled name without hash; `None` where the name has no path: C
/// functions, primitive types, names in debug information that has line tables only.
///
/// `package` is the crate that the source file belongs to, where the path tells: it decides between
/// a type's and a trait's crate.
pub(super) fn crate_of<'a>(function: &'a str, package: Option<&str>) -> Option<&'a str> {
    if nesting(function) > MAX_NESTING {
        return None;
    }
    let budget = Budget(Cell::new(MAX_TYPES));
    let name = path_crate(function, package, &budget)?;
    // A name that was read in part only might be another's.
    budget.spend()?;
    // Where the compiler puts the shims of the global allocator: no crate of anyone's.
    (name != "__rustc").then_some(name)
}

fn path_crate<'a>(path: &'a str, package: Option<&str>, budget: &Budget) -> Option<&'a str> {
    let path = path.trim_start();
    match path.strip_prefix('<') {
        Some(rest) => {
            let inner = rest.get(..closing(rest)).unwrap_or(rest);
            qualified_crate(inner, package, budget)
        }
        None => first_segment(path),
    }
}

/// The crate of `TYPE as TRAIT`, `impl TRAIT for TYPE` or `TYPE`.
fn qualified_crate<'a>(inner: &'a str, package: Option<&str>, budget: &Budget) -> Option<&'a str> {
    let Some((self_type, of_trait)) = split_outside(inner, " as ") else {
        return type_crate(inner, budget);
    };
    let own = type_crate(self_type, budget);
    let foreign = path_crate(of_trait, package, budget);
    match (own, foreign) {
        (Some(own), Some(foreign)) if package == Some(foreign) && own != foreign => Some(foreign),
        (Some(own), _) if !is_standard(own) => Some(own),
        (_, Some(foreign)) if !is_standard(foreign) => Some(foreign),
        _ => argument_crate(self_type, of_trait, budget)
            .or(own)
            .or(foreign),
    }
}

/// For a standard trait on a standard type: the crate of the trait's argument, as in `From<app::Id>
/// for String`. If the type itself has foreign parts, the implementation is the generic one of the
/// standard library.
fn argument_crate<'a>(self_type: &str, of_trait: &'a str, budget: &Budget) -> Option<&'a str> {
    if arguments(self_type).any(|part| foreign_crate(part, budget).is_some()) {
        return None;
    }
    arguments(of_trait).find_map(|part| foreign_crate(part, budget))
}

/// The crate of a type; what stands behind a reference or in a slice, array or tuple counts, since
/// these have none.
fn type_crate<'a>(text: &'a str, budget: &Budget) -> Option<&'a str> {
    budget.spend()?;
    let mut text = text;
    loop {
        text = text.trim_start();
        let prefixes = ["&", "*const ", "*mut ", "mut ", "dyn ", "["];
        if let Some(rest) = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            text = rest;
        } else if let Some(rest) = text.strip_prefix('\'') {
            text = rest.split_once(' ')?.1;
        } else if let Some(rest) = text.strip_prefix("for<") {
            text = rest.get(closing(rest) + 1..)?;
        } else if let Some(rest) = text.strip_prefix("impl ") {
            text = split_outside(rest, " for ").map_or(rest, |(_, implementer)| implementer);
        } else {
            break;
        }
    }
    if let Some(list) = text.strip_prefix('(') {
        return split_list(list).find_map(|part| type_crate(part, budget));
    }
    if text.starts_with('<') {
        return path_crate(text, None, budget);
    }
    let name = first_segment(text)?;
    // `Box<app::Point>` counts as a type of `app` in the orphan rule, and so does a pinned one.
    let transparent = ["alloc::boxed::Box<", "core::pin::Pin<"];
    if transparent.iter().any(|start| text.starts_with(start)) {
        let mut arguments = arguments(text);
        return arguments
            .find_map(|part| foreign_crate(part, budget))
            .or(Some(name));
    }
    Some(name)
}

/// The crate of a type, unless it is the standard library.
fn foreign_crate<'a>(text: &'a str, budget: &Budget) -> Option<&'a str> {
    type_crate(text, budget).filter(|name| !is_standard(name))
}

/// The first of at least two segments of a path, if it can be a crate's name.
fn first_segment(path: &str) -> Option<&str> {
    let end = path
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    let named = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    (named && rest.starts_with("::")).then_some(name)
}

/// The generic arguments of the first bracket in `text`.
fn arguments(text: &str) -> impl Iterator<Item = &str> {
    let inside = text.split_once('<').map_or("", |(_, inside)| inside);
    split_list(inside.get(..closing(inside)).unwrap_or(inside))
}

/// The parts of a list that ends where its bracket closes.
fn split_list(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest?;
        let end = outside(list, |tail| tail.starts_with(','));
        rest = end.and_then(|end| list.get(end + 1..));
        Some(end.and_then(|end| list.get(..end)).unwrap_or(list))
    })
}

/// Splits at `separator` where no bracket is open.
fn split_outside<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let at = outside(text, |tail| tail.starts_with(separator))?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

/// Where the bracket that was opened before `text` closes; the end of `text` if it does not.
fn closing(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in brackets(text) {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' | ')' | ']' | '}' if depth == 0 => return at,
            '>' | ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The first place outside of brackets whose tail is `wanted`.
fn outside(text: &str, wanted: impl Fn(&str) -> bool) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in brackets(text) {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' | ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ if depth == 0 && wanted(text.get(at..)?) => return Some(at),
            _ => {}
        }
    }
    None
}

/// How deep the brackets of `text` go, at most.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for (_, c) in brackets(text) {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' | ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The characters of `text` without the `>` of arrows, which closes nothing.
fn brackets(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut before = ' ';
    text.char_indices().filter(move |&(_, c)| {
        let arrow = c == '>' && matches!(before, '-' | '=');
        before = c;
        !arrow
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(function: &str, expect: &str) {
        let found = crate_of(function, None).unwrap_or("-");
        assert_eq!(found, expect, "the crate of {function}");
    }

    #[test]
    fn plain_paths() {
        check("serde_json::de::from_str", "serde_json");
        check("myapp::main", "myapp");
        check("myapp::main::{{closure}}", "myapp");
        check("myapp::main::{closure#0}", "myapp");
        check("myapp::main::{{closure}}::{{closure}}", "myapp");
        check("engine::Ring<T>::add", "engine");
        check("alloc::vec::Vec<T,A>::push", "alloc");
        check("alloc::vec::from_elem::<myapp::Row>", "alloc");
        check("core::ptr::drop_in_place<myapp::Row>", "core");
        check(
            "core::ops::function::FnOnce::call_once{{vtable.shim}}",
            "core",
        );
        check("std::sys::backtrace::__rust_begin_short_backtrace", "std");
        check("hashbrown::raw::RawTable<T,A>::reserve", "hashbrown");
        check("alloc::slice::<impl [T]>::sort_by::{{closure}}", "alloc");
        check(
            "myapp::_::<impl serde_core::de::Deserialize for myapp::Row>::deserialize",
            "myapp",
        );
        check(
            "serde_json::value::de::<impl serde_core::de::Deserialize for serde_json::value::Value>::deserialize",
            "serde_json",
        );
        check(
            "alloc::slice::<impl core::slice::sort::stable::BufGuard<T> for alloc::vec::Vec<T>>::with_capacity",
            "alloc",
        );
    }

    #[test]
    fn implementations_of_a_crates_own_types() {
        check("<serde_json::X as core::fmt::Display>::fmt", "serde_json");
        check(
            "<serde_json::de::MapKey<R> as serde_core::de::Deserializer>::deserialize_any",
            "serde_json",
        );
        check(
            "<&mut serde_json::de::Deserializer<R> as serde_core::de::Deserializer>::deserialize_any",
            "serde_json",
        );
        check(
            "<serde_json::value::de::<impl serde_core::de::Deserialize for serde_json::value::Value>::deserialize::ValueVisitor as serde_core::de::Visitor>::visit_map",
            "serde_json",
        );
        check(
            "<myapp::A as core::alloc::global::GlobalAlloc>::alloc",
            "myapp",
        );
        check(
            "<myapp::main::{closure#0} as core::ops::function::FnOnce<()>>::call_once",
            "myapp",
        );
        check(
            "<myapp::Rows<alloc::vec::Vec<u8>> as core::iter::Iterator>::next",
            "myapp",
        );
        check(
            "<alloc::boxed::Box<myapp::Row> as core::fmt::Display>::fmt",
            "myapp",
        );
        check(
            "<core::pin::Pin<alloc::boxed::Box<myapp::Row>> as core::ops::Deref>::deref",
            "myapp",
        );
        check("<myapp::Row>::new", "myapp");
        check(
            "<<myapp::Row as myapp::Keyed>::Key as core::fmt::Debug>::fmt",
            "myapp",
        );
    }

    #[test]
    fn implementations_on_types_of_others() {
        check("<alloc::vec::Vec<u64> as myapp::net::Sink>::put", "myapp");
        check(
            "<&mut [alloc::vec::Vec<u64>; 2] as myapp::net::Sink>::put",
            "myapp",
        );
        check("<T as myapp::Trait>::run", "myapp");
        check("<F as myapp::Handler<(A,)>>::call", "myapp");
        check("<u8 as myapp::Trait>::run", "myapp");
        check("<str as myapp::Trait>::run", "myapp");
        check("<fn(&str) -> u8 as myapp::Trait>::run", "myapp");
        check("<(A,B) as myapp::Trait>::run", "myapp");
        check(
            "<alloc::string::String as core::convert::From<myapp::Id>>::from",
            "myapp",
        );
        check("<u64 as core::convert::From<myapp::Id>>::from", "myapp");
    }

    #[test]
    fn implementations_of_the_standard_library() {
        check(
            "<alloc::vec::Vec<T> as core::iter::traits::collect::FromIterator<T>>::from_iter",
            "alloc",
        );
        check(
            "<alloc::vec::Vec<myapp::Row> as core::iter::traits::collect::Extend<myapp::Row>>::extend",
            "alloc",
        );
        check(
            "<T as alloc::slice::<impl [T]>::to_vec_in::ConvertVec>::to_vec",
            "alloc",
        );
        check(
            "<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem",
            "alloc",
        );
        check("<u64 as core::fmt::Display>::fmt", "core");
        check("<&T as core::fmt::Display>::fmt", "core");
        check("<[T] as core::fmt::Debug>::fmt", "core");
        check(
            "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
            "alloc",
        );
        check(
            "<alloc::boxed::Box<dyn core::ops::function::FnOnce<(), Output = ()> + core::marker::Send> as core::ops::function::FnOnce<()>>::call_once",
            "alloc",
        );
        check(
            "<&dyn core::ops::function::Fn<(), Output = i32> + core::marker::Sync as core::ops::function::FnOnce<()>>::call_once",
            "core",
        );
        check(
            "<alloc::raw_vec::RawVecInner<_>>::reserve::do_reserve_and_handle::<alloc::alloc::Global>",
            "alloc",
        );
        check(
            "<u8 as <[_]>::to_vec_in::ConvertVec>::to_vec::<alloc::alloc::Global>",
            "-",
        );
        check("<[u8]>::to_vec_in::<alloc::alloc::Global>", "-");
        check(
            "core::ops::function::impls::<impl core::ops::function::FnOnce<A> for &mut F>::call_once",
            "core",
        );
    }

    #[test]
    fn names_without_a_crate() {
        check("main", "-");
        check("__libc_start_main_impl", "-");
        check("__rustc::__rust_alloc", "-");
        check("push<u64, alloc::alloc::Global>", "-");
        check("{closure#0}<u64, myapp::main::{closure_env#0}>", "-");
        check("_ZNSt6vectorIiSaIiEE9push_backEOi", "-");
        check("msort_with_tmp.part.0", "-");
        check("", "-");
        check("<", "-");
        check("<<<", "-");
        check(">>::a::b", "-");
        check("::a::b", "-");
        check("<T as U>::f", "-");
        check("(", "-");
        check("<for<", "-");
        check("<'a", "-");
        check("9lives::f", "-");
        check("über::f", "über");
    }

    #[test]
    fn lifetimes_and_higher_ranks_are_looked_through() {
        check(
            "<&'a mut myapp::Row as core::iter::Iterator>::next",
            "myapp",
        );
        check(
            "<alloc::boxed::Box<dyn for<'a, 'b> core::ops::Fn<(&'a myapp::Info<'b>,)>> as myapp::Hook>::run",
            "myapp",
        );
        check("<dyn myapp::Plugin>::name", "myapp");
    }

    #[test]
    fn the_file_decides_between_type_and_trait() {
        let provided = "<myapp::Row as serde_core::de::Visitor>::visit_borrowed_str";
        assert_eq!(crate_of(provided, None), Some("myapp"));
        assert_eq!(crate_of(provided, Some("serde_core")), Some("serde_core"));
        assert_eq!(crate_of(provided, Some("elsewhere")), Some("myapp"));
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        let references = format!("<{}u8 as myapp::Trait>::f", "&".repeat(4000));
        assert_eq!(crate_of(&references, None), Some("myapp"));
        for bracket in ["<", "(", "[", "{", "<(", "<for<"] {
            assert_eq!(crate_of(&bracket.repeat(4000), None), None);
        }
        // Each level is read twice: without a budget this takes minutes.
        let level = |inner: String, _| format!("<alloc::boxed::Box<{inner}> as core::a::B>");
        let doubling = (0..30).fold("u8".to_owned(), level);
        assert_eq!(crate_of(&format!("{doubling}::f"), None), None);
    }
}
