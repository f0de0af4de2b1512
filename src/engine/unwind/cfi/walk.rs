//! The walk itself: a look-up and two loads per frame.

use super::Unwinder;
use super::arch::{PROCESSOR, plain};
use super::row::{Kind, Row};
use crate::engine::arena::Arena;
use crate::engine::unwind::{Caller, Captured, Mark};

/// Stacks that one walk leads over: a program may put frames on stacks of its own, or be interrupted
/// on one and handle the signal on another.
const MOST_STACKS: u32 = 64;

/// One step outwards and all that it read.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) caller: Caller,
    /// Where the return address was found, and what was there.
    pub(super) return_slot: usize,
    pub(super) return_word: usize,
    /// Where the caller's frame register was found, if not in the register.
    pub(super) frame_pointer_slot: Option<usize>,
}

/// What lies beyond a frame.
pub(super) enum Beyond {
    Caller(Step),
    /// Nothing: this is the oldest frame. With the word that said so, if one did.
    Nothing(Option<usize>),
    /// A step that is not plain.
    Unknown,
}

/// A plain step from `frame` by its `row`.
///
/// Reads words of the frame alone: above its stack pointer, below the caller's, and below `end`,
/// where the stack ends. Each frame begins where the one before it ends, so a walk of such steps
/// comes to an end whatever the call-frame information says.
#[inline]
pub(super) fn step(frame: Caller, row: Row, end: usize) -> Beyond {
    let base = match row.kind() {
        Kind::FromStackPointer => frame.sp,
        Kind::FromFramePointer => frame.fp,
        Kind::Oldest => return Beyond::Nothing(None),
        Kind::FromFrame | Kind::Signal | Kind::Other => return Beyond::Unknown,
    };
    let cfa = base.wrapping_add_signed(row.cfa_offset());
    let inside = |slot: usize| slot >= frame.sp && slot < cfa && slot.is_multiple_of(8);
    let return_slot = row.return_slot(cfa);
    if cfa <= frame.sp || cfa > end || !inside(return_slot) {
        return Beyond::Unknown;
    }
    let frame_pointer_slot = row.saved_frame_pointer(cfa);
    let fp = match frame_pointer_slot {
        None => frame.fp,
        // SAFETY: checked: aligned, and inside the frame.
        Some(slot) if inside(slot) => unsafe { read(slot) },
        Some(_) => return Beyond::Unknown,
    };
    // SAFETY: checked: aligned, and inside the frame.
    let return_word = unsafe { read(return_slot) };
    if return_word == 0 {
        return Beyond::Nothing(Some(return_slot));
    }
    Beyond::Caller(Step {
        caller: Caller {
            pc: plain(return_word),
            sp: cfa,
            fp,
        },
        return_slot,
        return_word,
        frame_pointer_slot,
    })
}

impl Unwinder {
    /// Return addresses of this thread's stack from `frame` on, those at and beyond `mark`; `None`
    /// if there is a frame on the way that only the platform's unwinder can step over.
    #[inline(never)]
    pub(super) fn walk(
        &self,
        arena: &Arena,
        mut frame: Caller,
        mark: Mark,
        buffer: &mut [usize],
    ) -> Option<Captured> {
        let mut end = self.main_stack.end_of_any(frame.sp)?;
        let mut stacks = 1;
        // An interrupted function has not called anything: its row is that of the address itself,
        // and rows are asked for by the address after the one that counts.
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
            let row = self.row(arena, frame.pc + interrupted);
            interrupted = 0;
            frame = match step(frame, row, end) {
                Beyond::Caller(step) => step.caller,
                Beyond::Nothing(_) => return Some(captured),
                Beyond::Unknown => {
                    let caller = self.unusual_step(frame, row, end)?;
                    if caller.sp <= frame.sp || caller.sp > end {
                        stacks += 1;
                        end = self.main_stack.end_of_any(caller.sp)?;
                    }
                    if stacks > MOST_STACKS {
                        return None;
                    }
                    interrupted = usize::from(row.kind() == Kind::Signal);
                    caller
                }
            };
        }
    }

    /// A step out of an aligned frame, out of a signal handler, or from one stack to another. `None`
    /// if it is none of these.
    #[cold]
    fn unusual_step(&self, frame: Caller, row: Row, end: usize) -> Option<Caller> {
        let word = |at: usize| {
            let mapped = (frame.sp..end).contains(&at) || self.main_stack.end_of_any(at).is_some();
            // SAFETY: aligned, and on a stack: `read` says what that rests on.
            (mapped && at.is_multiple_of(8)).then(|| unsafe { read(at) })
        };
        match row.kind() {
            Kind::Signal => {
                let saved = |offset: usize| word(frame.sp.wrapping_add(offset));
                let places = PROCESSOR.interrupted;
                Some(Caller {
                    pc: saved(places.pc)?,
                    sp: saved(places.sp)?,
                    fp: saved(places.fp)?,
                })
            }
            Kind::FromFrame => {
                let cfa = word(frame.fp.wrapping_add_signed(row.cfa_offset()))?;
                Some(Caller {
                    pc: plain(word(row.return_slot(cfa))?),
                    sp: cfa,
                    fp: word(row.saved_frame_pointer(frame.fp)?)?,
                })
            }
            Kind::FromFramePointer => {
                let cfa = frame.fp.wrapping_add_signed(row.cfa_offset());
                let fp = match row.saved_frame_pointer(cfa) {
                    Some(slot) => word(slot)?,
                    None => frame.fp,
                };
                Some(Caller {
                    pc: plain(word(row.return_slot(cfa))?),
                    sp: cfa,
                    fp,
                })
            }
            Kind::FromStackPointer | Kind::Oldest | Kind::Other => None,
        }
    }

    /// The row for the code that `return_address` returns to.
    #[inline]
    pub(super) fn row(&self, arena: &Arena, return_address: usize) -> Row {
        self.rows.get(arena, return_address, || {
            self.compile(arena, return_address)
        })
    }

    /// Works a row out on a stack with room for that. `None` if there is none to be had.
    #[cold]
    #[inline(never)]
    fn compile(&self, arena: &Arena, return_address: usize) -> Option<Row> {
        self.scratch.run(arena, || {
            match self.modules.find(return_address.wrapping_sub(1)) {
                Some(module) => Row::compile(&module, return_address),
                None => Row::OTHER,
            }
        })
    }
}

/// A word of this thread's stack.
///
/// # Safety
/// `address` is a multiple of 8 in a frame that is in use. The walk has it from call-frame
/// information and has checked that it lies between the stack pointer and the end of the stack; on
/// the main stack and a thread's own all of that is mapped, whatever the information says. On a
/// stack that the program mapped itself the information has to be right, as for any unwinder.
#[inline(always)]
pub(super) unsafe fn read(address: usize) -> usize {
    // SAFETY: the caller's promise; nobody else writes to frames of this thread meanwhile.
    unsafe { std::ptr::with_exposed_provenance::<usize>(address).read_volatile() }
}
