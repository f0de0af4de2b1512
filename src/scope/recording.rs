//! Scopes that own what their threads allocate.
//!
//! A block belongs to the innermost recording scope that its thread was in when it allocated the block,
//! and to those scopes around it. Its stack says so by a label, whoever frees it. Blocks are recorded in
//! the program's session; if tracing is off, in a session for scopes alone, which begins with the first
//! of them and ends with the last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::control::collector;
use crate::engine::{Guard, NameId, Session, Settings, StackId, TRACKER, TagId};
use crate::error::{Error, ErrorKind};
use crate::sections::Busy;
use crate::snapshot::Snapshot;

/// Frames of each stack: enough for any call chain that a test reads.
const FRAMES: u16 = 64;

/// A scope that owns blocks.
pub(super) struct Recording {
    owner: Owner,
    /// The session that the blocks are recorded in.
    session: Session,
    /// What was lost before.
    lost: u64,
    /// Scopes that were opened inside of this one, or of one of them. They may be gone.
    inside: Mutex<Vec<NameId>>,
    outer: Option<Arc<Recording>>,
}

#[derive(Clone, Copy)]
struct Owner {
    label: TagId,
    name: NameId,
}

/// The scopes that own blocks now.
struct Open {
    count: usize,
    /// The session that was begun for them.
    session: Option<Session>,
    /// The number of the next one. A session for scopes alone begins again with 1, so that few numbers
    /// are ever used.
    next: u32,
}

static OPEN: Mutex<Open> = Mutex::new(Open {
    count: 0,
    session: None,
    next: 1,
});

/// Blocks that a scope owns at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) bytes: u64,
    pub(super) blocks: u64,
}

impl Recording {
    /// Begins to own, inside of `outer`.
    pub(super) fn begin(outer: Option<Arc<Self>>) -> Result<Self, Error> {
        let no_memory = || {
            Error::new(
                ErrorKind::OutOfMemory,
                "there is no memory to record the blocks of a scope",
            )
        };
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = Settings {
            limit: FRAMES,
            history: true,
            only_scopes: true,
            ..Settings::default()
        };
        crate::sections::prepare();
        let session = TRACKER
            .recording_for_scopes(settings)
            .ok_or_else(no_memory)?;
        if open
            .session
            .is_none_or(|known| known.number() != session.number())
        {
            open.session = session.only_scopes().then_some(session);
            if session.only_scopes() {
                open.next = 1;
            }
        }
        let label = TRACKER.owner(open.next);
        let owner = label.and_then(|label| {
            Some(Owner {
                label,
                name: label.name()?,
            })
        });
        let owner = owner.ok_or_else(no_memory)?;
        open.next = open.next.wrapping_add(1).max(1);
        open.count += 1;
        drop(open);
        let mut around = outer.as_ref();
        while let Some(scope) = around {
            scope
                .inside
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(owner.name);
            around = scope.outer.as_ref();
        }
        let lost = lost(session);
        Ok(Self {
            owner,
            session,
            lost,
            inside: Mutex::default(),
            outer,
        })
    }

    /// What the blocks of a thread in this scope are labelled with.
    pub(super) fn label(&self) -> TagId {
        self.owner.label
    }

    /// An error if figures of this scope would be wrong.
    fn check(&self) -> Result<(), Error> {
        let now = TRACKER.recording().map(Session::number);
        if now != Some(self.session.number()) {
            return Err(Error::new(
                ErrorKind::SessionChanged,
                "tracing was started, stopped or cleared while a scope recorded: what its blocks are \
                 is not known any more",
            ));
        }
        match lost(self.session) - self.lost {
            0 => Ok(()),
            lost => Err(Error::new(
                ErrorKind::OutOfMemory,
                format!("{lost} blocks could not be recorded while the scope was open"),
            )),
        }
    }

    /// True if the scope called `name` is this one or was opened inside of it.
    fn family(&self) -> impl Fn(NameId) -> bool {
        let inside = self
            .inside
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let own = self.owner.name;
        move |name| name == own || inside.contains(&name)
    }

    /// The blocks that are live now, by their stacks without labels.
    pub(super) fn live(&self) -> Result<HashMap<StackId, Live>, Error> {
        self.check()?;
        let is_owner = self.family();
        let mut owned: HashMap<StackId, Option<StackId>> = HashMap::new();
        let mut live: HashMap<StackId, Live> = HashMap::new();
        let mut add = |stack: StackId, bytes: u64, blocks: u64| {
            let unlabelled = *owned.entry(stack).or_insert_with(|| {
                let (unlabelled, labels) = TRACKER.without_labels(stack);
                labels.owner.is_some_and(&is_owner).then_some(unlabelled)
            });
            if let Some(stack) = unlabelled {
                let known = live.entry(stack).or_default();
                known.bytes += bytes;
                known.blocks += blocks;
            }
        };
        if self.session.has_history() && !self.session.is_sampled() {
            TRACKER.for_each_history(self.session, |stack, sums| {
                add(stack, sums.live.bytes, sums.live.blocks);
            });
        } else {
            TRACKER.for_each_block(self.session, |bytes, stack| add(stack, bytes, 1));
        }
        live.retain(|_, live| live.blocks > 0);
        Ok(live)
    }

    /// The blocks, with the names of their stacks.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Error> {
        self.snapshot_of(|_| true)
    }

    /// Those blocks whose stacks, without labels, `is_wanted` is true of.
    pub(super) fn snapshot_of(
        &self,
        is_wanted: impl Fn(StackId) -> bool,
    ) -> Result<Snapshot, Error> {
        self.check()?;
        let guard = Guard::enter().ok_or(Busy)?;
        let is_owner = self.family();
        let is_owned = |stack| {
            let (stack, labels) = TRACKER.without_labels(stack);
            labels.owner.is_some_and(&is_owner) && is_wanted(stack)
        };
        Ok(collector().owned(self.session, &guard, is_owned)?)
    }
}

/// Blocks and labels that were lost in `session`.
fn lost(session: Session) -> u64 {
    let lost = TRACKER.lost(session);
    lost.blocks + lost.stacks + lost.labels
}

impl Drop for Recording {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.count -= 1;
        if open.count == 0
            && let Some(session) = open.session.take()
        {
            TRACKER.end_recording(session);
        }
    }
}
