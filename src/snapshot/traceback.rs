//! The stack that frames make.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use super::frame::{Frame, UNKNOWN};
#[cfg(feature = "file")]
use super::shared::Calls;
use super::shared::Path;

/// A call stack: at least one frame, oldest first.
///
/// Tracebacks are equal, ordered and hashed by their frames alone, oldest first, as in CPython: a tag, a
/// thread, a type describe what the stack allocates and make no other stack.
/// Dereferences to `[Frame]`, so `traceback[0]`, `iter`, `len` and slices work. `{}` writes the oldest
/// frame, as CPython does; see [`Traceback::most_recent`] for the frame that made the allocation. `{:#}`
/// writes the whole stack, a line for each frame, with its function where it is known.
///
/// ```
/// use tracemalloc::{Frame, Traceback};
///
/// let frames = [Frame::new("main.rs", 3), Frame::new("parse.rs", 40)];
/// let traceback = Traceback::from_oldest_first(frames).unwrap();
/// assert_eq!(traceback.most_recent().to_string(), "parse.rs:40");
/// assert_eq!(traceback.to_string(), "main.rs:3");
/// assert_eq!(format!("{traceback:#}"), "main.rs:3\nparse.rs:40");
/// assert!(Traceback::from_oldest_first([]).is_none());
/// ```
#[derive(Clone)]
pub struct Traceback {
    frames: Frames,
    total_nframe: Option<u32>,
    truncated: bool,
    /// Its oldest frame's caller could not be found. Kept until the frames have names, which tell whether
    /// that frame is where a program or a thread begins.
    incomplete: bool,
    type_name: Option<Arc<str>>,
    tag: Option<Arc<str>>,
    thread_name: Option<Arc<str>>,
}

/// At least one frame.
#[derive(Clone)]
enum Frames {
    /// Oldest first.
    Listed(Arc<[Frame]>),
    /// Frames that other stacks share. They are listed only when a slice is requested.
    #[cfg_attr(
        not(feature = "file"),
        expect(dead_code, reason = "comes from files alone")
    )]
    Shared(Arc<Path>),
}

impl Traceback {
    /// A stack of `frames`, the outermost caller first; `None` if there are none.
    pub fn from_oldest_first(frames: impl IntoIterator<Item = Frame>) -> Option<Self> {
        let frames: Arc<[Frame]> = frames.into_iter().collect();
        if frames.is_empty() {
            None
        } else {
            Some(Self::with_frames(Frames::Listed(frames)))
        }
    }

    /// The stack of one frame.
    pub fn of(frame: Frame) -> Self {
        Self::with_frames(Frames::Listed(Arc::new([frame])))
    }

    /// The stack of the `len` most recent frames, at least one, up to the call `last`, which must
    /// have as many.
    #[cfg(feature = "file")]
    pub(crate) fn shared(calls: &Arc<Calls>, last: u32, len: u32) -> Self {
        let path = Path::new(Arc::clone(calls), last, len);
        Self::with_frames(Frames::Shared(Arc::new(path)))
    }

    fn with_frames(frames: Frames) -> Self {
        Self {
            frames,
            total_nframe: None,
            truncated: false,
            incomplete: false,
            type_name: None,
            tag: None,
            thread_name: None,
        }
    }

    /// The stack of a block whose callers could not be read: one frame, `<unknown>:0`.
    pub fn unknown() -> Self {
        Self::of(Frame::new(UNKNOWN, 0))
    }

    /// This stack with its true depth in frames, which is more than are kept if the stack was
    /// cut.
    #[must_use]
    pub fn with_total_nframe(mut self, total: u32) -> Self {
        self.total_nframe = Some(total);
        self
    }

    /// This stack, marked as cut off at its oldest frame although its true depth is not known.
    #[must_use]
    pub fn with_truncated(mut self) -> Self {
        self.truncated = true;
        self
    }

