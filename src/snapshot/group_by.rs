//! What blocks are grouped by, and what a group is called.

use std::fmt;
use std::str::FromStr;

use super::frame::{Frame, UNKNOWN};
use super::traceback::Traceback;
use crate::error::{Error, ErrorKind};

/// The group of blocks without a tag.
pub(crate) const UNTAGGED: &str = "<untagged>";

/// What blocks are grouped by.
///
/// A group is a frame, a whole stack, or a label of the stack: its type, tag or thread. Groups are distinguished by
/// what they show: domains and the depth of a cut stack never split one.
///
/// `Display` writes the short names `file`, `line`, `function`, `crate`, `type`, `traceback`, `tag` and
/// `thread`.
/// [`FromStr`] reads them, and CPython's `filename` and `lineno` too; anything else is
/// [`ErrorKind::UnknownKey`].
///
/// ```
/// use tracemalloc::GroupBy;
///
/// assert_eq!("lineno".parse::<GroupBy>()?, GroupBy::Line);
/// assert_eq!(GroupBy::Line.to_string(), "line");
/// assert!("LINE".parse::<GroupBy>().is_err());
/// # Ok::<(), tracemalloc::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GroupBy {
    /// The source file, shown as line 0 of it.
    File,
    /// The line of a source file.
    Line,
    /// The function; the file name where the function is not known.
    Function,
    /// The crate; `<unknown>` where it is not known.
    Crate,
    /// The type of what a block holds, as the standard library's functions were called with it:
    /// `Vec<User>`, `String`; `<unknown>` where [it is not known](crate::Traceback::type_name).
    Type,
    /// The whole stack.
    Traceback,
    /// The [tag](crate::Tag) that the thread was in; `<untagged>` if there was none.
    Tag,
    /// The name of the thread; `<unknown>` unless the session
    /// [recorded](crate::Config::thread_names) it.
    Thread,
}

impl GroupBy {
    /// True if a group is a label of the whole stack, and none of its frames.
    pub(crate) fn is_label(self) -> bool {
        matches!(self, Self::Type | Self::Tag | Self::Thread)
    }

    /// The name of the stack's group if groups are labels.
    pub(super) fn label_name(self, stack: &Traceback) -> Option<&str> {
        match self {
            Self::Type => Some(stack.type_name().unwrap_or(UNKNOWN)),
            Self::Tag => Some(stack.tag().unwrap_or(UNTAGGED)),
            Self::Thread => Some(stack.thread_name().unwrap_or(UNKNOWN)),
            Self::File | Self::Line | Self::Function | Self::Crate | Self::Traceback => None,
        }
    }

    /// The name that decides which group a block at `frame` is in; lines decide too for
    /// [`Self::Line`]. Labels have nothing to do with frames, which then are lines.
    pub(super) fn name(self, frame: &Frame) -> &str {
        match self {
            Self::Function => frame.function().unwrap_or(frame.filename()),
            Self::Crate => frame.crate_name().unwrap_or(UNKNOWN),
            Self::File | Self::Line | Self::Type | Self::Traceback | Self::Tag | Self::Thread => {
                frame.filename()
            }
        }
    }

    /// What distinguishes the group of `frame` from others.
    pub(super) fn key(self, frame: &Frame) -> (&str, u32) {
        match self {
            Self::Line | Self::Type | Self::Traceback | Self::Tag | Self::Thread => {
                (frame.filename(), frame.lineno())
            }
            Self::File | Self::Function | Self::Crate => (self.name(frame), 0),
        }
    }

    /// The frame that shows the group of `frame`.
    pub(super) fn label(self, frame: &Frame) -> Frame {
        match self {
            Self::Line | Self::Type | Self::Traceback | Self::Tag | Self::Thread => frame.clone(),
            Self::File if frame.is_named() => frame.clone(),
            Self::File => Frame::new(frame.filename_shared().clone(), 0),
            Self::Function => with_details(Frame::named(self.name(frame)), frame),
            Self::Crate => Frame::named(self.name(frame)),
        }
    }
}

/// `label` with what is true of all blocks of the function that `frame` is in.
fn with_details(mut label: Frame, frame: &Frame) -> Frame {
    if let Some(function) = frame.function() {
        label = label.with_function(function);
    }
    if let Some(name) = frame.crate_name() {
        label = label.with_crate(name);
    }
    label
}

impl fmt::Display for GroupBy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::File => "file",
            Self::Line => "line",
            Self::Function => "function",
            Self::Crate => "crate",
            Self::Type => "type",
            Self::Traceback => "traceback",
            Self::Tag => "tag",
            Self::Thread => "thread",
        })
    }
}

impl FromStr for GroupBy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "file" | "filename" => Ok(Self::File),
            "line" | "lineno" => Ok(Self::Line),
            "function" => Ok(Self::Function),
            "crate" => Ok(Self::Crate),
            "type" => Ok(Self::Type),
            "traceback" => Ok(Self::Traceback),
            "tag" => Ok(Self::Tag),
            "thread" => Ok(Self::Thread),
            _ => Err(Error::new(
                ErrorKind::UnknownKey,
                format!(
                    "cannot group by {text:?}: expected file (or filename), line (or lineno), \
                     function, crate, type, traceback, tag or thread"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(group_by: GroupBy, frame: &Frame, shown: &str) {
        let label = group_by.label(frame);
        assert_eq!(label.to_string(), shown);
        assert_eq!((label.filename(), label.lineno()), group_by.key(frame));
    }

    #[test]
    fn groups_are_called_by_what_is_known() {
        let bare = Frame::new("src/a.rs", 7);
        let full = bare.clone().with_function("app::run").with_crate("app");
        let named = Frame::named("libc.so!malloc");
        for (frame, file, line, function, crate_name) in [
            (&bare, "src/a.rs:0", "src/a.rs:7", "src/a.rs", "<unknown>"),
            (&full, "src/a.rs:0", "src/a.rs:7", "app::run", "app"),
            (
                &named,
                "libc.so!malloc",
                "libc.so!malloc",
                "libc.so!malloc",
                "<unknown>",
            ),
        ] {
            check(GroupBy::File, frame, file);
            check(GroupBy::Line, frame, line);
            check(GroupBy::Function, frame, function);
            check(GroupBy::Crate, frame, crate_name);
        }
    }

    #[test]
    fn groups_keep_what_else_is_known() {
        let frame = Frame::new("src/a.rs", 7)
            .with_function("app::run")
            .with_crate("app");
        let function = GroupBy::Function.label(&frame);
        assert_eq!(function.crate_name(), Some("app"));
        assert_eq!(function.function(), Some("app::run"));
        assert_eq!(GroupBy::Line.label(&frame).function(), Some("app::run"));
    }

    #[test]
    fn every_name_is_read_back() {
        use GroupBy::{Crate, File, Function, Line, Tag, Thread, Traceback, Type};
        for group_by in [File, Line, Function, Crate, Type, Traceback, Tag, Thread] {
            assert_eq!(group_by.to_string().parse::<GroupBy>().ok(), Some(group_by));
        }
    }

    #[test]
    fn an_unknown_name_is_told_with_the_known_ones() {
        let error = "LINENO".parse::<GroupBy>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownKey);
        assert_eq!(
            error.to_string(),
            "cannot group by \"LINENO\": expected file (or filename), line (or lineno), \
             function, crate, type, traceback, tag or thread"
        );
    }
}
