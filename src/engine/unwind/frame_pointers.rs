//! Walks the chain of frame records, where the platform's rules for calls demand one of every
//! function that calls another: macOS on aarch64.
//!
//! A record is two words: the address of the caller's record, and the address that the function
//! returns to, which may carry an authentication code in its upper bits. The frame register points
//! at the record of the function that runs. A chain that is not as it should be, or leads off the
//! thread's own stack, is left to the system unwinder, the whole stack at a time.

use std::ops::Range;

use super::{Captured, Mark};

/// Bytes of a record.
const RECORD: usize = 16;
/// User addresses have 47 bits; what lies above in a return address authenticates it.
const ADDRESS: usize = (1 << 47) - 1;

/// Fills `buffer` with the return addresses of the chain that begins at `record`, those beyond
/// `mark`. `None` if the chain is broken before it ends or the buffer is full.
///
/// Reads two words at a time by `read`, at addresses that are multiples of 8 in `stack` alone, each
/// pair above the one before it: so the walk ends.
fn walk(
    record: usize,
    stack: Range<usize>,
    mark: Mark,
    read: impl Fn(usize) -> usize,
    buffer: &mut [usize],
) -> Option<Captured> {
    let mut record = record;
    let mut room = stack;
    let mut captured = Captured {
        frames: 0,
        truncated: false,
    };
    loop {
        let end = record.checked_add(RECORD)?;
        if !record.is_multiple_of(8) || record < room.start || end > room.end {
            return None;
        }
        let (beyond, return_address) = (read(record), read(record + 8) & ADDRESS);
        if return_address == 0 {
            return Some(captured);
        }
        // The caller's stack pointer is at the end of the record or beyond.
        if end >= mark.0 {
            let Some(slot) = buffer.get_mut(captured.frames) else {
                captured.truncated = true;
                return Some(captured);
            };
            *slot = return_address;
            captured.frames += 1;
        }
        if beyond == 0 {
            return Some(captured);
        }
        record = beyond;
        room.start = end;
    }
}

#[cfg(all(target_os = "macos", target_arch = "aarch64", not(miri)))]
mod running {
    //! The chain of the running thread.

    use std::arch::asm;
    use std::ops::Range;

    use crate::engine::memory::arena::Arena;
    use crate::engine::unwind::{Caller, Captured, Mark, system};

    /// Reads the chain, and has the stacks read that it gives up on.
    pub(crate) struct Unwinder {
        system: system::Unwinder,
    }

    impl Unwinder {
        pub(crate) const fn new() -> Self {
            Self {
                system: system::Unwinder::new(),
            }
        }

        pub(crate) fn prepare(&self, arena: &Arena) {
            self.system.prepare(arena);
        }

        /// Fills `buffer` with the return addresses of this thread's stack beyond `mark`.
        #[inline(never)]
        pub(crate) fn capture(
            &self,
            arena: &Arena,
            caller: Caller,
            mark: Mark,
            buffer: &mut [usize],
        ) -> Captured {
            // SAFETY: a chain is walked on this thread's stack, from its running function up: all
            // of that is mapped, and nobody else writes there.
            let read = |address: usize| unsafe {
                std::ptr::with_exposed_provenance::<usize>(address).read_volatile()
            };
            super::walk(record(), stack(), mark, read, buffer)
                .unwrap_or_else(|| self.system.capture(arena, caller, mark, buffer))
        }
    }

    /// Where the record is of the function that this is inlined into.
    #[inline(always)]
    fn record() -> usize {
        let record: usize;
        // SAFETY: copies a register.
        unsafe {
            asm!("mov {}, x29", out(reg) record, options(nomem, nostack, preserves_flags));
        }
        record
    }

