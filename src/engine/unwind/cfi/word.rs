//! Words of the stack.

/// A word that a walk has read.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Word {
    pub(in crate::engine) address: usize,
    pub(in crate::engine) value: usize,
}

/// A word of this thread's stack.
///
/// # Safety
/// `address` is a multiple of 8 and can be read: it lies between the stack pointer and the end of a
/// known stack, or its page was found readable in this walk.
#[inline(always)]
pub(in crate::engine) unsafe fn read(address: usize) -> usize {
    // SAFETY: the caller's promise; nobody else writes to frames of this thread meanwhile.
    unsafe { std::ptr::with_exposed_provenance::<usize>(address).read_volatile() }
}
