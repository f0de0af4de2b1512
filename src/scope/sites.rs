//! The lines of the program's own code that a scope's blocks come from.

use std::fmt;

use super::guard::ScopeHandle;
use crate::error::Error;
use crate::snapshot::{GroupBy, Size, Snapshot, Statistic, View, is_own_code};

/// Lines that are shown.
const SHOWN: usize = 5;

/// Lines with their blocks, the largest first.
#[derive(Debug)]
pub(super) struct Sites {
    is_live: bool,
    lines: Vec<Statistic>,
}

impl Sites {
    /// Where the scope's live blocks come from if `live` is set, else all that it allocated.
    pub(super) fn of(scope: &ScopeHandle, live: bool) -> Result<Self, Error> {
        scope.owned(|recording, guard| {
            let snapshot = recording.snapshot(guard)?;
            Ok(Self::in_snapshot(&snapshot, live))
        })
    }

    /// Without history there are the live blocks alone.
    pub(super) fn in_snapshot(snapshot: &Snapshot, live: bool) -> Self {
        let all = snapshot.view(View::Allocated).ok().filter(|_| !live);
        let shown = all.as_ref().unwrap_or(snapshot);
        Self {
            is_live: all.is_none(),
            lines: own_lines(shown),
        }
    }
}

/// Blocks by the nearest line of the program's own code. Where nobody knows whose code is whose, any line is
/// better than none.
pub(super) fn own_lines(snapshot: &Snapshot) -> Vec<Statistic> {
    let own = snapshot.own_code();
    let mut stacks = own.stacks().iter();
    let is_known = stacks.any(|stack| is_own_code(stack.most_recent()));
    if is_known { &own } else { snapshot }.statistics(GroupBy::Line)
}

impl fmt::Display for Sites {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_live {
            "still live"
        } else {
            "allocated"
        };
        let total: u64 = self.lines.iter().map(|line| line.size).sum();
        if self.lines.is_empty() {
            return write!(out, "{what}: nothing that was recorded");
        }
        writeln!(out, "{what}, by line:")?;
        for line in self.lines.iter().take(SHOWN) {
            let share = 100.0 * line.size as f64 / total.max(1) as f64;
            let place = line.traceback.most_recent();
            let blocks = if line.count == 1 { "block" } else { "blocks" };
            let (size, count) = (Size(line.size).to_string(), line.count);
            writeln!(
                out,
                "  {size:>10} {share:>5.1} %  {count} {blocks}  {place}"
            )?;
        }
        if let Some(more) = self.lines.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            writeln!(out, "  and {more} lines more")?;
        }
        write!(
            out,
            "to see stacks: Scope::recording() around the section, and its snapshot()"
        )
    }
}