    /// The part of this thread's stack that is in use. Empty if the thread runs on another, as
    /// signal handlers and coroutines may.
    fn stack() -> Range<usize> {
        // SAFETY: takes nothing and names the running thread.
        let thread = unsafe { libc::pthread_self() };
        // SAFETY: the thread runs. Of the running thread both are fields of its own.
        let end = unsafe { libc::pthread_get_stackaddr_np(thread) }.addr();
        // SAFETY: as above.
        let size = unsafe { libc::pthread_get_stacksize_np(thread) };
        let local = 0_u8;
        let here = std::ptr::from_ref(std::hint::black_box(&local)).addr();
        if (end.saturating_sub(size)..end).contains(&here) {
            here..end
        } else {
            0..0
        }
    }
}
#[cfg(all(target_os = "macos", target_arch = "aarch64", not(miri)))]
pub(crate) use running::Unwinder;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashMap;

    use super::*;

    const STACK: Range<usize> = 0x1000..0x2000;

    /// Walks a chain given as address of a record, address of the next one, return address; panics
    /// at a read of anything else.
    fn walked(
        records: &[(usize, usize, usize)],
        mark: usize,
        room: usize,
    ) -> Option<(Vec<usize>, bool)> {
        let mut words = HashMap::new();
        for &(at, next, return_address) in records {
            words.insert(at, next);
            words.insert(at + 8, return_address);
        }
        let reads = Cell::new(0);
        let read = |address: usize| {
            reads.set(reads.get() + 1);
            assert!(
                STACK.contains(&address) && address.is_multiple_of(8),
                "{address:#x}"
            );
            assert!(reads.get() <= STACK.len() / 8, "the walk does not end");
            words[&address]
        };
        let mut buffer = vec![0; room];
        let captured = walk(records[0].0, STACK, Mark(mark), read, &mut buffer)?;
        buffer.truncate(captured.frames);
        Some((buffer, captured.truncated))
    }

    #[test]
    fn a_chain_is_followed_to_its_end() {
        let chain = [(0x1000, 0x1020, 7), (0x1020, 0x1ff0, 8), (0x1ff0, 0, 9)];
        assert_eq!(walked(&chain, 0, 5), Some((vec![7, 8, 9], false)));
        // A start-up function has no return address.
        let chain = [(0x1000, 0x1020, 7), (0x1020, 0, 0)];
        assert_eq!(walked(&chain, 0, 5), Some((vec![7], false)));
    }

    #[test]
    fn frames_below_the_mark_are_the_tracers() {
        let chain = [(0x1000, 0x1020, 7), (0x1020, 0x1040, 8), (0x1040, 0, 9)];
        for (mark, seen) in [
            (0x1010, vec![7, 8, 9]),
            (0x1011, vec![8, 9]),
            (0x1030, vec![8, 9]),
            (0x1031, vec![9]),
            (0x1051, vec![]),
        ] {
            assert_eq!(walked(&chain, mark, 5), Some((seen, false)), "{mark:#x}");
        }
    }

    /// What lies beyond is not looked at, so it may be anything.
    #[test]
    fn a_full_buffer_ends_the_walk() {
        let chain = [(0x1000, 0x1020, 7), (0x1020, 0x1040, 8), (0x1040, 3, 9)];
        assert_eq!(walked(&chain, 0, 2), Some((vec![7, 8], true)));
        assert_eq!(walked(&chain, 0, 0), Some((vec![], true)));
        assert_eq!(walked(&chain, 0, 3), None);
    }

    #[test]
    fn return_addresses_lose_their_authentication_codes() {
        let signed = 0x0123_8000_0000_0000 | 0x1_0000_4a2c;
        let chain = [(0x1000, 0x1020, signed), (0x1020, 0, 0xffff_8000_0000_0000)];
        assert_eq!(walked(&chain, 0, 5), Some((vec![0x1_0000_4a2c], false)));
    }

    #[test]
    fn broken_chains_are_given_up() {
        for next in [
            0x1000, // itself
            0x0ff0, // below the stack
            0x1008, // inside itself
            0x1021, // no word
            0x1ff8, // half a record
            0x2000, // the end
            0x7000_0000_0000,
            usize::MAX,
            usize::MAX - 7,
        ] {
            assert_eq!(walked(&[(0x1000, next, 7)], 0, 5), None, "{next:#x}");
        }
        // Up and down again.
        let chain = [
            (0x1000, 0x1100, 7),
            (0x1100, 0x1080, 8),
            (0x1080, 0x1100, 9),
        ];
        assert_eq!(walked(&chain, 0, 5), None);
        assert_eq!(walk(0, STACK, Mark(0), |_| 0, &mut [0; 4]), None);
    }

    /// Compilers keep the records on Linux too, and the C library has them.
    #[cfg(all(target_os = "linux", target_arch = "aarch64", not(miri)))]
    #[expect(unsafe_code, reason = "reads the frame register and the stack")]
    #[test]
    fn a_real_chain_is_that_of_the_platforms_unwinder() {
        use crate::engine::memory::arena::Arena;
        use crate::engine::unwind::{here, system};

        #[inline(never)]
        fn nested(depth: usize) -> usize {
            if depth > 0 {
                return std::hint::black_box(nested(depth - 1)) + 1;
            }
            let start = here();
            // SAFETY: the chain leads up this thread's stack.
            let read = |address: usize| unsafe {
                std::ptr::with_exposed_provenance::<usize>(address).read_volatile()
            };
            let (mut walked, mut unwound) = ([0; 200], [0; 200]);
            let stack = start.sp..usize::MAX;
            let mark = Mark(start.fp + RECORD);
            let ours = walk(start.fp, stack, mark, read, &mut walked).expect("a whole chain");
            let unwinder = system::Unwinder::new();
            let theirs = unwinder.capture(&Arena::new(), start, mark, &mut unwound);
            assert_eq!(walked[..ours.frames], unwound[..theirs.frames]);
            ours.frames
        }
        for depth in 0..20 {
            assert!(nested(depth) > 2 * depth + 3);
        }
    }
}
