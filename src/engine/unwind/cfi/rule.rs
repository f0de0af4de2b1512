//! An unwind rule: one step from a frame to its caller, for one return address.

use gimli::{CfaRule, Operation, RegisterRule, UnwindExpression};

use super::arch::PROCESSOR;
use super::information::{Context, ENCODING, Entry, Found, Frames};
use super::modules::Module;

/// The caller's stack pointer (the canonical frame address, CFA), return address and frame
/// register, relative to the function's own.
///
/// ```text
///  63          32 31          16 15           4    3      2   0
/// | CFA offset   | fp offset    | ra offset    | saved | kind |
/// ```
///
/// The return address is at CFA + 8 * (ra offset). On a processor where all functions have it at one
/// offset, the field is 0. `saved`: the caller's frame register is at CFA + 8 * (fp
/// offset), else it is still in the register. In an aligned frame both offsets, of the CFA and of
/// the frame register, are relative to the frame register.
///
/// Where a stack is linked to another one, all offsets are in words:
///
/// ```text
///  63      48 47     32 31       16 15        5   4    3    2    0
/// | added    | link    | fp offset | ra offset | sp | int | kind |
/// ```
///
/// The word at base + 8 * link, plus 8 * added, is the CFA; the base is the frame register, or if
/// `sp` is set the stack pointer. `int`: see [`Link::interrupted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct UnwindRule(u64);

/// What a rule says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(in crate::engine) enum Kind {
    /// CFA = stack pointer + offset.
    FromStackPointer = 1,
    /// CFA = frame register + offset.
    FromFramePointer = 2,
    /// There is no caller, or none is known: see [`UnwindRule::UNDESCRIBED`].
    Oldest = 3,
    /// The step has no such form.
    Other = 4,
    /// CFA = the word at frame register + offset: some compilers keep it there in an aligned frame.
    FromFrame = 5,
    /// CFA = the word at frame register or stack pointer + offset, + offset: see [`Link`].
    Linked = 6,
    /// The caller was interrupted by a signal; the kernel has saved its registers.
    Signal = 7,
}

const SAVED: u64 = 8;
const UNDESCRIBED: u64 = 8;
const INTERRUPTED: u64 = 8;
const FROM_SP: u64 = 16;

/// How a stack goes on on another one: coroutines keep there where the stack of their caller is.
/// All offsets are in bytes.
///
/// A general step leads over such a frame too, but no stack with one is cached then: an
/// allocation in a coroutine takes some hundred times as long. Case `stacks-1` of `benches/compare` has such stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Link {
    /// The base is the stack pointer, not the frame register.
    pub(in crate::engine) from_sp: bool,
    /// From the base to the word that leads to the other stack.
    pub(in crate::engine) at: isize,
    /// From what that word says to the CFA.
    pub(in crate::engine) added: isize,
    /// From the CFA.
    pub(in crate::engine) return_slot: isize,
    pub(in crate::engine) saved_frame_pointer: isize,
    /// The caller's rule is that of the address itself and not of a call in front of it: debuggers
    /// expect stacks to be switched in frames that say so.
    pub(in crate::engine) interrupted: bool,
}

impl UnwindRule {
    pub(in crate::engine) const OTHER: Self = Self(Kind::Other as u64);
    /// The code has no call-frame information, so that nothing is known of its caller.
    pub(in crate::engine) const UNDESCRIBED: Self = Self(Kind::Oldest as u64 | UNDESCRIBED);

    /// Never 0.
    pub(in crate::engine) fn bits(self) -> u64 {
        self.0
    }

