//! The walk itself: a look-up and two loads per frame.

use super::Unwinder;
use super::arch::{PROCESSOR, plain};
use super::rule::{Kind, UnwindRule};
use super::stack::UNKNOWN;
use crate::engine::memory::arena::Arena;
use crate::engine::unwind::{Caller, Captured, Mark};

/// Stacks that one walk leads over: a program may put frames on stacks of its own, or be
/// interrupted on one and handle the signal on another.
const MAX_STACKS: u32 = 64;

/// No stack begins as low as this.
const LOWEST: usize = 0xFFFF;

/// One step outwards and all that it read.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Step {
    pub(in crate::engine) caller: Caller,
    /// What was found where the return address is.
    pub(in crate::engine) return_word: usize,
    pub(in crate::engine) slots: Slots,
}

/// Where in a frame the registers of its caller are.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Slots {
    pub(in crate::engine) return_address: usize,
    /// 0: it is still in the register.
    pub(in crate::engine) frame_pointer: usize,
    /// Where the frame ends: the caller's stack pointer.
    end: usize,
}

/// Why there is no plain step.
pub(in crate::engine) enum NoStep {
    /// This is the oldest frame. With the word that said so, if one did.
    Oldest(Option<usize>),
    /// The step is not plain.
    Unknown,
}

impl Slots {
    /// Those of a frame that begins at the stack pointer of `frame`, on a stack that ends at `end`;
    /// `None` if they are not inside of it or the step is not plain.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of(frame: Caller, rule: UnwindRule, end: usize) -> Option<Self> {
        let base = rule.base(frame.sp, frame.fp)?;
        let cfa = base.wrapping_add_signed(rule.cfa_offset());
        let inside = |slot: usize| slot >= frame.sp && slot < cfa && slot.is_multiple_of(8);
        let return_address = rule.return_slot(cfa);
        let frame_pointer = rule.saved_frame_pointer(cfa);
        if cfa > end || !inside(return_address) || frame_pointer.is_some_and(|slot| !inside(slot)) {
            return None;
        }
        Some(Self {
            return_address,
            frame_pointer: frame_pointer.unwrap_or(0),
            end: cfa,
        })
    }
}

/// A plain step from `frame` by its `rule`, if there is one.
///
/// Reads words of the frame alone: above its stack pointer, below the caller's, and below `end`,
/// where the stack ends. Each frame begins where the one before it ends, so a walk of such steps
/// comes to an end whatever the call-frame information says.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(in crate::engine) fn step(frame: Caller, rule: UnwindRule, end: usize) -> Option<Step> {
    let slots = Slots::of(frame, rule, end)?;
    let fp = match slots.frame_pointer {
        0 => frame.fp,
        // SAFETY: checked: aligned, and inside the frame.
        slot => unsafe { read(slot) },
    };
    // SAFETY: checked: aligned, and inside the frame.
    let return_word = unsafe { read(slots.return_address) };
    (return_word != 0).then_some(Step {
        caller: Caller {
            pc: plain(return_word),
            sp: slots.end,
            fp,
        },
        return_word,
        slots,
    })
}

/// A word that a walk has read.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Word {
    pub(in crate::engine) address: usize,
    pub(in crate::engine) value: usize,
}

/// A step out of an aligned frame, out of a signal handler, or from one stack to another.
pub(in crate::engine) struct UnusualStep {
    pub(in crate::engine) caller: Caller,
    /// What tells the caller's stack pointer, if a word does.
    pub(in crate::engine) link: Option<Word>,
    pub(in crate::engine) return_word: Word,
    /// What the caller's frame register was restored from, unless it still is in the register.
    pub(in crate::engine) fp_word: Option<Word>,
    /// The caller has not called anything: its rule is that of the address itself.
    pub(in crate::engine) interrupted: bool,
}

/// Why [`step`] has none.
#[cold]
#[inline(never)]
pub(in crate::engine) fn no_step(frame: Caller, rule: UnwindRule, end: usize) -> NoStep {
    match Slots::of(frame, rule, end) {
        // It is 0.
        Some(slots) => NoStep::Oldest(Some(slots.return_address)),
        None if rule.kind() == Kind::Oldest => NoStep::Oldest(None),
        None => NoStep::Unknown,
    }
}

impl Caller {
    /// True for the caller of `frame` if it is not further out on the same stack, which ends at
    /// `end`.
    pub(in crate::engine) fn is_beyond(self, frame: Self, end: usize) -> bool {
        self.sp <= frame.sp || self.sp > end
    }
}

impl Unwinder {
    /// Return addresses of this thread's stack from `frame` on, those at and beyond `mark`; `None`
    /// if there is a frame on the way that only the system unwinder can step over.
    #[inline(never)]
    pub(in crate::engine) fn walk(
        &self,
        arena: &Arena,
        mut frame: Caller,
        mark: Mark,
        buffer: &mut [usize],
    ) -> Option<Captured> {
        let mut end = self.main_stack.end_of_running(frame.sp);
        let mut stacks = 1;
        // An interrupted function has not called anything: its rule is that of the address itself,
        // and rules are asked for by the address after the one that counts.
        let mut interrupted = 0;
        let mut passed = false;
        let mut captured = Captured {
            frames: 0,
            truncated: false,
        };
        loop {
            // Once beyond the mark, so are all callers; another stack may lie below it.
            passed |= frame.sp >= mark.0;
            if passed {
                let Some(slot) = buffer.get_mut(captured.frames) else {
                    captured.truncated = true;
                    return Some(captured);
                };
                *slot = frame.pc;
                captured.frames += 1;
            }
            let rule = self.rule(arena, frame.pc.wrapping_add(interrupted));
            interrupted = 0;
            if let Some(step) = step(frame, rule, end) {
                frame = step.caller;
                continue;
            }
            if let NoStep::Oldest(_) = no_step(frame, rule, end) {
                return Some(captured);
            }
            let on_stack = |at| self.main_stack.end_of_any(at).is_some();
            let over = unusual_step(frame, rule, end, on_stack)?;
            if over.caller.is_beyond(frame, end) {
                stacks += 1;
                end = self.main_stack.end_of_running(over.caller.sp);
            }
            if stacks > MAX_STACKS {
                return None;
            }
            interrupted = usize::from(over.interrupted);
            frame = over.caller;
        }
    }

