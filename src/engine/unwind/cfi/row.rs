//! One step of the walk: how to get from a function to its caller, at one place in the code.

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EhFrameOffset, Encoding, EndianSlice, Format,
    LittleEndian, Operation, RegisterRule, UnwindContext, UnwindContextStorage, UnwindExpression,
    UnwindSection, UnwindTableRow,
};

use super::arch::PROCESSOR;
use super::modules::Module;

/// The caller's stack pointer (the canonical frame address, CFA), return address and frame register,
/// relative to the function's own.
///
/// ```text
///  63          32 31          16 15           4    3      2   0
/// | CFA offset   | fp offset    | ra offset    | saved | kind |
/// ```
///
/// The return address is at CFA + 8 * (ra offset); where that is the same for all functions of a
/// processor, the offset is left at 0. `saved`: the caller's frame register is at CFA + 8 * (fp
/// offset), else it is still in the register. In an aligned frame both offsets, of the CFA and of the
/// frame register, are relative to the frame register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row(u64);

/// What a row says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// CFA = stack pointer + offset.
    FromStackPointer,
    /// CFA = frame register + offset.
    FromFramePointer,
    /// CFA = the word at frame register + offset: some compilers keep it there in an aligned frame.
    FromFrame,
    /// The caller was interrupted by a signal; the kernel has saved its registers.
    Signal,
    /// There is no caller.
    Oldest,
    /// The step has no such form, or there is no call-frame information.
    Other,
}

const FROM_STACK_POINTER: u64 = 1;
const FROM_FRAME_POINTER: u64 = 2;
const OLDEST: u64 = 3;
const OTHER: u64 = 4;
const FROM_FRAME: u64 = 5;
const SIGNAL: u64 = 6;
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

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn kind(self) -> Kind {
        match self.0 & 7 {
            FROM_STACK_POINTER => Kind::FromStackPointer,
            FROM_FRAME_POINTER => Kind::FromFramePointer,
            FROM_FRAME => Kind::FromFrame,
            SIGNAL => Kind::Signal,
            OLDEST => Kind::Oldest,
            _ => Kind::Other,
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn cfa_offset(self) -> isize {
        (self.0 as i64 >> 32) as isize
    }

    /// Where the return address is, for the function whose CFA is `cfa`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn return_slot(self, cfa: usize) -> usize {
        let offset = match PROCESSOR.return_slot {
            Some(offset) => offset,
            None => ((self.0 as i16) >> 4) as isize * 8,
        };
        cfa.wrapping_add_signed(offset)
    }

    /// Where the caller's frame register was saved; `base` is the function's CFA, and in an aligned
    /// frame its frame register.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn saved_frame_pointer(self, base: usize) -> Option<usize> {
        let words = (self.0 >> 16) as i16;
        (self.0 & SAVED != 0).then(|| base.wrapping_add_signed(words as isize * 8))
    }

    /// The row for the code that `return_address` returns to.
    pub(super) fn compile(module: &Module, return_address: usize) -> Self {
        compile(module, return_address).unwrap_or(Self::OTHER)
    }
}

/// Words in a row's field of `bits`, or `None` if they do not fit or are no words.
fn words(offset: i64, bits: u32) -> Option<u64> {
    let most = 1 << (bits - 1);
    let words = offset / 8;
    (offset % 8 == 0 && (-most..most).contains(&words)).then(|| words as u64 & ((1 << bits) - 1))
}

fn encode(kind: u64, cfa_offset: i64, return_slot: i64, saved_at: Option<i64>) -> Option<Row> {
    let cfa_offset = u64::from(i32::try_from(cfa_offset).ok()? as u32);
    let return_slot = match PROCESSOR.return_slot {
        Some(fixed) if fixed as i64 == return_slot => 0,
        Some(_) => return None,
        None => words(return_slot, 12)?,
    };
    let saved = match saved_at {
        Some(at) => SAVED | words(at, 16)? << 16,
        None => 0,
    };
    Some(Row(cfa_offset << 32 | saved | return_slot << 4 | kind))
}

type Frames = EhFrame<EndianSlice<'static, LittleEndian>>;

const ENCODING: Encoding = Encoding {
    format: Format::Dwarf32,
    version: 4,
    address_size: 8,
};

