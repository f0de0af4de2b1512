//! One step of the walk: how to get from a function to its caller, at one place in the code.

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, LittleEndian, RegisterRule, UnwindContext,
    UnwindContextStorage, UnwindSection, UnwindTableRow, X86_64,
};

use super::modules::Module;

/// The caller's stack pointer (the canonical frame address, CFA) and frame register, relative to the
/// function's own.
///
/// ```text
///  63          32 31          16 15   4    3      2   0
/// | CFA offset   | rbp offset   | 0   | saved | kind |
/// ```
///
/// The return address is at CFA - 8. `saved`: the caller's `rbp` is at CFA + 8 * (rbp offset), else
/// it is still in the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row(u64);

/// What a row says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// CFA = `rsp` + offset.
    FromStackPointer,
    /// CFA = `rbp` + offset.
    FromFramePointer,
    /// There is no caller.
    Oldest,
    /// The step has no such form, or there is no call-frame information.
    Other,
}

const FROM_STACK_POINTER: u64 = 1;
const FROM_FRAME_POINTER: u64 = 2;
const OLDEST: u64 = 3;
const OTHER: u64 = 4;
const SAVED: u64 = 8;

impl Row {
    pub(super) const OTHER: Self = Self(OTHER);

    /// Never 0.
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        match self.0 & 7 {
            FROM_STACK_POINTER => Kind::FromStackPointer,
            FROM_FRAME_POINTER => Kind::FromFramePointer,
            OLDEST => Kind::Oldest,
            _ => Kind::Other,
        }
    }

    #[inline]
    pub(super) fn cfa_offset(self) -> isize {
        (self.0 as i64 >> 32) as isize
    }

    /// Where the caller's `rbp` was saved, in bytes from the CFA.
    #[inline]
    pub(super) fn saved_frame_pointer(self) -> Option<isize> {
        let words = (self.0 >> 16) as i16;
        (self.0 & SAVED != 0).then_some(words as isize * 8)
    }

    /// The row for the code that `return_address` returns to.
    pub(super) fn compile(module: &Module, return_address: usize) -> Self {
        compile(module, return_address).unwrap_or(Self::OTHER)
    }

    fn new(cfa: &CfaRule<usize>, frame_pointer: Option<RegisterRule<usize>>) -> Option<Self> {
        let CfaRule::RegisterAndOffset { register, offset } = *cfa else {
            return None;
        };
        let base = match register {
            X86_64::RSP => FROM_STACK_POINTER,
            X86_64::RBP => FROM_FRAME_POINTER,
            _ => return None,
        };
        let cfa_offset = i32::try_from(offset).ok()?;
        let saved = match frame_pointer {
            None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => 0,
            Some(RegisterRule::Offset(at)) if at % 8 == 0 => {
                SAVED | u64::from(i16::try_from(at / 8).ok()? as u16) << 16
            }
            _ => return None,
        };
        Some(Self(u64::from(cfa_offset as u32) << 32 | saved | base))
    }
}

/// Room for the rules of all general registers and some more, on the machine stack: this runs
/// inside an allocation.
struct OnStack;

impl UnwindContextStorage<usize> for OnStack {
    type Rules = [(gimli::Register, RegisterRule<usize>); 24];
    type Stack = [UnwindTableRow<usize, Self>; 3];
}

#[inline(never)]
fn compile(module: &Module, return_address: usize) -> Option<Row> {
    // The call lies before the address that it returns to, maybe in another function.
    let pc = return_address.checked_sub(1)? as u64;
    let bases = BaseAddresses::default().set_eh_frame_hdr(module.header as u64);
    let header = EhFrameHdr::new(module.header_bytes(), LittleEndian)
        .parse(&bases, 8)
        .ok()?;
    let frames_at = header.eh_frame_ptr().direct().ok()?;
    let bases = bases.set_eh_frame(frames_at);
    let frames = EhFrame::new(module.bytes_from(frames_at as usize)?, LittleEndian);
    let entry = header
        .table()?
        .fde_for_address(&frames, &bases, pc, EhFrame::cie_from_offset)
        .ok()?;
    if entry.is_signal_trampoline() {
        return None;
    }
    let mut context: UnwindContext<usize, OnStack> = UnwindContext::new_in();
    let rules = entry
        .unwind_info_for_address(&frames, &bases, &mut context, pc)
        .ok()?;
    match rules.register(X86_64::RA)? {
        RegisterRule::Undefined => Some(Row(OLDEST)),
        RegisterRule::Offset(-8) => Row::new(rules.cfa(), rules.register(X86_64::RBP)),
        _ => None,
    }
}
