//! Which frames of a stack to look at.
//!
//! A [`FrameFilter`] chooses frames; a [`Filter`](super::Filter) chooses blocks, by what it asks of
//! their frames.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::frame::Frame;
use super::glob::Glob;
use super::group_by::GroupBy;

/// A rule that hits some frames and not others.
///
/// [`Snapshot::hide_frames`](crate::Snapshot::hide_frames) and
/// [`show_frames`](crate::Snapshot::show_frames) choose frames with it.
/// [`Filter::include`](crate::Filter::include) and [`exclude`](crate::Filter::exclude) choose blocks
/// by their frames. A text converts into [`FrameFilter::file`].
///
/// Patterns are those of CPython: `*` matches any run of characters, `/` included; `?` matches any one
/// character; `[a-z]` matches one of a set, `[!a-z]` one outside it; `[*]` matches a star. A pattern
/// must match the whole name, and case matters. On Windows case does not matter in file names, and `/`
/// equals `\`.
///
/// ```
/// use tracemalloc::{Domain, Frame, FrameFilter, GroupBy, Snapshot, Trace, Traceback};
///
/// let frames = [
///     Frame::new("src/main.rs", 12).with_crate("app"),
///     Frame::new("serde_json/src/de.rs", 40).with_crate("serde_json"),
/// ];
/// let stack = Traceback::from_oldest_first(frames).unwrap();
/// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, stack)], 25);
/// let own = snapshot.hide_frames([FrameFilter::crate_name("serde*")]);
/// let top = &own.statistics(GroupBy::Line)[0];
/// assert_eq!(top.to_string(), "src/main.rs:12: size=640 B, count=1, average=640 B");
/// ```
#[derive(Clone)]
pub struct FrameFilter(Rule);

#[derive(Clone)]
enum Rule {
    Pattern {
        names: Names,
        text: String,
        glob: Glob,
    },
    Custom(Arc<dyn Fn(&Frame) -> bool + Send + Sync>),
}

/// Which names of a frame a pattern is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// The name of the frame's group.
    Of(GroupBy),
    Any,
}

impl FrameFilter {
    /// Hits frames whose file matches `pattern` by its [short name](Frame::filename) or by its path
    /// [as the compiler wrote it](Frame::written_path).
    ///
    /// So `file!()` hits the frames of the file that it stands in, wherever that lies: in a lone
    /// package or a member of a workspace, a library, a test, an example or a bench.
    ///
    /// ```
    /// use tracemalloc::{Frame, FrameFilter};
    ///
    /// let frame = Frame::new("src/main.rs", 12).with_path("svc/src/main.rs");
    /// assert!(FrameFilter::file("src/*.rs").hits(&frame));
    /// assert!(FrameFilter::file("svc/src/main.rs").hits(&frame));
    /// assert!(!FrameFilter::file("main.rs").hits(&frame));
    /// ```
    pub fn file(pattern: &str) -> Self {
        Self::of(Names::Of(GroupBy::File), pattern)
    }

    /// Hits frames whose function, a full path, matches `pattern`. The file name stands for a
    /// function that is not known, as in [`GroupBy::Function`].
    pub fn function(pattern: &str) -> Self {
        Self::of(Names::Of(GroupBy::Function), pattern)
    }

    /// Hits frames whose crate matches `pattern`. The name of a crate that is not known is
    /// `<unknown>`, as in [`GroupBy::Crate`].
    pub fn crate_name(pattern: &str) -> Self {
        Self::of(Names::Of(GroupBy::Crate), pattern)
    }

    /// Hits frames whose file name, written path, function or crate matches `pattern`.
    pub fn any_name(pattern: &str) -> Self {
        Self::of(Names::Any, pattern)
    }

