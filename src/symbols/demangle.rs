//! Names of functions as people read them, from the names that linkers see.

use std::borrow::Cow;

use super::reader::limited;

/// The name behind `raw`, a linkage name or one that is readable already. Closures and methods are
/// spelled in one way, whatever the build.
pub(super) fn demangled(raw: &str) -> String {
    let rust = rustc_demangle::try_demangle(raw).ok();
    let name = rust.map(|name| limited(format_args!("{name:#}")));
    let name = match name {
        Some(name) if raw.starts_with("_R") => Some(plain_path(&name)),
        name => name,
    };
    let name = name.or_else(|| foreign(raw));
    let name = name.unwrap_or_else(|| limited(format_args!("{raw}")));
    plain_closures(&name).into_owned()
}

/// A name of C++.
fn foreign(raw: &str) -> Option<String> {
    if !raw.starts_with("_Z") {
        return None;
    }
    let symbol = cpp_demangle::Symbol::new(raw).ok()?;
    let options = cpp_demangle::DemangleOptions::new()
        .no_params()
        .no_return_type();
    let name = symbol.demangle_with_options(&options).ok()?;
    Some(limited(format_args!("{name}")))
}

/// A path as old linkage names have it: `app::Pool<u8>::new` for `<app::Pool<u8>>::new::<u16>`.
pub(super) fn plain_path(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    // The type of a method that is no trait's.
    if let Some(len) = brackets_len(rest) {
        let inside = &rest[1..len - 1];
        let is_path = inside.starts_with(|first: char| first.is_alphabetic() || first == '_');
        if is_path && inside.contains("::") && !inside.contains(" as ") {
            plain.push_str(inside);
            rest = &rest[len..];
        }
    }
    while let Some(next) = rest.chars().next() {
        // Arguments of a function, or of a trait's or a type's; those that are in brackets stay.
        let len = match rest.strip_prefix("::").and_then(brackets_len) {
            Some(arguments) => 2 + arguments,
            None => {
                let len = brackets_len(rest).unwrap_or(next.len_utf8());
                plain.push_str(&rest[..len]);
                len
            }
        };
        rest = &rest[len..];
    }
    plain
}

/// The length of what stands in angle brackets at the start of `text`, with them.
fn brackets_len(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        match letter {
            '<' => depth += 1,
            // The arrow of a function's type closes nothing.
            '>' if before != '-' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then_some(at + 1);
        }
        before = letter;
    }
    None
}

/// Every closure, async block and async function's body as `{closure}`.
///
/// Old linkage names write `{{closure}}`, new ones `{closure#0}`, debug information
/// `{async_fn#0}`. Numbers are left out: old names lack them, and they change with every closure
/// that is added before. Lines tell the closures of one function apart, and those in them too, which
/// have the same name.
pub(super) fn plain_closures(name: &str) -> Cow<'_, str> {
    if !name.contains('{') {
        return name.into();
    }
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('{') {
        let (before, braces) = rest.split_at(at);
        plain.push_str(before);
        match closure_len(braces) {
            Some(len) => {
                if !plain.ends_with(IN_CLOSURE) {
                    plain.push_str(CLOSURE);
                } else {
                    plain.truncate(plain.len() - "::".len());
                }
                rest = &braces[len..];
            }
            None => {
                plain.push('{');
                rest = &braces[1..];
            }
        }
    }
    plain.push_str(rest);
    plain.into()
}

/// How every closure is called.
pub(super) const CLOSURE: &str = "{closure}";
const IN_CLOSURE: &str = "{closure}::";

/// Kinds of coroutines, as debug information calls them.
pub(super) const COROUTINES: [&str; 7] = [
    "async_fn",
    "async_block",
    "async_closure",
    "coroutine",
    "gen_fn",
    "gen_block",
    "gen_closure",
];

/// The length of the name of a closure at the start of `text`.
fn closure_len(text: &str) -> Option<usize> {
    const OLD: &str = "{{closure}}";
    for known in [OLD, CLOSURE] {
        if text.starts_with(known) {
            return Some(known.len());
        }
    }
    let end = text.find('}')?;
    let (kind, number) = text.get(1..end)?.split_once('#')?;
    let is_kind = kind == "closure" || COROUTINES.contains(&kind);
    let known = is_kind && number.bytes().all(|byte| byte.is_ascii_digit());
    known.then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linkage_names_of_every_kind_are_read() {
        for (raw, name) in [
            ("_ZN3app4main17h0123456789abcdefE", "app::main"),
            ("_RNvCs4fqI2P2rA04_3app4main", "app::main"),
            (
                "_ZNSt6vectorIiSaIiEE9push_backEOi",
                "std::vector<int, std::allocator<int> >::push_back",
            ),
            ("main", "main"),
            ("new<u8>", "new<u8>"),
            ("_Znope", "_Znope"),
            ("", ""),
        ] {
            assert_eq!(demangled(raw), name, "{raw}");
        }
    }

    #[test]
    fn new_linkage_names_are_spelled_as_old_ones() {
        for (name, plain) in [
            ("app::run", "app::run"),
            ("app::run::<app::A, fn() -> app::B>", "app::run"),
            ("<app::Pool>::new", "app::Pool::new"),
            ("<app::Pool<u8>>::new::<app::A<u8>>", "app::Pool<u8>::new"),
            (
                "<app::Pool as app::Make<app::A>>::make::<u8>",
                "<app::Pool as app::Make<app::A>>::make",
            ),
            ("<str>::trim", "<str>::trim"),
            ("<[u8]>::sort::<app::A>", "<[u8]>::sort"),
            ("app::run::<u8>::{closure#0}::<u8>", "app::run::{closure#0}"),
            ("app::<", "app::<"),
        ] {
            assert_eq!(plain_path(name), plain);
        }
        assert_eq!(demangled("_RINvCs4fqI2P2rA04_3app3runhE"), "app::run");
    }

    #[test]
    fn a_closure_in_a_closure_is_of_the_same_function() {
        for raw in [
            "_ZN3app4load28_$u7b$$u7b$closure$u7d$$u7d$28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
            "app::load::{async_fn#0}::{closure#1}::{closure#0}",
        ] {
            assert_eq!(demangled(raw), "app::load::{closure}", "{raw}");
        }
        assert_eq!(
            demangled("app::load::{async_fn#0}::inner::{closure#1}"),
            "app::load::{closure}::inner::{closure}"
        );
    }

    #[test]
    fn closures_are_spelled_in_one_way() {
        for raw in [
            "_ZN3app4main28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
            "_RNCNvCs4fqI2P2rA04_3app4main0",
            "app::main::{closure#12}",
            "app::main::{async_fn#0}",
            "app::main::{async_block#1}",
        ] {
            assert_eq!(demangled(raw), "app::main::{closure}", "{raw}");
        }
        assert_eq!(
            demangled("run<app::main::{closure#0}, u8>"),
            "run<app::main::{closure}, u8>"
        );
        for other in [
            "{impl#3}::from",
            "{{vtable.shim}}",
            "a{",
            "{closure#",
            "{closure#x}",
        ] {
            assert_eq!(demangled(other), other);
        }
    }
}
