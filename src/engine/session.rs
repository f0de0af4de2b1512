//! One period of tracing, told apart from every other by its number.
//!
//! The whole switch is one word, so that an allocation learns with a single load whether tracing is
//! on, which session it is and how many frames to keep, and so that every transition is one
//! compare-and-swap: nobody ever waits for another thread to start, stop or clear. Whatever is
//! recorded carries the number of its session; a thread that was overtaken by `stop` or
//! `clear_traces` in the middle of an allocation still writes its record, which is then dead on
//! sight.

use std::sync::atomic::{AtomicU64, Ordering};

const ON: u64 = 1;
const RUNTIME_FRAMES: u64 = 2;
const LIMIT_SHIFT: u32 = 2;
const EPOCH_SHIFT: u32 = 18;

/// The number of a session; every start, stop and clear begins a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(pub(crate) u64);

/// A session as one allocation sees it from beginning to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session(u64);

impl Session {
    fn new(epoch: Epoch, limit: u16, runtime_frames: bool) -> Self {
        let frames = if runtime_frames { RUNTIME_FRAMES } else { 0 };
        Self(epoch.0 << EPOCH_SHIFT | u64::from(limit) << LIMIT_SHIFT | frames)
    }

    pub(crate) fn epoch(self) -> Epoch {
        Epoch(self.0 >> EPOCH_SHIFT)
    }

    /// Most frames that a traceback keeps.
    pub(crate) fn limit(self) -> u16 {
        (self.0 >> LIMIT_SHIFT) as u16
    }

    /// True if frames of the standard library stay in tracebacks.
    pub(crate) fn runtime_frames(self) -> bool {
        self.0 & RUNTIME_FRAMES != 0
    }

    fn is_on(self) -> bool {
        self.0 & ON != 0
    }

    fn on(self) -> Self {
        Self(self.0 | ON)
    }

    fn next_epoch(self) -> Epoch {
        Epoch(self.epoch().0 + 1)
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
    #[inline(always)]
    pub(crate) fn session(&self) -> Option<Session> {
        let session = Session(self.0.load(Ordering::Relaxed));
        if session.is_on() { Some(session) } else { None }
    }

    /// True until the first start.
    pub(crate) fn never_started(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Begins a session. `None` if one is on already, which then goes on unchanged.
    pub(crate) fn start(&self, limit: u16, runtime_frames: bool) -> Option<Session> {
        self.advance(|now| {
            (!now.is_on()).then(|| Session::new(now.next_epoch(), limit, runtime_frames).on())
        })
    }

    /// Ends the session that is on, and returns the number after it. `None` if none was on.
    pub(crate) fn stop(&self) -> Option<Session> {
        self.advance(|now| {
            now.is_on()
                .then(|| Session::new(now.next_epoch(), 0, false))
        })
    }

    /// Ends `session` and no other.
    pub(crate) fn abandon(&self, session: Session) {
        self.advance(|now| (now == session).then(|| Session::new(now.next_epoch(), 0, false)));
    }

    /// Goes on in a new session with the same settings. `None` if none was on.
    pub(crate) fn clear(&self) -> Option<Session> {
        self.advance(|now| {
            now.is_on()
                .then(|| Session::new(now.next_epoch(), now.limit(), now.runtime_frames()).on())
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

    #[test]
    fn every_transition_is_a_new_epoch() {
        let switch = Switch::new();
        assert!(switch.never_started());
        assert_eq!(switch.session(), None);
        assert_eq!(switch.stop(), None);
        assert_eq!(switch.clear(), None);
        let first = switch.start(7, false).expect("was off");
        assert_eq!(
            (first.limit(), first.runtime_frames(), first.epoch()),
            (7, false, Epoch(1))
        );
        assert_eq!(switch.start(3, true), None);
        assert_eq!(switch.session(), Some(first));
        let second = switch.clear().expect("was on");
        assert_eq!((second.limit(), second.epoch()), (7, Epoch(2)));
        switch.abandon(first);
        assert_eq!(switch.session(), Some(second));
        assert_eq!(switch.stop().expect("was on").epoch(), Epoch(3));
        assert_eq!(switch.session(), None);
        let third = switch.start(u16::MAX, true).expect("was off");
        assert_eq!(
            (third.limit(), third.runtime_frames(), third.epoch()),
            (u16::MAX, true, Epoch(4))
        );
    }
}
