//! What the parts of one scope come to.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::recording::Recording;
use crate::engine::scopes::Counts;
use crate::engine::{Guard, this_thread};

/// What is known of a scope. Threads change it when they enter and leave, never in an allocation.
#[derive(Default)]
pub(super) struct Total {
    sums: Mutex<Sums>,
    /// `None` if the scope only counts, or has ended.
    recording: Mutex<Option<Arc<Recording>>>,
}

/// A scope's sums, for all who need them. Their memory comes and goes while nothing is counted: it is no event
/// of a scope around this one.
#[derive(Clone)]
pub(super) struct Shared(Option<Arc<Total>>);

impl Shared {
    pub(super) fn new(recording: Option<Arc<Recording>>) -> Self {
        let _inside = Guard::enter();
        Self(Some(Arc::new(Total {
            recording: Mutex::new(recording),
            ..Total::default()
        })))
    }
}

impl Deref for Shared {
    type Target = Arc<Total>;

    fn deref(&self) -> &Arc<Total> {
        let held = self.0.as_ref();
        held.unwrap_or_else(|| unreachable!("taken by `drop` alone"))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _inside = Guard::enter();
        drop(self.0.take());
    }
}

/// Sums over the parts that have ended.
///
/// ```text
/// thread A  ├──────┤        ├─────────────┤        A part is one stay of one thread. Parts that
/// thread B            ├──┤      ├───┤  ├─┤         overlap are a group. A group's peak is what the
///           group 1   gr. 2   group 3              scope held before it and, for each thread, the most
/// ```                                              that this thread held in it.
#[derive(Clone, Default)]
pub(super) struct Sums {
    pub(super) counts: Counts,
    pub(super) peak: i64,
    /// Several threads were in the scope at one time.
    pub(super) overlapped: bool,
    /// Parts that have not ended.
    open: usize,
    /// Net bytes when the group began.
    base: i64,
    group: Vec<InGroup>,
}

/// What one thread did in the group.
#[derive(Clone)]
struct InGroup {
    thread: usize,
    net: i64,
    peak: i64,
}

impl Total {
    fn lock(&self) -> MutexGuard<'_, Sums> {
        // A panic cannot come between two steps: none of them runs code of the program.
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who owns what threads in the scope allocate.
    pub(super) fn recording(&self) -> Option<Arc<Recording>> {
        let recording = self.recording.lock();
        recording.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The scope owns no more. Handles may live on.
    pub(super) fn end_recording(&self) {
        let recording = self.recording.lock();
        let ended = recording.unwrap_or_else(PoisonError::into_inner).take();
        drop(ended);
    }

    /// The running thread enters.
    pub(super) fn begin_part(&self) {
        let mut sums = self.lock();
        if sums.open == 0 {
            sums.base = sums.counts.net();
            sums.group.clear();
        }
        sums.open += 1;
    }

    /// The running thread leaves: it has counted `counts` since it entered, and held `peak` bytes more at
    /// most.
    pub(super) fn end_part(&self, counts: &Counts, peak: i64) {
        let mut sums = self.lock();
        sums.add(this_thread(), counts, peak);
        sums.open = sums.open.saturating_sub(1);
    }

    /// The sums, and with them the part that the running thread is in, if it is.
    pub(super) fn sums(&self, own_part: Option<(Counts, i64)>) -> Sums {
        let mut sums = self.lock().clone();
        if let Some((counts, peak)) = own_part {
            sums.add(this_thread(), &counts, peak);
        }
        sums
    }
}

impl Sums {
    fn add(&mut self, thread: usize, counts: &Counts, peak: i64) {
        self.counts = self.counts.plus(counts);
        match self.group.iter_mut().find(|known| known.thread == thread) {
            Some(known) => {
                known.peak = known.peak.max(known.net.saturating_add(peak));
                known.net = known.net.saturating_add(counts.net());
            }
            None => self.group.push(InGroup {
                thread,
                net: counts.net(),
                peak,
            }),
        }
        let peaks = self.group.iter().map(|known| known.peak.max(0));
        let peak = peaks.fold(self.base, i64::saturating_add);
        self.peak = self.peak.max(peak);
        self.overlapped |= self.group.len() > 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: usize = 1;

    fn counts(allocated: u64, freed: u64) -> Counts {
        Counts {
            allocated,
            freed,
            ..Counts::default()
        }
    }

    fn end_part(total: &Total, thread: usize, counts: Counts, peak: i64) {
        let mut sums = total.lock();
        sums.add(thread, &counts, peak);
        sums.open -= 1;
    }

    #[test]
    fn parts_one_after_the_other_have_an_exact_peak() {
        let total = Total::default();
        total.begin_part();
        end_part(&total, HERE, counts(100, 20), 100);
        total.begin_part();
        end_part(&total, 2, counts(50, 90), 50);
        total.begin_part();
        end_part(&total, HERE, counts(5, 0), 5);
        let sums = total.sums(None);
        assert_eq!((sums.peak, sums.overlapped), (130, false));
        assert_eq!(sums.counts.net(), 45);
    }

    #[test]
    fn parts_that_overlap_have_a_peak_that_is_never_too_low() {
        let total = Total::default();
        total.begin_part();
        for thread in [2, 2, 3] {
            total.begin_part();
            end_part(&total, thread, counts(40, 30), 40);
        }
        end_part(&total, HERE, counts(100, 100), 100);
        let sums = total.sums(None);
        assert_eq!((sums.peak, sums.overlapped), (100 + 50 + 40, true));
    }

    #[test]
    fn what_is_under_way_counts_for_a_question_only() {
        let total = Total::default();
        total.begin_part();
        assert_eq!(total.sums(Some((counts(7, 0), 9))).peak, 9);
        assert_eq!(total.sums(None).peak, 0);
    }
}
