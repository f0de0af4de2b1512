//! The switch: whether tracing is on, and in which session.
//!
//! A session is one period of tracing, with a number of its own. The switch is one word. A single load
//! tells an allocation whether tracing is on, which session it is and how many frames to keep. Every
//! start, stop and clear is one compare-and-swap, so no thread waits for another.
//!
//! Every record has the number of its session. A thread that was overtaken by `stop` or
//! `clear_traces` in the middle of an allocation still writes its record, but with the number of a
//! session that has ended: nobody counts it as live.
//!
use std::sync::atomic::{AtomicU64, Ordering};

use super::word::{FLAGS, Flag, ON, Session, Settings};

/// The switch: the session in force.
pub(crate) struct Switch(AtomicU64);

impl Switch {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// What an event has to do. `None` if that is nothing: tracing is off, and no scope was ever
    /// opened. One relaxed load and a branch: this is the whole cost of being off. Without a scope the
    /// session is on.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn event(&self) -> Option<Session> {
        let session = Session(self.0.load(Ordering::Relaxed));
        let concerns = ON | Flag::ScopesOpen as u64;
        (session.0 & concerns != 0).then_some(session)
    }

    /// The session, if tracing is on.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn session(&self) -> Option<Session> {
        let session = Session(self.0.load(Ordering::Relaxed));
        if session.is_the_programs() {
            Some(session)
        } else {
            None
        }
    }

    /// The session in which blocks are recorded, if there is one, whether the program has started it or
    /// a scope.
    pub(crate) fn recording(&self) -> Option<Session> {
        let session = Session(self.0.load(Ordering::Relaxed));
        session.is_on().then_some(session)
    }

    /// Begins a session for scopes alone. `None` if any session is on.
    pub(crate) fn start_for_scopes(&self, settings: Settings) -> Option<Session> {
        self.advance(|now| {
            (!now.is_on()).then(|| Session::new(now.next_number(), settings.bits()).on())
        })
    }

    /// True until the first start.
    pub(crate) fn never_started(&self) -> bool {
        Session(self.0.load(Ordering::Relaxed)).bits() == 0
    }

    /// Begins a session. `None` if the program has one already, which then goes on unchanged. One for scopes
    /// alone ends.
    pub(crate) fn start(&self, settings: Settings) -> Option<Session> {
        self.advance(|now| {
            (!now.is_the_programs()).then(|| Session::new(now.next_number(), settings.bits()).on())
        })
    }

    /// Ends the program's session, and returns the number after it. `None` if none was on.
    pub(crate) fn stop(&self) -> Option<Session> {
        self.advance(|now| now.is_the_programs().then(|| Self::off_after(now)))
    }

    /// Ends `session` and no other, and returns the number after it. `None` if it was not on.
    pub(crate) fn abandon(&self, session: Session) -> Option<Session> {
        self.advance(|now| {
            (now.is_on() && now.number() == session.number()).then(|| Self::off_after(now))
        })
    }

    /// Keeps the settings: a limit is never 0, so the word tells from one that was never started
    /// even when the numbers begin again.
    fn off_after(session: Session) -> Session {
        Session::new(session.next_number(), session.settings())
    }

    /// Begins a new session with unchanged settings. `None` if none was on.
    pub(crate) fn clear(&self) -> Option<Session> {
        self.advance(|now| {
            now.is_the_programs()
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

    /// Sets or clears `flag`, while tracing is on or off. True if it was set before. An event that
    /// is under way does not see the change.
    pub(crate) fn set(&self, flag: Flag, value: bool) -> bool {
        // Both sides as `advance`.
        let before = if value {
            self.0.fetch_or(flag as u64, Ordering::AcqRel)
        } else {
            self.0.fetch_and(!(flag as u64), Ordering::AcqRel)
        };
        Session(before).has(flag)
    }

    /// Goes on to what `next` makes of the word, with the flags as they are.
    fn advance(&self, next: impl Fn(Session) -> Option<Session>) -> Option<Session> {
        let mut now = Session(self.0.load(Ordering::Relaxed));
        loop {
            let then = Session(next(now)?.bits() | now.0 & FLAGS);
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
    use crate::engine::session::word::SessionNumber;
    use std::num::NonZeroU64;

    fn settings(limit: u16, runtime_frames: bool) -> Settings {
        Settings {
            limit,
            runtime_frames,
            sample_every: None,
            history: false,
            thread_names: false,
            names_later: false,
            counts_mapped: false,
            only_scopes: false,
        }
    }

    #[test]
    fn every_transition_is_a_new_session() {
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
            history: true,
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
        assert!(cleared.has_history() && !first.has_history());
        assert!(first.is_plain() && !cleared.is_plain());
    }

    #[test]
    fn a_reset_of_the_peak_is_seen_and_is_no_new_session() {
        let switch = Switch::new();
        let first = switch.start(settings(u16::MAX, true)).expect("was off");
        let mut seen = vec![first.bits()];
        // All that there are, but for Miri.
        let resets = if cfg!(miri) { 300 } else { u16::MAX >> 3 };
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

    #[test]
    fn a_changed_flag_is_seen_and_is_no_new_session() {
        for flag in [Flag::ScopesOpen, Flag::Labels] {
            let switch = Switch::new();
            let first = switch.start(settings(u16::MAX, true)).expect("was off");
            assert!(!switch.set(flag, true) && switch.set(flag, true));
            let seen = switch.session().expect("was on");
            assert!(seen.has(flag) && !first.has(flag));
            assert_eq!((seen, seen.bits()), (first, first.bits()));
            assert_eq!(seen.settings(), first.settings());
            assert!(seen.has_number(first.bits()) && !seen.is_before(first.bits()));
            assert!(switch.set(flag, false));
            assert!(!switch.session().expect("was on").has(flag));
        }
    }

    #[test]
    fn a_flag_stays_until_it_is_cleared() {
        for flag in [Flag::ScopesOpen, Flag::Labels] {
            let switch = Switch::new();
            switch.set(flag, true);
            assert!(switch.never_started());
            assert_eq!(switch.session(), None);
            let first = switch.start(settings(7, false)).expect("was off");
            let reset = switch.reset_peak(first).expect("was on");
            let cleared = switch.clear().expect("was on");
            for session in [first, reset, cleared] {
                assert!(session.has(flag));
                assert_eq!(session.settings(), settings(7, false).bits());
            }
            assert!(first != reset && reset != cleared);
            assert!(switch.abandon(cleared).expect("was on").has(flag));
            assert!(switch.set(flag, false) && !switch.never_started());
        }
    }

    #[test]
    fn numbers_begin_again_and_the_last_one_is_before_the_first() {
        let last = Session::new(SessionNumber(SessionNumber::MAX), settings(7, false).bits()).on();
        let switch = Switch(AtomicU64::new(last.0));
        let next = switch.clear().expect("was on");
        assert_eq!(next.number(), SessionNumber(0));
        assert!(last.is_before(next.bits()) && !next.is_before(last.bits()));
        let switch = Switch(AtomicU64::new(last.0));
        assert!(switch.stop().is_some() && !switch.never_started());
    }
}
