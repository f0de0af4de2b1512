//! Values that call-frame information describes by a small program.

use gimli::{
    EndianSlice, Evaluation, EvaluationResult, EvaluationStorage, LittleEndian, Piece,
    UnwindExpression, Value,
};

use super::arch::Registers;
use super::information::{ENCODING, Frames};

type Bytes = EndianSlice<'static, LittleEndian>;

/// Operations of the longest program. Real ones have about ten.
const LONGEST: u32 = 1000;

/// Room for values, on the machine stack: this runs inside an allocation.
struct OnStack;

impl EvaluationStorage<Bytes> for OnStack {
    type Stack = [Value; 64];
    type ExpressionStack = [(Bytes, Bytes); 1];
    type Result = [Piece<Bytes>; 1];
}

/// The value of `expression` in the function that `registers` belong to. It begins with `pushed`,
/// and reads memory by `read`. `None` if it needs what is not known, or does not end.
pub(super) fn evaluate(
    expression: &UnwindExpression<usize>,
    frames: &Frames,
    registers: &Registers,
    pushed: Option<usize>,
    mut read: impl FnMut(usize) -> Option<usize>,
) -> Option<usize> {
    let program = expression.get(frames).ok()?;
    let mut evaluation = Evaluation::<Bytes, OnStack>::new_in(program.0, ENCODING);
    evaluation.set_max_iterations(LONGEST);
    if let Some(value) = pushed {
        evaluation.set_initial_value(value as u64);
    }
    let mut state = evaluation.evaluate().ok()?;
    loop {
        state = match state {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresRegister { register, .. } => {
                let value = registers.get(register)?;
                evaluation.resume_with_register(Value::Generic(value as u64))
            }
            EvaluationResult::RequiresMemory {
                address,
                size,
                space: None,
                ..
            } => {
                let value = read_part(address as usize, size, &mut read)?;
                evaluation.resume_with_memory(Value::Generic(value as u64))
            }
            _ => return None,
        }
        .ok()?;
    }
    let value = evaluation.value_result()?;
    Some(value.to_u64(u64::MAX).ok()? as usize)
}

/// The `size` bytes at `address`, which must be part of one word.
fn read_part(
    address: usize,
    size: u8,
    read: &mut impl FnMut(usize) -> Option<usize>,
) -> Option<usize> {
    let (bits, skipped) = (u32::from(size) * 8, (address % 8) as u32 * 8);
    if bits == 0 || bits + skipped > 64 {
        return None;
    }
    let word = read(address & !7)? >> skipped;
    Some(word & usize::MAX >> (64 - bits))
}
