//! The walk itself.

use std::arch::asm;

use super::Unwinder;
use super::row::{Kind, Row};
use crate::engine::arena::Arena;
use crate::engine::unwind::{Captured, Mark};

/// The registers that a step needs.
#[derive(Clone, Copy)]
struct Registers {
    /// As a return address: of the instruction after the one that counts.
    pc: usize,
    sp: usize,
    bp: usize,
}

impl Registers {
    #[inline(always)]
    fn here() -> Self {
        let (pc, sp, bp);
        // SAFETY: copies registers. The stack pointer and the row of this place agree, since the
        // instructions follow each other and leave the stack alone.
        unsafe {
            asm!(
                "lea {pc}, [rip]",
                "mov {sp}, rsp",
                "mov {bp}, rbp",
                pc = out(reg) pc,
                sp = out(reg) sp,
                bp = out(reg) bp,
                options(nomem, nostack, preserves_flags)
            );
        }
        Self { pc, sp, bp }
    }
}

impl Unwinder {
    /// Return addresses of this thread's stack beyond `mark`; `None` if there is a frame on the way
    /// that only the platform's unwinder can step over.
    ///
    /// Reads words between the stack pointer and the end of the stack, each above the last frame's:
    /// so the walk ends, whatever the call-frame information says.
    #[inline(never)]
    pub(super) fn walk(&self, arena: &Arena, mark: Mark, buffer: &mut [usize]) -> Option<Captured> {
        let Registers {
            mut pc,
            mut sp,
            mut bp,
        } = Registers::here();
        let end = self.main_stack.end_of(sp)?;
        let mut frames = 0;
        loop {
            let row = self.rows.get(pc, || self.compile(arena, pc));
            let base = match row.kind() {
                Kind::FromStackPointer => sp,
                Kind::FromFramePointer => bp,
                Kind::Oldest => {
                    return Some(Captured {
                        frames,
                        truncated: false,
                    });
                }
                Kind::Other => return None,
            };
            let cfa = base.wrapping_add_signed(row.cfa_offset());
            if cfa <= sp || cfa > end || cfa % 8 != 0 {
                return None;
            }
            if let Some(offset) = row.saved_frame_pointer() {
                let slot = cfa.wrapping_add_signed(offset);
                if slot < sp || slot >= cfa || slot % 8 != 0 {
                    return None;
                }
                // SAFETY: checked: aligned, and between the callee's stack pointer and its CFA.
                bp = unsafe { read(slot) };
            }
            // SAFETY: checked: the CFA is aligned, above the stack pointer, not beyond the end.
            pc = unsafe { read(cfa - 8) };
            sp = cfa;
            if pc == 0 {
                return Some(Captured {
                    frames,
                    truncated: false,
                });
            }
            // `sp` is now the caller's: the tracer's own frames have theirs at or below the mark.
            if sp > mark.0 {
                let Some(slot) = buffer.get_mut(frames) else {
                    return Some(Captured {
                        frames,
                        truncated: true,
                    });
                };
                *slot = pc;
                frames += 1;
            }
        }
    }
}

impl Unwinder {
    /// The row for the code that `return_address` returns to, worked out on a stack with room for
    /// that.
    #[cold]
    #[inline(never)]
    fn compile(&self, arena: &Arena, return_address: usize) -> Option<Row> {
        match self.modules.find(return_address.wrapping_sub(1)) {
            Some(module) => self
                .scratch
                .run(arena, || Row::compile(&module, return_address)),
            None => Some(Row::OTHER),
        }
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
unsafe fn read(address: usize) -> usize {
    // SAFETY: the caller's promise; nobody else writes to frames of this thread meanwhile.
    unsafe { std::ptr::with_exposed_provenance::<usize>(address).read_volatile() }
}
