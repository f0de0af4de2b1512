//! The walk itself: a look-up and two loads per frame.

use super::Unwinder;
use super::arch::{PROCESSOR, plain};
use super::modules::Module;
use super::reader::Reader;
use super::rule::{Kind, UnwindRule};
use super::word::{Word, read};
use crate::engine::memory::arena::Arena;
use crate::engine::unwind::{Caller, Captured, Mark, StackEnd};

/// Stacks that one walk leads over: a program may put frames on stacks of its own, or be
/// interrupted on one and handle the signal on another.
pub(in crate::engine) const MAX_STACKS: u32 = 64;

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
    /// Nothing is known of the caller.
    UnknownCode,
    /// The step is not plain.
    Unusual,
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
        None if rule.is_undescribed() => NoStep::UnknownCode,
        None if rule.kind() == Kind::Oldest => NoStep::Oldest(None),
        None => NoStep::Unusual,
    }
}

impl Caller {
    /// True if this, the caller of `frame`, is on another stack than `frame`, whose stack ends at `end`.
    pub(in crate::engine) fn is_beyond(self, frame: Self, end: usize) -> bool {
        self.sp <= frame.sp || self.sp > end
    }
}

impl Unwinder {
    /// Return addresses of this thread's stack from `frame` on, those at and beyond `mark`. An
    /// error, with the frames up to there, if there is a frame on the way that only a general step
    /// leads over.
    #[inline(never)]
    pub(in crate::engine) fn walk(
        &self,
        arena: &Arena,
        mut frame: Caller,
        mark: Mark,
        reader: &mut Reader,
        buffer: &mut [usize],
    ) -> Result<Captured, Captured> {
        let mut end = reader.begin(frame.sp);
        let mut stacks = 1;
        // An interrupted function has not called anything: its rule is that of the address itself,
        // and rules are asked for by the address after the one that counts.
        let mut interrupted = 0;
        let mut passed = false;
        let mut captured = Captured {
            frames: 0,
            end: StackEnd::UnknownCode,
        };
        loop {
            // Once beyond the mark, so are all callers; another stack may lie below it.
            passed |= frame.sp >= mark.0;
            if passed {
                let Some(slot) = buffer.get_mut(captured.frames) else {
                    captured.end = StackEnd::Truncated;
                    return Ok(captured);
                };
                *slot = frame.pc;
                captured.frames += 1;
            }
            let return_address = frame.pc.wrapping_add(interrupted);
            let rule = match self.rule(arena, return_address) {
                UnwindRule::OTHER => self.row_of_loaded(arena, return_address),
                rule => rule,
            };
            interrupted = 0;
            if let Some(step) = step(frame, rule, end) {
                frame = step.caller;
                continue;
            }
            if let Some(further) = reader.further(frame, rule, end) {
                end = further;
                if let Some(step) = step(frame, rule, end) {
                    frame = step.caller;
                    continue;
                }
            }
            match no_step(frame, rule, end) {
                NoStep::Oldest(_) => captured.end = StackEnd::Oldest,
                NoStep::UnknownCode => {}
                NoStep::Unusual => {
                    let Some(over) = unusual_step(frame, rule, end, reader) else {
                        return Err(captured);
                    };
                    if over.caller.is_beyond(frame, end) {
                        stacks += 1;
                        end = reader.switch_to(over.caller.sp);
                    }
                    if stacks <= MAX_STACKS {
                        interrupted = usize::from(over.interrupted);
                        frame = over.caller;
                        continue;
                    }
                }
            }
            return Ok(captured);
        }
    }

    /// The rule for the code that `return_address` returns to, if that stays: [`UnwindRule::OTHER`]
    /// for any other.
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
        match self.modules.find(return_address.wrapping_sub(1)) {
            Some(module) => self.rules.get(arena, return_address, || {
                self.compile(arena, &module, return_address)
            }),
            None => UnwindRule::OTHER,
        }
    }

    /// The rule for code that has none which stays: that of a library that was loaded later, worked
    /// out every time, since another library may come to its place.
    #[cold]
    #[inline(never)]
    fn row_of_loaded(&self, arena: &Arena, return_address: usize) -> UnwindRule {
        let address = return_address.wrapping_sub(1);
        if self.modules.find(address).is_some() {
            return UnwindRule::OTHER;
        }
        match self.loaded.find(address) {
            Some(module) => self
                .compile(arena, &module, return_address)
                .unwrap_or(UnwindRule::UNDESCRIBED),
            None => UnwindRule::UNDESCRIBED,
        }
    }

    /// The module that the code belongs to that `return_address` returns to.
    pub(super) fn module_of(&self, return_address: usize) -> Option<Module> {
        let address = return_address.wrapping_sub(1);
        let listed = self.modules.find(address);
        listed.or_else(|| self.loaded.find(address))
    }

    /// Works a rule out on a stack with room for that. `None` if there is none to be had.
    #[cold]
    #[inline(never)]
    fn compile(&self, arena: &Arena, module: &Module, return_address: usize) -> Option<UnwindRule> {
        self.scratch
            .run(arena, || UnwindRule::compile(module, return_address))
    }
}

/// A step from `frame` that is not plain, on a stack that can be read as far as `end`. `None` if
/// only a general step can be made, or what it would read cannot be read.
#[cold]
#[inline(never)]
pub(in crate::engine) fn unusual_step(
    frame: Caller,
    rule: UnwindRule,
    end: usize,
    reader: &mut Reader,
) -> Option<UnusualStep> {
    let mut word = |address: usize| reader.read(address, frame.sp, end);
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
fn returned_from(
    frame: Caller,
    mut word: impl FnMut(usize) -> Option<Word>,
) -> Option<UnusualStep> {
    let mut saved = |offset: usize| word(frame.sp.wrapping_add(offset));
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
