//! Right above every unsafe block and implementation stands why it is sound; in the documentation
//! of every unsafe function and trait, what its caller or implementer must see to.

use crate::source::{Source, has_word};
use crate::{assert_none, repository};

fn violations(source: &Source) -> Vec<String> {
    let unproven = source.numbered().filter_map(|(number, code)| {
        let wanted = wanted(code)?;
        let at = number - 1;
        let proven = is_trait_method(source, at) || above(source, at).contains(wanted);
        (!proven).then(|| format!("{}:{number}: no `{wanted}` above", source.path))
    });
    unproven.collect()
}

/// What has to stand above a line of code.
fn wanted(code: &str) -> Option<&'static str> {
    if !has_word(code, "unsafe") {
        return None;
    }
    let after = code.split_once("unsafe").map_or("", |(_, after)| after);
    let declares = after
        .split_once("fn ")
        .is_some_and(|(before, _)| !before.contains(['{', '(', '=']));
    if after.trim_start().starts_with("trait ") || declares {
        Some("# Safety")
    } else if after.starts_with('(') || is_function_type(after) {
        // An attribute says of the item below it what that item's own contract is about.
        None
    } else {
        Some("SAFETY:")
    }
}

/// `unsafe fn(…)` or `unsafe extern "C" fn(…)`, a type.
fn is_function_type(after: &str) -> bool {
    let after = after.trim_start().trim_start_matches("extern").trim_start();
    after.starts_with("fn(")
}

/// True for a function with the contract of the trait that it implements.
fn is_trait_method(source: &Source, at: usize) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = indent(&source.code[at]);
    let outer = source.code[..at]
        .iter()
        .rev()
        .find(|line| !line.trim().is_empty() && indent(line) < own);
    let is_impl = outer
        .is_some_and(|line| line.trim_start().starts_with("unsafe impl") && line.contains(" for "));
    is_impl && wanted(&source.code[at]) == Some("# Safety")
}

/// The comment above the statement or item that line `at` is a part of, attributes left out.
fn above(source: &Source, at: usize) -> String {
    let mut comment = Vec::new();
    let lines = source.lines[..at].iter().zip(&source.code[..at]).rev();
    let mut in_statement = true;
    for (line, code) in lines {
        let (line, code) = (line.trim(), code.trim());
        let is_attribute = code.starts_with("#[") || code.ends_with(")]");
        if line.starts_with("//") {
            in_statement = false;
            comment.push(line);
        } else if !is_attribute {
            let ends_another = code.is_empty() || code.ends_with([';', '{', '}', ',']);
            if !in_statement || ends_another {
                break;
            }
        }
    }
    comment.join("\n")
}

#[test]
fn unsafe_code_without_a_proof_is_found() {
    #[track_caller]
    fn check(text: &str, lines: &[usize]) {
        let source = Source::new("src/a.rs", text);
        let found: Vec<usize> = violations(&source)
            .iter()
            .filter_map(|violation| violation.split(':').nth(1)?.parse().ok())
            .collect();
        assert_eq!(found, lines, "{text}");
    }
    check("unsafe { a() };", &[1]);
    check("// Why not.\nunsafe { a() };", &[2]);
    check("// SAFETY: of b.\nb();\nunsafe { a() };", &[3]);
    check("// SAFETY: of b.\n\nunsafe { a() };", &[3]);
    check("b(); // SAFETY: beside.\nunsafe { a() };", &[2]);
    check("// SAFETY: so.\nunsafe { a() };", &[]);
    check(
        "// SAFETY: so,\n// and so.\n#[expect(unsafe_code)]\nlet a = unsafe { a() };",
        &[],
    );
    check("// SAFETY: so.\nlet a =\n    unsafe { a() };", &[]);
    check("unsafe impl Send for A {}", &[1]);
    check("// SAFETY: so.\nunsafe impl<T> Send for A<T> {}", &[]);
    check("/// Does.\nunsafe fn a() {}", &[2]);
    check(
        "/// # Safety\n/// Ask.\n#[inline]\npub unsafe fn a() {}",
        &[],
    );
    check(
        "/// # Safety\n/// Ask.\n#[unsafe(naked)]\nunsafe fn a() {}",
        &[],
    );
    check("/// Ask.\n#[unsafe(naked)]\nunsafe fn a() {}", &[3]);
    check("// SAFETY: so.\nunsafe extern \"C\" fn a() {}", &[2]);
    check("/// Does.\npub unsafe trait A {}", &[2]);
    check(
        "// SAFETY: so.\nunsafe impl A for B {\n    unsafe fn a() {}\n}",
        &[],
    );
    check(
        "// SAFETY: so.\nunsafe impl A for B {\n    unsafe { a() }\n}",
        &[3],
    );
    check("struct A {\n    a: unsafe extern \"C\" fn(u8),\n}", &[]);
}

#[test]
fn unsafe_code_has_a_proof() {
    let sources = repository::sources();
    assert_none(sources.iter().flat_map(violations).collect());
}
