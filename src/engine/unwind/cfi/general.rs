//! The general step, for what an unwind rule of one word cannot express.
//!
//! It follows every register that call-frame information speaks of, and evaluates its expressions.
//! As registers other than the frame register are known only where the thread runs, such a walk
//! begins at the tracer's own function and comes by the tracer's frames to the program's:
//!
//! ```text
//! registers here -> callers, until one is at the mark -> frames of the program, one general step each
//! ```
//!
//! It takes a microsecond or so for each frame, and few stacks need it.

use gimli::{CfaRule, Register, RegisterRule};

use super::Unwinder;
use super::arch::{PROCESSOR, Registers, plain, saved_at};
use super::expression::evaluate;
use super::information::{Context, Entry, Found};
use super::modules::Module;
use super::reader::Reader;
use super::walk::MAX_STACKS;
use crate::engine::unwind::{Captured, Mark, StackEnd};

/// What a general step comes to.
enum Caller {
    /// The caller's registers, and whether it was interrupted at its address.
    Known(Registers, bool),
    None(StackEnd),
}

impl Unwinder {
    /// Return addresses of this thread's stack beyond `mark`, from a function of the tracer's own
    /// that had these `registers`.
    pub(super) fn walk_generally(
        &self,
        mut registers: Registers,
        mark: Mark,
        reader: &mut Reader,
        buffer: &mut [usize],
    ) -> Captured {
        let mut captured = Captured {
            frames: 0,
            end: StackEnd::UnknownCode,
        };
        let Some(mut sp) = registers.sp() else {
            return captured;
        };
        let mut end = reader.begin(sp);
        let mut stacks = 1;
        let mut interrupted = false;
        let mut passed = false;
        loop {
            passed |= sp >= mark.0;
            if passed {
                let Some(slot) = buffer.get_mut(captured.frames) else {
                    captured.end = StackEnd::Truncated;
                    return captured;
                };
                *slot = registers.pc();
                captured.frames += 1;
            }
            let return_address = registers.pc().wrapping_add(usize::from(interrupted));
            let Some(module) = self.module_of(return_address) else {
                return captured;
            };
            let mut read = |address| Some(reader.read(address, sp, end)?.value);
            match caller_of(&module, return_address, &registers, &mut read) {
                Caller::None(why) => {
                    captured.end = why;
                    return captured;
                }
                Caller::Known(caller, was_interrupted) => {
                    registers = caller;
                    interrupted = was_interrupted;
                }
            }
            let Some(next_sp) = registers.sp() else {
                return captured;
            };
            // Upwards on one stack a walk comes to an end; to others it may go so often.
            if next_sp <= sp || next_sp > end {
                stacks += u32::from(next_sp <= sp || !reader.is_foreign());
                end = reader.switch_to(next_sp);
            }
            if stacks > MAX_STACKS {
                return captured;
            }
            sp = next_sp;
        }
    }
}

fn caller_of(
    module: &Module,
    return_address: usize,
    registers: &Registers,
    read: &mut impl FnMut(usize) -> Option<usize>,
) -> Caller {
    let entry = match Entry::find(module, return_address) {
        Found::Entry(entry) => entry,
        Found::SignalReturn => return interrupted_by_signal(registers, read),
        Found::Nothing | Found::Damaged => return Caller::None(StackEnd::UnknownCode),
    };
    match apply(&entry, registers, read) {
        // A function without a return address is where a stack begins.
        Some(Some(caller)) if caller.pc() == 0 => Caller::None(StackEnd::Oldest),
        Some(Some(caller)) => Caller::Known(caller, entry.is_signal_frame()),
        Some(None) => Caller::None(StackEnd::Oldest),
        None => Caller::None(StackEnd::UnknownCode),
    }
}

/// The caller's registers by the rules of `entry`. `None` if one that matters cannot be found;
/// `Some(None)` if there is no caller.
fn apply(
    entry: &Entry,
    registers: &Registers,
    read: &mut impl FnMut(usize) -> Option<usize>,
) -> Option<Option<Registers>> {
    let mut context = Context::new_in();
    let rules = entry.rules(&mut context)?;
    let frames = &entry.frames;
    let cfa = match rules.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            registers.get(*register)?.wrapping_add(*offset as usize)
        }
        CfaRule::Expression(expression) => {
            evaluate(expression, frames, registers, None, &mut *read)?
        }
    };
    let mut caller = registers.clone();
    // Not kept by a call, unless a rule says where it is.
    caller.set(PROCESSOR.stack_pointer, Some(cfa));
    let mut value_of = |register: Register, rule: &RegisterRule<usize>| match rule {
        RegisterRule::SameValue => registers.get(register),
        RegisterRule::Offset(offset) => read(cfa.wrapping_add(*offset as usize)),
        RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add(*offset as usize)),
        RegisterRule::Register(other) => registers.get(*other),
        RegisterRule::Expression(expression) => {
            let place = evaluate(expression, frames, registers, Some(cfa), &mut *read)?;
            read(place)
        }
        RegisterRule::ValExpression(expression) => {
            evaluate(expression, frames, registers, Some(cfa), &mut *read)
        }
        RegisterRule::Constant(value) => Some(*value as usize),
        _ => None,
    };
    let mut has_caller = true;
    for (register, rule) in rules.registers() {
        if *register == PROCESSOR.return_address && *rule == RegisterRule::Undefined {
            has_caller = false;
        }
        let value = value_of(*register, rule);
        caller.set(*register, value);
    }
    if !has_caller {
        return Some(None);
    }
    let return_address = caller.get(PROCESSOR.return_address)?;
    caller.called(plain(return_address));
    Some(Some(caller))
}

/// The registers that the kernel has saved for a signal handler.
fn interrupted_by_signal(
    registers: &Registers,
    read: &mut impl FnMut(usize) -> Option<usize>,
) -> Caller {
    let mut saved = || {
        let sp = registers.sp()?;
        let mut word = |offset| read(sp.wrapping_add(offset));
        let mut caller = Registers::at(word(PROCESSOR.interrupted.pc)?);
        for register in 0..=u16::MAX {
            let Some(offset) = saved_at(register) else {
                break;
            };
            caller.set(Register(register), word(offset));
        }
        Some(caller)
    };
    match saved() {
        Some(caller) => Caller::Known(caller, true),
        None => Caller::None(StackEnd::UnknownCode),
    }
}

/// Makes a general step by whatever `module` says of a place, with registers and memory of any content.
#[cfg(any(all(test, target_arch = "x86_64"), fuzzing))]
pub(super) fn step_anywhere(module: &Module, return_address: usize) {
    let mut registers = super::arch::kept_registers();
    registers.set(PROCESSOR.return_address, Some(return_address));
    let mut read = |address: usize| (!address.is_multiple_of(7)).then(|| address.rotate_left(9));
    caller_of(module, return_address, &registers, &mut read);
}
