//! What the parts of one scope come to.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::recording::Recording;
use crate::engine::Guard;
use crate::engine::scopes::Counts;
use crate::sections::{Busy, STAYS};

/// What is known of a scope. Threads change it when they enter and leave, never in an allocation.
#[derive(Default)]
pub(super) struct Total {
    /// To be locked in one of the sections [`STAYS`] alone: which one.
    section: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sums: Sums,
    /// `None` if the scope only counts, or has ended.
    recording: Option<Arc<Recording>>,
}

/// A scope's sums, for all who need them. Their memory comes and goes while nothing is counted: it is no event
/// of a scope around this one.
#[derive(Clone)]
pub(super) struct Shared(Option<Arc<Total>>);

impl Shared {
    pub(super) fn new(recording: Option<Arc<Recording>>) -> Self {
        let _inside = Guard::enter();
        Self(Some(Arc::new(Total::new(recording))))
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

/// Sums over the parts that have ended, and the most that the scope held.
///
/// ```text
/// thread A  ├──────────────────────┤        A part is one stay of one thread. Between two of these ends the
/// thread B      ├────┤      ├──────────┤    same parts are open.
///           | 1 |  2 |  1   |  2   | 1 |
/// ```
///
/// In such an interval the scope holds at most what the parts that ended before it have left, and for each part
/// that is open the most that its thread held in it. The peak is the highest of these sums. What an open part
/// held is known when it ends. Until then one sum is kept for all intervals between the beginnings of two parts
/// that are open now: whatever parts end later, the highest of them stays the highest.
#[derive(Clone, Default)]
pub(super) struct Sums {
    pub(super) counts: Counts,
    /// Several threads were in the scope at one time.
    pub(super) overlapped: bool,
    /// The highest sum before the first of the open parts began.
    closed: i64,
    /// In the order in which they began.
    open: Vec<OpenPart>,
    parts: u64,
}

/// A part that has not ended.
#[derive(Clone)]
struct OpenPart {
    ticket: Ticket,
    /// The highest sum since it began and before the next one did, without what open parts held.
    high: i64,
}

/// Which part of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl Total {
    fn new(recording: Option<Arc<Recording>>) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let state = State {
            recording,
            ..State::default()
        };
        Self {
            // Any will do: scopes beside each other seldom wait for one another.
            section: NEXT.fetch_add(1, Ordering::Relaxed) % STAYS.len(),
            state: Mutex::new(state),
        }
    }