    /// This stack, marked as one whose oldest caller could not be found.
    pub(crate) fn with_incomplete(mut self) -> Self {
        self.incomplete = true;
        self
    }

    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// This stack as one that allocates values of the type `name`, a full path such as
    /// `alloc::vec::Vec<app::Row>`.
    #[must_use]
    pub fn with_type_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.type_name = Some(name.into());
        self
    }

    /// The type of what the stack allocates, where that is known.
    ///
    /// ```
    /// use tracemalloc::{Frame, Traceback};
    ///
    /// let stack = Traceback::of(Frame::new("src/main.rs", 3)).with_type_name("app::Row");
    /// assert_eq!(stack.type_name(), Some("app::Row"));
    /// ```
    pub fn type_name(&self) -> Option<&str> {
        self.type_name.as_deref()
    }

    /// This stack as one whose blocks have the tag called `name`.
    #[must_use]
    pub fn with_tag(mut self, name: impl Into<Arc<str>>) -> Self {
        self.tag = Some(name.into());
        self
    }

    /// The [tag](crate::Tag) of what the stack allocates, where its thread was in one.
    ///
    /// ```
    /// use tracemalloc::{Frame, Traceback};
    ///
    /// let stack = Traceback::of(Frame::new("src/main.rs", 3)).with_tag("images");
    /// assert_eq!(stack.tag(), Some("images"));
    /// ```
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// This stack as one of the thread called `name`.
    #[must_use]
    pub fn with_thread_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.thread_name = Some(name.into());
        self
    }

    /// The name of the thread, where the session [recorded](crate::Config::thread_names) it.
    ///
    /// ```
    /// use tracemalloc::{Frame, Traceback};
    ///
    /// let stack = Traceback::of(Frame::new("src/main.rs", 3)).with_thread_name("worker-1");
    /// assert_eq!(stack.thread_name(), Some("worker-1"));
    /// ```
    pub fn thread_name(&self) -> Option<&str> {
        self.thread_name.as_deref()
    }

    /// This stack with the tag and the thread of `other`.
    pub(crate) fn with_labels_of(mut self, other: &Self) -> Self {
        self.tag.clone_from(&other.tag);
        self.thread_name.clone_from(&other.thread_name);
        self
    }

    /// This stack with this type, or none.
    pub(crate) fn with_known_type(mut self, name: Option<Arc<str>>) -> Self {
        self.type_name = name;
        self
    }

    /// Hashes what [`identical`](Self::identical) compares beside the frames and is often different
    /// where they are not.
    pub(crate) fn hash_labels<H: Hasher>(&self, state: &mut H) {
        (&self.tag, &self.thread_name).hash(state);
    }

    /// Other frames, at least one, of a stack that is cut off if this one is.
    pub(crate) fn with_other_frames(&self, frames: Vec<Frame>, total_nframe: Option<u32>) -> Self {
        debug_assert!(!frames.is_empty());
        Self {
            frames: Frames::Listed(frames.into()),
            total_nframe,
            truncated: self.truncated,
            incomplete: self.incomplete,
            type_name: self.type_name.clone(),
            tag: self.tag.clone(),
            thread_name: self.thread_name.clone(),
        }
    }

    /// The frames, oldest first.
    pub fn frames(&self) -> &[Frame] {
        match &self.frames {
            Frames::Listed(frames) => frames,
            Frames::Shared(path) => path.listed(),
        }
    }

    /// Number of frames, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a traceback is never empty")]
    pub fn len(&self) -> usize {
        match &self.frames {
            Frames::Listed(frames) => frames.len(),
            Frames::Shared(path) => path.len(),
        }
    }

    /// The frames from the most recent one on. Analyses of all stacks go this way: it lists no
    /// stack, so stacks stay shared.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Frame> {
        let (listed, shared) = match &self.frames {
            Frames::Listed(frames) => (Some(frames.iter().rev()), None),
            Frames::Shared(path) => (None, Some(path.newest_first())),
        };
        let listed = listed.into_iter().flatten();
        listed.chain(shared.into_iter().flatten())
    }

    /// The frames from the most recent one on, without those of calls that `met` has: each call that
    /// stacks share is met once, so that many stacks take no longer than their calls.
    pub(crate) fn newest_unmet<'a>(
        &'a self,
        met: &mut HashMap<(usize, u32), u32>,
    ) -> impl Iterator<Item = &'a Frame> + use<'a> {
        let (listed, shared) = match &self.frames {
            Frames::Listed(frames) => (Some(frames.iter().rev()), None),
            Frames::Shared(path) => (None, Some(path.newest_unmet(met))),
        };
        let listed = listed.into_iter().flatten();
        listed.chain(shared.into_iter().flatten())
    }

    /// Puts the frames into `into`, oldest first, in the place of what is there.
    pub(crate) fn list_into<'a>(&'a self, into: &mut Vec<&'a Frame>) {
        into.clear();
        into.extend(self.newest_first());
        into.reverse();
    }

    /// The outermost caller that was kept.
    pub fn oldest(&self) -> &Frame {
        let oldest = match &self.frames {
            Frames::Listed(frames) => frames.first(),
            Frames::Shared(_) => self.newest_first().last(),
        };
        oldest.unwrap_or_else(|| unreachable!("a traceback has at least one frame"))
    }

    /// The frame that made the allocation.
    pub fn most_recent(&self) -> &Frame {
        let newest = self.newest_first().next();
        newest.unwrap_or_else(|| unreachable!("a traceback has at least one frame"))
    }

    /// The depth of the whole stack in frames, where it is known.
    pub fn total_nframe(&self) -> Option<u32> {
        self.total_nframe
    }

    /// True if older frames existed that are not here.
    pub fn is_truncated(&self) -> bool {
        self.truncated
            || self
                .total_nframe
                .is_some_and(|total| total as usize > self.len())
    }

    /// True if every observable part is equal, also the depth that `==` leaves out.
    pub(crate) fn identical(&self, other: &Self) -> bool {
        self.total_nframe == other.total_nframe
            && self.truncated == other.truncated
            && self.incomplete == other.incomplete
            && self.type_name == other.type_name
            && self.tag == other.tag
            && self.thread_name == other.thread_name
            && self == other
    }

    /// True if both are one and the same stack, not only equal ones.
    fn same(&self, other: &Self) -> bool {
        match (&self.frames, &other.frames) {
            (Frames::Listed(own), Frames::Listed(other)) => Arc::ptr_eq(own, other),
            (Frames::Shared(own), Frames::Shared(other)) => own.same(other),
            _ => false,
        }
    }

    pub(crate) fn was_cut(&self) -> bool {
        self.truncated
    }
}