    pub(in crate::engine) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(in crate::engine) fn kind(self) -> Kind {
        match self.0 & 7 {
            1 => Kind::FromStackPointer,
            2 => Kind::FromFramePointer,
            3 => Kind::Oldest,
            5 => Kind::FromFrame,
            6 => Kind::Linked,
            7 => Kind::Signal,
            _ => Kind::Other,
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(in crate::engine) fn cfa_offset(self) -> isize {
        (self.0 as i64 >> 32) as isize
    }

    /// Where the return address is, for the function whose CFA is `cfa`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(in crate::engine) fn return_slot(self, cfa: usize) -> usize {
        let offset = match PROCESSOR.return_slot {
            Some(offset) => offset,
            None => ((self.0 as i16) >> 4) as isize * 8,
        };
        cfa.wrapping_add_signed(offset)
    }

    /// Where the caller's frame register was saved; `base` is the function's CFA, and in an aligned
    /// frame its frame register.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(in crate::engine) fn saved_frame_pointer(self, base: usize) -> Option<usize> {
        let words = (self.0 >> 16) as i16;
        (self.0 & SAVED != 0).then(|| base.wrapping_add_signed(words as isize * 8))
    }

    /// Of the registers of a function, the one that its CFA is relative to. `None` if it is found
    /// in another way.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(in crate::engine) fn base(self, sp: usize, fp: usize) -> Option<usize> {
        // Not by the kind: the walk asks this of every frame, and a table of jumps is no faster.
        const FROM_STACK_POINTER: u64 = Kind::FromStackPointer as u64;
        const FROM_FRAME_POINTER: u64 = Kind::FromFramePointer as u64;
        match self.0 & 7 {
            FROM_STACK_POINTER => Some(sp),
            FROM_FRAME_POINTER => Some(fp),
            _ => None,
        }
    }

    /// CFA = frame register + offset.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(in crate::engine) fn is_by_frame_pointer(self) -> bool {
        self.0 & 7 == Kind::FromFramePointer as u64
    }

    /// The CFA or what leads to it is found by the frame register.
    #[cold]
    #[inline(never)]
    pub(in crate::engine) fn needs_frame_pointer(self) -> bool {
        match self.kind() {
            Kind::FromFramePointer | Kind::FromFrame => true,
            Kind::Linked => !self.link().from_sp,
            Kind::FromStackPointer | Kind::Signal | Kind::Oldest | Kind::Other => false,
        }
    }

    /// The stack ends here because nothing is known of the code.
    pub(in crate::engine) fn is_undescribed(self) -> bool {
        self == Self::UNDESCRIBED
    }

    /// Of a rule of that kind.
    pub(in crate::engine) fn link(self) -> Link {
        let bytes = |words: i16| words as isize * 8;
        Link {
            from_sp: self.0 & FROM_SP != 0,
            at: bytes((self.0 >> 32) as i16),
            added: bytes((self.0 >> 48) as i16),
            return_slot: bytes(self.0 as i16 >> 5),
            saved_frame_pointer: bytes((self.0 >> 16) as i16),
            interrupted: self.0 & INTERRUPTED != 0,
        }
    }

    /// The rule for the code that `return_address` returns to.
    pub(super) fn compile(module: &Module, return_address: usize) -> Self {
        compile(module, return_address).unwrap_or(Self::OTHER)
    }
}

/// Words in a rule's field of `bits`, or `None` if they do not fit or are no words.
fn words(offset: i64, bits: u32) -> Option<u64> {
    let max_frames = 1 << (bits - 1);
    let words = offset / 8;
    (offset % 8 == 0 && (-max_frames..max_frames).contains(&words))
        .then(|| words as u64 & ((1 << bits) - 1))
}

fn encode(
    kind: Kind,
    cfa_offset: i64,
    return_slot: i64,
    saved_at: Option<i64>,
) -> Option<UnwindRule> {
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
    Some(UnwindRule(
        cfa_offset << 32 | saved | return_slot << 4 | kind as u64,
    ))
}

