//! The engine runs inside other people's allocations: it names nothing that allocates through the
//! program's allocator, prints, waits for another thread, or looks up symbols.

use crate::source::{Source, has_word};
use crate::{assert_none, repository};

const FORBIDDEN: [&str; 32] = [
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
    "dbg!",
    "format!",
    "to_string(",
    "to_owned(",
    "to_vec(",
    "vec!",
    "Vec::",
    "Vec<",
    "Box::",
    "Box<",
    "Arc<",
    "Rc<",
    "String",
    "HashMap",
    "BTreeMap",
    "Mutex",
    "RwLock",
    "Condvar",
    "Once",
    "OnceLock",
    "LazyLock",
    "std::thread",
    "thread::spawn",
    "parking_lot",
    "dashmap",
    "once_cell::sync",
    "backtrace::trace(",
    "resolve",
];

fn violations(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/engine/") {
        return Vec::new();
    }
    let found = source.numbered().flat_map(|(line, code)| {
        let words = FORBIDDEN.iter().filter(|word| has_word(code, word));
        words.map(move |word| format!("{}:{line}: {word}", source.path))
    });
    found.collect()
}

#[test]
fn what_the_engine_must_not_name_is_found() {
    for word in FORBIDDEN {
        let source = Source::new("src/engine/a.rs", &format!("\nlet a = {word} b;"));
        let found = violations(&source);
        assert!(
            found.contains(&format!("src/engine/a.rs:2: {word}")),
            "{found:?}"
        );
    }
    for harmless in [
        "// format!(\"\")",
        "let a = \"Vec::\";",
        "#[cfg(test)]\nmod tests { use std::thread::spawn; }",
        "use once_cell::race::OnceRef;",
        "thread_local! {}",
    ] {
        assert_none(violations(&Source::new("src/engine/a.rs", harmless)));
    }
    let elsewhere = Source::new("src/report/a.rs", "println!()");
    assert_none(violations(&elsewhere));
}

#[test]
fn the_engine_neither_allocates_nor_prints_nor_waits() {
    let sources = repository::sources();
    assert_none(sources.iter().flat_map(violations).collect());
}
