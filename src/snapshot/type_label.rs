//! Types as people write them.

use std::collections::HashMap;

/// Texts for the types `names`, which are distinct: without their paths, but for those that would be taken
/// for each other.
pub(crate) fn type_labels(names: &[&str]) -> Vec<String> {
    let labels: Vec<String> = names.iter().map(|name| type_label(name)).collect();
    let mut shown: HashMap<&str, u32> = HashMap::new();
    for label in &labels {
        *shown.entry(label).or_default() += 1;
    }
    let clear = names.iter().zip(&labels);
    let clear = clear.map(|(name, label)| match shown.get(&**label) {
        Some(1) => label.clone(),
        _ => (*name).to_owned(),
    });
    clear.collect()
}

/// The type `name` without the paths of what it is made of: `Vec<User>` for
/// `alloc::vec::Vec<app::User>`. Closures and async functions keep the function that they are in.
fn type_label(name: &str) -> String {
    if name.starts_with('<') {
        return name.to_owned();
    }
    let mut label = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(letter) = rest.chars().next() {
        let len = path_len(rest);
        let (path, after) = rest.split_at(len.max(letter.len_utf8()));
        label.push_str(&match len {
            0 => path.to_owned(),
            _ => short(path),
        });
        rest = after;
    }
    label
}

/// The length of the path at the start of `text`; 0 if there is none.
fn path_len(text: &str) -> usize {
    let mut is_in_braces = false;
    let end = text.char_indices().find(|&(at, letter)| match letter {
        '{' => {
            is_in_braces = true;
            false
        }
        '}' => {
            is_in_braces = false;
            false
        }
        _ if is_in_braces => false,
        ':' => !text[at..].starts_with("::") && !text[..at].ends_with(':'),
        _ => !(letter.is_alphanumeric() || letter == '_'),
    });
    end.map_or(text.len(), |(at, _)| at)
}

/// The last part of a path, and the one before where that is a closure.
fn short(path: &str) -> String {
    let mut parts: Vec<&str> = path.split("::").collect();
    let first = parts.iter().position(|part| part.starts_with('{'));
    let from = match first {
        Some(at) if parts[at].starts_with("{impl") => parts.len() - 1,
        Some(at) => at.saturating_sub(1),
        None => parts.len() - 1,
    };
    let mut kept = parts.split_off(from).join("::");
    // Numbers of closures change with each one that is added before.
    while let Some(at) = kept.find('#') {
        let end = kept[at..].find('}').map_or(kept.len(), |end| at + end);
        kept.replace_range(at..end, "");
    }
    kept.replace("_env}", "}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_shown_without_paths() {
        for (name, label) in [
            ("alloc::vec::Vec<app::User>", "Vec<User>"),
            ("alloc::string::String", "String"),
            (
                "std::collections::hash::map::HashMap<u64, (app::a::B, &str)>",
                "HashMap<u64, (B, &str)>",
            ),
            ("alloc::sync::Arc<[u8; 4]>", "Arc<[u8; 4]>"),
            (
                "alloc::boxed::Box<dyn core::ops::function::Fn<(u8), Output=app::X> + core::marker::Send>",
                "Box<dyn Fn<(u8), Output=X> + Send>",
            ),
            (
                "alloc::boxed::Box<app::load::{async_fn_env#0}<u8>>",
                "Box<load::{async_fn}<u8>>",
            ),
            (
                "alloc::boxed::Box<app::main::{async_block#1}::{closure_env#0}>",
                "Box<main::{async_block}::{closure}>",
            ),
            ("alloc::boxed::Box<app::{impl#3}::Inner>", "Box<Inner>"),
            ("<unknown>", "<unknown>"),
            ("", ""),
            ("é::ü<", "ü<"),
        ] {
            assert_eq!(type_label(name), label, "{name}");
        }
    }
}
