//! What one thread has added to the sums of a session.
//!
//! ```text
//! thread 1   net = folded + unfolded ─┐
//! thread 2   net = folded + unfolded ─┼─ fold, after 64 KiB ─> sum of the folded parts, one word
//! thread 3   net = folded + unfolded ─┘
//! ```
//!
//! Nobody but its thread writes to a counter, so an allocation touches no memory that threads share.
//! `current` is the sum of `net` over all counters and is exact whenever nothing is going on.
//!
//! A thread whose part has moved by 64 KiB *folds* it: it adds the unfolded part to a sum that all threads
//! share, and learns that sum. What it sees from then on is that sum plus its own unfolded part, and a peak
//! is the most that any thread has seen. The cost of a fold does not depend on the number of threads.
//!
//! With one thread the peak is exact. With `n` of them it is at most `n - 1` times 64 KiB below the true
//! one and `n` times 64 KiB above it:
//!
//! - Below: let `L` be the thread that folded last before the true peak. No part has been folded since, so
//!   what `L` sees differs from the truth by the others' unfolded parts.
//! - Above: what a thread sees is the truth at its last fold, less the others' unfolded parts of that time,
//!   plus its own unfolded part.
//!
//! `n` counts slots: that of an ended thread keeps its unfolded part.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::engine::memory::arena::zeroed_struct;
use crate::engine::session::Session;

/// Bytes by which a thread's part moves before it is folded.
pub(crate) const SLACK: u64 = 64 << 10;
/// Bytes of the largest unfolded part.
const MAX_UNFOLDED: i64 = SLACK as i64 - 1;

/// One thread's part.
#[repr(align(64))]
pub(crate) struct ThreadCounter {
    /// The session that the rest belongs to; 0 for none.
    session: AtomicU64,
    net: AtomicI64,
    /// Above `high` it is a new peak, or as far away as below `low`: enough for a fold.
    high: AtomicI64,
    low: AtomicI64,
    peak: AtomicI64,
    /// The others' folded parts at the last fold.
    others: AtomicI64,
    /// This thread's folded part: `net` at the last fold.
    folded: AtomicI64,
}

zeroed_struct!(ThreadCounter {
    session,
    net,
    high,
    low,
    peak,
    others,
    folded
});

