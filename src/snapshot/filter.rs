//! Which blocks of a snapshot to look at.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::frame::Frame;
use super::frame_filter::FrameFilter;
use super::glob::Glob;
use super::group_by::GroupBy;
use super::identity::IdentityMap;
use super::runs::{Run, Runs};
use super::trace::{Domain, Snapshot, Trace};
use super::traceback::Traceback;

/// A rule that keeps or drops blocks; see [`Snapshot::filter_traces`].
///
/// A filter *hits* a block that meets all of its conditions: a [rule about frames](FrameFilter), a
/// line, a domain, a tag, a function of the program's own. An including filter keeps what it hits, an
/// excluding one drops it. The rule about frames and the line are those of one and the same frame:
/// of the frame that made the allocation, or of any frame of the stack after
/// [`all_frames`](Self::all_frames).
///
/// ```
/// use tracemalloc::{Domain, Filter, Frame, Snapshot, Trace, Traceback};
///
/// let at = |file: &str| Trace::new(Domain::HEAP, 8, Traceback::of(Frame::new(file, 1)));
/// let snapshot = Snapshot::from_traces([at("src/main.rs"), at("<std>/src/io.rs")], 1);
/// assert_eq!(snapshot.filter_traces([Filter::include("src/*.rs")]).block_count(), 1);
/// assert_eq!(snapshot.filter_traces([Filter::exclude("*.rs").with_line(2)]).block_count(), 2);
/// ```
#[derive(Clone)]
pub struct Filter {
    inclusive: bool,
    frames: Option<FrameFilter>,
    line: Option<u32>,
    all_frames: bool,
    domain: Option<Domain>,
    /// A pattern, as it was written and taken apart.
    tag: Option<(String, Glob)>,
    custom: Option<Custom>,
}

type Custom = Arc<dyn Fn(&Trace) -> bool + Send + Sync>;

impl Filter {
    /// Keeps blocks allocated at a frame that `frames` hits. A text is a pattern of file names.
    ///
    /// ```
    /// use tracemalloc::{Filter, FrameFilter};
    ///
    /// let filter = Filter::include("src/*.rs");
    /// assert_eq!(filter.pattern(), Some("src/*.rs"));
    /// let filter = Filter::include(FrameFilter::function("app::load::*"));
    /// assert!(filter.is_inclusive());
    /// ```
    pub fn include(frames: impl Into<FrameFilter>) -> Self {
        Self::by_frames(true, frames.into())
    }

    /// Drops what [`include`](Self::include) keeps.
    ///
    /// ```
    /// use tracemalloc::{Filter, FrameFilter};
    ///
    /// assert!(!Filter::exclude(FrameFilter::crate_name("serde*")).is_inclusive());
    /// ```
    pub fn exclude(frames: impl Into<FrameFilter>) -> Self {
        Self::by_frames(false, frames.into())
    }

    /// Keeps the blocks of `domain`.
    pub fn include_domain(domain: Domain) -> Self {
        Self::of_everything(true).in_domain(domain)
    }

    /// Drops the blocks of `domain`.
    pub fn exclude_domain(domain: Domain) -> Self {
        Self::of_everything(false).in_domain(domain)
    }

    /// Keeps the blocks whose [tag](crate::Tag) matches `pattern`, where `*` stands for any characters, `?`
    /// for one, and `[…]` for one of those. Blocks without a tag are those of `<untagged>`, as in
    /// [`GroupBy::Tag`](crate::GroupBy::Tag).
    ///
    /// ```
    /// use tracemalloc::{Domain, Filter, Frame, Snapshot, Trace, Traceback};
    ///
    /// let line = Traceback::of(Frame::new("src/main.rs", 1));
    /// let stacks = [line.clone(), line.clone().with_tag("GET /items"), line.with_tag("images")];
    /// let blocks = stacks.map(|stack| Trace::new(Domain::HEAP, 8, stack));
    /// let snapshot = Snapshot::from_traces(blocks, 1);
    /// let count = |pattern| snapshot.filter_traces([Filter::include_tag(pattern)]).block_count();
    /// assert_eq!(["GET *", "*", "<untagged>"].map(count), [1, 3, 1]);
    /// ```
    pub fn include_tag(pattern: &str) -> Self {
        Self::of_everything(true).in_tag(pattern)
    }

    /// Drops what [`include_tag`](Self::include_tag) keeps.
    pub fn exclude_tag(pattern: &str) -> Self {
        Self::of_everything(false).in_tag(pattern)
    }

