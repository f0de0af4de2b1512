//! Stacks without some of their frames.

use std::collections::HashMap;
use std::sync::Arc;

use super::frame::{Frame, Module, UNKNOWN};
use super::frame_filter::FrameFilter;
use super::history::HistoryRow;
use super::identity::IdentityMap;
use super::own_code::{NO_OWN_CODE, is_own_code};
use super::runs::{Runs, StackTable};
use super::trace::Snapshot;
use super::traceback::Traceback;

/// What stands for the frames of a stack that are all hidden.
const HIDDEN: &str = "<hidden>";

impl Snapshot {
    /// A snapshot of the same blocks whose stacks lack the frames that any of `filters` hits, so
    /// that statistics blame the nearest frame that is left.
    ///
    /// No block goes and no total changes: a stack of hidden frames alone becomes the one frame
    /// `<hidden>`. The depth of a cut stack is reduced by the frames that were hidden.
    ///
    /// ```
    /// use tracemalloc::{Domain, Frame, GroupBy, Snapshot, Trace, Traceback};
    ///
    /// let frames = [Frame::new("src/main.rs", 12), Frame::new("<std>/vec.rs", 90)];
    /// let stack = Traceback::from_oldest_first(frames).unwrap();
    /// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, stack)], 25);
    /// let blamed = |snapshot: &Snapshot| snapshot.statistics(GroupBy::Line)[0].traceback.to_string();
    /// assert_eq!(blamed(&snapshot), "<std>/vec.rs:90");
    /// assert_eq!(blamed(&snapshot.hide_frames(["<std>/*"])), "src/main.rs:12");
    /// assert_eq!(blamed(&snapshot.hide_frames(["*"])), "<hidden>");
    /// ```
    #[must_use = "the snapshot itself is not changed"]
    pub fn hide_frames<I>(&self, filters: I) -> Snapshot
    where
        I: IntoIterator,
        I::Item: Into<FrameFilter>,
    {
        let filters: Vec<FrameFilter> = filters.into_iter().map(Into::into).collect();
        self.with_frames(HIDDEN, |frame| {
            !filters.iter().any(|filter| filter.hits(frame))
        })
    }

    /// A snapshot of the same blocks whose stacks have only the frames that any of `filters` hits;
    /// all frames if there are no filters. Otherwise as [`hide_frames`](Self::hide_frames).
    ///
    /// ```
    /// use tracemalloc::{Domain, Frame, GroupBy, Snapshot, Trace, Traceback};
    ///
    /// let frames = [Frame::new("src/main.rs", 12), Frame::new("<std>/vec.rs", 90)];
    /// let stack = Traceback::from_oldest_first(frames).unwrap();
    /// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, stack)], 25);
    /// let own = snapshot.show_frames(["src/*"]);
    /// assert_eq!(own.statistics(GroupBy::Line)[0].traceback.to_string(), "src/main.rs:12");
    /// ```
    #[must_use = "the snapshot itself is not changed"]
    pub fn show_frames<I>(&self, filters: I) -> Snapshot
    where
        I: IntoIterator,
        I::Item: Into<FrameFilter>,
    {
        let filters: Vec<FrameFilter> = filters.into_iter().map(Into::into).collect();
        self.with_frames(HIDDEN, |frame| {
            filters.is_empty() || filters.iter().any(|filter| filter.hits(frame))
        })
    }

    /// A snapshot of the same blocks whose stacks have only the frames of the program's own packages, so
    /// that statistics blame the nearest line that its authors wrote. Otherwise as
    /// [`show_frames`](Self::show_frames).
    ///
    /// Own are packages whose sources are not a registry's, a git checkout's or the standard library's
    /// (see [`Frame::origin`]): a dependency with a path is own code. Copied sources, as by `cargo vendor`, are
    /// a dependency's if their directory has a version, as in `log-0.4.29`, or lies in one called `vendor`
    /// and they are no member of the workspace. The program's own package is own code wherever it lies, and
    /// this library never is. Where that is not what you want, [`show_frames`](Self::show_frames) takes any
    /// rule. A stack without any becomes the one frame `<no own code>`, as all do in a snapshot that does
    /// not know whose frames are, such as one from a file of version 1.
    ///
    /// ```
    /// use tracemalloc::{Domain, Frame, FrameOrigin, GroupBy, Snapshot, Trace, Traceback};
    ///
    /// let frames = [
    ///     Frame::new("src/main.rs", 12).with_origin(FrameOrigin::Own),
    ///     Frame::new("hyper-1.6.0/src/server.rs", 90).with_origin(FrameOrigin::Dependency),
    /// ];
    /// let stack = Traceback::from_oldest_first(frames).unwrap();
    /// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, stack)], 25);
    /// let own = snapshot.own_code();
    /// assert_eq!(own.statistics(GroupBy::Line)[0].traceback.to_string(), "src/main.rs:12");
    /// ```
    #[must_use = "the snapshot itself is not changed"]
    pub fn own_code(&self) -> Snapshot {
        self.with_frames(NO_OWN_CODE, is_own_code)
    }