/// Room for the rules of all general registers and some more, on the machine stack: this runs
/// inside an allocation.
struct OnStack;

impl UnwindContextStorage<usize> for OnStack {
    type Rules = [(gimli::Register, RegisterRule<usize>); 40];
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
    let mut frames: Frames = EhFrame::new(module.bytes_from(frames_at as usize)?, LittleEndian);
    frames.set_vendor(PROCESSOR.vendor);
    // As `fde_for_address` does, which multiplies and subtracts without looking: more entries than
    // there is room for, or one in front of the frames, would panic in a debug build.
    let table = header.table()?;
    let (_, entries) = table.iter(&bases).size_hint();
    if entries? > module.header_bytes().len() {
        return None;
    }
    let entry_at = match table.lookup(pc, &bases) {
        Ok(pointer) => pointer.direct().ok()?.checked_sub(frames_at)?,
        Err(gimli::Error::NoUnwindInfoForAddress) => return unknown(module, return_address),
        Err(_) => return None,
    };
    let offset = EhFrameOffset(usize::try_from(entry_at).ok()?);
    let entry = frames.fde_from_offset(&bases, offset, EhFrame::cie_from_offset);
    let entry = entry.ok()?;
    if !entry.contains(pc) {
        return unknown(module, return_address);
    }
    if entry.is_signal_trampoline() {
        // Stacks of coroutines say so too, where one continues another: only what returns from a
        // signal has the kernel's registers above it.
        return returns_from_signal(module, return_address)?.then_some(Row(SIGNAL));
    }
    let mut context: UnwindContext<usize, OnStack> = UnwindContext::new_in();
    let rules = entry
        .unwind_info_for_address(&frames, &bases, &mut context, pc)
        .ok()?;
    let return_slot = match rules.register(PROCESSOR.return_address)? {
        RegisterRule::Undefined => return Some(Row(OLDEST)),
        RegisterRule::Offset(at) => at,
        _ => return None,
    };
    let frame_pointer = rules.register(PROCESSOR.frame_pointer);
    let (kind, cfa_offset, saved_at) = match (rules.cfa(), frame_pointer) {
        (CfaRule::Expression(cfa), Some(RegisterRule::Expression(saved))) => (
            FROM_FRAME,
            in_frame(cfa, &frames, true)?,
            Some(in_frame(&saved, &frames, false)?),
        ),
        (CfaRule::RegisterAndOffset { register, offset }, saved) => {
            let kind = match *register {
                it if it == PROCESSOR.stack_pointer => FROM_STACK_POINTER,
                it if it == PROCESSOR.frame_pointer => FROM_FRAME_POINTER,
                _ => return None,
            };
            let saved_at = match saved {
                None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => None,
                Some(RegisterRule::Offset(at)) => Some(at),
                _ => return None,
            };
            (kind, *offset, saved_at)
        }
        _ => return None,
    };
    encode(kind, cfa_offset, return_slot, saved_at)
}

/// The row for code without call-frame information, in a module that has such information: the
/// platform's unwinder, too, takes such a frame for the oldest unless a signal handler returns to
/// it.
fn unknown(module: &Module, return_address: usize) -> Option<Row> {
    let row = if returns_from_signal(module, return_address)? {
        SIGNAL
    } else {
        OLDEST
    };
    Some(Row(row))
}

/// Whether the code there asks the kernel to go on where a signal had come. `None` if it cannot be
/// read.
fn returns_from_signal(module: &Module, return_address: usize) -> Option<bool> {
    let code = module.code_from(return_address)?;
    Some(code.starts_with(PROCESSOR.signal_return))
}

/// The offset in an expression that says "the address frame register + offset", or, if `load`, "the
/// word there".
fn in_frame(expression: &UnwindExpression<usize>, frames: &Frames, load: bool) -> Option<i64> {
    let expression = expression.get(frames).ok()?;
    let mut operations = expression.operations(ENCODING);
    let offset = match operations.next().ok()? {
        Some(Operation::RegisterOffset {
            register, offset, ..
        }) if register == PROCESSOR.frame_pointer => offset,
        _ => return None,
    };
    if load {
        match operations.next().ok()? {
            Some(Operation::Deref { size: 8, .. }) => {}
            _ => return None,
        }
    }
    operations.next().ok()?.is_none().then_some(offset)
}
