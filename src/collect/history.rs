//! What a session with a history knows beside its live blocks, for a snapshot.

use super::Collector;
use crate::engine::{Amount, Guard, Session, StackHistory as Sums, StackId};
use crate::sections::Busy;
use crate::snapshot::{BlockSum, Domain, HistoryRow, StackHistory};

/// The history of one stack and domain, as it was recorded.
pub(super) struct StackSums {
    pub(super) stack: StackId,
    domain: u32,
    sums: Sums,
}

impl Collector<'_> {
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
        highest: sum(sums.most),
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
