//! What a session with a history knows beside its live blocks, for a snapshot.

use std::collections::HashMap;

use super::Collector;
use crate::engine::{Amount, Guard, Session, StackHistory as Sums, StackId};
use crate::sections::Busy;
use crate::snapshot::{BlockSum, Domain, HistoryRow, StackHistory};

/// Histories at an earlier moment, by domain and stack.
pub(crate) type Before = HashMap<(u32, StackId), Sums>;

/// The history of one stack and domain, as it was recorded.
pub(super) struct StackSums {
    pub(super) stack: StackId,
    domain: u32,
    sums: Sums,
}

impl StackSums {
    /// Leaves what happened after `before`.
    pub(super) fn subtract(&mut self, before: &Before) {
        if let Some(earlier) = before.get(&(self.domain, self.stack)) {
            self.sums = self.sums.since(earlier);
        }
    }

    pub(super) fn is_any(&self) -> bool {
        self.sums.allocated != Amount::default()
    }
}

impl Collector<'_> {
    /// Calls `visit` with every domain and stack that has live blocks or a history in `session`: how many
    /// blocks and bytes are live there, and the history. A stack may be met more than once.
    pub(crate) fn for_each_stack(
        &self,
        session: Session,
        guard: &Guard,
        mut visit: impl FnMut(u32, StackId, Amount, Option<Sums>),
    ) -> Result<(), Busy> {
        // Histories of a sample are estimates.
        let is_exact = session.has_history() && !session.is_sampled();
        for StackSums {
            stack,
            domain,
            sums,
        } in self.history(session, guard)?.unwrap_or_default()
        {
            let live = if is_exact {
                sums.live
            } else {
                Amount::default()
            };
            visit(domain, stack, live, Some(sums));
        }
        if is_exact {
            return Ok(());
        }
        let one = |bytes| Amount { bytes, blocks: 1 };
        for (domain, region) in self.external.regions(session, guard)? {
            visit(domain, region.stack, one(region.size), None);
        }
        self.tracker
            .for_each_block(session, |bytes, stack| visit(0, stack, one(bytes), None));
        Ok(())
    }

    /// The history of every stack and domain; `None` if the session has none.
    pub(super) fn history(
        &self,
        session: Session,
        guard: &Guard,
    ) -> Result<Option<Vec<StackSums>>, Busy> {
        if !session.has_history() {
            return Ok(None);
        }
        let mut all = Vec::new();
        self.tracker.for_each_history(session, |stack, sums| {
            all.push(StackSums {
                stack,
                domain: 0,
                sums,
            });
        });
        let external = self.external.histories(self.tracker, session, guard)?;
        all.extend(external.into_iter().map(|(domain, stack, sums)| StackSums {
            stack,
            domain,
            sums,
        }));
        Ok(Some(all))
    }
}

/// Rows of a snapshot, whose stacks have the numbers that `number_of` says.
pub(super) fn rows(
    history: Vec<StackSums>,
    mut number_of: impl FnMut(StackId) -> u32,
) -> Vec<HistoryRow> {
    let row = |of: StackSums| HistoryRow {
        stack: number_of(of.stack),
        domain: Domain(of.domain),
        totals: totals(of.sums),
    };
    history.into_iter().map(row).collect()
}

fn totals(sums: Sums) -> StackHistory {
    const MICROSECONDS: u64 = 1000;
    StackHistory {
        at_peak: sum(sums.at_peak),
        highest: sum(sums.highest),
        allocated: sum(sums.allocated),
        temporary: sum(sums.temporary),
        reallocations: sums.resized.times,
        bytes_copied: sums.resized.copied,
        lifetime: sums.lifetime.saturating_mul(MICROSECONDS),
    }
}

fn sum(amount: Amount) -> BlockSum {
    BlockSum::new(amount.bytes, amount.blocks)
}
