//! What one thread has added to the sums of a session.
//!
//! Nobody but its thread writes to a counter, so an allocation touches no memory that threads
//! share. `current` is the sum over all counters and is exact whenever nothing is going on. A peak
//! is the most that a thread has seen, which is its own part, exact at every moment, and what the
//! others' parts were when it last looked: after each 64 KiB that its own part has moved.
//!
//! So with one thread the peak is exact. With several, each of the others may have moved by twice
//! 64 KiB since a thread looked, and the peak is at most that much below the true one for each
//! other thread, and as much above. (Whoever of them looked last before the true peak has seen all
//! parts; none of the others has moved by 64 KiB since its own last look, neither then nor at the
//! peak, or it would have looked later.)

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::engine::memory::arena::zeroed_struct;
use crate::engine::session::Session;

/// Bytes by which a thread's part moves before it looks at the others again.
pub(crate) const SLACK: u64 = 64 << 10;
/// The most that it moves without a look.
const FAR: i64 = SLACK as i64 - 1;

/// One thread's part.
#[repr(align(64))]
pub(crate) struct ThreadCounter {
    /// The session that the rest belongs to; 0 for none.
    session: AtomicU64,
    net: AtomicI64,
    /// Above `high` it is a new peak, or as far away as below `low`: enough for another look.
    high: AtomicI64,
    low: AtomicI64,
    peak: AtomicI64,
    /// What the others' parts were at the last look, and what this one was then.
    others: AtomicI64,
    looked_at: AtomicI64,
}

zeroed_struct!(ThreadCounter {
    session,
    net,
    high,
    low,
    peak,
    others,
    looked_at
});

impl ThreadCounter {
    /// One step from `old` to `new` bytes, by the thread that owns this counter, if it need not
    /// look at the others for it. False if nothing was done: then it takes
    /// [`change`](Self::change).
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn change_within(&self, session: Session, old: u64, new: u64) -> bool {
        if self.session.load(Ordering::Relaxed) != session.bits() {
            return false;
        }
        let net = self.net_after(old, new);
        let low = self.low.load(Ordering::Relaxed);
        let is_peak = net > self.high.load(Ordering::Relaxed);
        if net < low || is_peak && net > low.saturating_add(2 * FAR) {
            return false;
        }
        self.net.store(net, Ordering::Release);
        if is_peak {
            let total = net.wrapping_add(self.others.load(Ordering::Relaxed));
            self.peak.store(total, Ordering::Release);
            self.high.store(net, Ordering::Relaxed);
        }
        true
    }

