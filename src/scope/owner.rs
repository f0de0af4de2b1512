//! Who owns a block: the path of numbers that a scope has, and that the stacks of its blocks are labelled with.
//!
//! ```text
//! scope 3                 [3]       owns what is labelled [3], [3, 1], [3, 2] …
//!   scope 1 inside of it  [3, 1]
//! ```
//!
//! [`Numbers`] are reused, so there are about as many labels and records of labelled stacks as there are scopes
//! that are open or hold blocks, however many a program opens. Successive scopes with one label share the
//! history of a labelled stack: each subtracts what the history held before it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::numbers::Numbers;
use crate::collect::Before;
use crate::control::collector;
use crate::engine::{Guard, MAX_NAME, NameId, Session, TRACKER, TagId};
use crate::sections::SCOPES;

/// Bytes of a number in a path.
const NUMBER: usize = size_of::<u32>();
/// Scopes that own blocks may be open inside of each other.
pub(super) const MAX_DEPTH: usize = MAX_NAME / NUMBER;

/// What the blocks of one scope are labelled with. It lives as long as anybody may label a block so.
pub(super) struct Owner {
    path: Vec<u8>,
    number: u32,
    label: TagId,
    session: Session,
    /// What the history of its stacks was when it began.
    before: Arc<Before>,
    /// The one around it.
    outer: Option<Arc<Self>>,
    inner: Mutex<Pool>,
}

/// The numbers of scopes that are inside of the same one, or of none.
struct Pool {
    /// The session in which blocks may have an ended number.
    session: Option<Session>,
    numbers: Numbers<Arc<Before>>,
}

static OUTERMOST: Mutex<Pool> = Mutex::new(Pool::new());

/// Why there is no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoOwner {
    NoMemory,
    TooDeep,
}

impl Owner {
    /// Begins to own inside of `outer`. The thread is in the section [`SCOPES`].
    pub(super) fn begin(
        session: Session,
        outer: Option<Arc<Self>>,
        guard: &Guard,
    ) -> Result<Self, NoOwner> {
        let around = outer.as_ref().map_or(&[][..], |outer| &outer.path);
        if around.len() / NUMBER >= MAX_DEPTH {
            return Err(NoOwner::TooDeep);
        }
        let (number, before) = Self::pool(outer.as_deref()).take(session, outer.as_deref(), guard);
        let path = [around, &number.to_le_bytes()].concat();
        let Some(label) = TRACKER.owner(&path) else {
            Self::pool(outer.as_deref()).numbers.end(number);
            return Err(NoOwner::NoMemory);
        };
        Ok(Self {
            path,
            number,
            label,
            session,
            before,
            outer,
            inner: Mutex::new(Pool::new()),
        })
    }

    /// What the blocks of a thread in the scope are labelled with.
    pub(super) fn label(&self) -> TagId {
        self.label
    }

    /// What the history of its stacks was when it began.
    pub(super) fn before(&self) -> &Before {
        &self.before
    }

    /// True of the name of this owner, and of those inside of it.
    pub(super) fn is_around(&self, name: NameId) -> bool {
        let mut buffer = [0; MAX_NAME];
        let path = TRACKER.read_name(name, &mut buffer);
        path.is_some_and(|path| path.starts_with(&self.path))
    }

    fn pool(outer: Option<&Self>) -> MutexGuard<'_, Pool> {
        let pool = outer.map_or(&OUTERMOST, |outer| &outer.inner);
        pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Owner {
    /// Its blocks may live on. Owners are dropped inside the tracer.
    fn drop(&mut self) {
        // A section that was lost in a fork has no more owners.
        if let Ok(_section) = SCOPES.enter_inside() {
            Self::pool(self.outer.as_deref()).numbers.end(self.number);
        }
    }
}

impl Pool {
    const fn new() -> Self {
        Self {
            session: None,
            numbers: Numbers::new(),
        }
    }

    fn take(
        &mut self,
        session: Session,
        outer: Option<&Owner>,
        guard: &Guard,
    ) -> (u32, Arc<Before>) {
        let is_same = |other: Session| other.number() == session.number();
        if !self.session.is_some_and(is_same) {
            self.session = Some(session);
            self.numbers.free_ended();
        }
        // What a path had before the number at its end was ever used, it had by those at its beginning.
        let new = outer.filter(|outer| is_same(outer.session));
        let new = new.map(|outer| Arc::clone(&outer.before));
        let path = outer.map_or(&[][..], |outer| &outer.path);
        let look = |numbers: &mut BTreeSet<u32>| look(session, guard, path, numbers);
        self.numbers.take(look, &new.unwrap_or_default())
    }
}

/// Removes from the set the numbers below `path` that live blocks have. Returns the history of the
/// stacks of the others.
fn look(session: Session, guard: &Guard, path: &[u8], numbers: &mut BTreeSet<u32>) -> Arc<Before> {
    let ended = numbers.clone();
    let mut known: HashMap<NameId, Option<u32>> = HashMap::new();
    let mut before = HashMap::new();
    let looked = collector().for_each_stack(session, guard, |domain, stack, live, sums| {
        let Some(name) = TRACKER.without_labels(stack).1.owner else {
            return;
        };
        let number = *known
            .entry(name)
            .or_insert_with(|| number_below(path, name));
        let Some(number) = number.filter(|number| ended.contains(number)) else {
            return;
        };
        if live.blocks > 0 {
            numbers.remove(&number);
        }
        if let Some(sums) = sums {
            before.insert((domain, stack), (number, sums));
        }
    });
    if looked.is_err() {
        numbers.clear();
    }
    before.retain(|_, (number, _)| numbers.contains(number));
    let before = before.into_iter().map(|(key, (_, sums))| (key, sums));
    Arc::new(before.collect())
}

/// The number after `path` in a name.
fn number_below(path: &[u8], name: NameId) -> Option<u32> {
    let mut buffer = [0; MAX_NAME];
    let name = TRACKER.read_name(name, &mut buffer)?;
    let number = name.strip_prefix(path)?.first_chunk()?;
    Some(u32::from_le_bytes(*number))
}
