//! Whether a report for people shows own code, and what it says of it.

use std::cmp::Reverse;

use super::notes;
use super::text::share;
use crate::error::Error;
use crate::snapshot::{CodeShares, GroupBy, Size, SizeDiff, Snapshot};

/// Whether a report for people blames [own code](Snapshot::own_code), which is the nearest frame of the
/// program's own packages, or the frame that made the allocation.
///
/// ```
/// use tracemalloc::report::{OwnCode, Text};
/// use tracemalloc::{Domain, Frame, FrameOrigin, Snapshot, Trace, Traceback};
///
/// let frames = [
///     Frame::new("src/main.rs", 12).with_origin(FrameOrigin::Own),
///     Frame::new("hyper-1.6.0/src/server.rs", 90).with_origin(FrameOrigin::Dependency),
/// ];
/// let stack = Traceback::from_oldest_first(frames).unwrap();
/// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, stack)], 25);
/// let table = |own_code| -> std::io::Result<String> {
///     let mut out = Vec::new();
///     Text::new().own_code(own_code).write(&snapshot, &mut out)?;
///     Ok(String::from_utf8_lossy(&out).into_owned())
/// };
/// assert!(table(OwnCode::Auto)?.contains("src/main.rs:12"));
/// assert!(table(OwnCode::Never)?.contains("hyper-1.6.0/src/server.rs:90"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OwnCode {
    /// Own code where it serves: in groups by file, line or function, if dependencies allocated more than
    /// half of the bytes, and own code is in the stacks of at least a tenth of them. Of a difference the
    /// changes count. The header says so.
    #[default]
    Auto,
    /// Own code.
    Always,
    /// The frames that made the allocations.
    Never,
}

/// The share of the bytes that dependencies allocate above which own code is shown.
const MAX_DEPENDENCIES: f64 = 0.5;

/// The share of the bytes that own code has to answer for, since the rest is one row.
const MIN_OWN: f64 = 0.1;

/// Names of crates that are shown of memory without own code.
const MAX_CRATES: usize = 4;

impl OwnCode {
    /// True if a report of `snapshot` in groups by `group_by` shows own code: the rule of [`OwnCode::Auto`]
    /// for reports of a program's own.
    ///
    /// ```
    /// use tracemalloc::{GroupBy, Snapshot, report::OwnCode};
    ///
    /// let nothing = Snapshot::from_traces([], 25);
    /// assert!(!OwnCode::Auto.applies_to(&nothing, GroupBy::Line));
    /// assert!(OwnCode::Always.applies_to(&nothing, GroupBy::Line));
    /// ```
    pub fn applies_to(self, snapshot: &Snapshot, group_by: GroupBy) -> bool {
        self.of(snapshot, group_by).is_some()
    }

    /// The shares of what is shown, if that is own code.
    pub(super) fn of(self, snapshot: &Snapshot, group_by: GroupBy) -> Option<CodeShares> {
        let is_possible = self.is_possible(group_by);
        let shares = is_possible.then(|| CodeShares::of(snapshot));
        shares.filter(|shares| self.is_shown(shares))
    }

    /// # Errors
    ///
    /// As [`Snapshot::compare_to`].
    pub(super) fn of_change(
        self,
        new: &Snapshot,
        old: &Snapshot,
        group_by: GroupBy,
    ) -> Result<Option<CodeShares>, Error> {
        if !self.is_possible(group_by) {
            return Ok(None);
        }
        let shares = CodeShares::of_change(new, old)?;
        Ok(Some(shares).filter(|shares| self.is_shown(shares)))
    }

    fn is_possible(self, group_by: GroupBy) -> bool {
        let groups_code = matches!(group_by, GroupBy::File | GroupBy::Line | GroupBy::Function);
        match self {
            Self::Auto => groups_code,
            Self::Always => !group_by.is_label(),
            Self::Never => false,
        }
    }

    fn is_shown(self, shares: &CodeShares) -> bool {
        let serves = shares.dependencies > MAX_DEPENDENCIES && shares.own >= MIN_OWN;
        self == Self::Always || serves
    }

    /// What the header says where own code is shown of `what`, the bytes or the change.
    pub(super) fn header(self, shares: &CodeShares, what: &str, group_by: GroupBy) -> Vec<String> {
        let shares = in_words(shares, what);
        let groups = notes::capitalised(&group_by.to_string());
        let others = format!("{groups}s of dependencies: --own-code=never or OwnCode::Never");
        let is_asked_for = self == Self::Always;
        std::iter::once(shares)
            .chain((!is_asked_for).then_some(others))
            .collect()
    }
}

/// The shares of `what`, the bytes or the change.
pub(super) fn in_words(shares: &CodeShares, what: &str) -> String {
    let percent = |part| share(part, 1.0);
    let (own, dependencies) = (percent(shares.own), percent(shares.dependencies));
    format!("Own code is in the stacks of {own} of {what}; dependencies allocated {dependencies}")
}

/// The crates that allocated memory without own code, and how much of it; of a difference with signs.
pub(super) fn crates_without_own(shares: &CodeShares, is_change: bool) -> String {
    let mut crates: Vec<(&String, &i64)> = shares.without_own.iter().collect();
    crates.sort_by_key(|(name, size)| (Reverse(size.unsigned_abs()), *name));
    let (shown, others) = crates.split_at(crates.len().min(MAX_CRATES));
    let texts = shown.iter().map(|(name, size)| match is_change {
        true => format!("{name} {:+}", SizeDiff(**size)),
        false => format!("{name} {}", Size(size.unsigned_abs())),
    });
    let others = (!others.is_empty()).then(|| format!("{} other", others.len()));
    texts.chain(others).collect::<Vec<_>>().join(", ")
}