    /// Keeps the blocks that `hits` is true of.
    ///
    /// Equal blocks that follow each other are shown to `hits` once, and blocks that another filter
    /// has already decided are not shown at all: the answer must depend on the block alone.
    ///
    /// ```
    /// use tracemalloc::{Domain, Filter, Frame, Snapshot, Trace, Traceback};
    ///
    /// let sized = |size| Trace::new(Domain::HEAP, size, Traceback::unknown());
    /// let snapshot = Snapshot::from_traces([8, 4096, 65_536].map(sized), 1);
    /// let large = snapshot.filter_traces([Filter::include_if(|block| block.size >= 4096)]);
    /// assert_eq!(large.block_count(), 2);
    /// ```
    pub fn include_if(hits: impl Fn(&Trace) -> bool + Send + Sync + 'static) -> Self {
        Self::custom(true, Arc::new(hits))
    }

    /// Drops what [`include_if`](Self::include_if) keeps.
    pub fn exclude_if(hits: impl Fn(&Trace) -> bool + Send + Sync + 'static) -> Self {
        Self::custom(false, Arc::new(hits))
    }

    fn custom(inclusive: bool, hits: Custom) -> Self {
        Self {
            custom: Some(hits),
            ..Self::of_everything(inclusive)
        }
    }

    fn of_everything(inclusive: bool) -> Self {
        Self {
            inclusive,
            frames: None,
            line: None,
            all_frames: false,
            domain: None,
            tag: None,
            custom: None,
        }
    }

    fn by_frames(inclusive: bool, frames: FrameFilter) -> Self {
        Self {
            frames: Some(frames),
            ..Self::of_everything(inclusive)
        }
    }

    /// This filter, hitting frames at `line` only. 0 is a line like any other: the unknown one.
    #[must_use]
    pub fn with_line(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }

    /// This filter, looking at every frame of a stack and not only at the one that made the
    /// allocation. An excluding filter then drops a block if any of its frames is hit.
    #[must_use]
    pub fn all_frames(mut self) -> Self {
        self.all_frames = true;
        self
    }

    /// This filter, hitting blocks of `domain` only.
    #[must_use]
    pub fn in_domain(mut self, domain: Domain) -> Self {
        self.domain = Some(domain);
        self
    }

    /// This filter, hitting blocks only whose tag matches `pattern`, as
    /// [`include_tag`](Self::include_tag) does.
    #[must_use]
    pub fn in_tag(mut self, pattern: &str) -> Self {
        self.tag = Some((pattern.to_owned(), Glob::new(pattern)));
        self
    }

    /// True if the filter keeps what it hits, false if it drops it.
    pub fn is_inclusive(&self) -> bool {
        self.inclusive
    }

    /// The pattern as it is compared, which on Windows is in lower case with `\` for `/` where it
    /// is a file name's. `None` if the filter does not look at names.
    pub fn pattern(&self) -> Option<&str> {
        self.frames.as_ref().and_then(FrameFilter::pattern)
    }

    /// The line that the filter asks for.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// True if the filter looks at every frame.
    pub fn examines_all_frames(&self) -> bool {
        self.all_frames
    }

    /// The domain that the filter asks for.
    pub fn domain(&self) -> Option<Domain> {
        self.domain
    }

    fn hits_tag(&self, stack: &Traceback) -> bool {
        let tag = GroupBy::Tag.label_name(stack).unwrap_or_default();
        self.tag.as_ref().is_none_or(|(_, glob)| glob.matches(tag))
    }

    fn hits_frame(&self, frame: &Frame) -> bool {
        self.line.is_none_or(|line| line == frame.lineno())
            && self.frames.as_ref().is_none_or(|frames| frames.hits(frame))
    }

    /// The frames that the conditions on frames are asked of.
    fn examined<'a>(&self, stack: &'a Traceback) -> impl Iterator<Item = &'a Frame> {
        let frames = if self.all_frames { usize::MAX } else { 1 };
        stack.newest_first().take(frames)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = out.debug_struct("Filter");
        shown.field("inclusive", &self.inclusive);
        if let Some(frames) = &self.frames {
            shown.field("frames", frames);
        }
        if let Some(line) = self.line {
            shown.field("line", &line);
        }
        if self.all_frames {
            shown.field("all_frames", &true);
        }
        if let Some(domain) = self.domain {
            shown.field("domain", &domain.0);
        }
        if let Some((pattern, _)) = &self.tag {
            shown.field("tag", pattern);
        }
        if self.custom.is_some() {
            shown.field("custom", &format_args!("_"));
        }
        shown.finish()
    }
}

