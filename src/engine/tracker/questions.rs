//! What the tracker can be asked.

use super::Tracker;
use std::sync::atomic::Ordering;

use crate::engine::session::{Lost, Session};
use crate::engine::stacks::StackId;

impl Tracker {
    /// The size and the stack of the live block that starts at `address`. Nothing is read there, so any
    /// number will do.
    pub(crate) fn block_at(&self, session: Session, address: usize) -> Option<(u64, StackId)> {
        let record = self.live.get(address, session.number())?;
        Some((record.size, record.stack))
    }

    /// Gives back the memory of threads that have ended. The thread must be inside the tracer.
    pub(crate) fn reclaim(&self) {
        self.threads.reclaim(&self.arena);
    }

    /// Calls `visit` with the size and the stack of every live block.
    pub(crate) fn for_each_block(&self, session: Session, mut visit: impl FnMut(u64, StackId)) {
        self.live
            .for_each(session.number(), |record| visit(record.size, record.stack));
    }

    /// The return addresses of a stack without labels: see [`Capture::frames`](crate::engine::capture::Capture::frames).
    pub(crate) fn read_stack(
        &self,
        session: Session,
        stack: StackId,
        visit: impl FnMut(usize),
    ) -> StackId {
        self.capture.frames(session, stack, visit)
    }

    /// The callers of a stack without labels: see [`Capture::contexts`](crate::engine::capture::Capture::contexts).
    pub(crate) fn read_contexts(&self, stack: StackId, visit: impl FnMut(StackId, usize) -> bool) {
        self.capture.contexts(stack, visit);
    }

    /// Bytes that are live now, and the peak since the session began or the peak was reset.
    pub(crate) fn traced_memory(&self, session: Session) -> (u64, u64) {
        let number = session.number();
        let current = self.shared.current(number) + self.threads.net(session);
        let peak = self.shared.peak(number).max(self.threads.peak(session));
        (current.max(0) as u64, peak.max(current).max(0) as u64)
    }

    pub(crate) fn reset_peak(&self, session: Session) {
        if let Some(session) = self.switch.reset_peak(session) {
            let (current, _) = self.traced_memory(session);
            self.shared.set_peak(session.number(), current);
            self.history.reset_peak(session, current);
        }
    }

    pub(crate) fn lost(&self, session: Session) -> Lost {
        let number = session.number();
        self.lost.with_stacks(number, self.capture.lost(number))
    }

    /// False once a block has come from another allocator than glibc's `malloc`, which says nothing of that one.
    pub(crate) fn may_be_glibcs(&self) -> bool {
        !self.live.is_close()
    }

    /// Bytes of physical memory that the tracer's tables take, or of memory that counts for the limit if the
    /// system is not to be asked.
    pub(crate) fn own_memory(&self) -> usize {
        if self.counts_mapped() {
            self.arena.counted()
        } else {
            self.arena.resident()
        }
    }

    /// True if nothing is to be asked of the system only to count memory.
    pub(crate) fn counts_mapped(&self) -> bool {
        self.counts_mapped.load(Ordering::Relaxed)
    }

    /// Chooses which mappings the arena is refused.
    #[cfg(any(test, tracemalloc_failpoints))]
    pub(crate) fn refusals(&self) -> &crate::engine::memory::refusals::Refusals {
        self.arena.refusals()
    }
}
