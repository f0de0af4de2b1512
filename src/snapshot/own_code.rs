//! How much memory the program's own code answers for.

use std::collections::BTreeMap;

use super::frame::{Frame, UNKNOWN};
use super::group_by::GroupBy;
use super::origin::FrameOrigin;
use super::size::difference;
use super::trace::Snapshot;
use super::traceback::Traceback;
use crate::error::Error;

/// What stands for the frames of a stack without own code.
pub(crate) const NO_OWN_CODE: &str = "<no own code>";

/// True for code of the program's own packages. The tracer is none of them, wherever its sources are.
pub(crate) fn is_own_code(frame: &Frame) -> bool {
    frame.origin() == Some(FrameOrigin::Own) && frame.crate_name() != Some("tracemalloc")
}

/// Whose code is in the stacks of a snapshot's memory, or of what changed between two. Shares are from 0
/// to 1, of the bytes; of two snapshots of the changes of lines, growth and shrinkage alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CodeShares {
    /// With a frame of the program's own packages.
    pub(crate) own: f64,
    /// Allocated by a frame of a dependency.
    pub(crate) dependencies: f64,
    /// Without own code, by the crate of the allocating frame: bytes, or their change.
    pub(crate) without_own: BTreeMap<String, i64>,
}

impl CodeShares {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let sizes = CodeSizes::of(snapshot);
        Self {
            own: share(sizes.own, sizes.total),
            dependencies: share(sizes.dependencies, sizes.total),
            without_own: changes(&sizes.without_own, &BTreeMap::new()),
        }
    }

    /// # Errors
    ///
    /// As [`Snapshot::compare_to`].
    pub(crate) fn of_change(new: &Snapshot, old: &Snapshot) -> Result<Self, Error> {
        let dependencies = share_of_change(new, old, |frame| {
            frame.origin() == Some(FrameOrigin::Dependency)
        })?;
        let own = share_of_change(&new.own_code(), &old.own_code(), |frame| {
            frame.filename() != NO_OWN_CODE
        })?;
        let [new, old] = [new, old].map(|snapshot| CodeSizes::of(snapshot).without_own);
        Ok(Self {
            own,
            dependencies,
            without_own: changes(&new, &old),
        })
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The part of all changes that lines of which `is_counted` is true have.
fn share_of_change(
    new: &Snapshot,
    old: &Snapshot,
    is_counted: impl Fn(&Frame) -> bool,
) -> Result<f64, Error> {
    let lines = new.compare_to(old, GroupBy::Line)?;
    let sum = |sum: u64, size: i64| sum.saturating_add(size.unsigned_abs());
    let counted = lines
        .iter()
        .filter(|line| is_counted(line.traceback.most_recent()));
    let counted = counted.map(|line| line.size_diff).fold(0, sum);
    Ok(share(
        counted,
        lines.iter().map(|line| line.size_diff).fold(0, sum),
    ))
}

/// Names with the difference of their bytes, where there is one.
fn changes(new: &BTreeMap<String, u64>, old: &BTreeMap<String, u64>) -> BTreeMap<String, i64> {
    let of = |sizes: &BTreeMap<String, u64>, name| sizes.get(name).copied().unwrap_or(0);
    let names = new.keys().chain(old.keys());
    let changes = names.map(|name| (name.clone(), difference(of(new, name), of(old, name))));
    changes.filter(|(_, size)| *size != 0).collect()
}

/// Bytes of a snapshot by whose code is in their stacks.
#[derive(Default)]
struct CodeSizes {
    total: u64,
    own: u64,
    dependencies: u64,
    without_own: BTreeMap<String, u64>,
}

impl CodeSizes {
    fn of(snapshot: &Snapshot) -> Self {
        let classes: Vec<_> = snapshot.stacks().iter().map(class).collect();
        let mut sizes = Self::default();
        for ((crate_name, is_dependency), total) in
            snapshot.summed_by(|run| classes[run.stack as usize])
        {
            let add = |sum: &mut u64| *sum = sum.saturating_add(total.size);
            add(&mut sizes.total);
            if is_dependency {
                add(&mut sizes.dependencies);
            }
            match crate_name {
                None => add(&mut sizes.own),
                Some(name) => add(sizes.without_own.entry(name.to_owned()).or_default()),
            }
        }
        sizes
    }
}

/// The crate that allocates if the stack has no own code, and whether a dependency allocates.
fn class(stack: &Traceback) -> (Option<&str>, bool) {
    let allocating = stack.most_recent();
    let crate_name = match stack.newest_first().any(is_own_code) {
        true => None,
        false => Some(allocating.crate_name().unwrap_or(UNKNOWN)),
    };
    let is_dependency = allocating.origin() == Some(FrameOrigin::Dependency);
    (crate_name, is_dependency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::trace::{Domain, Trace};

    /// Names of frames, oldest first: `o…` are own, `d…` of the dependency of that name.
    fn block(size: u64, names: &str) -> Trace {
        let frames = names.split(' ').map(|name| {
            let frame = Frame::new(name, 1).with_crate(name);
            match name.as_bytes()[0] {
                b'o' => frame.with_origin(FrameOrigin::Own),
                b'd' => frame.with_origin(FrameOrigin::Dependency),
                _ => frame,
            }
        });
        let stack = Traceback::from_oldest_first(frames).expect("a stack of some frames");
        Trace::new(Domain::HEAP, size, stack)
    }

    fn snapshot(blocks: &[(u64, &str)]) -> Snapshot {
        Snapshot::from_traces(blocks.iter().map(|(size, names)| block(*size, names)), 9)
    }

    #[test]
    fn bytes_are_told_by_whose_code_is_in_their_stacks() {
        let shares = CodeShares::of(&snapshot(&[
            (10, "o d1"),
            (20, "o1 d1 o2"),
            (30, "d1 d2"),
            (15, "d2"),
            (5, "d1 x"),
        ]));
        assert_eq!(
            (shares.own, shares.dependencies),
            (30.0 / 80.0, 55.0 / 80.0)
        );
        let without_own = [("d2".to_owned(), 45), ("x".to_owned(), 5)];
        assert_eq!(shares.without_own, BTreeMap::from(without_own));
        assert_eq!(CodeShares::of(&snapshot(&[])), CodeShares::default());
    }

    #[test]
    fn the_tracer_is_nobodys_own_code() {
        let tracer = Frame::new("write.rs", 44).with_origin(FrameOrigin::Own);
        assert!(is_own_code(&tracer));
        assert!(!is_own_code(&tracer.with_crate("tracemalloc")));
    }

    #[test]
    fn changes_of_lines_are_told_so_too() {
        let old = snapshot(&[(100, "o1"), (50, "o1 d1"), (40, "d2"), (7, "x")]);
        let new = snapshot(&[(100, "o1"), (80, "o1 d1"), (30, "d2"), (7, "x")]);
        let shares = CodeShares::of_change(&new, &old).expect("snapshots of one kind");
        assert_eq!((shares.own, shares.dependencies), (0.75, 1.0));
        assert_eq!(shares.without_own, BTreeMap::from([("d2".to_owned(), -10)]));
    }
}
