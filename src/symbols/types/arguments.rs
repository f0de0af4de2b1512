//! The generic arguments of names in debug information.

/// Allocators and hashers that people leave out.
const DEFAULTS: [&str; 4] = [
    ", alloc::alloc::Global",
    ", allocator_api2::stable::alloc::global::Global",
    ", std::hash::random::RandomState",
    ", std::collections::hash::map::RandomState",
];
pub(super) const GLOBALS: [&str; 2] = [
    "alloc::alloc::Global",
    "allocator_api2::stable::alloc::global::Global",
];

/// The generic arguments of a name.
pub(super) fn arguments(name: &str) -> Vec<&str> {
    let inside = name.split_once('<').map(|(_, rest)| rest);
    let inside = inside.and_then(|rest| Some(&rest[..rest.rfind('>')?]));
    inside.map_or_else(Vec::new, split)
}

/// What stands between the commas that are in no brackets.
pub(super) fn split(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start, mut before) = (0_i32, 0, ' ');
    for (at, letter) in list.char_indices() {
        match letter {
            '<' | '(' | '[' | '{' => depth += 1,
            // The arrow of a function's type closes nothing.
            '>' if before == '-' => {}
            '>' | ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
        before = letter;
    }
    let last = list[start..].trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

/// What a box without a value yet is made for.
pub(super) fn without_uninit(name: &str) -> &str {
    let inside = name.strip_prefix("core::mem::maybe_uninit::MaybeUninit<");
    inside
        .and_then(|rest| rest.strip_suffix('>'))
        .unwrap_or(name)
}

pub(super) fn without_defaults(name: &str) -> String {
    DEFAULTS
        .iter()
        .fold(name.to_owned(), |name, default| name.replace(default, ""))
}
