//! The calling-context tree as indented text.
//!
//! A call that has only one way on, with all of its memory, shares its indentation with the next
//! one, which then needs no numbers: long chains of callers stay narrow and quiet.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::columns::Columns;
use super::layout::Layout;
use super::rows;
use super::style::Paint;
use super::table::Line;
use crate::report::folded::Weight;
use crate::report::notes::{self, Whose};
use crate::snapshot::{CallNode, CallOrder, GroupBy, Size, Snapshot};

const HEADINGS: [&str; 4] = ["size", "share", "blocks", "call"];

/// The calling-context tree as indented text: who called whom, and how much memory
/// each of these calls holds.
///
/// One row per call, largest first: bytes, share and blocks of all stacks that lead through it. A
/// row without numbers has those of the row above it, being its only way on. What is smaller or
/// deeper than asked for is summed in a row that says how many calls it stands for. Below the tree
/// stand the totals and what the snapshot does not hold, as in [`Text`](super::Text).
///
/// ```
/// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback, report::Tree};
///
/// let frames = [Frame::new("src/main.rs", 3), Frame::new("src/parse.rs", 40)];
/// let stack = Traceback::from_oldest_first(frames).unwrap();
/// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, stack)], 2);
/// let mut out = Vec::new();
/// Tree::new().write(&snapshot, &mut out)?;
/// let text = String::from_utf8_lossy(&out);
/// assert!(text.contains("640 B  100.0%       1  src/main.rs:3\n"));
/// assert!(text.contains("                       src/parse.rs:40\n"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tree {
    group_by: GroupBy,
    order: CallOrder,
    weight: Weight,
    depth: usize,
    min_share: f64,
    layout: Layout,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            group_by: GroupBy::Line,
            order: CallOrder::TopDown,
            weight: Weight::Bytes,
            depth: 25,
            min_share: 0.01,
            layout: Layout::default(),
        }
    }
}

impl Tree {
    /// Lines from the oldest caller down, 25 calls deep, down to a hundredth of the whole, without
    /// color.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a node of the tree is; see [`Snapshot::call_tree`].
    #[must_use]
    pub fn group_by(mut self, group_by: GroupBy) -> Self {
        self.group_by = group_by;
        self
    }

    /// The end of the stacks that the tree begins at.
    #[must_use]
    pub fn order(mut self, order: CallOrder) -> Self {
        self.order = order;
        self
    }

    /// Whether bytes or blocks decide what is large: the order of the calls, their shares and which
    /// of them are shown.
    #[must_use]
    pub fn weight(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }

    /// How many calls are followed from the root, at most.
    #[must_use]
    pub fn depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// The share of the whole, from 0 to 1, that a call needs to be shown.
    #[must_use]
    pub fn min_share(mut self, share: f64) -> Self {
        self.min_share = share;
        self
    }

    /// How many columns a line may have, as [`Text::width`](super::Text::width).
    #[must_use]
    pub fn width(mut self, columns: usize) -> Self {
        self.layout = self.layout.with_width(columns);
        self
    }

    /// Whether to set parts of the text off by color, as [`Text::color`](super::Text::color).
    #[must_use]
    pub fn color(mut self, color: bool) -> Self {
        self.layout = self.layout.with_color(color);
        self
    }

    /// Writes the tree of `snapshot`.
    ///
    /// # Errors
    ///
    /// What `out` returns.
    pub fn write(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        let title = format!(
            "{} by {}, {}",
            notes::heading(snapshot),
            self.group_by,
            self.direction()
        );
        writeln!(out, "{}\n", self.layout.paint(Paint::Strong, &title))?;
        let rows = Walk::new(self, snapshot).rows(snapshot);
        self.columns(rows).write(self.layout, out)?;
        writeln!(out, "\n{}", notes::total(snapshot))?;
        notes::write_recording(snapshot, Whose::Only, out)?;
        notes::write_peak_hint(snapshot, out)?;
        notes::write_hint([snapshot], out)
    }

    fn direction(&self) -> &'static str {
        match self.order {
            CallOrder::TopDown => "callers above what they call",
            CallOrder::BottomUp => "allocations above their callers",
        }
    }

    fn columns(&self, rows: Vec<Row>) -> Columns {
        let numbers: Vec<Vec<String>> = rows.iter().map(|row| row.numbers.clone()).collect();
        let room = Columns::room(self.layout, &HEADINGS, &numbers);
        let mut columns = Columns::new(&HEADINGS);
        for row in rows {
            let left = room.saturating_sub(row.indent.chars().count());
            let call = row.call.fitted(left);
            columns.push(row.numbers, row.indent + &call);
        }
        columns
    }
}

struct Row {
    /// Empty for a call that has the numbers of the one above it.
    numbers: Vec<String>,
    indent: String,
    call: Line,
}

/// Bytes and blocks.
#[derive(Clone, Copy, Default)]
struct Amount {
    size: u64,
    count: u64,
}

impl Amount {
    fn of(node: CallNode<'_>) -> Self {
        let (size, count) = (node.size(), node.count());
        Self { size, count }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            size: self.size.saturating_add(other.size),
            count: self.count.saturating_add(other.count),
        }
    }
}

/// What can stand below a call.
enum Entry<'a> {
    Call(CallNode<'a>),
    /// Blocks whose stack ends at the call itself.
    Own(Amount),
    /// Number of entries that are not shown.
    Omitted(usize, Amount),
}

