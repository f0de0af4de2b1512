//! The last few blocks that a thread has allocated: one that it frees while it is among them lived
//! short.
//!
//! A ring of addresses. An allocation writes over the oldest of them. Only the slot's thread reads and
//! writes it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::engine::memory::arena::zeroed_struct;
use crate::engine::session::Session;

/// A block is temporary if its thread frees it within this many of its next allocations.
pub(crate) const FEW: usize = 4;

/// A thread's last [`FEW`] blocks.
pub(crate) struct Recent {
    /// The session that the rest belongs to; 0 for none.
    session: AtomicU64,
    next: AtomicUsize,
    /// 0: none.
    addresses: [AtomicUsize; FEW],
}

zeroed_struct!(Recent {
    session,
    next,
    addresses
});

impl Recent {
    /// The slot's thread has allocated the block at `address`.
    #[inline]
    pub(crate) fn add(&self, session: Session, address: usize) {
        if !session.has_number(self.session.load(Ordering::Relaxed)) {
            self.begin(session);
        }
        let next = self.next.load(Ordering::Relaxed);
        if let Some(oldest) = self.addresses.get(next % FEW) {
            oldest.store(address, Ordering::Relaxed);
        }
        self.next.store(next.wrapping_add(1), Ordering::Relaxed);
    }

    /// The slot's thread frees the block at `address`. True if that is one of its last, which it then
    /// is no more.
    #[inline]
    pub(crate) fn remove(&self, session: Session, address: usize) -> bool {
        let found = self
            .addresses
            .iter()
            .find(|recent| recent.load(Ordering::Relaxed) == address);
        match found {
            Some(recent) if session.has_number(self.session.load(Ordering::Relaxed)) => {
                recent.store(0, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }

    /// Another thread has the slot now: no block is one of its last.
    pub(crate) fn hand_over(&self) {
        self.session.store(0, Ordering::Relaxed);
    }

    #[cold]
    fn begin(&self, session: Session) {
        for address in &self.addresses {
            address.store(0, Ordering::Relaxed);
        }
        self.session.store(session.bits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::session::{Settings, Switch};

    #[test]
    fn a_block_is_recent_until_a_few_others_follow_it() {
        let switch = Switch::new();
        let session = switch.start(Settings::default()).expect("was off");
        let recent = Recent {
            session: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            addresses: [const { AtomicUsize::new(0) }; FEW],
        };
        for others in 0..FEW + 2 {
            recent.add(session, 0x1000);
            (0..others).for_each(|other| recent.add(session, 0x2000 + other));
            assert_eq!(recent.remove(session, 0x1000), others < FEW, "{others}");
            assert!(!recent.remove(session, 0x1000));
        }
        recent.add(session, 0x1000);
        let later = switch.clear().expect("was on");
        assert!(!recent.remove(later, 0x1000));
        recent.add(later, 0x3000);
        assert!(!recent.remove(later, 0x1000) && recent.remove(later, 0x3000));
        recent.add(later, 0x4000);
        recent.hand_over();
        assert!(!recent.remove(later, 0x4000));
    }
}