    /// Calls `task` with what is known of the scope. To be called inside the tracer.
    fn with<R>(&self, task: impl FnOnce(&mut State) -> R) -> Result<R, Busy> {
        let _section = STAYS[self.section].enter_inside()?;
        // A panic cannot come between two steps: none of them runs code of the program.
        Ok(task(
            &mut self.state.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// Who owns what threads in the scope allocate.
    pub(super) fn recording(&self) -> Option<Arc<Recording>> {
        self.with(|state| state.recording.clone()).ok().flatten()
    }

    /// The scope owns no more. Handles may live on.
    pub(super) fn end_recording(&self) {
        drop(self.with(|state| state.recording.take()));
    }

    /// The running thread enters.
    pub(super) fn begin_part(&self) -> Result<Ticket, Busy> {
        self.with(|state| state.sums.begin())
    }

    /// The running thread leaves: it has counted `counts` since it entered, and held `most` bytes more at
    /// most.
    pub(super) fn end_part(&self, ticket: Ticket, counts: &Counts, high: i64) {
        // A section that was lost in a fork has lost its scopes.
        let _ = self.with(|state| state.sums.end(ticket, counts, high));
    }

    /// The sums, and with them the part that the running thread is in, if it is.
    pub(super) fn sums(&self, own_part: Option<(Ticket, Counts, i64)>) -> Result<Sums, Busy> {
        let mut sums = self.with(|state| state.sums.clone())?;
        if let Some((ticket, counts, high)) = own_part {
            sums.end(ticket, &counts, high);
        }
        Ok(sums)
    }
}

impl Sums {
    fn begin(&mut self) -> Ticket {
        let ticket = Ticket(self.parts);
        self.parts += 1;
        self.overlapped |= !self.open.is_empty();
        let high = self.counts.net();
        self.open.push(OpenPart { ticket, high });
        ticket
    }

    fn end(&mut self, ticket: Ticket, counts: &Counts, high: i64) {
        self.counts = self.counts.plus(counts);
        let Some(at) = self.open.iter().position(|part| part.ticket == ticket) else {
            return;
        };
        for part in &mut self.open[at..] {
            part.high = part.high.saturating_add(high.max(0));
        }
        let ended = self.open.remove(at);
        let before = match at.checked_sub(1) {
            Some(before) => &mut self.open[before].high,
            None => &mut self.closed,
        };
        *before = ended.high.max(*before);
        // The next interval begins.
        let net = self.counts.net();
        let last = self
            .open
            .last_mut()
            .map_or(&mut self.closed, |part| &mut part.high);
        *last = net.max(*last);
    }

    /// The highest that the scope held beyond what it began with, as far as that is known.
    pub(super) fn peak(&self) -> i64 {
        self.open
            .iter()
            .map(|part| part.high)
            .fold(self.closed, i64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(net: i64) -> Counts {
        Counts {
            allocated: net.max(0) as u64,
            freed: (-net).max(0) as u64,
            ..Counts::default()
        }
    }

    #[test]
    fn parts_one_after_the_other_have_an_exact_peak() {
        let mut sums = Sums::default();
        for (net, high) in [(80, 100), (-40, 50), (5, 5)] {
            let part = sums.begin();
            sums.end(part, &counts(net), high);
        }
        assert_eq!((sums.peak(), sums.overlapped), (130, false));
        assert_eq!(sums.counts.net(), 45);
    }

    #[test]
    fn what_one_thread_leaves_and_another_frees_is_held_once() {
        let mut sums = Sums::default();
        let idle = sums.begin();
        for _ in 0..100 {
            let makes = sums.begin();
            sums.end(makes, &counts(1000), 1000);
            let frees = sums.begin();
            sums.end(frees, &counts(-1000), 0);
        }
        sums.end(idle, &counts(0), 0);
        assert_eq!((sums.peak(), sums.overlapped), (1000, true));
    }

    #[test]
    fn parts_that_overlap_add_up() {
        let mut sums = Sums::default();
        let long = sums.begin();
        for net in [10, 10, 10] {
            let short = sums.begin();
            sums.end(short, &counts(net), 40);
        }
        sums.end(long, &counts(0), 100);
        assert_eq!((sums.peak(), sums.overlapped), (100 + 20 + 40, true));
    }

    #[test]
    fn what_is_under_way_counts_for_a_question_only() {
        let total = Total::default();
        let part = total.begin_part().expect("no fork");
        let peak = |own| total.sums(own).expect("no fork").peak();
        assert_eq!(peak(Some((part, counts(7), 9))), 9);
        assert_eq!(peak(None), 0);
    }

    /// The definition: for each interval, what had ended and the most of all parts that were open.
    #[test]
    fn the_peak_is_the_highest_sum_of_an_interval() {
        let mut seed = 7_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..300 {
            let mut sums = Sums::default();
            // Each part: its ticket, net, most, and the intervals in which it was open.
            let mut open: Vec<(Ticket, i64, i64)> = Vec::new();
            let mut intervals: Vec<(i64, Vec<Ticket>)> = vec![(0, Vec::new())];
            let mut high_of = Vec::new();
            let mut ended = 0;
            for step in 0..40 {
                if (random(2) == 0 && step < 30) || open.is_empty() {
                    let net = random(200) as i64 - 100;
                    let high = net.max(0) + random(100) as i64;
                    open.push((sums.begin(), net, high));
                } else {
                    let (ticket, net, high) = open.remove(random(open.len() as u64) as usize);
                    sums.end(ticket, &counts(net), high);
                    high_of.push((ticket, high));
                    ended += net;
                }
                let tickets = open.iter().map(|part| part.0).collect();
                intervals.push((ended, tickets));
            }
            for (ticket, net, high) in open {
                sums.end(ticket, &counts(net), high);
                high_of.push((ticket, high));
                ended += net;
            }
            intervals.push((ended, Vec::new()));
            let sum = |(ended, open): &(i64, Vec<Ticket>)| {
                let high = |ticket| high_of.iter().find(|(known, _)| known == ticket);
                ended
                    + open
                        .iter()
                        .filter_map(high)
                        .map(|(_, high)| high)
                        .sum::<i64>()
            };
            assert_eq!(sums.peak(), intervals.iter().map(sum).max().expect("some"));
        }
    }
}
