//! What a place in a program is called.

use tracemalloc::Frame;

/// File and line; the line is left out where it is not known, or not what groups are.
pub(crate) fn name(frame: &Frame) -> String {
    match frame.lineno() {
        0 => frame.filename().to_owned(),
        _ => frame.to_string(),
    }
}

/// The function, unless the name says as much.
pub(crate) fn function(frame: &Frame) -> Option<&str> {
    let function = frame.function();
    function.filter(|function| *function != frame.filename())
}
