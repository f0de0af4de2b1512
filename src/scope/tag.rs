//! Tags: labels for what a thread allocates.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use crate::engine::{MAX_NAME, OpenTag, TRACKER, TagId, close_tag, current_tag, open_tag};

/// A label for blocks: the name of a cache, a task, a kind of request.
///
/// A thread enters a tag by [`tag`], [`enter`](Self::enter) or [`InTag::tagged`](super::InTag::tagged). While it
/// is in the tag, every block that it allocates has the tag, and so has every region that it
/// [tracks](crate::track). The block keeps the tag for its life. `realloc` gives it the tag of the calling
/// thread, as it gives it the stack of that call. Tags nest; the innermost one counts.
/// [`GroupBy::Tag`](crate::GroupBy::Tag) groups by tag, and [`Filter::include_tag`](crate::Filter::include_tag)
/// selects one.
///
/// A tag is a small number: it can be copied, sent to other threads and stored in statics. Its name
/// is kept for the life of the process, in the tracer's memory and under its
/// [limit](crate::Config::memory_limit). So a name that differs with every request is not a good one. There may
/// be any number of names. If one finds no room, its blocks have no tag, and
/// [`Losses::labels`](crate::Losses::labels) counts them.
///
/// Until a program makes its first tag, tags cost nothing. Afterwards a traced allocation reads a thread-local
/// variable. While tracing is off, tags cost nothing.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
/// use tracemalloc::{GroupBy, Tag};
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// let images = Tag::new("images");
/// tracemalloc::start(10)?;
/// let loader = std::thread::spawn(move || {
///     let _images = images.enter();
///     vec![0_u8; 1000]
/// });
/// let image = loader.join().expect("the loader ends");
/// let tags = tracemalloc::take_snapshot()?.statistics(GroupBy::Tag);
/// assert!(tags.iter().any(|stat| stat.to_string() == "images: size=1000 B, count=1, average=1000 B"));
/// # drop(image);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Default)]
pub struct Tag(TagId);

impl Tag {
    /// No tag. While a thread is in it, its blocks have no tag.
    pub const NONE: Self = Self(TagId::NONE);

    /// The tag called `name`, cut to 255 bytes. The empty name is [`Tag::NONE`].
    ///
    /// Every call with one name gives the same tag. It works before tracing starts and without the wrapper,
    /// and allocates nothing from the program's allocator.
    pub fn new(name: &str) -> Self {
        let end = (0..=name.len().min(MAX_NAME)).rev();
        let end = end.into_iter().find(|end| name.is_char_boundary(*end));
        match name.as_bytes().get(..end.unwrap_or(0)) {
            None | Some([]) => Self::NONE,
            Some(name) => Self(TRACKER.tag(name)),
        }
    }

    /// The tag that the running thread is in, to be carried to another one; [`Tag::NONE`] if there is none.
    ///
    /// ```
    /// use tracemalloc::Tag;
    ///
    /// let _outer = tracemalloc::tag("upload");
    /// let tag = Tag::current();
    /// std::thread::spawn(move || {
    ///     let _upload = tag.enter();
    ///     assert_eq!(Tag::current().name().as_deref(), Some("upload"));
    /// });
    /// ```
    pub fn current() -> Self {
        Self(current_tag())
    }

    /// Puts the running thread into this tag until the guard is dropped.
    pub fn enter(self) -> TagGuard {
        TagGuard {
            open: open_tag(self.0),
            thread: PhantomData,
        }
    }

    /// The name. `None` of [`Tag::NONE`], and where the tracer had no room for it.
    pub fn name(self) -> Option<String> {
        let mut buffer = [0; MAX_NAME];
        let name = TRACKER.read_name(self.0.name()?, &mut buffer)?;
        Some(String::from_utf8_lossy(name).into_owned())
    }
}

