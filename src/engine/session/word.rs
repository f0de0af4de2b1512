//! The switch's word as one event reads it: which session, with which settings, and what else an event has
//! to do.
//!
//! # Flags
//!
//! Some bits say what else an event has to do, whatever session it belongs to: a [`Flag`] each. They
//! are in the word so that one load tells everything, and they are no part of the session. A flag
//! may change in the middle of a session: what was recorded stays valid, the peak goes on, and
//! threads keep what they remember of the session. So nothing may compare the word as a whole:
//! sessions compare by [`Session::bits`], which leaves the flags out. A flag stays as it is while
//! sessions start, stop and clear; the thread that sets it clears it.
//!
//! An event without anything special to do finds that out by one test ([`Session::is_simple`]).

use std::num::NonZeroU64;

/// The bits of all flags, also of one that has no meaning yet.
pub(super) const FLAGS: u64 = 0b11;
const HISTORY: u64 = 1 << 2;
pub(super) const ON: u64 = 1 << 3;
const RUNTIME_FRAMES: u64 = 1 << 4;
const SAMPLED: u64 = 1 << 5;
const LIMIT_SHIFT: u32 = 6;
const THREAD_NAMES: u64 = 1 << 22;
const ONLY_SCOPES: u64 = 1 << 23;
const NAMES_LATER: u64 = 1 << 24;
const RESETS_SHIFT: u32 = 25;
pub(super) const NUMBER_SHIFT: u32 = 38;
const RESETS: u64 = (1 << NUMBER_SHIFT) - (1 << RESETS_SHIFT);

/// The number of a session; every start, stop and clear begins a new one. Numbers are circular:
/// after 2^[`BITS`](Self::BITS) of them they begin again at 0. So they have no order of their own:
/// [`is_before`](Self::is_before) tells which of two is the earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionNumber(pub(crate) u64);

impl SessionNumber {
    /// Bits of a number. The filter of sampled addresses keeps this many, other tables fewer.
    pub(crate) const BITS: u32 = u64::BITS - NUMBER_SHIFT;
    pub(super) const MAX: u64 = (1 << Self::BITS) - 1;

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
    /// The tracer's memory is counted without asking the system. Has no room in the switch.
    pub(crate) counts_mapped: bool,
    /// Only threads in scopes that record are recorded. The program has not started tracing: for all
    /// that it can ask, tracing is off.
    pub(crate) only_scopes: bool,
}

impl Settings {
    /// All but the number of bytes and how memory is counted, which have no room in the switch.
    pub(super) fn bits(self) -> u64 {
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
pub(crate) struct Session(pub(super) u64);

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Session {}

impl Session {
    pub(super) fn new(number: SessionNumber, settings: u64) -> Self {
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
    pub(crate) fn is_the_programs(self) -> bool {
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
    pub(super) fn settings(self) -> u64 {
        self.0 & ((1 << RESETS_SHIFT) - 1) & !ON & !FLAGS
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_on(self) -> bool {
        self.0 & ON != 0
    }

    pub(super) fn on(self) -> Self {
        Self(self.0 | ON)
    }

    pub(super) fn with_one_reset_more(self) -> Self {
        let resets = (self.0 & RESETS).wrapping_add(1 << RESETS_SHIFT) & RESETS;
        Self(self.0 & !RESETS | resets)
    }

    pub(super) fn next_number(self) -> SessionNumber {
        SessionNumber((self.number().0 + 1) & SessionNumber::MAX)
    }
}