    /// `hidden`: what stands for the frames of a stack that `keeps` is true of none of.
    fn with_frames(&self, hidden: &str, keeps: impl Fn(&Frame) -> bool) -> Snapshot {
        let mut hiding = Hiding {
            keeps,
            known: IdentityMap::default(),
            carriers: HashMap::new(),
            hidden: Frame::named(hidden).with_crate(hidden),
        };
        let mut table = StackTable::default();
        let stacks = self.stacks().iter().map(|stack| hiding.stack(stack));
        let numbers: Vec<u32> = stacks.map(|stack| table.intern(stack)).collect();
        let mut runs = Runs::default();
        for (run, count) in self.counted_runs() {
            let stack = numbers[run.stack as usize];
            runs.push(stack, run.domain, run.size, count);
        }
        let mut shown = self.with_stacks(table.into_stacks(), runs);
        shown.history = self.history.as_ref().map(|rows| {
            let renumbered = rows.iter().map(|row| HistoryRow {
                stack: numbers[row.stack as usize],
                ..*row
            });
            renumbered.collect()
        });
        shown
    }
}

/// Leaves frames out of stacks.
struct Hiding<K> {
    keeps: K,
    /// What `keeps` says of a frame, by the frame's identity.
    known: IdentityMap<bool>,
    /// Frames that took over a hidden frame's place in machine code, by their identity and the
    /// place.
    carriers: HashMap<(usize, usize, u64), Frame>,
    hidden: Frame,
}

