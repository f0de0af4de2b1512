//! The registers of a function, as far as they are known.

use gimli::Register;

use super::{GENERAL_REGISTERS, KEPT, PROCESSOR};

/// Values by the numbers that call-frame information uses.
#[derive(Clone, Debug)]
pub(crate) struct Registers {
    values: [usize; GENERAL_REGISTERS],
    /// A bit for each register whose value is known.
    known: u64,
    /// The address that the function has come to.
    pc: usize,
}

const _: () = assert!(GENERAL_REGISTERS <= 64);

impl Registers {
    /// Of a function about which nothing is known but the address that it has come to.
    pub(crate) fn at(pc: usize) -> Self {
        Self {
            values: [0; GENERAL_REGISTERS],
            known: 0,
            pc,
        }
    }

    /// Those that a function must keep for its caller have these `values`.
    pub(super) fn kept(values: [usize; GENERAL_REGISTERS], pc: usize) -> Self {
        Self {
            values,
            known: KEPT,
            pc,
        }
    }

    /// `None` if the value is not known.
    pub(crate) fn get(&self, register: Register) -> Option<usize> {
        let at = usize::from(register.0);
        let value = self.values.get(at)?;
        (self.known >> at & 1 != 0).then_some(*value)
    }

    /// Sets a value, or that it is not known. Other registers than general ones are passed over.
    pub(crate) fn set(&mut self, register: Register, value: Option<usize>) {
        let at = usize::from(register.0);
        let Some(slot) = self.values.get_mut(at) else {
            return;
        };
        match value {
            Some(value) => {
                *slot = value;
                self.known |= 1 << at;
            }
            None => self.known &= !(1 << at),
        }
    }

    /// A call has been made: only the registers that functions keep have their values.
    pub(crate) fn called(&mut self, pc: usize) {
        self.known &= KEPT;
        self.pc = pc;
    }

    pub(crate) fn pc(&self) -> usize {
        self.pc
    }

    pub(crate) fn sp(&self) -> Option<usize> {
        self.get(PROCESSOR.stack_pointer)
    }
}