/// A filter and what it says of each stack of one snapshot. Names are compared once per frame
/// value, however many stacks and blocks there are.
struct Decided<'a> {
    filter: &'a Filter,
    snapshot: &'a Snapshot,
    /// By index of the stack; `None` if the filter has no condition on stacks.
    stacks: Option<Vec<bool>>,
}

impl<'a> Decided<'a> {
    fn new(filter: &'a Filter, snapshot: &'a Snapshot) -> Self {
        let on_stacks = filter.frames.is_some() || filter.line.is_some() || filter.tag.is_some();
        Self {
            filter,
            snapshot,
            stacks: on_stacks.then(|| decide_stacks(filter, snapshot)),
        }
    }

    fn hits(&self, run: &Run) -> bool {
        let stack = run.stack as usize;
        let filter = self.filter;
        filter.domain.is_none_or(|domain| domain == run.domain)
            && self.stacks.as_ref().is_none_or(|stacks| stacks[stack])
            && filter.custom.as_ref().is_none_or(|hits| {
                let stack = self.snapshot.stacks()[stack].clone();
                hits(&Trace::new(run.domain, run.size, stack))
            })
    }
}

fn decide_stacks(filter: &Filter, snapshot: &Snapshot) -> Vec<bool> {
    let mut known = IdentityMap::default();
    let mut hits_frame = |frame: &Frame| {
        *known
            .entry(frame.identity())
            .or_insert_with(|| filter.hits_frame(frame))
    };
    let on_frames = filter.frames.is_some() || filter.line.is_some();
    let hits_stack = |stack| {
        filter.hits_tag(stack) && (!on_frames || filter.examined(stack).any(&mut hits_frame))
    };
    snapshot.stacks().iter().map(hits_stack).collect()
}

