//! The tag that a thread is in, which labels what it allocates.
//!
//! ```text
//! tags:  [ "GET /items" | closed | "images" ]      the innermost open one counts
//! ```
//!
//! A tag is closed at its own place, so tags may be closed in any order. Where the list is full, a tag
//! remembers what it has replaced, and such tags have to be closed in the reverse order.

use std::cell::Cell;

use crate::engine::stacks::NameId;

/// Tags that may be closed in any order. Nesting is rarely deeper than two or three.
const PLACES: usize = 16;

/// A tag, or a thread's name, as a thread holds it. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TagId(u32);

impl TagId {
    pub(crate) const NONE: Self = Self(0);
    /// A tag whose name was refused. Numbers of names are greater.
    pub(crate) const REFUSED: Self = Self(1);
    /// The place of a tag that was closed before those after it.
    const CLOSED: Self = Self(2);

    pub(crate) fn of(name: Option<NameId>) -> Self {
        name.map_or(Self::REFUSED, |name| Self(name.bits()))
    }

    /// `None` if there is none, or if it was refused.
    pub(crate) fn name(self) -> Option<NameId> {
        (self.0 > Self::CLOSED.0).then(|| NameId::from_bits(self.0))
    }
}

/// A tag that is open on this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OpenTag {
    At(usize),
    /// The list was full.
    InPlaceOf(TagId),
}

struct Local {
    tags: [Cell<TagId>; PLACES],
    /// Places in use.
    used: Cell<usize>,
    /// What counts.
    tag: Cell<TagId>,
    /// The scope that owns what this thread allocates.
    owner: Cell<TagId>,
}

thread_local! {
    // Const-initialised and without a destructor, as all that an event asks for.
    static LOCAL: Local = const {
        Local {
            tags: [const { Cell::new(TagId::NONE) }; PLACES],
            used: Cell::new(0),
            tag: Cell::new(TagId::NONE),
            owner: Cell::new(TagId::NONE),
        }
    };
}

/// Calls `task` with this thread's tags. `None` if those are gone.
#[cfg_attr(not(debug_assertions), inline(always))]
fn local<R>(task: impl FnOnce(&Local) -> R) -> Option<R> {
    #[cfg(windows)]
    let _errno = crate::engine::memory::errno::KeepErrno::new();
    LOCAL.try_with(task).ok()
}

/// The tag that this thread is in.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn tag() -> TagId {
    local(|local| local.tag.get()).unwrap_or_default()
}

/// The scope that owns what this thread allocates.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(crate) fn owner() -> TagId {
    local(|local| local.owner.get()).unwrap_or_default()
}

/// Says which scope owns what this thread allocates from now on.
pub(crate) fn set_owner(owner: TagId) {
    local(|local| local.owner.set(owner));
}

/// Puts this thread into `tag`. The caller calls [`close`] on the same thread.
pub(crate) fn open(tag: TagId) -> OpenTag {
    let opened = local(|local| {
        let before = local.tag.replace(tag);
        let place = local.used.get();
        match local.tags.get(place) {
            Some(free) => {
                free.set(tag);
                local.used.set(place + 1);
                OpenTag::At(place)
            }
            None => OpenTag::InPlaceOf(before),
        }
    });
    opened.unwrap_or(OpenTag::InPlaceOf(TagId::NONE))
}

/// Takes this thread out of a tag: into the innermost one that is still open.
pub(crate) fn close(tag: OpenTag) {
    local(|local| match tag {
        OpenTag::At(place) => {
            if let Some(tag) = local.tags.get(place) {
                tag.set(TagId::CLOSED);
            }
            let at = |place: usize| local.tags.get(place).map(Cell::get);
            let mut used = local.used.get();
            while used > 0 && at(used - 1) == Some(TagId::CLOSED) {
                used -= 1;
            }
            local.used.set(used);
            let innermost = used.checked_sub(1).and_then(at);
            local.tag.set(innermost.unwrap_or_default());
        }
        // The list has room again if a tag in it was closed first: then what was replaced may be closed too.
        OpenTag::InPlaceOf(before) if local.used.get() == PLACES => local.tag.set(before),
        OpenTag::InPlaceOf(_) => {
            let innermost = local.used.get().checked_sub(1);
            let innermost = innermost.and_then(|at| local.tags.get(at)).map(Cell::get);
            local.tag.set(innermost.unwrap_or_default());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_open_tag_counts_in_whichever_order_they_are_closed() {
        let [a, b, c] = [10, 11, 12].map(TagId);
        let (first, second, third) = (open(a), open(b), open(c));
        assert_eq!(tag(), c);
        close(second);
        assert_eq!(tag(), c);
        close(third);
        assert_eq!(tag(), a);
        let (second, third) = (open(b), open(c));
        close(first);
        close(third);
        assert_eq!(tag(), b);
        close(second);
        assert_eq!(tag(), TagId::NONE);
    }

    #[test]
    fn deep_tags_are_closed_in_the_reverse_order() {
        let all: Vec<OpenTag> = (10..100).map(|number| open(TagId(number))).collect();
        for (number, tag_at) in (10..100).zip(all).rev() {
            assert_eq!(tag(), TagId(number));
            close(tag_at);
        }
        assert_eq!(tag(), TagId::NONE);
    }

    #[test]
    fn a_deep_tag_that_is_closed_late_does_not_bring_back_a_closed_one() {
        let mut all: Vec<OpenTag> = (10..)
            .take(PLACES + 1)
            .map(|number| open(TagId(number)))
            .collect();
        let deepest = all.pop().expect("more than there are places");
        all.into_iter().for_each(close);
        close(deepest);
        assert_eq!(tag(), TagId::NONE);
    }

    #[test]
    fn a_tag_that_is_never_closed_stays_below_later_ones() {
        let _leaked = open(TagId(10));
        let later = open(TagId(11));
        close(later);
        assert_eq!(tag(), TagId(10));
    }

    #[test]
    fn every_thread_has_tags_of_its_own() {
        let own = open(TagId(10));
        let other = std::thread::spawn(tag).join().expect("ends");
        assert_eq!((tag(), other), (TagId(10), TagId::NONE));
        close(own);
    }
}