impl ThreadCounter {
    /// Fast path of [`change`](Self::change): one step from `old` to `new` bytes, by the thread that
    /// owns this counter, if nothing has to be folded. False if nothing was done.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn change_within(&self, session: Session, old: u64, new: u64) -> bool {
        if self.session.load(Ordering::Relaxed) != session.bits() {
            return false;
        }
        let net = self.net_after(old, new);
        let low = self.low.load(Ordering::Relaxed);
        let is_peak = net > self.high.load(Ordering::Relaxed);
        if net < low || is_peak && net > low.saturating_add(2 * MAX_UNFOLDED) {
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

    /// One step from `old` to `new` bytes, by the thread that owns this counter. `fold` adds to the sum
    /// of the folded parts and returns the new sum.
    pub(crate) fn change(
        &self,
        session: Session,
        old: u64,
        new: u64,
        fold: impl Fn(i64) -> i64 + Copy,
    ) {
        if self.session.load(Ordering::Relaxed) != session.bits() && !self.enter(session, fold) {
            return;
        }
        let net = self.net_after(old, new);
        // Released, as below: a reader that sees it sees that the session before is over.
        self.net.store(net, Ordering::Release);
        let unfolded = net.wrapping_sub(self.folded.load(Ordering::Relaxed));
        if unfolded.unsigned_abs() >= SLACK {
            self.fold(net, fold);
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

    fn fold(&self, net: i64, fold: impl Fn(i64) -> i64) {
        let unfolded = net.wrapping_sub(self.folded.load(Ordering::Relaxed));
        let others = fold(unfolded).wrapping_sub(net);
        self.folded.store(net, Ordering::Relaxed);
        self.others.store(others, Ordering::Relaxed);
    }

    /// Says how far `net` may go without a new peak or a fold.
    fn set_marks(&self) {
        let folded = self.folded.load(Ordering::Relaxed);
        let others = self.others.load(Ordering::Relaxed);
        let peak = self.peak.load(Ordering::Relaxed).wrapping_sub(others);
        let high = peak.min(folded.saturating_add(MAX_UNFOLDED));
        self.high.store(high, Ordering::Relaxed);
        let low = folded.saturating_sub(MAX_UNFOLDED);
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
    fn enter(&self, session: Session, fold: impl Fn(i64) -> i64) -> bool {
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
            self.folded.store(0, Ordering::Relaxed);
        }
        let net = self.net.load(Ordering::Relaxed);
        self.fold(net, fold);
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

    /// What this thread sees of all bytes: its own, and the others' of its last fold.
    pub(crate) fn seen(&self) -> i64 {
        let others = self.others.load(Ordering::Relaxed);
        self.net.load(Ordering::Relaxed).wrapping_add(others)
    }

    /// What of its bytes this thread has not folded.
    pub(crate) fn unfolded(&self) -> i64 {
        let folded = self.folded.load(Ordering::Relaxed);
        self.net.load(Ordering::Relaxed).wrapping_sub(folded)
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
    use std::cell::Cell;

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
            folded: AtomicI64::new(0),
        }
    }

    /// As the tracker does it: adds to the sum of the folded parts.
    fn folding(sum: &Cell<i64>) -> impl Fn(i64) -> i64 + Copy + '_ {
        |part| {
            sum.set(sum.get() + part);
            sum.get()
        }
    }

    /// As a thread does it: on the fast path where that does it. The slow path alone gives equal sums.
    fn change(counter: &ThreadCounter, session: Session, old: u64, new: u64, sum: &Cell<i64>) {
        let (slow, slow_sum) = (copy(counter), sum.clone());
        slow.change(session, old, new, folding(&slow_sum));
        if !counter.change_within(session, old, new) {
            counter.change(session, old, new, folding(sum));
        }
        assert_eq!((seen(counter), sum), (seen(&slow), &slow_sum));
    }

    fn words(counter: &ThreadCounter) -> [&AtomicI64; 6] {
        let ThreadCounter {
            session: _,
            net,
            high,
            low,
            peak,
            others,
            folded,
        } = counter;
        [net, high, low, peak, others, folded]
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
        let ((switch, first), counter, sum) = (switch(), counter(), Cell::new(0));
        let change = |session, old, new| change(&counter, session, old, new, &sum);
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
        let sum = Cell::new(0);
        counter.change(first, 0, 100, folding(&sum));
        let second = switch.clear().expect("was on");
        assert_eq!((counter.net(second), counter.peak(second)), (0, 0));
        sum.set(0);
        counter.change(second, 0, 5, folding(&sum));
        counter.change(first, 0, 1000, folding(&sum));
        counter.change(first, 30, 0, folding(&sum));
        assert_eq!(sum.get(), 0);
        assert_eq!((counter.net(second), counter.peak(second)), (5, 5));
        assert_eq!((counter.net(first), counter.peak(first)), (0, 0));
    }

    /// As `fork` leaves the counter of another thread, at two places within a step. Seen to fail
    /// without `mend`.
    #[test]
    fn after_a_step_that_never_ended_no_peak_gets_lower() {
        let (_, session) = switch();
        let others = SLACK as i64 * 10;
        let new_peak: fn(&ThreadCounter, &Cell<i64>) = |counter, _| counter.tear(60_100);
        // The others have given all back since.
        let fold: fn(&ThreadCounter, &Cell<i64>) = |counter, sum| {
            let net = SLACK as i64;
            counter.net.store(net, Ordering::Relaxed);
            sum.set(0);
            counter.fold(net, folding(sum));
        };
        for (torn, peak) in [(new_peak, others + 60_100), (fold, others + 100)] {
            let (counter, sum) = (counter(), Cell::new(others));
            change(&counter, session, 0, 100, &sum);
            torn(&counter, &sum);
            counter.mend();
            change(&counter, session, 50, 0, &sum);
            change(&counter, session, 0, 40, &sum);
            assert_eq!(counter.peak(session), peak);
        }
    }

    /// Any counters that take turns: what they say together is within the bound that is promised.
    #[test]
    fn with_others_a_peak_is_within_its_bound() {
        const THREADS: usize = 3;
        let (_, session) = switch();
        for seed in 1..200_u64 {
            let (counters, sum) = ([counter(), counter(), counter()], Cell::new(0));
            let (mut random, mut live, mut peak) = (seed, [0_u64; THREADS], 0_i64);
            for _ in 0..2000 {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(99);
                let who = (random >> 33) as usize % THREADS;
                // Now rising, now falling; from nothing to more than the slack at a time.
                let size = (random >> 40) % (1 << (random >> 60).max(1));
                if random >> 20 & 64 == 0 {
                    change(&counters[who], session, 0, size, &sum);
                    live[who] += size;
                } else {
                    let size = size.min(live[who]);
                    change(&counters[who], session, size, 0, &sum);
                    live[who] -= size;
                }
                peak = peak.max(live.iter().sum::<u64>() as i64);
                let peaks = counters.iter().map(|counter| counter.peak(session));
                let seen = peaks.max().unwrap_or(0);
                let slack = SLACK as i64;
                let bound = peak - slack * (THREADS as i64 - 1)..=peak + slack * THREADS as i64;
                assert!(bound.contains(&seen), "{seen} {bound:?}");
                let net: i64 = counters.iter().map(|counter| counter.net(session)).sum();
                assert_eq!(net as u64, live.iter().sum::<u64>());
            }
        }
    }

    /// An event costs the same however many threads there are: it asks for the shared sum once in 64 KiB,
    /// or once if the block is larger.
    #[test]
    fn a_part_is_folded_once_in_64_kib() {
        let (_, session) = switch();
        let (counter, folds) = (counter(), Cell::new(0));
        let change = |old, new| {
            let fold = |part| {
                folds.set(folds.get() + 1);
                part
            };
            if !counter.change_within(session, old, new) {
                counter.change(session, old, new, fold);
            }
        };
        change(0, 1);
        assert_eq!(folds.replace(0), 1);
        for _ in 0..1024 {
            change(0, 1024);
        }
        assert_eq!(folds.replace(0), 16);
        change(0, 1 << 30);
        assert_eq!(folds.get(), 1);
    }
}
