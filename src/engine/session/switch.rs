//! The switch: whether tracing is on, and in which session.
//!
//! A session is one period of tracing, with a number of its own. The switch is one word. A single load
//! tells an allocation whether tracing is on, which session it is and how many frames to keep. Every
//! start, stop and clear is one compare-and-swap, so no thread waits for another.
//!
//! Every record has the number of its session. A thread that was overtaken by `stop` or
//! `clear_traces` in the middle of an allocation still writes its record, but with the number of a
//! session that has ended: nobody counts it as live.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

const ON: u64 = 1;
const RUNTIME_FRAMES: u64 = 2;
const SAMPLED: u64 = 4;
const LIMIT_SHIFT: u32 = 3;
const RESETS_SHIFT: u32 = 19;
const EPOCH_SHIFT: u32 = 35;
const RESETS: u64 = (1 << EPOCH_SHIFT) - (1 << RESETS_SHIFT);

/// The number of a session; every start, stop and clear begins a new one. 29 bits of it are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionNumber(pub(crate) u64);

/// What a program asks for when it starts tracing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Maximum number of frames that a traceback keeps.
    pub(crate) limit: u16,
    /// Frames of the standard library stay in tracebacks.
    pub(crate) runtime_frames: bool,
    /// The sampling period: one allocation is recorded per this many bytes, on average. `None`: every
    /// allocation is recorded.
    pub(crate) sample_every: Option<NonZeroU64>,
}

impl Settings {
    /// All but the number of bytes, which has no room in the switch.
    fn bits(self) -> u64 {
        let frames = if self.runtime_frames {
            RUNTIME_FRAMES
        } else {
            0
        };
        let sampled = if self.sample_every.is_some() {
            SAMPLED
        } else {
            0
        };
        u64::from(self.limit) << LIMIT_SHIFT | frames | sampled
    }
}

/// Why tracing is not on after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotStarted {
    /// There is no memory for the tables that every session needs.
    NoMemory,
    /// The program allocates past the tracer.
    NotInstalled,
}

/// A session as one allocation sees it from beginning to end.
///
/// ```text
///  63   35 34        19 18    3    2         1           0
/// | number | peak resets | limit | sampled | runtime fr. | on |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Session(u64);

impl Session {
    fn new(number: SessionNumber, settings: u64) -> Self {
        Self(number.0 << EPOCH_SHIFT | settings)
    }

    /// Different for every session and for every reset of its peak; never 0 while tracing.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn number(self) -> SessionNumber {
        SessionNumber(self.0 >> EPOCH_SHIFT)
    }

    /// True if `bits` are those of this session, before or after a reset of its peak.
    pub(crate) fn has_number(self, bits: u64) -> bool {
        Self(bits).number() == self.number()
    }

    /// True if `bits` are those of a later session.
    pub(crate) fn is_before(self, bits: u64) -> bool {
        self.number() < Self(bits).number()
    }

    /// Maximum number of frames that a traceback keeps.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn limit(self) -> u16 {
        (self.0 >> LIMIT_SHIFT) as u16
    }

    /// True if frames of the standard library stay in tracebacks.
    pub(crate) fn runtime_frames(self) -> bool {
        self.0 & RUNTIME_FRAMES != 0
    }

    /// True if only some allocations are recorded.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_sampled(self) -> bool {
        self.0 & SAMPLED != 0
    }

    /// What stays when the program clears its traces.
    fn settings(self) -> u64 {
        self.0 & ((1 << RESETS_SHIFT) - 1) & !ON
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_on(self) -> bool {
        self.0 & ON != 0
    }

    fn on(self) -> Self {
        Self(self.0 | ON)
    }

    fn with_one_reset_more(self) -> Self {
        let resets = (self.0 & RESETS).wrapping_add(1 << RESETS_SHIFT) & RESETS;
        Self(self.0 & !RESETS | resets)
    }

    fn next_number(self) -> SessionNumber {
        SessionNumber((self.number().0 + 1) & (u64::MAX >> EPOCH_SHIFT))
    }
}

/// The switch: the session in force.
pub(crate) struct Switch(AtomicU64);

