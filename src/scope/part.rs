//! One stay of one thread in a scope.
//!
//! ```text
//! counters of the thread  ──┬───────┬──────────┬──────────┬──▶
//!                         begin   begin       end        end
//!                         outer   inner      inner      outer
//! ```
//!
//! The engine keeps the highest net of the innermost part. When a part begins, the part around it takes
//! over the highest net so far. When it ends, it passes its own highest net to the part around it.

use std::cell::RefCell;
use std::sync::Arc;

use super::owner::Owner;
use super::total::{Ticket, Total};
use crate::engine::scopes::{self, Counts};
use crate::engine::{self, Guard};
use crate::sections::Busy;

struct Part {
    total: Arc<Total>,
    ticket: Ticket,
    by: By,
    /// Who owns what the thread allocates. Blocks may be labelled so until the part ends, also when the scope
    /// has ended on another thread.
    owner: Option<Arc<Owner>>,
    /// The thread's counters when it entered.
    start: Counts,
    /// The highest net since, as far as no part inside of this one knows more.
    high: i64,
}

/// The scopes that a thread is in, the innermost last. Parts may end in any order.
struct Parts(Vec<Part>);

thread_local! {
    static PARTS: RefCell<Parts> = const { RefCell::new(Parts(Vec::new())) };
}

/// Runs `task` while the engine believes this thread to be in a scope.
pub(super) fn as_if_inside<R>(task: impl FnOnce() -> R) -> R {
    scopes::set_open(u32::MAX);
    let result = task();
    with_parts(|parts| parts.publish()).unwrap_or_else(|| scopes::set_open(0));
    result
}

/// What a thread has entered a scope by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// It opened the scope, which ends with this part.
    Opening,
    Entering,
}

/// Whether a thread is in a scope from now on by the call that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It is, and must leave.
    Now,
    /// It was already, or it can count no more since its thread-local values are gone.
    Not,
}

/// The running thread enters the scope of `total`.
pub(super) fn begin(total: &Arc<Total>, by: By) -> Entered {
    let began = with_parts(|parts| {
        if parts.position(total).is_some() {
            return Entered::Not;
        }
        match total.begin_part() {
            Ok(ticket) => parts.push(Arc::clone(total), ticket, by),
            Err(Busy) => return Entered::Not,
        }
        Entered::Now
    });
    began.unwrap_or(Entered::Not)
}

/// Who owns what the running thread allocates.
pub(super) fn owner() -> Option<Arc<Owner>> {
    with_parts(|parts| parts.owner().cloned())?
}

/// The running thread leaves the scope of `total`, if it is in it.
pub(super) fn end(total: &Arc<Total>) {
    with_parts(|parts| {
        if let Some(position) = parts.position(total) {
            parts.end(position);
        }
    });
}

/// What the running thread has counted since it entered the scope of `total`, and the highest number of bytes
/// that it held beyond those of that moment. `None` if it is not in the scope.
pub(super) fn so_far(total: &Arc<Total>) -> Option<(Ticket, Counts, i64)> {
    with_parts(|parts| Some(parts.so_far(parts.position(total)?)))?
}

/// Calls `task` with the scopes of this thread. Their own memory counts as no event. `None` if they are gone.
fn with_parts<R>(task: impl FnOnce(&mut Parts) -> R) -> Option<R> {
    let _inside = Guard::enter();
    PARTS
        .try_with(|parts| {
            // A signal handler that opens a scope while this thread does finds the scopes in use.
            let mut parts = parts.try_borrow_mut().ok()?;
            Some(task(&mut parts))
        })
        .ok()
        .flatten()
}

impl Parts {
    fn position(&self, total: &Arc<Total>) -> Option<usize> {
        self.0
            .iter()
            .rposition(|part| Arc::ptr_eq(&part.total, total))
    }

    fn push(&mut self, total: Arc<Total>, ticket: Ticket, by: By) {
        let (start, high) = scopes::read();
        if let Some(outer) = self.0.last_mut() {
            outer.high = outer.high.max(high);
        }
        self.0.push(Part {
            ticket,
            owner: total
                .recording()
                .map(|recording| Arc::clone(recording.owner())),
            by,
            total,
            start,
            high: start.net(),
        });
        scopes::set_high(start.net());
        self.publish();
    }

    fn end(&mut self, position: usize) {
        let (ticket, counts, peak) = self.so_far(position);
        let (_, high) = scopes::read();
        if let Some(innermost) = self.0.last_mut() {
            innermost.high = innermost.high.max(high);
        }
        let ended = self.0.remove(position);
        if let Some(outer) = position.checked_sub(1).and_then(|at| self.0.get_mut(at)) {
            outer.high = outer.high.max(ended.high);
        }
        if let Some(innermost) = self.0.last() {
            scopes::set_high(innermost.high);
        }
        self.publish();
        ended.total.end_part(ticket, &counts, peak);
    }

    fn so_far(&self, position: usize) -> (Ticket, Counts, i64) {
        let (now, high) = scopes::read();
        let inside = self.0[position..].iter().map(|part| part.high);
        let high = inside.fold(high, i64::max);
        let Part { ticket, start, .. } = self.0[position];
        let peak = high.wrapping_sub(start.net()).max(0);
        (ticket, now.since(&start), peak)
    }

    /// The owner of the innermost scope that has one.
    fn owner(&self) -> Option<&Arc<Owner>> {
        self.0.iter().rev().find_map(|part| part.owner.as_ref())
    }

    /// Tells the engine which scopes its events are for.
    fn publish(&self) {
        scopes::set_open(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        let owner = self.owner().map(|owner| owner.label());
        engine::set_owner(owner.unwrap_or_default());
    }
}

impl Drop for Parts {
    /// The thread ends: its stays end with it, and the scopes that it opened. It counts no more.
    fn drop(&mut self) {
        let _inside = Guard::enter();
        while let Some(innermost) = self.0.last() {
            if innermost.by == By::Opening {
                innermost.total.end_recording();
            }
            self.end(self.0.len() - 1);
        }
        drop(std::mem::take(&mut self.0));
    }
}
