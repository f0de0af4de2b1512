//! What a file may add to its tables: checked here, whether or not this version shows it.

use super::limits::{self, invalid};
use super::read::Body;
use super::schema::ViewRows;
use crate::error::Error;

/// Checks every list beside a table and every table of version 2.
pub(super) fn check(body: &Body, strings: usize) -> Result<(), Error> {
    let stacks = body.stacks.len();
    check_len("stack_types", body.stack_types.len(), stacks, "stacks")?;
    check_len("stack_trims", body.stack_trims.len(), stacks, "stacks")?;
    check_len("stack_tags", body.stack_tags.len(), stacks, "stacks")?;
    check_len("stack_threads", body.stack_threads.len(), stacks, "stacks")?;
    check_indices("the type of stack", &body.stack_types, strings)?;
    check_indices("the tag of stack", &body.stack_tags, strings)?;
    check_indices("the thread of stack", &body.stack_threads, strings)?;
    for (number, stack) in body.incomplete_stacks.iter().enumerate() {
        let owner = || format!("incomplete stack {number}");
        check_index(Some(*stack), stacks, "stack", owner)?;
    }
    if !body.incomplete_stacks.is_sorted() {
        return Err(invalid("the incomplete stacks are not in order"));
    }
    for (name, view) in &body.views {
        limits::check_text("the name of a view", name)?;
        check_view(name, view, stacks)?;
    }
    Ok(())
}

/// A list that is there has an entry for each of the table's.
fn check_len(list: &str, found: usize, expected: usize, table: &str) -> Result<(), Error> {
    if found != 0 && found != expected {
        return Err(invalid(format!(
            "`{list}` has {found} entries, but there are {expected} {table}"
        )));
    }
    Ok(())
}

fn check_indices(owner: &str, list: &[Option<u32>], strings: usize) -> Result<(), Error> {
    for (number, index) in list.iter().enumerate() {
        check_index(*index, strings, "string", || format!("{owner} {number}"))?;
    }
    Ok(())
}

fn check_index(
    index: Option<u32>,
    len: usize,
    what: &str,
    owner: impl FnOnce() -> String,
) -> Result<(), Error> {
    match index {
        Some(index) if index as usize >= len => Err(invalid(format!(
            "{} refers to {what} {index}, but there are {len}",
            owner()
        ))),
        _ => Ok(()),
    }
}

/// Checks one view: its lists, indices and sums.
pub(super) fn check_view(name: &str, view: &ViewRows, stacks: usize) -> Result<(), Error> {
    let sums = view.sums.len();
    let table = "sums of the view";
    check_len("lifetimes", view.lifetimes.len(), sums, table)?;
    check_len("reallocations", view.reallocations.len(), sums, table)?;
    check_len("highest", view.highest.len(), sums, table)?;
    let (mut bytes, mut blocks) = (0_u64, 0_u64);
    for (number, row) in view.sums.iter().enumerate() {
        let owner = || format!("sum {number} of the view {name:?}");
        check_index(Some(row.0), stacks, "stack", owner)?;
        if row.2 > 0 && row.3 == 0 {
            return Err(invalid(format!("{} has bytes but no blocks", owner())));
        }
        let sums = (bytes.checked_add(row.2), blocks.checked_add(row.3));
        let countable = |blocks: &u64| i64::try_from(*blocks).is_ok();
        let (Some(more_bytes), Some(more_blocks)) = (sums.0, sums.1.filter(countable)) else {
            return Err(invalid(format!(
                "the blocks up to {} are more than can be counted",
                owner()
            )));
        };
        (bytes, blocks) = (more_bytes, more_blocks);
    }
    Ok(())
}
