//! Function names where the debug information has only their last part.
//!
//! Line tables alone, which is what optimised builds are advised to keep, name an inlined function
//! `new<u8>` or `{closure#0}` and not `app::pool::Pool<T>::new`. Many functions share such a name.
//! The file tells most of the rest: functions of `src/pool.rs` are in the module `pool`, unless the
//! author says otherwise in the source.

use std::borrow::Cow;

use super::demangle::{CLOSURE, plain_closures};

/// The name that a frame has: `function` as it is if it has a path, else behind its crate and the
/// modules of its file, if that is known for sure, and without its generic arguments, which names with a path do not have either.
pub(super) fn qualified<'a>(
    function: &'a str,
    file: Option<&str>,
    crate_name: Option<&str>,
) -> Cow<'a, str> {
    let Some(crate_name) = crate_name else {
        return function.into();
    };
    // Names with two underscores are the compiler's own: they belong to no module.
    if has_path(function) || function.starts_with("__") {
        return function.into();
    }
    let mut name = crate_name.to_owned();
    for module in file.into_iter().flat_map(|file| modules(file, crate_name)) {
        name.push_str("::");
        name.push_str(module);
    }
    name.push_str("::");
    name.push_str(without_generics(function));
    name.into()
}

/// The name of a closure: the function that contains it, then its own. Closures in closures have the
/// name of the outermost one, and methods the modules that they are in.
pub(super) fn closure_of(owner: &str) -> String {
    // Debug information counts the blocks of methods, in place of naming their type.
    let parts = owner.split("::");
    let parts: Vec<&str> = parts.filter(|part| !part.starts_with("{impl#")).collect();
    let owner = parts.join("::");
    plain_closures(&format!("{owner}::{CLOSURE}")).into_owned()
}

/// The last segment of a path or name, without generic arguments: `new` of `app::Pool<T>::new::<u8>`.
pub(super) fn bare_name(function: &str) -> &str {
    let bytes = function.as_bytes();
    let (mut depth, mut end) = (0_usize, bytes.len());
    for (at, byte) in bytes.iter().enumerate().rev() {
        match byte {
            // The arrow of a function's type opens nothing.
            b'>' if at == 0 || bytes[at - 1] != b'-' => depth += 1,
            b'<' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    end = at;
                }
            }
            b':' if depth == 0 && at + 1 == end => end = at,
            b':' if depth == 0 => return &function[at + 1..end],
            _ => {}
        }
    }
    &function[..end]
}

/// A name and the line that tells it from others: `fill:12`, `{closure:4}`.
pub(super) fn with_line(function: &str, line: u32) -> String {
    match function.strip_suffix('}') {
        Some(open) => format!("{open}:{line}}}"),
        None => format!("{function}:{line}"),
    }
}

/// True if there is a `::` outside of generic arguments, or the name is a path in angle brackets.
pub(super) fn has_path(function: &str) -> bool {
    function.starts_with(['<', '_']) || without_generics(function).contains("::")
}

pub(super) fn without_generics(function: &str) -> &str {
    function.find('<').map_or(function, |at| &function[..at])
}

/// The modules that a source file stands for, the outermost first.
fn modules<'a>(file: &'a str, crate_name: &'a str) -> impl Iterator<Item = &'a str> {
    let inside = match file.split_once("src/") {
        Some((_, inside)) => inside,
        None => file.split_once('/').map_or(file, |(_, inside)| inside),
    };
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    // A crate's root has a name of its own or the crate's; a module may be a folder with `mod.rs`.
    let is_root = move |part: &str| {
        matches!(part, "lib" | "main" | "bin" | "mod") || part.replace('-', "_") == crate_name
    };
    inside.split('/').filter(move |part| !is_root(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_names_get_the_modules_of_their_file() {
        let check = |function: &str, file: &str, crate_name: Option<&str>, expect: &str| {
            assert_eq!(
                qualified(function, Some(file), crate_name),
                expect,
                "{function} in {file}"
            );
        };
        let automata = Some("regex_automata");
        let pool = "regex-automata-0.4.7/src/util/pool.rs";
        check("new<u8>", pool, automata, "regex_automata::util::pool::new");
        check(
            "{closure#0}",
            pool,
            automata,
            "regex_automata::util::pool::{closure#0}",
        );
        check(
            "{closure#0}<(a::B, C)>",
            "x-1.0.0/src/lib.rs",
            Some("x"),
            "x::{closure#0}",
        );
        check("add", "x-1.0.0/src/a/mod.rs", Some("x"), "x::a::add");
        check("main", "src/main.rs", Some("app"), "app::main");
        check("parse", "src/bin/tool.rs", Some("tool"), "tool::parse");
        check(
            "work",
            "examples/leak-hunt.rs",
            Some("leak_hunt"),
            "leak_hunt::work",
        );
        check(
            "make",
            "tests/live/control.rs",
            Some("live"),
            "live::control::make",
        );
        check("run", "tests/live/main.rs", Some("live"), "live::run");
        check(
            "open",
            "core/src/io/file.rs",
            Some("core_io"),
            "core_io::io::file::open",
        );
        assert_eq!(qualified("add<u8>", None, Some("x")), "x::add");
        let function = "<std>/core/src/ops/function.rs";
        check(
            "call_once<fn(), ()>",
            function,
            Some("core"),
            "core::ops::function::call_once",
        );
    }

    #[test]
    fn a_closure_is_named_by_the_function_that_contains_it() {
        assert_eq!(closure_of("app::a::run"), "app::a::run::{closure}");
        assert_eq!(
            closure_of("app::load::{async_fn#0}"),
            "app::load::{closure}"
        );
        assert_eq!(closure_of("app::{impl#1}::put"), "app::put::{closure}");
        assert_eq!(with_line("{closure}", 4), "{closure:4}");
        assert_eq!(with_line("fill", 4), "fill:4");
    }

    #[test]
    fn the_last_segment_is_the_name() {
        for (path, name) in [
            ("app::run", "run"),
            ("run", "run"),
            ("run<u8>", "run"),
            ("app::run::<app::A, fn() -> app::B>", "run"),
            ("app::pool::Pool<T>::new", "new"),
            ("<app::Pool<u8> as core::fmt::Debug>::fmt", "fmt"),
            ("<app::Pool<u8>>::new::<u8>", "new"),
            ("app::run::{closure}", "{closure}"),
            ("<", ""),
            ("", ""),
        ] {
            assert_eq!(bare_name(path), name, "{path}");
        }
    }

    #[test]
    fn names_with_a_path_and_names_of_nobody_stay() {
        for name in [
            "app::pool::Pool<T>::new",
            "<app::Pool as core::fmt::Debug>::fmt",
            "{impl#3}::from",
            "__rust_alloc",
            "_ZN3app4main17h0123456789abcdefE",
        ] {
            assert_eq!(qualified(name, Some("src/pool.rs"), Some("app")), name);
        }
        assert_eq!(qualified("qsort", Some("stdlib/msort.c"), None), "qsort");
    }
}