impl Snapshot {
    /// A snapshot of those blocks that the filters keep: blocks that an including filter hits, or
    /// all if none includes, without those that an excluding filter hits.
    ///
    /// The order of the filters does not matter, and the blocks keep theirs. Two including filters
    /// keep what either hits; to keep what both hit, filter the result again. Everything but the
    /// blocks stays as it is, so [`recording`](Self::recording) still describes the whole recording.
    /// [History](Self::has_history) is filtered by the same conditions; to a custom one it shows a block
    /// of the average size of all that its stack allocated.
    ///
    /// ```
    /// use tracemalloc::{Domain, Filter, Frame, Snapshot, Trace, Traceback};
    ///
    /// let at = |file: &str| Trace::new(Domain::HEAP, 8, Traceback::of(Frame::new(file, 1)));
    /// let snapshot = Snapshot::from_traces(["src/a.rs", "src/b.rs", "tests/c.rs"].map(at), 1);
    /// let kept = snapshot.filter_traces([Filter::include("src/*"), Filter::exclude("*/b.rs")]);
    /// let kept: Vec<String> = kept.traces().unwrap().map(|block| block.to_string()).collect();
    /// assert_eq!(kept, ["src/a.rs:1: 8 B"]);
    /// ```
    pub fn filter_traces<I>(&self, filters: I) -> Snapshot
    where
        I: IntoIterator,
        I::Item: Borrow<Filter>,
    {
        let filters: Vec<I::Item> = filters.into_iter().collect();
        let (includes, excludes): (Vec<_>, Vec<_>) = filters
            .iter()
            .map(|filter| Decided::new(filter.borrow(), self))
            .partition(|decided| decided.filter.inclusive);
        let keeps = |run: &Run| {
            let included = includes.is_empty() || includes.iter().any(|filter| filter.hits(run));
            included && !excludes.iter().any(|filter| filter.hits(run))
        };
        let mut kept = Runs::default();
        for (run, count) in self.counted_runs() {
            if keeps(run) {
                kept.push(run.stack, run.domain, run.size, count);
            }
        }
        let mut filtered = self.with_runs(kept);
        filtered.history = self.history.as_ref().map(|rows| {
            let rows = rows.iter().filter(|row| keeps(&row.as_run()));
            rows.copied().collect()
        });
        filtered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// main.rs:1 calls a.rs:2; main.rs:3 in domain 1; main.rs:1 calls b.rs:0.
    fn snapshot() -> Snapshot {
        let frame = |file: &str, line| {
            let name = file.trim_end_matches(".rs");
            Frame::new(file, line).with_function(format!("app::{name}"))
        };
        let stack = |frames: &[Frame]| Traceback::from_oldest_first(frames.to_vec()).unwrap();
        let main = frame("main.rs", 1).with_crate("app");
        let traces = [
            Trace::new(
                Domain(0),
                10,
                stack(&[main.clone(), frame("a.rs", 2).with_crate("lib")]),
            ),
            Trace::new(Domain(1), 20, stack(&[frame("main.rs", 3)])),
            Trace::new(
                Domain(0),
                30,
                stack(&[main, Frame::named("libc.so!strdup")]),
            ),
        ];
        let mut snapshot = Snapshot::from_traces(traces, 5);
        snapshot.set_attribute("label", "test");
        snapshot.recording.peak = 99;
        snapshot
    }

    #[track_caller]
    fn check<const N: usize>(filters: [Filter; N], sizes: &[u64]) {
        let whole = snapshot();
        let kept = whole.filter_traces(&filters);
        let found: Vec<u64> = kept.traces().unwrap().map(|trace| trace.size).collect();
        assert_eq!(found, sizes, "{filters:?}");
        assert_eq!(kept.traceback_limit(), 5);
        assert_eq!(kept.recording(), whole.recording());
        assert_eq!(kept.attributes(), whole.attributes());
        assert!(Arc::ptr_eq(&kept.stacks, &whole.stacks));
    }

    #[test]
    fn files_lines_and_domains() {
        check([], &[10, 20, 30]);
        check([Filter::include("main.rs")], &[20]);
        check([Filter::include("main.rs").all_frames()], &[10, 20, 30]);
        check(
            [Filter::include("main.rs").all_frames().with_line(1)],
            &[10, 30],
        );
        check([Filter::include("a.rs").all_frames().with_line(1)], &[]);
        check([Filter::exclude("*").with_line(0)], &[10, 20]);
        check(
            [Filter::exclude("main.rs").in_domain(Domain(0))],
            &[10, 20, 30],
        );
        check([Filter::include_domain(Domain(1))], &[20]);
        check([Filter::exclude_domain(Domain(0))], &[20]);
        check([Filter::include_domain(Domain(0)).with_line(2)], &[10]);
        check([Filter::include("libc*")], &[30]);
    }

    #[test]
    fn functions_and_crates_go_by_the_names_of_their_groups() {
        check(
            [Filter::include(FrameFilter::function("app::*"))],
            &[10, 20],
        );
        check(
            [Filter::exclude(FrameFilter::function("app::main")).all_frames()],
            &[],
        );
        check([Filter::include(FrameFilter::function("*!strdup"))], &[30]);
        check([Filter::include(FrameFilter::crate_name("lib"))], &[10]);
        check(
            [Filter::exclude(FrameFilter::crate_name("app")).all_frames()],
            &[20],
        );
        check(
            [Filter::include(FrameFilter::crate_name("<unknown>"))],
            &[20, 30],
        );
    }

    #[test]
    fn includes_add_up_and_excludes_win() {
        check(
            [Filter::include("a.rs"), Filter::include("main.rs")],
            &[10, 20],
        );
        check([Filter::exclude("a.rs"), Filter::include("*.rs")], &[20]);
        check([Filter::exclude("a.rs"), Filter::exclude("main.rs")], &[30]);
    }

    #[test]
    fn custom_filters_see_the_block() {
        check([Filter::include_if(|trace| trace.size > 10)], &[20, 30]);
        let one = Filter::exclude_if(|trace| trace.size > 10).in_domain(Domain(1));
        check([one], &[10, 30]);
    }

    #[test]
    fn filters_that_only_borrow_are_accepted() {
        let filters = vec![Filter::include("a.rs")];
        let whole = snapshot();
        assert_eq!(whole.filter_traces(&filters).block_count(), 1);
        assert_eq!(whole.filter_traces(filters).block_count(), 1);
    }

    #[test]
    fn a_filter_tells_what_it_does() {
        let filter = Filter::exclude(FrameFilter::crate_name("lib*"))
            .with_line(4)
            .all_frames();
        assert!(!filter.is_inclusive());
        assert_eq!(filter.pattern(), Some("lib*"));
        assert_eq!(filter.line(), Some(4));
        assert!(filter.examines_all_frames());
        assert_eq!(filter.domain(), None);
        let text =
            "Filter { inclusive: false, frames: crate: \"lib*\", line: 4, all_frames: true }";
        assert_eq!(format!("{filter:?}"), text);
    }

    #[cfg(windows)]
    #[test]
    fn windows_file_names_have_many_spellings() {
        check([Filter::include("MAIN.RS")], &[20]);
        assert_eq!(Filter::include("C:/A").pattern(), Some("c:\\a"));
        assert_eq!(
            Filter::include(FrameFilter::crate_name("C/A")).pattern(),
            Some("C/A")
        );
    }
}
