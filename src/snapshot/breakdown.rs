//! What a snapshot consists of, besides groups of frames: sizes of blocks, domains, and files of
//! machine code.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::frame::Module;
use super::runs::Run;
use super::total::{Estimate, Sum, Total};
use super::trace::{Domain, Snapshot};
use crate::error::Error;

/// Blocks of about the same size, summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeClass {
    /// The smallest size of a block in this class, in bytes.
    pub min: u64,
    /// The largest size of a block in this class, in bytes.
    pub max: u64,
    /// Bytes in all blocks of the class.
    pub size: u64,
    /// Blocks.
    pub count: u64,
}

/// The blocks of one domain, summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DomainTotal {
    /// Whose memory it is.
    pub domain: Domain,
    /// Bytes.
    pub size: u64,
    /// Blocks.
    pub count: u64,
}

impl Snapshot {
    /// The blocks summed by their size, smallest first. Classes without blocks are left out.
    ///
    /// Blocks of no bytes are a class, those of 1 to 8 bytes another; from there on each class ends
    /// at twice the size of the one before it. Sums are estimates if the snapshot is
    /// [sampled](Self::sample_every).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSingleBlocks`](crate::ErrorKind::NoSingleBlocks) if the snapshot is a
    /// [view](Self::view) other than of live memory.
    ///
    /// ```
    /// use tracemalloc::{Domain, Snapshot, Trace, Traceback};
    ///
    /// let block = |size| Trace::new(Domain::HEAP, size, Traceback::unknown());
    /// let snapshot = Snapshot::from_traces([block(16), block(17), block(32)], 1);
    /// let classes = snapshot.size_classes()?;
    /// assert_eq!((classes[0].min, classes[0].max, classes[0].count), (9, 16, 1));
    /// assert_eq!((classes[1].min, classes[1].max, classes[1].size), (17, 32, 49));
    /// # Ok::<(), tracemalloc::Error>(())
    /// ```
    pub fn size_classes(&self) -> Result<Vec<SizeClass>, Error> {
        self.check_single_blocks("no sizes of blocks")?;
        let classes = self.summed_by(|run| class_of(run.size)).into_iter();
        Ok(classes
            .map(|((min, max), Total { size, count })| SizeClass {
                min,
                max,
                size,
                count,
            })
            .collect())
    }

    /// The blocks summed by their domain, in ascending order. Domains without blocks are left out.
    /// Sums of the allocator's blocks are estimates if the snapshot is
    /// [sampled](Self::sample_every).
    ///
    /// ```
    /// use tracemalloc::{Domain, Snapshot, Trace, Traceback};
    ///
    /// let block = |domain| Trace::new(Domain(domain), 8, Traceback::unknown());
    /// let snapshot = Snapshot::from_traces([block(7), block(0), block(7)], 1);
    /// let counts: Vec<_> = snapshot.domains().iter().map(|d| (d.domain.0, d.count)).collect();
    /// assert_eq!(counts, [(0, 1), (7, 2)]);
    /// ```
    pub fn domains(&self) -> Vec<DomainTotal> {
        let domains = self.summed_by(|run| run.domain).into_iter();
        domains
            .map(|(domain, Total { size, count })| DomainTotal {
                domain,
                size,
                count,
            })
            .collect()
    }

    /// Number of distinct stacks that the blocks have. Counted without comparing their texts: stacks
    /// that differ in columns or depths alone are several here, and one group of
    /// [`GroupBy::Traceback`](crate::GroupBy::Traceback).
    ///
    /// ```
    /// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};
    ///
    /// let at = |line| Trace::new(Domain::HEAP, 8, Traceback::of(Frame::new("src/main.rs", line)));
    /// assert_eq!(Snapshot::from_traces([at(1), at(2), at(1)], 1).stack_count(), 2);
    /// ```
    pub fn stack_count(&self) -> u64 {
        self.stacks_in_use()
            .into_iter()
            .filter(|used| *used)
            .count() as u64
    }

    /// Of each stack whether a block has it; a filtered snapshot holds others.
    fn stacks_in_use(&self) -> Vec<bool> {
        let mut used = vec![false; self.stacks.len()];
        for run in &self.runs {
            used[run.stack as usize] = true;
        }
        used
    }

    /// The files of machine code that the blocks' frames are in, by path and then build id.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tracemalloc::{Domain, Frame, Module, Snapshot, Trace, Traceback};
    ///
    /// let program = Arc::new(Module::new("/usr/bin/app", Some("9f86d081".to_owned())));
    /// let frame = Frame::new("src/main.rs", 12).with_code(program, 0x11d7);
    /// let block = Trace::new(Domain::HEAP, 8, Traceback::of(frame));
    /// let snapshot = Snapshot::from_traces([block], 1);
    /// assert_eq!(snapshot.modules()[0].build_id.as_deref(), Some("9f86d081"));
    /// ```
    pub fn modules(&self) -> Vec<&Module> {
        let stacks = self
            .stacks
            .iter()
            .zip(self.stacks_in_use())
            .filter(|(_, used)| *used);
        let (mut met, mut calls) = (HashSet::new(), HashMap::new());
        let mut modules: Vec<&Module> = stacks
            .flat_map(|(stack, _)| {
                stack
                    .newest_unmet(&mut calls)
                    .filter_map(|frame| frame.code())
            })
            .filter(|(module, _)| met.insert(Arc::as_ptr(module).addr()))
            .map(|(module, _)| module.as_ref())
            .collect();
        modules.sort_unstable_by_key(|module| (&module.path, &module.build_id));
        modules.dedup();
        modules
    }