    /// The rule for the code that `return_address` returns to.
    #[inline]
    pub(in crate::engine) fn rule(&self, arena: &Arena, return_address: usize) -> UnwindRule {
        match self.rules.find(return_address) {
            Some(rule) => rule,
            None => self.rule_slow(arena, return_address),
        }
    }

    #[cold]
    #[inline(never)]
    fn rule_slow(&self, arena: &Arena, return_address: usize) -> UnwindRule {
        self.rules.get(arena, return_address, || {
            self.compile(arena, return_address)
        })
    }

    /// Works a rule out on a stack with room for that. `None` if there is none to be had.
    #[cold]
    #[inline(never)]
    fn compile(&self, arena: &Arena, return_address: usize) -> Option<UnwindRule> {
        self.scratch.run(arena, || {
            match self.modules.find(return_address.wrapping_sub(1)) {
                Some(module) => UnwindRule::compile(&module, return_address),
                None => UnwindRule::OTHER,
            }
        })
    }
}

/// A step from `frame` that is not plain. `None` if only the system unwinder knows it. `on_stack`
/// tells of an address outside of the frame's stack, which ends at `end`, whether it is on another
/// one.
///
/// Where the frame's stack is not known, and where the call-frame information leads to the stack of
/// a coroutine's caller, it is trusted, as any unwinder does.
#[cold]
#[inline(never)]
pub(in crate::engine) fn unusual_step(
    frame: Caller,
    rule: UnwindRule,
    end: usize,
    on_stack: impl Fn(usize) -> bool,
) -> Option<UnusualStep> {
    let word = |address: usize| {
        let trusted = address > LOWEST && (end == UNKNOWN || rule.kind() == Kind::Linked);
        let mapped = trusted || (frame.sp..end).contains(&address) || on_stack(address);
        // SAFETY: aligned, and on a stack: `read` says what that rests on.
        let value = (mapped && address.is_multiple_of(8)).then(|| unsafe { read(address) })?;
        Some(Word { address, value })
    };
    let mut interrupted = false;
    let (link, cfa, return_slot, fp_slot) = match rule.kind() {
        Kind::FromFramePointer => {
            let cfa = frame.fp.wrapping_add_signed(rule.cfa_offset());
            (
                None,
                cfa,
                rule.return_slot(cfa),
                rule.saved_frame_pointer(cfa),
            )
        }
        Kind::FromFrame => {
            let link = word(frame.fp.wrapping_add_signed(rule.cfa_offset()))?;
            let (cfa, fp_slot) = (link.value, rule.saved_frame_pointer(frame.fp));
            (Some(link), cfa, rule.return_slot(cfa), fp_slot)
        }
        Kind::Linked => {
            let how = rule.link();
            let base = if how.from_sp { frame.sp } else { frame.fp };
            let link = word(base.wrapping_add_signed(how.at))?;
            let cfa = link.value.wrapping_add_signed(how.added);
            let in_frame = |offset| cfa.wrapping_add_signed(offset);
            interrupted = how.interrupted;
            let fp_slot = Some(in_frame(how.saved_frame_pointer));
            (Some(link), cfa, in_frame(how.return_slot), fp_slot)
        }
        Kind::Signal => return returned_from(frame, word),
        Kind::FromStackPointer | Kind::Oldest | Kind::Other => return None,
    };
    let return_word = word(return_slot)?;
    let fp_word = match fp_slot {
        Some(slot) => Some(word(slot)?),
        None => None,
    };
    Some(UnusualStep {
        caller: Caller {
            pc: plain(return_word.value),
            sp: cfa,
            fp: fp_word.map_or(frame.fp, |word| word.value),
        },
        link,
        return_word,
        fp_word,
        interrupted,
    })
}

/// From a signal handler to what the signal interrupted. `word` reads one, if it is on a stack.
fn returned_from(frame: Caller, word: impl Fn(usize) -> Option<Word>) -> Option<UnusualStep> {
    let saved = |offset: usize| word(frame.sp.wrapping_add(offset));
    let places = PROCESSOR.interrupted;
    let (pc, sp, fp) = (saved(places.pc)?, saved(places.sp)?, saved(places.fp)?);
    Some(UnusualStep {
        caller: Caller {
            pc: pc.value,
            sp: sp.value,
            fp: fp.value,
        },
        link: Some(sp),
        return_word: pc,
        fp_word: Some(fp),
        interrupted: true,
    })
}

/// A word of this thread's stack.
///
/// # Safety
/// `address` is a multiple of 8 in a frame that is in use. The walk has it from call-frame
/// information and has checked that it lies between the stack pointer and the end of the stack; on
/// the main stack and a thread's own all of that is mapped, whatever the information says. On a
/// stack that the program mapped itself the information has to be right, as for any unwinder.
#[inline(always)]
pub(in crate::engine) unsafe fn read(address: usize) -> usize {
    // SAFETY: the caller's promise; nobody else writes to frames of this thread meanwhile.
    unsafe { std::ptr::with_exposed_provenance::<usize>(address).read_volatile() }
}
