//! Scopes that own what their threads allocate.
//!
//! A block belongs to the innermost recording scope that its thread was in when it allocated the block,
//! and to the recording scopes around it, whichever thread frees it. Its stack carries a label ([`Owner`]) that
//! says so. Blocks are recorded in the program's session. If tracing is off, a session for scopes alone begins
//! with the first such scope and ends with the last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::owner::{MAX_DEPTH, NoOwner, Owner};
use crate::control::collector;
use crate::engine::{Guard, Session, Settings, StackId, TRACKER};
use crate::error::{Error, ErrorKind};
use crate::sections::SCOPES;
use crate::snapshot::Snapshot;

/// Frames of each stack: enough for any call chain that a test reads.
const FRAMES: u16 = 64;

/// A scope that owns blocks. Must be dropped inside the tracer.
pub(super) struct Recording {
    owner: Arc<Owner>,
    /// The session that the blocks are recorded in.
    session: Session,
    /// What was lost before.
    lost: u64,
}

/// The scopes that own blocks now. To be locked in the section [`SCOPES`] alone.
struct Open {
    count: usize,
    /// The session that was begun for them.
    session: Option<Session>,
}

static OPEN: Mutex<Open> = Mutex::new(Open {
    count: 0,
    session: None,
});

/// Blocks that a scope owns at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) bytes: u64,
    pub(super) blocks: u64,
}

fn no_memory() -> Error {
    Error::new(
        ErrorKind::OutOfMemory,
        "there is no memory to record the blocks of a scope",
    )
}

impl Recording {
    /// Begins to own, inside of `outer`.
    pub(super) fn begin(outer: Option<Arc<Owner>>, guard: &Guard) -> Result<Self, Error> {
        let _section = SCOPES.enter(guard)?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = Settings {
            limit: FRAMES,
            history: true,
            only_scopes: true,
            ..Settings::default()
        };
        let session = TRACKER
            .recording_for_scopes(settings)
            .ok_or_else(no_memory)?;
        if session.only_scopes() {
            open.session = Some(session);
        }
        let owner = Owner::begin(session, outer, guard).map_err(|reason| match reason {
            NoOwner::NoMemory => no_memory(),
            NoOwner::TooDeep => Error::new(
                ErrorKind::OutOfMemory,
                format!("scopes that record may be {MAX_DEPTH} deep, and no deeper"),
            ),
        });
        if owner.is_ok() {
            open.count += 1;
        } else {
            open.end_if_last();
        }
        Ok(Self {
            owner: Arc::new(owner?),
            session,
            lost: lost(session),
        })
    }

    pub(super) fn owner(&self) -> &Arc<Owner> {
        &self.owner
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

    /// The blocks that are live now, by their stacks without labels. An error if a sampler has chosen which
    /// blocks are recorded.
    pub(super) fn live(&self, guard: &Guard) -> Result<HashMap<StackId, Live>, Error> {
        self.check()?;
        if self.session.is_sampled() {
            return Err(Error::new(
                ErrorKind::Sampled,
                "tracing samples: which blocks of the scope are live is not known but for a few",
            ));
        }
        let mut owned: HashMap<StackId, Option<StackId>> = HashMap::new();
        let mut all: HashMap<StackId, Live> = HashMap::new();
        collector().for_each_stack(self.session, guard, |domain, stack, live, _| {
            if domain != 0 || live.blocks == 0 {
                return;
            }
            let unlabelled = *owned.entry(stack).or_insert_with(|| self.owned(stack));
            if let Some(stack) = unlabelled {
                let known = all.entry(stack).or_default();
                known.bytes += live.bytes;
                known.blocks += live.blocks;
            }
        })?;
        Ok(all)
    }

    /// `stack` without its labels, if its blocks are this scope's.
    fn owned(&self, stack: StackId) -> Option<StackId> {
        let (unlabelled, labels) = TRACKER.without_labels(stack);
        let is_owned = labels.owner.is_some_and(|name| self.owner.is_around(name));
        is_owned.then_some(unlabelled)
    }

    /// The blocks, with the names of their stacks.
    pub(super) fn snapshot(&self, guard: &Guard) -> Result<Snapshot, Error> {
        self.snapshot_of(guard, |_| true)
    }

    /// Those blocks whose stacks, without labels, `is_wanted` is true of.
    pub(super) fn snapshot_of(
        &self,
        guard: &Guard,
        is_wanted: impl Fn(StackId) -> bool,
    ) -> Result<Snapshot, Error> {
        self.check()?;
        let is_owned = |stack| self.owned(stack).is_some_and(&is_wanted);
        Ok(collector().owned(self.session, guard, is_owned, self.owner.before())?)
    }
}

/// Blocks, labels and events of the history that were lost in `session`.
fn lost(session: Session) -> u64 {
    let lost = TRACKER.lost(session);
    lost.blocks + lost.stacks + lost.labels + TRACKER.lost_history(session)
}

impl Open {
    /// Ends the session for scopes if none is left.
    fn end_if_last(&mut self) {
        if self.count == 0
            && let Some(session) = self.session.take()
        {
            TRACKER.end_recording(session);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // A section that was lost in a fork has no more scopes.
        if let Ok(_section) = SCOPES.enter_inside() {
            let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            open.count -= 1;
            open.end_if_last();
        }
    }
}