    pub(super) fn summed_by<K: Ord>(&self, key: impl Fn(&Run) -> K) -> BTreeMap<K, Total> {
        match self.weights() {
            None => self.sums_by(key, Total::of),
            Some(sampling) => {
                let estimate = |run: &Run, count| Estimate::of(sampling, run, count);
                let sums = self.sums_by(key, estimate).into_iter();
                sums.map(|(key, sum)| (key, sum.rounded())).collect()
            }
        }
    }

    fn sums_by<K: Ord, S: Sum>(
        &self,
        key: impl Fn(&Run) -> K,
        amount: impl Fn(&Run, u64) -> S,
    ) -> BTreeMap<K, S> {
        let mut sums: BTreeMap<K, S> = BTreeMap::new();
        for (run, count) in self.counted_runs() {
            sums.entry(key(run)).or_default().add(amount(run, count));
        }
        sums
    }
}

/// The smallest and the largest size of the class that blocks of `size` bytes are in.
fn class_of(size: u64) -> (u64, u64) {
    const SMALLEST: u64 = 8;
    match size {
        0 => (0, 0),
        1..=SMALLEST => (1, SMALLEST),
        _ => match size.checked_next_power_of_two() {
            Some(max) => (max / 2 + 1, max),
            None => ((1 << 63) + 1, u64::MAX),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::snapshot::filter::Filter;
    use crate::snapshot::frame::Frame;
    use crate::snapshot::trace::Trace;
    use crate::snapshot::traceback::Traceback;

    fn block(domain: u32, size: u64) -> Trace {
        Trace::new(Domain(domain), size, Traceback::unknown())
    }

    #[test]
    fn classes_meet_without_a_gap() {
        let mut next = 0;
        while next < u64::MAX {
            let (min, max) = class_of(next);
            assert_eq!(min, next);
            assert_eq!(class_of(max), (min, max));
            match max.checked_add(1) {
                Some(above) => next = above,
                None => return,
            }
        }
    }

    #[test]
    fn every_block_is_in_one_class_and_one_domain() {
        let sizes = [0, 1, 8, 9, 4096, 4097, 1 << 40];
        let mut blocks: Vec<Trace> = sizes.map(|size| block(0, size)).into();
        blocks.push(block(3, 4096));
        let exact = Snapshot::from_traces(blocks, 1);
        let sampled = exact
            .clone()
            .with_sample_every(NonZeroU64::new(1 << 19).unwrap());
        for snapshot in [exact, sampled] {
            let classes = snapshot.size_classes().unwrap();
            let domains = snapshot.domains();
            let blocks: u64 = classes.iter().map(|class| class.count).sum();
            // Each sum of estimates is rounded on its own.
            assert!(blocks.abs_diff(snapshot.block_count()) <= classes.len() as u64);
            let bytes: u64 = domains.iter().map(|domain| domain.size).sum();
            assert!(bytes.abs_diff(snapshot.total_size()) <= 2);
            assert_eq!(domains[1].size, 4096);
            assert_eq!(classes.len(), 6);
        }
    }

    #[test]
    fn modules_are_those_of_the_blocks() {
        let module = |path: &str, id: &str| Arc::new(Module::new(path, Some(id.to_owned())));
        let (program, library) = (module("/bin/app", "2"), module("/lib/z.so", "1"));
        let frame =
            |name: &str, module: &Arc<Module>| Frame::named(name).with_code(Arc::clone(module), 1);
        let stack = |frames: &[Frame]| Traceback::from_oldest_first(frames.to_vec()).unwrap();
        let both = stack(&[frame("main", &program), frame("inflate", &library)]);
        let equal = stack(&[frame("other", &module("/bin/app", "2"))]);
        let snapshot = Snapshot::from_traces(
            [
                Trace::new(Domain(0), 1, equal),
                Trace::new(Domain(1), 1, both),
            ],
            1,
        );
        let shown = |snapshot: &Snapshot| -> Vec<String> {
            let modules = snapshot.modules().into_iter();
            modules.map(|module| module.path.clone()).collect()
        };
        assert_eq!(shown(&snapshot), ["/bin/app", "/lib/z.so"]);
        let heap = snapshot.filter_traces([Filter::include_domain(Domain::HEAP)]);
        assert_eq!(shown(&heap), ["/bin/app"]);
    }
}