    /// One step from `old` to `new` bytes, by the thread that owns this counter. `others` sums up
    /// all other parts.
    pub(crate) fn change(
        &self,
        session: Session,
        old: u64,
        new: u64,
        others: impl Fn() -> i64 + Copy,
    ) {
        if self.session.load(Ordering::Relaxed) != session.bits() && !self.enter(session, others) {
            return;
        }
        let net = self.net_after(old, new);
        // Released, as below: a reader that sees it sees that the session before is over.
        self.net.store(net, Ordering::Release);
        let moved = net.wrapping_sub(self.looked_at.load(Ordering::Relaxed));
        if moved.unsigned_abs() >= SLACK {
            self.look(net, others);
        }
        let total = net.wrapping_add(self.others.load(Ordering::Relaxed));
        if total > self.peak.load(Ordering::Relaxed) {
            self.peak.store(total, Ordering::Release);
        }
        self.set_marks();
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn net_after(&self, old: u64, new: u64) -> i64 {
        let net = self.net.load(Ordering::Relaxed);
        net.wrapping_add_unsigned(new).wrapping_sub_unsigned(old)
    }

    fn look(&self, net: i64, others: impl Fn() -> i64) {
        self.looked_at.store(net, Ordering::Relaxed);
        self.others.store(others(), Ordering::Relaxed);
    }

    /// Says how far `net` may go without a new peak or another look.
    fn set_marks(&self) {
        let looked_at = self.looked_at.load(Ordering::Relaxed);
        let others = self.others.load(Ordering::Relaxed);
        let peak = self.peak.load(Ordering::Relaxed).wrapping_sub(others);
        let high = peak.min(looked_at.saturating_add(FAR));
        self.high.store(high, Ordering::Relaxed);
        let low = looked_at.saturating_sub(FAR);
        self.low.store(low, Ordering::Relaxed);
    }

    /// Puts it right where a thread may have ended in the middle of a step: with the marks of
    /// before the next step could set a lower peak.
    #[cold]
    pub(crate) fn mend(&self) {
        self.set_marks();
    }

    /// As `fork` leaves it within a step of its thread to a new peak, which is `net` of its own.
    #[cfg(test)]
    pub(crate) fn tear(&self, net: i64) {
        self.net.store(net, Ordering::Relaxed);
        let others = self.others.load(Ordering::Relaxed);
        self.peak.store(net + others, Ordering::Relaxed);
    }

    /// Begins to count for `session`, or for its new peak. False if this thread counts for a later
    /// one: a signal handler did, while an event of `session` was under way.
    #[cold]
    #[inline(never)]
    fn enter(&self, session: Session, others: impl Fn() -> i64) -> bool {
        let before = self.session.load(Ordering::Relaxed);
        if session.is_before(before) {
            return false;
        }
        if !session.has_number(before) {
            // Readers that see the session see nothing of the one before. If only the peak
            // restarts, the rest stays visible: to other threads, and to the child of a fork in
            // which this thread ends here.
            self.session.store(0, Ordering::Release);
            self.net.store(0, Ordering::Release);
        }
        let net = self.net.load(Ordering::Relaxed);
        self.look(net, others);
        let total = net.wrapping_add(self.others.load(Ordering::Relaxed));
        self.peak.store(total, Ordering::Release);
        self.set_marks();
        self.session.store(session.bits(), Ordering::Release);
        true
    }

    /// This thread's part of `session`.
    pub(crate) fn net(&self, session: Session) -> i64 {
        self.of(|bits| session.has_number(bits), &self.net)
    }

    /// The most that this thread has seen since the last reset of the peak of `session`.
    pub(crate) fn peak(&self, session: Session) -> i64 {
        self.of(|bits| bits == session.bits(), &self.peak)
    }

    /// `value`, if it belongs to a session that `is_asked_for`.
    fn of(&self, is_asked_for: impl Fn(u64) -> bool, value: &AtomicI64) -> i64 {
        let before = self.session.load(Ordering::Acquire);
        let value = value.load(Ordering::Acquire);
        let unchanged = self.session.load(Ordering::Relaxed) == before;
        if before != 0 && unchanged && is_asked_for(before) {
            value
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::session::{Settings, Switch};

    fn counter() -> ThreadCounter {
        ThreadCounter {
            session: AtomicU64::new(0),
            net: AtomicI64::new(0),
            high: AtomicI64::new(0),
            low: AtomicI64::new(0),
            peak: AtomicI64::new(0),
            others: AtomicI64::new(0),
            looked_at: AtomicI64::new(0),
        }
    }

    /// As a thread does it. What `change` alone makes of it is the same in all that can be seen.
    fn change(
        counter: &ThreadCounter,
        session: Session,
        old: u64,
        new: u64,
        others: impl Fn() -> i64 + Copy,
    ) {
        let slow = copy(counter);
        slow.change(session, old, new, others);
        if !counter.change_within(session, old, new) {
            counter.change(session, old, new, others);
        }
        assert_eq!(seen(counter), seen(&slow));
    }

    fn words(counter: &ThreadCounter) -> [&AtomicI64; 6] {
        let ThreadCounter {
            session: _,
            net,
            high,
            low,
            peak,
            others,
            looked_at,
        } = counter;
        [net, high, low, peak, others, looked_at]
    }

    fn seen(counter: &ThreadCounter) -> [i64; 6] {
        words(counter).map(|word| word.load(Ordering::Relaxed))
    }

    fn copy(counter: &ThreadCounter) -> ThreadCounter {
        let copy = self::counter();
        copy.session
            .store(counter.session.load(Ordering::Relaxed), Ordering::Relaxed);
        for (word, value) in words(&copy).into_iter().zip(seen(counter)) {
            word.store(value, Ordering::Relaxed);
        }
        copy
    }

    fn switch() -> (Switch, Session) {
        let switch = Switch::new();
        let session = switch.start(Settings::default()).expect("was off");
        (switch, session)
    }

    #[test]
    fn alone_a_peak_is_exact_and_follows_only_rises() {
        let ((switch, first), counter) = (switch(), counter());
        let change = |session, old, new| change(&counter, session, old, new, || 0);
        change(first, 0, 50);
        change(first, 50, 80);
        change(first, 80, 10);
        assert_eq!((counter.net(first), counter.peak(first)), (10, 80));
        let reset = switch.reset_peak(first).expect("was on");
        assert_eq!((counter.net(reset), counter.peak(reset)), (10, 0));
        change(reset, 10, 0);
        assert_eq!((counter.net(reset), counter.peak(reset)), (0, 10));
    }

    #[test]
    fn sums_of_one_session_do_not_reach_another() {
        let ((switch, first), counter) = (switch(), counter());
        counter.change(first, 0, 100, || 0);
        let second = switch.clear().expect("was on");
        assert_eq!((counter.net(second), counter.peak(second)), (0, 0));
        counter.change(second, 0, 5, || 0);
        counter.change(first, 0, 1000, || 0);
        counter.change(first, 30, 0, || 0);
        assert_eq!((counter.net(second), counter.peak(second)), (5, 5));
        assert_eq!((counter.net(first), counter.peak(first)), (0, 0));
    }

    /// As `fork` leaves the counter of another thread, at two places within a step. Seen to fail
    /// without `mend`.
    #[test]
    fn after_a_step_that_never_ended_no_peak_gets_lower() {
        let (_, session) = switch();
        let others = SLACK as i64 * 10;
        let new_peak: fn(&ThreadCounter) = |counter| counter.tear(60_100);
        let look: fn(&ThreadCounter) = |counter| {
            let net = SLACK as i64;
            counter.net.store(net, Ordering::Relaxed);
            counter.look(net, || 0);
        };
        for (torn, peak) in [(new_peak, others + 60_100), (look, others + 100)] {
            let counter = counter();
            change(&counter, session, 0, 100, || others);
            torn(&counter);
            counter.mend();
            change(&counter, session, 50, 0, || others);
            change(&counter, session, 0, 40, || others);
            assert_eq!(counter.peak(session), peak);
        }
    }

    /// Any two counters that take turns: what they say together is within the bound that is
    /// promised.
    #[test]
    fn with_others_a_peak_is_within_its_bound() {
        let (_, session) = switch();
        for seed in 1..200_u64 {
            let counters = [counter(), counter(), counter()];
            let (mut random, mut live, mut peak) = (seed, [0_u64; 3], 0);
            for _ in 0..2000 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(99);
                let who = (random >> 33) as usize % 3;
                // Now rising, now falling; from nothing to more than the slack at a time.
                let size = (random >> 40) % (1 << (random >> 60).max(1));
                let others = || {
                    (0..3)
                        .filter(|at| *at != who)
                        .map(|at| counters[at].net(session))
                        .sum()
                };
                if random >> 20 & 64 == 0 {
                    change(&counters[who], session, 0, size, others);
                    live[who] += size;
                } else {
                    let size = size.min(live[who]);
                    change(&counters[who], session, size, 0, others);
                    live[who] -= size;
                }
                peak = peak.max(live.iter().sum::<u64>());
                let told = counters
                    .iter()
                    .map(|counter| counter.peak(session))
                    .max()
                    .unwrap_or(0);
                assert!(told.abs_diff(peak as i64) <= 2 * 2 * SLACK, "{told} {peak}");
                let net: i64 = counters.iter().map(|counter| counter.net(session)).sum();
                assert_eq!(net as u64, live.iter().sum::<u64>());
            }
        }
    }
}