fn encode_link(link: Link) -> Option<UnwindRule> {
    let words = |bytes: isize, bits| words(bytes as i64, bits);
    let flag = |set: bool, flag: u64| if set { flag } else { 0 };
    Some(UnwindRule(
        words(link.added, 16)? << 48
            | words(link.at, 16)? << 32
            | words(link.saved_frame_pointer, 16)? << 16
            | words(link.return_slot, 11)? << 5
            | flag(link.from_sp, FROM_SP)
            | flag(link.interrupted, INTERRUPTED)
            | Kind::Linked as u64,
    ))
}

#[inline(never)]
fn compile(module: &Module, return_address: usize) -> Option<UnwindRule> {
    let entry = match Entry::find(module, return_address) {
        Found::Entry(entry) => entry,
        Found::Nothing => return Some(UnwindRule::UNDESCRIBED),
        Found::SignalReturn => return Some(UnwindRule(Kind::Signal as u64)),
        Found::Damaged => return None,
    };
    let mut context = Context::new_in();
    let rules = entry.rules(&mut context)?;
    let (frames, interrupted) = (&entry.frames, entry.is_signal_frame());
    let return_slot = match rules.register(PROCESSOR.return_address)? {
        RegisterRule::Undefined => return Some(UnwindRule(Kind::Oldest as u64)),
        RegisterRule::Offset(at) => at,
        _ => return None,
    };
    let frame_pointer = rules.register(PROCESSOR.frame_pointer);
    let expression = |expression: &UnwindExpression<usize>| Place::of(expression, frames);
    let (kind, cfa_offset, saved_at) = match (rules.cfa(), frame_pointer) {
        (CfaRule::Expression(cfa), Some(RegisterRule::Offset(saved))) => {
            let cfa = expression(cfa)?;
            return encode_link(Link {
                from_sp: !cfa.is_by_frame_pointer()?,
                at: cfa.offset as isize,
                added: cfa.behind_load? as isize,
                return_slot: return_slot as isize,
                saved_frame_pointer: saved as isize,
                interrupted,
            });
        }
        _ if interrupted => return None,
        (CfaRule::Expression(cfa), Some(RegisterRule::Expression(saved))) => {
            let (cfa, saved) = (expression(cfa)?, expression(&saved)?);
            let aligned = cfa.is_by_frame_pointer()?
                && saved.is_by_frame_pointer()?
                && cfa.behind_load == Some(0)
                && saved.behind_load.is_none();
            if !aligned {
                return None;
            }
            (Kind::FromFrame, cfa.offset, Some(saved.offset))
        }
        (CfaRule::RegisterAndOffset { register, offset }, saved) => {
            let kind = match *register {
                it if it == PROCESSOR.stack_pointer => Kind::FromStackPointer,
                it if it == PROCESSOR.frame_pointer => Kind::FromFramePointer,
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

/// What an expression says that has one of these forms: "register + offset", "the word there", or
/// "that word + another offset".
struct Place {
    register: gimli::Register,
    offset: i64,
    /// There is a word to be read; what is to be added to it.
    behind_load: Option<i64>,
}

impl Place {
    fn of(expression: &UnwindExpression<usize>, frames: &Frames) -> Option<Self> {
        let expression = expression.get(frames).ok()?;
        let mut operations = expression.operations(ENCODING);
        let mut next = || operations.next().ok();
        let Operation::RegisterOffset {
            register, offset, ..
        } = next()??
        else {
            return None;
        };
        let behind_load = match next()? {
            None => None,
            Some(Operation::Deref { size: 8, .. }) => match next()? {
                None => Some(0),
                Some(Operation::PlusConstant { value }) if next()?.is_none() => {
                    Some(value.try_into().ok()?)
                }
                Some(_) => return None,
            },
            Some(_) => return None,
        };
        Some(Self {
            register,
            offset,
            behind_load,
        })
    }

    /// False: by the stack pointer. `None`: by another register.
    fn is_by_frame_pointer(&self) -> Option<bool> {
        match self.register {
            it if it == PROCESSOR.frame_pointer => Some(true),
            it if it == PROCESSOR.stack_pointer => Some(false),
            _ => None,
        }
    }
}
