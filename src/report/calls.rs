//! How a stack divides into calls, and what viewers get of a frame.

use std::borrow::Cow;

use super::visible;
use crate::snapshot::{Frame, UNKNOWN};

/// The calls of a stack, given oldest first, each at least one frame. A frame that knows its code is
/// followed by those that the compiler inlined there, which have no code of their own; of any other
/// frame nothing is known, and it is a call by itself.
pub(super) fn calls<'s, 'f>(stack: &'s [&'f Frame]) -> impl Iterator<Item = &'s [&'f Frame]> {
    let mut rest = stack;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        let inlined = match first.code() {
            Some(_) => after.iter().take_while(|frame| is_inlined(frame)).count(),
            None => 0,
        };
        let (call, after) = rest.split_at(1 + inlined);
        rest = after;
        Some(call)
    })
}

/// An address that could not even be found in a module has no code either.
fn is_inlined(frame: &Frame) -> bool {
    frame.code().is_none() && frame.filename() != UNKNOWN
}

/// The function, or the file where the function is not known, as by [`shown`].
pub(super) fn function(frame: &Frame) -> Cow<'_, str> {
    shown(frame.function().unwrap_or(frame.filename()))
}

/// The text, visible, without white space around it, and never empty.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    match text.trim() {
        "" => Cow::Borrowed(UNKNOWN),
        text => visible::escaped(text),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::snapshot::Module;

    /// Frames by name: `+` has code, `?` is unknown.
    #[track_caller]
    fn check(names: &str, expected: &[&str]) {
        let module = Arc::new(Module::new("app", None));
        let frames = names.split(' ').map(|name| match name {
            "?" => Frame::new(UNKNOWN, 0),
            _ if name.starts_with('+') => Frame::new(name, 1).with_code(module.clone(), 8),
            _ => Frame::new(name, 1),
        });
        let frames: Vec<Frame> = frames.collect();
        let frames: Vec<&Frame> = frames.iter().collect();
        let found: Vec<String> = calls(&frames)
            .map(|call| {
                call.iter()
                    .map(|frame| frame.filename())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn inlined_frames_belong_to_the_call_before_them() {
        check("a", &["a"]);
        check("+a +b", &["+a", "+b"]);
        check("+a b c +d e", &["+a b c", "+d e"]);
    }

    /// The oldest frames of a stack that was cut may be inlined into one that is gone.
    #[test]
    fn frames_that_follow_no_code_are_calls_of_their_own() {
        check("a b +c d", &["a", "b", "+c d"]);
        check("+a ? b", &["+a", UNKNOWN, "b"]);
    }

    #[test]
    fn a_name_is_never_empty() {
        assert_eq!(function(&Frame::new("a.rs", 1)), "a.rs");
        assert_eq!(function(&Frame::new("a.rs", 1).with_function("f")), "f");
        assert_eq!(function(&Frame::new("a.rs", 1).with_function("")), UNKNOWN);
        assert_eq!(function(&Frame::named("\x1bc")), "\\u{1b}c");
    }
}
