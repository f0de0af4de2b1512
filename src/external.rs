//! Memory that is not the allocator's but that the program wants to see in its snapshots: mapped
//! files, arenas, memory on a device.
//!
//! The one table with a lock, since any thread may track and untrack any address. It is not on the
//! allocation path, and the thread that holds the lock is inside the tracer: its own allocations do
//! not come back here, and a signal handler that interrupts it is turned away. A fork waits for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::{Amount, Guard, Session, SessionNumber, StackHistory, StackId, Tracker};
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
    /// By domain and stack, in a session that has a history.
    histories: BTreeMap<(u32, StackId), RegionHistory>,
}

/// What happened to the regions of one domain and stack.
#[derive(Clone, Copy, Default)]
struct RegionHistory {
    sums: StackHistory,
    /// How often the peak had moved on at the last change.
    peak_moves: u32,
    /// When regions were untracked, less when they were tracked, in milliseconds.
    time: i64,
}

/// What happens to a region.
#[derive(Clone, Copy)]
enum Change {
    Track,
    Untrack,
}

impl RegionHistory {
    /// As the records of blocks: see `engine/history`.
    fn change(&mut self, tracker: &Tracker, size: u64, change: Change) {
        let one = Amount {
            bytes: size,
            blocks: 1,
        };
        self.see_peak(tracker.peak_moves());
        let now = tracker.milliseconds() as i64;
        let sums = &mut self.sums;
        match change {
            Change::Track => {
                sums.live = sums.live.saturating_add(one);
                sums.allocated = sums.allocated.saturating_add(one);
                if sums.live.bytes > sums.highest.bytes {
                    sums.highest = sums.live;
                }
                self.time = self.time.wrapping_sub(now);
            }
            Change::Untrack => {
                sums.live = sums.live.saturating_sub(one);
                self.time = self.time.wrapping_add(now);
            }
        }
    }

    /// If the peak has moved on since the last change: what is live now was live then.
    fn see_peak(&mut self, peak_moves: u32) {
        if self.peak_moves != peak_moves {
            self.peak_moves = peak_moves;
            self.sums.at_peak = self.sums.live;
        }
    }

    fn seen(mut self, tracker: &Tracker) -> StackHistory {
        self.see_peak(tracker.peak_moves());
        let until_now = (self.sums.live.blocks as i64).wrapping_mul(tracker.milliseconds() as i64);
        self.sums.lifetime = self.time.wrapping_add(until_now).max(0) as u64;
        self.sums
    }
}

impl External {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Table {
            number: None,
            regions: BTreeMap::new(),
            histories: BTreeMap::new(),
        }))
    }

    /// Adds a region, or replaces the one with the same key.
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
        if let Some(table) = table.of(session) {
            let old = table.regions.insert(key, region);
            if let Some(old) = old {
                table.record(tracker, session, key.0, old, Change::Untrack);
            }
            table.record(tracker, session, key.0, region, Change::Track);
            tracker.change_shared(session, old.map_or(0, |old| old.size), region.size);
        }
        Ok(())
    }

    /// Removes the region at `key`, if there is one.
    pub(crate) fn untrack(
        &self,
        tracker: &Tracker,
        session: Session,
        key: (u32, usize),
    ) -> Result<(), Busy> {
        let guard = Guard::enter().ok_or(Busy)?;
        let _section = REGIONS.enter(&guard)?;
        let mut table = self.table(session);
        if let Some(table) = table.of(session)
            && let Some(old) = table.regions.remove(&key)
        {
            table.record(tracker, session, key.0, old, Change::Untrack);
            tracker.change_shared(session, old.size, 0);
        }
        Ok(())
    }

    /// The region at `key`.
    pub(crate) fn get(&self, session: Session, key: (u32, usize)) -> Option<Region> {
        let guard = Guard::enter()?;
        let _section = REGIONS.enter(&guard).ok()?;
        self.table(session).of(session)?.regions.get(&key).copied()
    }

    /// A copy of all regions with their domains.
    pub(crate) fn regions(
        &self,
        session: Session,
        guard: &Guard,
    ) -> Result<Vec<(u32, Region)>, Busy> {
        let _section = REGIONS.enter(guard)?;
        let mut table = self.table(session);
        let regions = table.of(session).map(|table| &table.regions);
        Ok(regions
            .into_iter()
            .flatten()
            .map(|((domain, _), region)| (*domain, *region))
            .collect())
    }

    /// The history of every domain and stack, in a session that has one.
    pub(crate) fn histories(
        &self,
        tracker: &Tracker,
        session: Session,
        guard: &Guard,
    ) -> Result<Vec<(u32, StackId, StackHistory)>, Busy> {
        let _section = REGIONS.enter(guard)?;
        let mut table = self.table(session);
        let histories = table.of(session).map(|table| &table.histories);
        let seen = |(key, history): (&(u32, StackId), &RegionHistory)| {
            (key.0, key.1, history.seen(tracker))
        };
        Ok(histories.into_iter().flatten().map(seen).collect())
    }

    fn table(&self, session: Session) -> MutexGuard<'_, Table> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = session.number();
        if table.number.is_none_or(|before| before.is_before(number)) {
            table.number = Some(number);
            table.regions.clear();
            table.histories.clear();
        }
        table
    }
}

impl Table {
    /// The table, if `session` has not been overtaken by a later one.
    fn of(&mut self, session: Session) -> Option<&mut Self> {
        (self.number == Some(session.number())).then_some(self)
    }

    /// Before the bytes are counted: until then the peak is that of the moment before.
    fn record(
        &mut self,
        tracker: &Tracker,
        session: Session,
        domain: u32,
        region: Region,
        change: Change,
    ) {
        if session.has_history() {
            let history = self.histories.entry((domain, region.stack)).or_default();
            history.change(tracker, region.size, change);
        }
    }
}
