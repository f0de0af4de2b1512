//! Folded stacks: a line of text for each, for flame graphs.

use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;

use super::calls::{function, shown};
use super::merged::{Amount, Merged, Shape};
use super::pruned::prune;
use super::roots;
use crate::error::Error;
use crate::snapshot::{CallOrder, Frame, Site, Snapshot};

/// The frame below all others where numbers are estimates.
const ESTIMATED: &str = "[estimated from a sample]";

/// What the width of a frame stands for in a flame graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Weight {
    /// Live bytes.
    #[default]
    Bytes,
    /// Live blocks.
    Blocks,
}

/// Folded stacks, the form that `flamegraph.pl`, `inferno-flamegraph`, speedscope and others read:
/// a line for each stack with its frames, oldest first by default ([`order`](Self::order)) and
/// separated by `;`, a space, and its bytes or blocks. Lines are in the order of their frames' names; each stack is there once.
///
/// A frame is its function, or `FILE:LINE` where the function is not known. In names `;` is written
/// as `:`, characters that would steer a terminal as escapes, and the last space as `_` if nothing
/// but a number follows it, which readers would take for the weight. Stacks without weight, such as
/// blocks of no bytes, are left out.
///
/// Blocks of a [domain](crate::Domain) other than the heap have a frame such as `[domain 1]` below them, those of
/// a [tag](crate::Tag) `[tag images]`, and `[thread worker]` where the thread's name is known.
/// The form has no place for remarks, so that the numbers of a
/// [sampled](Snapshot::sample_every) snapshot are estimates is said by a frame below all others.
/// What the recording could not hold is not said.
///
/// ```
/// use tracemalloc::report::{Folded, Weight};
/// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};
///
/// let stack = Traceback::of(Frame::named("app::main"));
/// let block = Trace::new(Domain::HEAP, 640, stack);
/// let snapshot = Snapshot::from_traces([block.clone(), block], 25);
/// let mut out = Vec::new();
/// Folded::new().weight(Weight::Blocks).write(&snapshot, &mut out)?;
/// assert_eq!(out, b"app::main 2\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Folded {
    weight: Weight,
    order: CallOrder,
    min_share: f64,
    /// None: as many as there are.
    max_frames: Option<NonZeroUsize>,
}

impl Folded {
    /// Stacks with their bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number at the end of a line.
    #[must_use]
    pub fn weight(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }

    /// The frame that a line begins with; the oldest one by default. A flame graph of lines that begin
    /// with the frame of the allocation shows who it was called by.
    ///
    /// ```
    /// use tracemalloc::report::Folded;
    /// use tracemalloc::{CallOrder, Domain, Frame, Snapshot, Trace, Traceback};
    ///
    /// let stack = Traceback::from_oldest_first(["main", "read"].map(Frame::named)).unwrap();
    /// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 8, stack)], 25);
    /// let mut out = Vec::new();
    /// Folded::new().order(CallOrder::BottomUp).write(&snapshot, &mut out)?;
    /// assert_eq!(out, b"read;main 8\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn order(mut self, order: CallOrder) -> Self {
        self.order = order;
        self
    }

    /// The smallest share of the whole, from 0 to 1, that a frame has with all that it calls; 0 by
    /// default. Lines end before smaller frames, and their weight counts for the frame before: frames that
    /// stay are as wide as before. Of two snapshots either share is enough.
    ///
    /// A picture has room for a few thousand frames. What it cannot show need not be written: of a
    /// million stacks that is a gigabyte.
    ///
    /// ```
    /// use tracemalloc::report::Folded;
    /// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};
    ///
    /// let block = |names: [&str; 2], size| {
    ///     let stack = Traceback::from_oldest_first(names.map(Frame::named)).unwrap();
    ///     Trace::new(Domain::HEAP, size, stack)
    /// };
    /// let blocks = [block(["main", "read"], 995), block(["main", "log"], 5)];
    /// let mut out = Vec::new();
    /// Folded::new().min_share(0.01).write(&Snapshot::from_traces(blocks, 25), &mut out)?;
    /// assert_eq!(out, b"main 5\nmain;read 995\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn min_share(mut self, share: f64) -> Self {
        self.min_share = share;
        self
    }

    /// How many frames of a stack a line has at most; all by default. What a longer stack holds counts
    /// for the last frame that stays.
    ///
    /// A recursion of a hundred thousand calls makes lines of megabytes, and a picture that is higher
    /// than any screen.
    ///
    /// ```
    /// use std::num::NonZeroUsize;
    /// use tracemalloc::report::Folded;
    /// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};
    ///
    /// let stack = Traceback::from_oldest_first(["main", "walk", "walk"].map(Frame::named)).unwrap();
    /// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 8, stack)], 25);
    /// let mut out = Vec::new();
    /// let two = NonZeroUsize::new(2).unwrap();
    /// Folded::new().max_frames(two).write(&snapshot, &mut out)?;
    /// assert_eq!(out, b"main;walk 8\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn max_frames(mut self, frames: NonZeroUsize) -> Self {
        self.max_frames = Some(frames);
        self
    }

    /// Writes the stacks of `snapshot`.
    ///
    /// # Errors
    ///
    /// What `out` returns.
    pub fn write(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        self.write_stacks([snapshot], out)
    }

    /// Writes the stacks of both snapshots with two weights each, that of `old` and that of `new`:
    /// the form that `inferno-diff-folded` makes of two files and that `inferno-flamegraph` and
    /// `flamegraph.pl` draw as a differential flame graph. Stacks that did not change are there
    /// too: they are a part of the picture.
    ///
    /// # Errors
    ///
    /// [`NotComparable`](crate::ErrorKind::NotComparable) as [`Snapshot::compare_to`], and
    /// [`Io`](crate::ErrorKind::Io) with what `out` returns.
    ///
    /// ```
    /// use tracemalloc::report::Folded;
    /// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};
    ///
    /// let block = |size| Trace::new(Domain::HEAP, size, Traceback::of(Frame::named("app::main")));
    /// let old = Snapshot::from_traces([block(100)], 25);
    /// let new = Snapshot::from_traces([block(40)], 25);
    /// let mut out = Vec::new();
    /// Folded::new().write_diff(&new, &old, &mut out)?;
    /// assert_eq!(out, b"app::main 100 40\n");
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn write_diff(
        &self,
        new: &Snapshot,
        old: &Snapshot,
        out: &mut impl Write,
    ) -> Result<(), Error> {
        new.check_comparable(old)?;
        self.write_stacks([old, new], out)
            .map_err(|error| Error::io("cannot write", error))
    }

    fn write_stacks<const N: usize>(
        &self,
        snapshots: [&Snapshot; N],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let sampled = snapshots
            .iter()
            .any(|snapshot| snapshot.sample_every().is_some());
        let shape = Shape {
            order: self.order,
            max_frames: self.max_frames.map_or(usize::MAX, NonZeroUsize::get),
        };
        let roots = |site: &Site<'_>| roots(site, sampled);
        let mut merged = Merged::new(snapshots, name, roots, shape);
        if self.min_share > 0.0 {
            merged = self.pruned(merged);
        }
        let mut out = BufWriter::new(out);
        for (stack, amounts) in &merged.stacks {
            let weights = amounts.map(|amount| self.weight_of(amount));
            if weights.iter().all(|weight| *weight == 0) {
                continue;
            }
            for (position, frame) in stack.iter().enumerate() {
                let separator = if position == 0 { "" } else { ";" };
                write!(out, "{separator}{}", merged.names[*frame as usize])?;
            }
            for weight in weights {
                write!(out, " {weight}")?;
            }
            writeln!(out)?;
        }
        out.flush()
    }

    fn pruned<const N: usize>(&self, merged: Merged<N>) -> Merged<N> {
        let mut wholes = [0.0; N];
        for (_, amounts) in &merged.stacks {
            for (whole, amount) in wholes.iter_mut().zip(amounts) {
                *whole += self.weight_of(*amount) as f64;
            }
        }
        prune(merged, |amounts| {
            let mut shares = amounts.iter().zip(wholes);
            shares.any(|(amount, whole)| self.weight_of(*amount) as f64 >= self.min_share * whole)
        })
    }

    fn weight_of(&self, amount: Amount) -> u64 {
        match self.weight {
            Weight::Bytes => amount.size,
            Weight::Blocks => amount.count,
        }
    }
}