impl<K: Fn(&Frame) -> bool> Hiding<K> {
    /// The stack without hidden frames.
    ///
    /// A frame with a place in machine code is followed by those that the compiler inlined there.
    /// The first of them that stays takes over the place of a hidden one, or it would be taken for
    /// a part of the call before.
    fn stack(&mut self, stack: &Traceback) -> Traceback {
        let mut frames = Vec::with_capacity(stack.len());
        let mut place: Option<(&Arc<Module>, u64)> = None;
        let mut whole = Vec::with_capacity(stack.len());
        stack.list_into(&mut whole);
        for frame in whole {
            if frame.code().is_some() || frame.filename() == UNKNOWN {
                place = None;
            }
            if !self.keeps(frame) {
                place = frame.code().or(place);
                continue;
            }
            frames.push(match place.take() {
                Some((module, offset)) => self.carrier(frame, module, offset),
                None => frame.clone(),
            });
        }
        if frames.len() == stack.len() {
            return stack.clone();
        }
        if frames.is_empty() {
            frames.push(self.hidden.clone());
        }
        let gone = stack.len() - frames.len();
        let depth = stack.total_nframe();
        let depth =
            depth.map(|depth| depth.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX)));
        stack.with_other_frames(frames, depth)
    }

    fn keeps(&mut self, frame: &Frame) -> bool {
        let keeps = &self.keeps;
        let known = self.known.entry(frame.identity());
        *known.or_insert_with(|| keeps(frame))
    }

    fn carrier(&mut self, frame: &Frame, module: &Arc<Module>, offset: u64) -> Frame {
        let key = (frame.identity(), Arc::as_ptr(module).addr(), offset);
        let carrier = || frame.clone().with_code(Arc::clone(module), offset);
        self.carriers.entry(key).or_insert_with(carrier).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::trace::{Domain, Trace};

    /// `a+ b c+` is a call of `a`, in which `b` is inlined, and a call of `c`.
    fn stack(names: &str) -> Traceback {
        let module = Arc::new(Module::new("app", None));
        let frames = (1..).zip(names.split(' ')).map(|(place, name)| {
            let frame = Frame::new(name.trim_end_matches('+'), 1);
            match name.ends_with('+') {
                true => frame.with_code(module.clone(), place),
                false => frame,
            }
        });
        Traceback::from_oldest_first(frames).expect("a stack of some frames")
    }

    fn shown(stack: &Traceback) -> String {
        let frames = stack.iter().map(|frame| match frame.code() {
            Some((_, offset)) => format!("{}@{offset}", frame.filename()),
            None => frame.filename().to_owned(),
        });
        frames.collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check(names: &str, hidden: &str, left: &str) {
        let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 8, stack(names))], 9);
        let hide = snapshot.hide_frames([hidden]);
        assert_eq!(shown(&hide.stacks()[0]), left);
        let others = FrameFilter::custom({
            let hidden = FrameFilter::file(hidden);
            move |frame| !hidden.hits(frame)
        });
        assert_eq!(shown(&snapshot.show_frames([&others]).stacks()[0]), left);
    }

    #[test]
    fn hidden_frames_are_left_out_of_stacks() {
        check("a b c", "b", "a c");
        check("a b c", "[ac]", "b");
        check("a b c", "z", "a b c");
        check("a b c", "*", "<hidden>");
    }

    #[test]
    fn an_inlined_frame_takes_over_the_place_of_a_hidden_call() {
        check("a+ b+ c d e+", "b", "a@1 c@2 d e@5");
        check("a+ b+ c d e+", "[bc]", "a@1 d@2 e@5");
        check("a+ b+ c d e+", "[bcd]", "a@1 e@5");
        check("a+ b+ <unknown> d", "b", "a@1 <unknown> d");
    }

    #[test]
    fn no_total_changes_and_depth_goes_on_counting_what_is_shown() {
        let cut = stack("a b c").with_total_nframe(10);
        let blocks = [
            Trace::new(Domain::HEAP, 8, cut),
            Trace::new(Domain(3), 5, stack("a x c").with_truncated()),
            Trace::new(Domain::HEAP, 1, stack("b")),
        ];
        let snapshot = Snapshot::from_traces(blocks, 3).hide_frames(["b", "x"]);
        assert_eq!((snapshot.block_count(), snapshot.total_size()), (3, 14));
        let blocks: Vec<Trace> = snapshot.traces().unwrap().collect();
        assert_eq!(blocks[0].traceback.total_nframe(), Some(9));
        assert!(blocks[1].traceback.is_truncated());
        assert_eq!(blocks[1].traceback.total_nframe(), None);
        assert_eq!(shown(&blocks[2].traceback), "<hidden>");
    }

    #[test]
    fn stacks_that_become_alike_are_one() {
        let blocks = ["a b c", "a x c"].map(|names| Trace::new(Domain::HEAP, 8, stack(names)));
        let snapshot = Snapshot::from_traces(blocks, 3).hide_frames(["b", "x"]);
        assert_eq!(snapshot.stacks().len(), 1);
        assert_eq!(snapshot.counted_runs().count(), 1);
    }

    #[test]
    fn own_code_is_that_of_the_programs_packages() {
        use crate::snapshot::FrameOrigin::{self, Dependency, Own, Standard};
        let stack = |frames: &[(&str, Option<FrameOrigin>)]| {
            let frames = frames.iter().map(|(name, origin)| match origin {
                Some(origin) => Frame::new(*name, 1).with_origin(*origin),
                None => Frame::new(*name, 1),
            });
            Traceback::from_oldest_first(frames).expect("a stack of some frames")
        };
        let stacks = [
            stack(&[
                ("a", Some(Own)),
                ("b", Some(Dependency)),
                ("c", Some(Own)),
                ("d", Some(Standard)),
            ]),
            stack(&[("b", Some(Dependency)), ("e", None)]),
        ];
        let traces = stacks.map(|stack| Trace::new(Domain::HEAP, 8, stack));
        let own = Snapshot::from_traces(traces, 9).own_code();
        assert_eq!(shown(&own.stacks()[0]), "a c");
        assert_eq!(shown(&own.stacks()[1]), "<no own code>");
        assert_eq!(own.total_size(), 16);
    }
}