impl Switch {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The session, if tracing is on. One relaxed load and a branch: this is the whole cost of
    /// being off.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn session(&self) -> Option<Session> {
        let session = Session(self.0.load(Ordering::Relaxed));
        if session.is_on() { Some(session) } else { None }
    }

    /// True until the first start.
    pub(crate) fn never_started(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Begins a session. `None` if one is on already, which then goes on unchanged.
    pub(crate) fn start(&self, settings: Settings) -> Option<Session> {
        self.advance(|now| {
            (!now.is_on()).then(|| Session::new(now.next_number(), settings.bits()).on())
        })
    }

    /// Ends the session that is on, and returns the number after it. `None` if none was on.
    pub(crate) fn stop(&self) -> Option<Session> {
        self.advance(|now| now.is_on().then(|| Self::off_after(now)))
    }

    /// Ends `session` and no other, and returns the number after it. `None` if it was not on.
    pub(crate) fn abandon(&self, session: Session) -> Option<Session> {
        self.advance(|now| {
            (now.is_on() && now.number() == session.number()).then(|| Self::off_after(now))
        })
    }

    fn off_after(session: Session) -> Session {
        Session::new(session.next_number(), 0)
    }

    /// Begins a new session with unchanged settings. `None` if none was on.
    pub(crate) fn clear(&self) -> Option<Session> {
        self.advance(|now| {
            now.is_on()
                .then(|| Session::new(now.next_number(), now.settings()).on())
        })
    }

    /// Restarts the peak of `session`, for every thread. Returns the session with its new bits; `None`
    /// if it has ended.
    pub(crate) fn reset_peak(&self, session: Session) -> Option<Session> {
        self.advance(|now| {
            (now.is_on() && now.number() == session.number()).then(|| now.with_one_reset_more())
        })
    }

    fn advance(&self, next: impl Fn(Session) -> Option<Session>) -> Option<Session> {
        let mut now = Session(self.0.load(Ordering::Relaxed));
        loop {
            let then = next(now)?;
            match self
                .0
                .compare_exchange_weak(now.0, then.0, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return Some(then),
                Err(other) => now = Session(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(limit: u16, runtime_frames: bool) -> Settings {
        Settings {
            limit,
            runtime_frames,
            sample_every: None,
        }
    }

    #[test]
    fn every_transition_is_a_new_epoch() {
        let switch = Switch::new();
        assert!(switch.never_started());
        assert_eq!(switch.session(), None);
        assert_eq!(switch.stop(), None);
        assert_eq!(switch.clear(), None);
        let first = switch.start(settings(7, false)).expect("was off");
        assert_eq!(
            (first.settings(), first.number()),
            (settings(7, false).bits(), SessionNumber(1))
        );
        assert_eq!(switch.start(settings(3, true)), None);
        assert_eq!(switch.session(), Some(first));
        let second = switch.clear().expect("was on");
        assert_eq!((second.limit(), second.number()), (7, SessionNumber(2)));
        assert_eq!(switch.abandon(first), None);
        assert_eq!(switch.session(), Some(second));
        assert_eq!(switch.stop().expect("was on").number(), SessionNumber(3));
        assert_eq!(switch.session(), None);
        let third = Settings {
            sample_every: NonZeroU64::new(5),
            ..settings(u16::MAX, true)
        };
        let begun = switch.start(third).expect("was off");
        assert_eq!((begun.limit(), begun.runtime_frames()), (u16::MAX, true));
        assert_eq!(
            (begun.is_sampled(), begun.number()),
            (true, SessionNumber(4))
        );
        let cleared = switch.clear().expect("was on");
        assert_eq!(cleared.settings(), begun.settings());
        assert!(cleared.is_sampled() && !first.is_sampled());
    }

    #[test]
    fn a_reset_of_the_peak_is_seen_and_is_no_new_session() {
        let switch = Switch::new();
        let first = switch.start(settings(u16::MAX, true)).expect("was off");
        let mut seen = vec![first.bits()];
        // All that there are, but for Miri.
        let resets = if cfg!(miri) { 300 } else { u16::MAX };
        for _ in 0..resets {
            let now = switch.reset_peak(first).expect("was on");
            assert!(first.has_number(now.bits()));
            assert_eq!(now.settings(), first.settings());
            seen.push(now.bits());
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), usize::from(resets) + 1);
        assert!(switch.abandon(first).is_some());
        assert_eq!(switch.session(), None);
        assert_eq!(switch.reset_peak(first), None);
    }
}