    /// Hits the frames that `hits` is true of. The answer must depend on the frame alone: it is
    /// asked once for each distinct frame.
    ///
    /// ```
    /// use tracemalloc::{Domain, Frame, FrameFilter, Snapshot, Trace, Traceback};
    ///
    /// let frames = [Frame::new("src/main.rs", 12), Frame::named("libc.so!malloc")];
    /// let stack = Traceback::from_oldest_first(frames).unwrap();
    /// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, stack)], 25);
    /// let lines = snapshot.show_frames([FrameFilter::custom(|frame| !frame.is_named())]);
    /// assert_eq!(lines.traces().unwrap().get(0).unwrap().traceback.len(), 1);
    /// ```
    pub fn custom(hits: impl Fn(&Frame) -> bool + Send + Sync + 'static) -> Self {
        Self(Rule::Custom(Arc::new(hits)))
    }

    fn of(names: Names, pattern: &str) -> Self {
        let text = match names {
            Names::Of(GroupBy::File) => comparable(pattern).into_owned(),
            Names::Of(_) | Names::Any => pattern.to_owned(),
        };
        let glob = Glob::new(&text);
        Self(Rule::Pattern { names, text, glob })
    }

    /// The pattern as it is compared, which on Windows is in lower case with `\` for `/` where it
    /// is a file name's. `None` for a [custom](Self::custom) rule.
    pub fn pattern(&self) -> Option<&str> {
        match &self.0 {
            Rule::Pattern { text, .. } => Some(text),
            Rule::Custom(_) => None,
        }
    }

    /// True if the rule hits `frame`.
    ///
    /// ```
    /// use tracemalloc::{Frame, FrameFilter};
    ///
    /// assert!(FrameFilter::file("src/*.rs").hits(&Frame::new("src/main.rs", 12)));
    /// ```
    pub fn hits(&self, frame: &Frame) -> bool {
        match &self.0 {
            Rule::Custom(hits) => hits(frame),
            Rule::Pattern {
                names: Names::Of(GroupBy::File),
                glob,
                ..
            } => {
                let names = [Some(frame.filename()), frame.written_path()];
                let mut names = names.into_iter().flatten();
                names.any(|name| glob.matches(&comparable(name)))
            }
            Rule::Pattern {
                names: Names::Of(group),
                glob,
                ..
            } => glob.matches(group.name(frame)),
            Rule::Pattern { glob, .. } => {
                let names = [
                    Some(frame.filename()),
                    frame.written_path(),
                    frame.function(),
                    frame.crate_name(),
                ];
                names.into_iter().flatten().any(|name| glob.matches(name))
            }
        }
    }
}

impl From<&str> for FrameFilter {
    fn from(pattern: &str) -> Self {
        Self::file(pattern)
    }
}

impl From<&String> for FrameFilter {
    fn from(pattern: &String) -> Self {
        Self::file(pattern)
    }
}

impl From<&FrameFilter> for FrameFilter {
    fn from(filter: &FrameFilter) -> Self {
        filter.clone()
    }
}

impl fmt::Debug for FrameFilter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Pattern {
                names: Names::Of(group),
                text,
                ..
            } => write!(out, "{group}: {text:?}"),
            Rule::Pattern { text, .. } => write!(out, "any name: {text:?}"),
            Rule::Custom(_) => out.write_str("custom"),
        }
    }
}

/// A file name in the spelling that file names are compared in.
///
/// CPython also takes a final `.pyc` for `.py`; no name here has such a twin.
fn comparable(name: &str) -> Cow<'_, str> {
    if cfg!(windows) {
        name.to_lowercase().replace('/', "\\").into()
    } else {
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_frame_can_be_asked_for() {
        let frame = Frame::new("src/a.rs", 1)
            .with_function("app::run")
            .with_crate("app");
        for (filter, hits) in [
            (FrameFilter::file("src/*"), true),
            (FrameFilter::file("app"), false),
            (FrameFilter::function("app::*"), true),
            (FrameFilter::function("src/*"), false),
            (FrameFilter::crate_name("app"), true),
            (FrameFilter::any_name("src/*"), true),
            (FrameFilter::any_name("app::run"), true),
            (FrameFilter::any_name("app"), true),
            (FrameFilter::any_name("ap"), false),
        ] {
            assert_eq!(filter.hits(&frame), hits, "{filter:?}");
        }
    }
}
