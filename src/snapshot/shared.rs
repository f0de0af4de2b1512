//! Stacks that share their callers, as a file holds them: a tree of calls.
//!
//! ```text
//! main ── serve ── parse      Each stack is a path from a root to one node, so two stacks share
//!              └── reply      what they have in common, and a stack costs the same however deep.
//! ```

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::frame::Frame;

/// The calls: a frame and the call of its caller. Callers come before what they call.
#[derive(Debug)]
pub(crate) struct Calls {
    frames: Vec<Frame>,
    calls: Vec<Call>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// An index among the calls, less than the call's own; `None` for an outermost frame.
    pub(crate) caller: Option<u32>,
    /// An index among the frames.
    pub(crate) frame: u32,
}

impl Calls {
    /// `None` if a call has a frame that is not there, or a caller that does not come before it.
    #[cfg_attr(
        not(feature = "file"),
        expect(dead_code, reason = "comes from files alone")
    )]
    pub(crate) fn new(frames: Vec<Frame>, calls: Vec<Call>) -> Option<Self> {
        let fits = |(index, call): (usize, &Call)| {
            (call.frame as usize) < frames.len()
                && call.caller.is_none_or(|caller| (caller as usize) < index)
        };
        let all_fit = calls.iter().enumerate().all(fits);
        all_fit.then_some(Self { frames, calls })
    }
}

/// The most recent frames of the stack that ends in one call.
pub(super) struct Path {
    calls: Arc<Calls>,
    last: u32,
    len: u32,
    /// Behind a trait, so that a map with stacks for keys is not taken for one whose keys change:
    /// listing changes neither equality nor hash.
    listed: Box<dyn List>,
}

/// The frames of a path, oldest first, after the first request for a slice of them.
trait List: Send + Sync {
    fn get_or_make(&self, make: &dyn Fn() -> Box<[Frame]>) -> &[Frame];
}

impl List for OnceLock<Box<[Frame]>> {
    fn get_or_make(&self, make: &dyn Fn() -> Box<[Frame]>) -> &[Frame] {
        self.get_or_init(make)
    }
}

impl Path {
    /// The `len` frames up to the call `last`, which must have as many; at least one.
    #[cfg_attr(
        not(feature = "file"),
        expect(dead_code, reason = "comes from files alone")
    )]
    pub(super) fn new(calls: Arc<Calls>, last: u32, len: u32) -> Self {
        debug_assert!(len > 0);
        Self {
            calls,
            last,
            len,
            listed: Box::new(OnceLock::new()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Frame> + Clone {
        let calls = &self.calls.calls;
        let callers = std::iter::successors(calls.get(self.last as usize), |call| {
            calls.get(call.caller? as usize)
        });
        let frames = callers.filter_map(|call| self.calls.frames.get(call.frame as usize));
        frames.take(self.len as usize)
    }

    /// The frames from the most recent one to the first call that `met` has with as many frames from
    /// there on as are left here; adds those before it.
    pub(super) fn newest_unmet<'a>(
        &'a self,
        met: &mut HashMap<(usize, u32), u32>,
    ) -> impl Iterator<Item = &'a Frame> + use<'a> {
        let tree = Arc::as_ptr(&self.calls).addr();
        let calls = &self.calls.calls;
        let caller = |call: &u32| calls.get(*call as usize)?.caller;
        let path = std::iter::successors(Some(self.last), caller);
        let unmet = path
            .zip((1..=self.len).rev())
            .take_while(|(call, left)| {
                let known = met.entry((tree, *call)).or_insert(0);
                std::mem::replace(known, (*known).max(*left)) < *left
            })
            .count();
        self.newest_first().take(unmet)
    }

    pub(super) fn listed(&self) -> &[Frame] {
        self.listed.get_or_make(&|| {
            let mut frames: Vec<Frame> = self.newest_first().cloned().collect();
            frames.reverse();
            frames.into()
        })
    }

    /// True if both are the same frames of the same calls.
    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.calls, &other.calls) && (self.last, self.len) == (other.last, other.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// a calls b, which calls c; c is the last call of three paths.
    #[test]
    fn shared_calls_are_met_once() {
        let frames = ["a", "b", "c"].map(|name| Frame::new(name, 1)).to_vec();
        let calls = (0..3_u32).map(|frame| Call {
            caller: frame.checked_sub(1),
            frame,
        });
        let calls = Arc::new(Calls::new(frames, calls.collect()).expect("callers come first"));
        let mut met = HashMap::new();
        let mut unmet = |last, len| -> String {
            let path = Path::new(Arc::clone(&calls), last, len);
            path.newest_unmet(&mut met).map(Frame::filename).collect()
        };
        assert_eq!(unmet(2, 1), "c");
        // The first path had fewer frames than this one.
        assert_eq!(unmet(2, 3), "cba");
        assert_eq!(unmet(2, 3), "");
        assert_eq!(unmet(1, 2), "");
    }
}