impl Deref for Traceback {
    type Target = [Frame];

    fn deref(&self) -> &[Frame] {
        self.frames()
    }
}

impl<'a> IntoIterator for &'a Traceback {
    type Item = &'a Frame;
    type IntoIter = std::slice::Iter<'a, Frame>;

    fn into_iter(self) -> Self::IntoIter {
        self.frames().iter()
    }
}

impl PartialEq for Traceback {
    fn eq(&self, other: &Self) -> bool {
        self.same(other)
            || (self.len() == other.len() && self.newest_first().eq(other.newest_first()))
    }
}

impl Eq for Traceback {}

impl PartialOrd for Traceback {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Traceback {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.same(other) {
            return Ordering::Equal;
        }
        let (mut own, mut others) = (Vec::new(), Vec::new());
        self.list_into(&mut own);
        other.list_into(&mut others);
        own.cmp(&others)
    }
}

impl Hash for Traceback {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.newest_first().for_each(|frame| frame.hash(state));
    }
}

impl fmt::Display for Traceback {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !out.alternate() {
            return self.oldest().fmt(out);
        }
        for (index, frame) in self.iter().enumerate() {
            let between = if index == 0 { "" } else { "\n" };
            write!(out, "{between}{frame}")?;
            if let Some(function) = frame.function().filter(|_| !frame.is_named()) {
                write!(out, " {function}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Traceback {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = out.debug_tuple("Traceback");
        shown.field(&self.frames());
        if let Some(total) = self.total_nframe {
            shown.field(&format_args!("total_nframe={total}"));
        }
        if self.is_truncated() {
            shown.field(&format_args!("truncated"));
        }
        if let Some(tag) = &self.tag {
            shown.field(&format_args!("tag={tag:?}"));
        }
        if let Some(name) = &self.thread_name {
            shown.field(&format_args!("thread={name:?}"));
        }
        shown.finish()
    }
}