impl Entry<'_> {
    fn amount(&self) -> Amount {
        match self {
            Self::Call(node) => Amount::of(*node),
            Self::Own(amount) | Self::Omitted(_, amount) => *amount,
        }
    }
}

/// An entry and where it is shown.
struct Placed<'a> {
    entry: Entry<'a>,
    depth: usize,
    /// Before the entry's own line, and before the lines of what stands below it.
    indent: String,
    below: String,
    /// False if the line above has the same numbers.
    numbered: bool,
}

/// A walk through the tree from the roots, without recursion: stacks may be very deep.
struct Walk<'t> {
    tree: &'t Tree,
    whole: Amount,
}

impl<'t> Walk<'t> {
    fn new(tree: &'t Tree, snapshot: &Snapshot) -> Self {
        let (size, count) = (snapshot.total_size(), snapshot.block_count());
        let whole = Amount { size, count };
        Self { tree, whole }
    }

    fn rows(&self, snapshot: &Snapshot) -> Vec<Row> {
        let calls = snapshot.call_tree(self.tree.group_by, self.tree.order);
        let mut rows = Vec::new();
        let roots = calls.roots().map(Entry::Call).collect();
        let mut waiting: Vec<Placed<'_>> = Vec::new();
        for entry in self.shown(roots, 0).into_iter().rev() {
            waiting.push(Placed {
                entry,
                depth: 0,
                indent: String::new(),
                below: String::new(),
                numbered: true,
            });
        }
        while let Some(placed) = waiting.pop() {
            rows.push(self.row(&placed));
            if let Entry::Call(node) = placed.entry {
                waiting.extend(self.children(node, placed.depth + 1, &placed.below));
            }
        }
        rows
    }

    /// What stands below `node`, last entry first.
    fn children<'a>(&self, node: CallNode<'a>, depth: usize, indent: &str) -> Vec<Placed<'a>> {
        let mut entries: Vec<Entry<'a>> = node.children().map(Entry::Call).collect();
        let (size, count) = (node.own_size(), node.own_count());
        if count > 0 && !entries.is_empty() {
            entries.push(Entry::Own(Amount { size, count }));
        }
        let mut entries = self.shown(entries, depth);
        if let [Entry::Call(_) | Entry::Omitted(..)] = entries[..] {
            let entry = entries.remove(0);
            return vec![Placed {
                entry,
                depth,
                indent: indent.to_owned(),
                below: indent.to_owned(),
                numbered: false,
            }];
        }
        let last = entries.len().saturating_sub(1);
        let placed = entries.into_iter().enumerate().rev();
        placed
            .map(|(index, entry)| {
                let (branch, beside) = if index == last {
                    ("└ ", "  ")
                } else {
                    ("├ ", "│ ")
                };
                // From here on deeper calls are indented no further.
                let deepest = indent.chars().count() >= self.tree.layout.width * 9 / 20;
                let beside = if deepest { "" } else { beside };
                Placed {
                    entry,
                    depth,
                    indent: format!("{indent}{branch}"),
                    below: format!("{indent}{beside}"),
                    numbered: true,
                }
            })
            .collect()
    }

    /// The entries that are large enough, largest first, and one for all the others.
    fn shown<'a>(&self, mut entries: Vec<Entry<'a>>, depth: usize) -> Vec<Entry<'a>> {
        entries.sort_by_key(|entry| Reverse(self.weight(entry.amount())));
        let min = self.weight(self.whole) as f64 * self.tree.min_share;
        let (kept, omitted): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| {
            depth < self.tree.depth && self.weight(entry.amount()) as f64 >= min
        });
        let mut shown = kept;
        if !omitted.is_empty() {
            let amounts = omitted.iter().map(Entry::amount);
            let sum = amounts.fold(Amount::default(), Amount::plus);
            shown.push(Entry::Omitted(omitted.len(), sum));
        }
        shown
    }

    fn weight(&self, amount: Amount) -> u64 {
        match self.tree.weight {
            Weight::Bytes => amount.size,
            Weight::Blocks => amount.count,
        }
    }

    fn row(&self, placed: &Placed<'_>) -> Row {
        let amount = placed.entry.amount();
        let numbers = vec![
            Size(amount.size).to_string(),
            rows::share(self.weight(amount) as f64, self.weight(self.whole) as f64),
            amount.count.to_string(),
        ];
        let blank = || vec![String::new(); HEADINGS.len() - 1];
        Row {
            numbers: if placed.numbered { numbers } else { blank() },
            indent: placed.indent.clone(),
            call: self.call(&placed.entry),
        }
    }

    fn call(&self, entry: &Entry<'_>) -> Line {
        match entry {
            Entry::Call(node) => match self.tree.group_by {
                GroupBy::Line | GroupBy::Traceback => {
                    let frame = node.frame();
                    Line::Call(rows::file_and_line(frame), rows::function(frame))
                }
                group_by => rows::place(group_by, node.frame()),
            },
            Entry::Own(_) => Line::Source(match self.tree.order {
                CallOrder::TopDown => "[allocated here]".to_owned(),
                CallOrder::BottomUp => "[not called by another]".to_owned(),
            }),
            Entry::Omitted(number, _) => Line::Source(format!("… {number} more")),
        }
    }
}