impl<S: AsRef<str> + ?Sized> From<&S> for Tag {
    fn from(name: &S) -> Self {
        Self::new(name.as_ref())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name().map_or(Cow::Borrowed("none"), Cow::Owned);
        out.debug_tuple("Tag").field(&name).finish()
    }
}

/// Keeps the running thread in a [`Tag`] until it is dropped.
///
/// # Misuse
/// - Guards may be dropped in any order: the innermost one that is left counts. Beyond 16 guards at one
///   time a thread goes back to the tag that a guard has replaced, so those have to be dropped in the reverse
///   order.
/// - A panic drops guards as it unwinds. One that is leaked keeps its tag until its thread ends, below
///   later ones.
/// - A guard cannot go to another thread; a [`Tag`] can. A future that holds one over an `await` is
///   therefore not `Send`, and [`InTag::tagged`](super::InTag::tagged) is for futures.
/// - After a `fork` the child's thread is in the tags that its parent's was in.
/// - What a signal handler allocates has the tag of the thread that it interrupts. It must not enter tags.
///
/// ```compile_fail
/// let guard = tracemalloc::tag("images");
/// std::thread::spawn(move || drop(guard));
/// ```
#[must_use = "the thread leaves the tag when this is dropped"]
#[derive(Debug)]
pub struct TagGuard {
    open: OpenTag,
    /// Bound to the thread that is in the tag.
    thread: PhantomData<*mut ()>,
}

impl Drop for TagGuard {
    fn drop(&mut self) {
        close_tag(self.open);
    }
}

/// Puts the running thread into a tag until the guard is dropped: `tag` is a [`Tag`] or its name.
///
/// A name is looked up by every call. Where that counts, make a [`Tag`] once.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
/// use tracemalloc::Filter;
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(10)?;
/// let image = {
///     let _images = tracemalloc::tag("images");
///     vec![0_u8; 1000]
/// };
/// let other = vec![0_u8; 500];
/// let images = tracemalloc::take_snapshot()?.filter_traces([Filter::include_tag("images")]);
/// assert_eq!(images.total_size(), 1000);
/// # drop((image, other));
/// # Ok(())
/// # }
/// ```
pub fn tag(tag: impl Into<Tag>) -> TagGuard {
    tag.into().enter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current() -> Option<String> {
        Tag::current().name()
    }

    #[test]
    fn a_tag_has_its_name_and_one_too_long_its_beginning() {
        for name in ["images", "Bilder für alle"] {
            assert_eq!(Tag::new(name).name().as_deref(), Some(name));
        }
        let long = "ü".repeat(200);
        assert_eq!(Tag::new(&long).name(), Some("ü".repeat(127)));
        assert_eq!([Tag::NONE, Tag::new("")].map(Tag::name), [None, None]);
        assert_eq!(
            format!("{:?} {:?}", Tag::new("a"), Tag::NONE),
            "Tag(\"a\") Tag(\"none\")"
        );
    }

    #[test]
    fn tags_nest_and_none_hides_those_outside() {
        let outer = tag("outer");
        let inner = tag("inner");
        assert_eq!(current().as_deref(), Some("inner"));
        let none = Tag::NONE.enter();
        assert_eq!(current(), None);
        drop(none);
        drop(inner);
        assert_eq!(current().as_deref(), Some("outer"));
        drop(outer);
        assert_eq!(current(), None);
    }

    #[test]
    fn a_panic_leaves_the_tags_that_it_unwinds_through() {
        let _outer = tag("outer");
        let caught = std::panic::catch_unwind(|| {
            let _first = tag("first");
            let _second = tag("second");
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(caught.is_err());
        assert_eq!(current().as_deref(), Some("outer"));
    }

    #[test]
    fn a_leaked_guard_ends_with_its_thread() {
        let thread = std::thread::spawn(|| {
            std::mem::forget(tag("leaked"));
            drop(tag("later"));
            current()
        });
        assert_eq!(thread.join().expect("ends").as_deref(), Some("leaked"));
        assert_eq!(std::thread::spawn(current).join().expect("ends"), None);
    }
}
