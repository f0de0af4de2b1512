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
//! # Flags
//!
//! Some bits say what else an event has to do, whatever session it belongs to: a [`Flag`] each. They
//! are in the word so that one load tells everything, and they are no part of the session. A flag
//! may change in the middle of a session: what was recorded stays valid, the peak goes on, and
//! threads keep what they remember of the session. So nothing may compare the word as a whole:
//! sessions compare by [`Session::bits`], which leaves the flags out. A flag stays as it is while
//! sessions start, stop and clear; whoever has set it clears it.
//!
//! An event without anything special to do finds that out by one test ([`Session::is_simple`]).

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bits of all flags, also of one that has no meaning yet.
const FLAGS: u64 = 0b11;
const HISTORY: u64 = 1 << 2;
const ON: u64 = 1 << 3;
const RUNTIME_FRAMES: u64 = 1 << 4;
const SAMPLED: u64 = 1 << 5;
const LIMIT_SHIFT: u32 = 6;
const THREAD_NAMES: u64 = 1 << 22;
const ONLY_SCOPES: u64 = 1 << 23;
const NAMES_LATER: u64 = 1 << 24;
const RESETS_SHIFT: u32 = 25;
const NUMBER_SHIFT: u32 = 38;
const RESETS: u64 = (1 << NUMBER_SHIFT) - (1 << RESETS_SHIFT);

/// The number of a session; every start, stop and clear begins a new one. Numbers are circular:
/// after 2^[`BITS`](Self::BITS) of them they begin again at 0. So they have no order of their own:
/// [`is_before`](Self::is_before) tells which of two is the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionNumber(pub(crate) u64);

impl SessionNumber {
    /// Bits of a number. The filter of sampled addresses keeps this many, other tables fewer.
    pub(crate) const BITS: u32 = u64::BITS - NUMBER_SHIFT;
    const MAX: u64 = (1 << Self::BITS) - 1;

    /// True if `other` is a later session's: one of the next half of the numbers.
    pub(crate) fn is_before(self, other: Self) -> bool {
        let ahead = other.0.wrapping_sub(self.0) & Self::MAX;
        (1..=Self::MAX / 2).contains(&ahead)
    }
}

/// What an event has to do beside what its session asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// A scope was opened in this process: an event asks whether its thread is in one. Never cleared,
    /// so that scopes which come and go write nothing that threads share.
    ScopesOpen = 1 << 0,
    /// The program has tags, of which an event asks the thread for its own.
    Labels = 1 << 1,
}

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
    /// Events count for totals and peaks of their stacks.
    pub(crate) history: bool,
    /// Blocks are labelled with the name of their thread.
    pub(crate) thread_names: bool,
    /// Snapshots are taken without names.
    pub(crate) names_later: bool,
    /// Only threads in scopes that record are recorded. The program has not started tracing: for all
    /// that it can ask, tracing is off.
    pub(crate) only_scopes: bool,
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
        let history = if self.history { HISTORY } else { 0 };
        let names = if self.thread_names { THREAD_NAMES } else { 0 };
        let scopes = if self.only_scopes { ONLY_SCOPES } else { 0 };
        let later = if self.names_later { NAMES_LATER } else { 0 };
        u64::from(self.limit) << LIMIT_SHIFT | frames | sampled | history | names | scopes | later
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
///  63   38 37        25      24            23            22        21    6    5         4           3     2       1   0
/// | number | peak resets | names later | only scopes | thread n. | limit | sampled | runtime fr. | on | history | flags |
/// ```
///
/// Two are equal if no session began and no peak was reset between them, whatever the flags were.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Session(u64);

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Session {}

impl Session {
    fn new(number: SessionNumber, settings: u64) -> Self {
        Self(number.0 << NUMBER_SHIFT | settings)
    }

    /// What sessions are compared by: different for every session and for every reset of its peak,
    /// whatever the flags are; never 0 while tracing.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn bits(self) -> u64 {
        self.0 & !FLAGS
    }

    /// All that the switch said, flags included.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    /// True if every event is recorded and that is all there is to do: no sampler is asked, no history is
    /// kept, and no flag is set. One test, for the wrapper's fast paths.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_simple(self) -> bool {
        self.0 & (SAMPLED | HISTORY | THREAD_NAMES | FLAGS) == 0
    }

    /// As [`Session::is_simple`] for a free, which has nothing to do with labels.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_simple_to_free(self) -> bool {
        self.0 & (SAMPLED | HISTORY | Flag::ScopesOpen as u64) == 0
    }

    /// True if the session samples and no flag is set: an event that is not chosen has nothing to do.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn only_samples(self) -> bool {
        self.0 & (SAMPLED | FLAGS) == SAMPLED
    }

    /// True if `flag` was set when the event began.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn has(self, flag: Flag) -> bool {
        self.0 & flag as u64 != 0
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn number(self) -> SessionNumber {
        SessionNumber(self.0 >> NUMBER_SHIFT)
    }

    /// True if `bits` are those of this session, before or after a reset of its peak.
    pub(crate) fn has_number(self, bits: u64) -> bool {
        Self(bits).number() == self.number()
    }

    /// True if `bits` are those of a later session.
    pub(crate) fn is_before(self, bits: u64) -> bool {
        self.number().is_before(Self(bits).number())
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

    /// True if snapshots are taken without names.
    pub(crate) fn names_later(self) -> bool {
        self.0 & NAMES_LATER != 0
    }

    /// True if blocks are labelled with the name of their thread.
    pub(crate) fn names_threads(self) -> bool {
        self.0 & THREAD_NAMES != 0
    }

    /// True if only threads in scopes that record are recorded.
    pub(crate) fn only_scopes(self) -> bool {
        self.0 & ONLY_SCOPES != 0
    }

    /// True if the program has tracing on.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_the_programs(self) -> bool {
        self.0 & (ON | ONLY_SCOPES) == ON
    }

    /// True if blocks may have labels.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn has_labels(self) -> bool {
        self.0 & (Flag::Labels as u64 | THREAD_NAMES) != 0
    }

    /// True if only some allocations are recorded.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_sampled(self) -> bool {
        self.0 & SAMPLED != 0
    }

    /// True if events count for totals and peaks of their stacks.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn has_history(self) -> bool {
        self.0 & HISTORY != 0
    }

    /// True if an event has to be recorded and counted, and nothing more: every event is, and there is
    /// no history. One test, for the tracker's fast paths. What scopes do is no affair of the tracker.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_plain(self) -> bool {
        self.0 & (SAMPLED | HISTORY) == 0
    }

    /// What stays when the program clears its traces.
    fn settings(self) -> u64 {
        self.0 & ((1 << RESETS_SHIFT) - 1) & !ON & !FLAGS
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_on(self) -> bool {
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
        SessionNumber((self.number().0 + 1) & SessionNumber::MAX)
    }
}

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

    fn settings(limit: u16, runtime_frames: bool) -> Settings {
        Settings {
            limit,
            runtime_frames,
            sample_every: None,
            history: false,
            thread_names: false,
            names_later: false,
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
