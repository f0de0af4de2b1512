//! Memory that is not the allocator's but that the program wants to see in its snapshots: mapped
//! files, arenas, memory on a device.
//!
//! The one table with a lock, since any thread may track and untrack any address. It is not on the
//! allocation path, and the thread that holds the lock is inside the tracer: its own allocations do
//! not come back here, and a signal handler that interrupts it is turned away. A fork waits for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Guard, Session, SessionNumber, StackId, Tracker};
use crate::sections::{Busy, REGIONS};

/// One tracked region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) size: u64,
    pub(crate) stack: StackId,
}

/// Tracked regions by (domain, address).
pub(crate) struct External(Mutex<Table>);

struct Table {
    /// The session of the regions; those of an earlier one are dropped at the next change.
    number: Option<SessionNumber>,
    regions: BTreeMap<(u32, usize), Region>,
}

impl External {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Table {
            number: None,
            regions: BTreeMap::new(),
        }))
    }

    /// Adds a region, or replaces the one at the same place.
    pub(crate) fn track(
        &self,
        tracker: &Tracker,
        session: Session,
        key: (u32, usize),
        region: Region,
    ) -> Result<(), Busy> {
        let guard = Guard::enter().ok_or(Busy)?;
        let _section = REGIONS.enter(&guard)?;
        let mut table = self.table(session);
        if let Some(regions) = table.of(session) {
            let old = regions.insert(key, region).map_or(0, |old| old.size);
            tracker.change_shared(session, old, region.size);
        }
        Ok(())
    }

    /// Forgets the region at `key`, if there is one.
    pub(crate) fn untrack(
        &self,
        tracker: &Tracker,
        session: Session,
        key: (u32, usize),
    ) -> Result<(), Busy> {
        let guard = Guard::enter().ok_or(Busy)?;
        let _section = REGIONS.enter(&guard)?;
        let mut table = self.table(session);
        if let Some(old) = table.of(session).and_then(|regions| regions.remove(&key)) {
            tracker.change_shared(session, old.size, 0);
        }
        Ok(())
    }

    /// The region at `key`.
    pub(crate) fn get(&self, session: Session, key: (u32, usize)) -> Option<Region> {
        let guard = Guard::enter()?;
        let _section = REGIONS.enter(&guard).ok()?;
        self.table(session).of(session)?.get(&key).copied()
    }

    /// A copy of all regions with their domains.
    pub(crate) fn regions(
        &self,
        session: Session,
        guard: &Guard,
    ) -> Result<Vec<(u32, Region)>, Busy> {
        let _section = REGIONS.enter(guard)?;
        let mut table = self.table(session);
        let regions = table.of(session).into_iter().flatten();
        Ok(regions
            .map(|((domain, _), region)| (*domain, *region))
            .collect())
    }

    fn table(&self, session: Session) -> MutexGuard<'_, Table> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = session.number();
        if table.number.is_none_or(|before| before.is_before(number)) {
            table.number = Some(number);
            table.regions.clear();
        }
        table
    }
}

impl Table {
    /// The regions, if `session` has not been overtaken by a later one.
    fn of(&mut self, session: Session) -> Option<&mut BTreeMap<(u32, usize), Region>> {
        if self.number == Some(session.number()) {
            Some(&mut self.regions)
        } else {
            None
        }
    }
}