fn roots(site: &Site<'_>, sampled: bool) -> Vec<String> {
    let estimated = sampled.then(|| ESTIMATED.to_owned());
    // Readers cut lines at `;`.
    let roots = roots::of(site).map(|root| root.replace(';', ":"));
    estimated.into_iter().chain(roots).collect()
}

/// Readers cut lines at `;` and at the last spaces that a number follows.
fn name(frame: &Frame, _: Option<u64>) -> String {
    let name = if frame.function().is_some() || frame.lineno() == 0 {
        function(frame)
    } else {
        shown(&frame.to_string()).into_owned().into()
    };
    let mut name = name.replace(';', ":");
    if let Some(space) = name.rfind(' ')
        && name[space + 1..]
            .chars()
            .all(|c| c.is_ascii_digit() || c == '.')
    {
        name.replace_range(space..=space, "_");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Domain;

    #[test]
    fn names_cannot_break_a_line() {
        #[track_caller]
        fn check(function: &str, shown: &str) {
            let frame = Frame::new("src/main.rs", 3).with_function(function);
            assert_eq!(name(&frame, None), shown);
        }
        check(
            "<[u8; 4] as app::Read>::read",
            "<[u8: 4] as app::Read>::read",
        );
        check("two\nlines 7", "two\\nlines_7");
        check("\u{202e}\x1b[2J", "\\u{202e}\\u{1b}[2J");
        check("app::run 12", "app::run_12");
        check("app::run 1.5", "app::run_1.5");
        check("app::run 1 2", "app::run 1_2");
        check("app::run 12a", "app::run 12a");
        check(" \u{a0}spaced ", "spaced");
        check(" ", "<unknown>");
        check("", "<unknown>");
    }

    #[test]
    fn without_a_function_the_place_is_shown() {
        assert_eq!(name(&Frame::new("src/main.rs", 3), None), "src/main.rs:3");
        assert_eq!(name(&Frame::new("src/main.rs", 0), None), "src/main.rs");
        assert_eq!(
            name(&Frame::named("libc.so!malloc"), None),
            "libc.so!malloc"
        );
    }

    /// A frame that many callers share a little of is large in a picture that begins with it.
    #[test]
    fn what_is_small_is_judged_in_the_order_of_the_lines() {
        use crate::snapshot::{Trace, Traceback};
        let block = |caller| {
            let names = [format!("caller_{caller}"), "read".to_owned()];
            let stack = Traceback::from_oldest_first(names.map(Frame::named));
            Trace::new(Domain::HEAP, 1, stack.expect("two frames"))
        };
        let snapshot = Snapshot::from_traces((0..100).map(block), 25);
        let lines = |order| {
            let mut out = Vec::new();
            let folded = Folded::new().order(order).min_share(0.02);
            let written = folded.write(&snapshot, &mut out);
            written.expect("a vector takes all");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(lines(CallOrder::BottomUp), "read 100\n");
        assert!(!lines(CallOrder::TopDown).contains("read"));
    }
}
