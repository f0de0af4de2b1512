//! What a snapshot consists of, on one screen.

use std::io::{self, Write};

use super::columns::Columns;
use super::layout::Layout;
use super::style::Paint;
use super::{Text, rows};
use crate::report::notes::{self, Whose};
use crate::report::own_code;
use crate::report::visible::terminal_text;
use crate::snapshot::{Bytes, CodeShares, Domain, GroupBy, Size, SizeClass, Snapshot};

/// Characters of the longest bar.
const BAR: usize = 24;

/// The totals of a snapshot, how much has own code in its stack, its blocks by size, its domains, its largest crates, and what it could do
/// [better](Snapshot::advice), as text of 80 columns. Below them, as in [`Text`], what the snapshot does not hold.
///
/// ```
/// use tracemalloc::{Domain, Snapshot, Trace, Traceback, report::Summary};
///
/// let block = |size| Trace::new(Domain::HEAP, size, Traceback::unknown());
/// let snapshot = Snapshot::from_traces([block(24), block(4096)], 1);
/// let mut out = Vec::new();
/// Summary::new().write(&snapshot, &mut out)?;
/// assert!(String::from_utf8_lossy(&out).starts_with("Live memory: 4120 B in 2 blocks"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    limit: usize,
    layout: Layout,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            limit: 10,
            layout: Layout::default(),
        }
    }
}

impl Summary {
    /// With the ten largest crates, without color.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many crates are shown, at most.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// How many columns a line may have, as [`Text::width`](super::Text::width).
    #[must_use]
    pub fn width(mut self, columns: usize) -> Self {
        self.layout = self.layout.with_width(columns);
        self
    }

    /// Whether to set parts of the text off by color, as [`Text::color`].
    #[must_use]
    pub fn color(mut self, color: bool) -> Self {
        self.layout = self.layout.with_color(color);
        self
    }

    /// Writes the summary of `snapshot`.
    ///
    /// # Errors
    ///
    /// What `out` returns.
    pub fn write(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", totals(snapshot))?;
        let shares = CodeShares::of(snapshot);
        if shares.own > 0.0 {
            writeln!(out, "{}", own_code::in_words(&shares, "the bytes"))?;
        }
        if snapshot.block_count() > 0 {
            self.write_sizes(snapshot, out)?;
            self.write_domains(snapshot, out)?;
            self.write_crates(snapshot, out)?;
        }
        self.write_advice(snapshot, out)?;
        writeln!(out)?;
        notes::write_recording(snapshot, Whose::Only, out)?;
        notes::write_peak_hint(snapshot, out)
    }

    /// Says nothing where there is nothing to do better.
    fn write_advice(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        let advice = snapshot.advice();
        if advice.is_empty() {
            return Ok(());
        }
        self.heading("Could be better", out)?;
        for advice in advice {
            writeln!(out, "  {}", terminal_text(&advice.traceback.to_string()))?;
            // The evidence, and what to do.
            for line in advice.pattern.to_string().split(": ") {
                writeln!(out, "      {line}")?;
            }
        }
        Ok(())
    }

    fn heading(&self, text: &str, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\n{}\n", self.layout.paint(Paint::Strong, text))
    }

    /// Says nothing of a view, which has sums alone.
    fn write_sizes(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        let Ok(classes) = snapshot.size_classes() else {
            return Ok(());
        };
        let (size, count) = (snapshot.total_size(), snapshot.block_count());
        let largest = classes.iter().map(|class| class.size).max().unwrap_or(0);
        let mut columns = Columns::new(&["block size", "blocks", "share", "size", "share", ""]);
        for class in &classes {
            let numbers = vec![
                range(class),
                class.count.to_string(),
                rows::share(class.count as f64, count as f64),
                Size(class.size).to_string(),
                rows::share(class.size as f64, size as f64),
            ];
            columns.push(numbers, bar(class.size, largest));
        }
        self.heading("By size of a block", out)?;
        columns.write(self.layout, out)
    }

    /// Says nothing of a snapshot that has the allocator's blocks only.
    fn write_domains(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        let domains = snapshot.domains();
        if domains.iter().all(|total| total.domain == Domain::HEAP) {
            return Ok(());
        }
        let size = snapshot.total_size();
        let mut columns = Columns::new(&["size", "share", "blocks", "domain"]);
        for total in &domains {
            let numbers = vec![
                Size(total.size).to_string(),
                rows::share(total.size as f64, size as f64),
                total.count.to_string(),
            ];
            let whose = match total.domain {
                Domain::HEAP => "0 (global allocator)".to_owned(),
                Domain(number) => number.to_string(),
            };
            columns.push(numbers, whose);
        }
        self.heading("By domain", out)?;
        columns.write(self.layout, out)
    }

    fn write_crates(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        let crates = snapshot.statistics(GroupBy::Crate);
        let (shown, others) = crates.split_at(self.limit.min(crates.len()));
        if shown.is_empty() {
            return Ok(());
        }
        let text = Text {
            group_by: GroupBy::Crate,
            layout: self.layout,
            ..Text::default()
        };
        self.heading("By crate", out)?;
        let table = rows::of_statistics(&text, shown, snapshot.total_size(), None);
        super::table::write_rows(&table, self.layout, out)?;
        text.write_others(others, out)
    }
}

fn totals(snapshot: &Snapshot) -> String {
    let (size, blocks) = (snapshot.total_size(), snapshot.block_count());
    let what = notes::heading(snapshot);
    let mut text = format!(
        "{what}: {} in {}",
        Size(size),
        notes::counted(blocks, "block")
    );
    if blocks > 0 {
        text += &format!(", average {}", Bytes(size as f64 / blocks as f64));
    }
    let peak = snapshot.recording().peak;
    if peak > 0 {
        text += &format!("; {} {}", notes::peak_of(snapshot), Size(peak));
    }
    text
}

fn range(class: &SizeClass) -> String {
    if class.min == class.max {
        return Size(class.max).to_string();
    }
    // Ends are powers of two, which are whole in the unit that suits them.
    format!("to {}", whole(class.max))
}

/// A power of two in the largest unit in which it is whole.
fn whole(size: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = (size.trailing_zeros() / 10) as usize;
    match UNITS.get(unit) {
        Some(name) => format!("{} {name}", size >> (10 * unit)),
        None => Size(size).to_string(),
    }
}

fn bar(size: u64, largest: u64) -> String {
    if largest == 0 {
        return String::new();
    }
    let length = (size as f64 / largest as f64 * BAR as f64).round() as usize;
    "#".repeat(length.min(BAR))
}
