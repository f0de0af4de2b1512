//! The history of a snapshot as the file's views, in both directions.
//!
//! `allocated` has a sum for each stack and domain of the history; the sums of `at_peak` and
//! `temporary` are parts of those.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::columns;
use super::limits::invalid;
use super::schema::{SumRow, ViewRows};
use crate::error::Error;
use crate::snapshot::history::{BlockSum, HistoryRow, StackHistory};
use crate::snapshot::trace::{Domain, Snapshot};

const ALLOCATED: &str = "allocated";
const AT_PEAK: &str = "at_peak";
const TEMPORARY: &str = "temporary";

type Views<'a> = BTreeMap<Cow<'a, str>, ViewRows>;

/// The views of a snapshot, with stacks numbered as `stack_of` says; none without history.
///
/// # Errors
///
/// [`InvalidFile`](crate::ErrorKind::InvalidFile) if the sums are more than a reader accepts.
pub(super) fn of_snapshot(snapshot: &Snapshot, stack_of: &[u32]) -> Result<Views<'static>, Error> {
    if !snapshot.has_history() {
        return Ok(Views::new());
    }
    let rows = snapshot.history_rows();
    let sums = |part: fn(&StackHistory) -> BlockSum, keeps_empty: bool| -> Vec<SumRow> {
        let rows = rows.iter().map(|row| (row, part(&row.totals)));
        let kept = rows.filter(|(_, sum)| keeps_empty || *sum != BlockSum::default());
        kept.map(|(row, sum)| {
            let stack = stack_of.get(row.stack as usize).copied();
            SumRow(stack.unwrap_or(u32::MAX), row.domain.0, sum.size, sum.count)
        })
        .collect()
    };
    let totals = || rows.iter().map(|row| row.totals);
    let allocated = ViewRows {
        sums: sums(|totals| totals.allocated, true),
        lifetimes: unless_zero(totals().map(|totals| totals.lifetime)),
        reallocations: unless_zero(
            totals().map(|totals| (totals.reallocations, totals.bytes_copied)),
        ),
        highest: unless_zero(totals().map(|totals| (totals.highest.size, totals.highest.count))),
    };
    let part = |part| ViewRows {
        sums: sums(part, false),
        ..ViewRows::default()
    };
    let views = Views::from([
        (Cow::Borrowed(ALLOCATED), allocated),
        (Cow::Borrowed(AT_PEAK), part(|totals| totals.at_peak)),
        (Cow::Borrowed(TEMPORARY), part(|totals| totals.temporary)),
    ]);
    for (name, view) in &views {
        columns::check_view(name, view, stack_of.len())?;
    }
    Ok(views)
}

/// A list that says nothing is left out.
fn unless_zero<T: Default + PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let values: Vec<T> = values.collect();
    match values.iter().all(|value| *value == T::default()) {
        true => Vec::new(),
        false => values,
    }
}

/// The history in the views of a file, with checked indices.
pub(super) fn to_history(views: &Views<'_>) -> Result<Option<Vec<HistoryRow>>, Error> {
    let known = [ALLOCATED, AT_PEAK, TEMPORARY];
    if !known.iter().any(|name| views.contains_key(*name)) {
        return Ok(None);
    }
    let view = |name: &str| {
        views.get(name).ok_or_else(|| {
            invalid(format!(
                "`views` has no {name:?}, but others of the history"
            ))
        })
    };
    let mut history = History::new(view(ALLOCATED)?);
    history.add(AT_PEAK, view(AT_PEAK)?, |totals| &mut totals.at_peak)?;
    history.add(TEMPORARY, view(TEMPORARY)?, |totals| &mut totals.temporary)?;
    Ok(Some(history.rows))
}

struct History {
    /// By stack and domain.
    rows: Vec<HistoryRow>,
}

impl History {
    fn new(allocated: &ViewRows) -> Self {
        let sums = allocated.sums.iter().enumerate();
        let mut rows: Vec<HistoryRow> = sums
            .map(|(index, sum)| {
                let highest = allocated.highest.get(index).copied().unwrap_or_default();
                let moves = allocated.reallocations.get(index).copied();
                let (reallocations, bytes_copied) = moves.unwrap_or_default();
                let totals = StackHistory {
                    allocated: BlockSum::new(sum.2, sum.3),
                    highest: BlockSum::new(highest.0, highest.1),
                    lifetime: allocated.lifetimes.get(index).copied().unwrap_or_default(),
                    reallocations,
                    bytes_copied,
                    ..StackHistory::default()
                };
                HistoryRow {
                    stack: sum.0,
                    domain: Domain(sum.1),
                    totals,
                }
            })
            .collect();
        rows.sort_unstable_by_key(|row| (row.stack, row.domain));
        Self { rows }
    }

    /// Adds the sums of a view to the rows of their stacks.
    fn add(
        &mut self,
        name: &str,
        view: &ViewRows,
        part: fn(&mut StackHistory) -> &mut BlockSum,
    ) -> Result<(), Error> {
        for (number, sum) in view.sums.iter().enumerate() {
            let key = (sum.0, Domain(sum.1));
            let place = self
                .rows
                .partition_point(|row| (row.stack, row.domain) < key);
            let row = self.rows.get_mut(place);
            let row = row.filter(|row| (row.stack, row.domain) == key);
            let row = row.ok_or_else(|| {
                invalid(format!(
                    "sum {number} of the view {name:?} is of stack {} and domain {}, which \
                     {ALLOCATED:?} lacks",
                    sum.0, sum.1
                ))
            })?;
            let part = part(&mut row.totals);
            *part = part.plus(BlockSum::new(sum.2, sum.3));
        }
        Ok(())
    }
}
