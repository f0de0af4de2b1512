//! What objects cost each, and how variants of them compare.

use std::fmt;

use super::guard::measure;
use super::usage::Usage;
use crate::snapshot::Size;

/// What a number of objects of one kind take together, and each of them on average.
///
/// `Display` writes a line for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PerObject {
    /// How many were made.
    pub objects: usize,
    /// Bytes of all of them: their own, as they stand one after the other in a `Vec`, and what they hold
    /// on the heap.
    pub bytes: u64,
    /// Blocks of the heap that they hold.
    pub blocks: u64,
}

impl PerObject {
    fn new(objects: usize, own: usize, usage: &Usage) -> Self {
        let held = |net: i64| net.max(0) as u64;
        Self {
            objects,
            bytes: held(usage.net_bytes()).saturating_add(objects.saturating_mul(own) as u64),
            blocks: held(usage.net_blocks()),
        }
    }

    /// Bytes of one object, on average; 0 of none.
    pub fn bytes_each(&self) -> f64 {
        self.bytes as f64 / self.objects.max(1) as f64
    }

    /// Blocks of one object, on average; 0 of none.
    pub fn blocks_each(&self) -> f64 {
        self.blocks as f64 / self.objects.max(1) as f64
    }
}

impl fmt::Display for PerObject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:.1} B in {:.1} blocks each; {} of {} objects",
            self.bytes_each(),
            self.blocks_each(),
            Size(self.bytes),
            self.objects
        )
    }
}

/// Makes `objects` of a kind and says what they take each. `make` is called with 0, 1, 2 and so on.
///
/// An object takes its own size, as an element of a `Vec`, and what is left on the heap from making it. All
/// of them live until the last one is counted.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() {
/// let each = tracemalloc::measure_each(1_000, |number| Box::new((number, 0.0)));
/// assert_eq!((each.bytes_each(), each.blocks_each()), (24.0, 1.0));
/// assert_eq!(each.to_string(), "24.0 B in 1.0 blocks each; 23.4 KiB of 1000 objects");
/// # }
/// ```
///
/// # Panics
/// As [`measure`].
#[track_caller]
pub fn measure_each<T>(objects: usize, make: impl FnMut(usize) -> T) -> PerObject {
    // Room for all of them beforehand: the list is no part of what the objects hold.
    let mut made = Vec::with_capacity(objects);
    let ((), usage) = measure(|| made.extend((0..objects).map(make)));
    PerObject::new(objects, size_of::<T>(), &usage)
}

/// Runs `task`, such as a `drop`, and says what it gave back: [`Usage::freed`] bytes in
/// [`Usage::frees`] blocks. What others share is not freed, and does not count.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() {
/// let words = vec!["spam".to_owned(), "eggs".to_owned()];
/// let held = tracemalloc::freed_by(|| drop(words));
/// assert_eq!((held.freed, held.frees), (2 * 24 + 8, 3));
/// # }
/// ```
///
/// # Panics
/// As [`measure`].
#[track_caller]
pub fn freed_by(task: impl FnOnce()) -> Usage {
    measure(task).1
}

/// A table that compares variants of one thing: what each object takes, and how often the smallest.
///
/// `Display` writes the table.
///
/// ```standalone_crate
/// use tracemalloc::Variants;
///
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() {
/// let mut points = Variants::new();
/// let boxed = points.each("Box<(f64, f64)>", 1_000, |_| Box::new((0.0, 0.0)));
/// let plain = points.each("(f64, f64)", 1_000, |_| (0.0, 0.0));
/// assert!(boxed.bytes > plain.bytes);
/// assert_eq!(
///     points.to_string(),
///     "\
/// variant          objects     total  B/object  blocks/object  ratio
/// Box<(f64, f64)>     1000  23.4 KiB      24.0            1.0   1.5x
/// (f64, f64)          1000  15.6 KiB      16.0            0.0   1.0x
/// "
/// );
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variants(Vec<(String, PerObject)>);

impl Variants {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a variant whose objects are made one by one, as [`measure_each`] does.
    ///
    /// # Panics
    /// As [`measure`].
    #[track_caller]
    pub fn each<T>(
        &mut self,
        label: &str,
        objects: usize,
        make: impl FnMut(usize) -> T,
    ) -> PerObject {
        self.add(label, measure_each(objects, make))
    }

    /// Adds a variant whose objects are made together, such as a struct of arrays. `make` returns a value that
    /// holds `objects` of them. Only its memory on the heap counts.
    ///
    /// # Panics
    /// As [`measure`].
    #[track_caller]
    pub fn together<T>(
        &mut self,
        label: &str,
        objects: usize,
        make: impl FnOnce() -> T,
    ) -> PerObject {
        let (made, usage) = measure(make);
        drop(made);
        self.add(label, PerObject::new(objects, 0, &usage))
    }

    fn add(&mut self, label: &str, cost: PerObject) -> PerObject {
        self.0.push((label.to_owned(), cost));
        cost
    }

    /// The variants in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, PerObject)> {
        self.0.iter().map(|(label, cost)| (label.as_str(), *cost))
    }
}

impl fmt::Display for Variants {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings = [
            "variant",
            "objects",
            "total",
            "B/object",
            "blocks/object",
            "ratio",
        ];
        let min = self.iter().map(|(_, cost)| cost.bytes_each());
        let min = min
            .filter(|bytes| *bytes > 0.0)
            .fold(f64::INFINITY, f64::min);
        let mut rows = vec![headings.map(str::to_owned)];
        rows.extend(self.iter().map(|(label, cost)| {
            let ratio = cost.bytes_each() / min;
            [
                label.to_owned(),
                cost.objects.to_string(),
                Size(cost.bytes).to_string(),
                format!("{:.1}", cost.bytes_each()),
                format!("{:.1}", cost.blocks_each()),
                if min.is_finite() {
                    format!("{ratio:.1}x")
                } else {
                    "-".to_owned()
                },
            ]
        }));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths = [0, 1, 2, 3, 4, 5].map(|column| width(column).unwrap_or(0));
        for row in &rows {
            write!(out, "{:1$}", row[0], widths[0])?;
            for (text, width) in row.iter().zip(widths).skip(1) {
                write!(out, "  {text:>width$}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_compares_with_the_smallest_and_divides_by_nothing() {
        let of = |objects, bytes, blocks| PerObject {
            objects,
            bytes,
            blocks,
        };
        let mut variants = Variants::new();
        assert_eq!(variants.to_string().lines().count(), 1);
        for (label, cost) in [
            ("größer", of(10, 1_000, 25)),
            ("smaller", of(20, 500, 0)),
            ("none", of(0, 0, 0)),
        ] {
            variants.add(label, cost);
        }
        let expected = "\
            variant  objects   total  B/object  blocks/object  ratio\n\
            größer        10  1000 B     100.0            2.5   4.0x\n\
            smaller       20   500 B      25.0            0.0   1.0x\n\
            none           0     0 B       0.0            0.0   0.0x\n";
        assert_eq!(variants.to_string(), expected);
        let mut none = Variants::new();
        none.add("none", of(3, 0, 0));
        assert!(
            none.to_string().ends_with("  0.0            0.0      -\n"),
            "{none}"
        );
    }
}
