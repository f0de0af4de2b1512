//! The table of records: from a stack to its record, by two numbers.
//!
//! Stacks have a number for each of their frames, of which few allocate. So a stack's number leads to
//! the number of its record, 4 bytes for each frame, and records lie side by side.

use std::sync::atomic::{AtomicU32, Ordering};

use once_cell::race::OnceRef;

use super::record::Record;
use crate::engine::memory::arena::Arena;
use crate::engine::session::SessionNumber;
use crate::engine::stacks::StackId;
use crate::engine::thread::slot::ThreadSlot;

const NUMBERS: usize = 4096;
const RECORDS: usize = 512;
/// As many as there may be stacks.
const STACKS: usize = 1 << 28;
type Numbers = [OnceRef<'static, [AtomicU32; NUMBERS]>; STACKS / NUMBERS];
type Records = [OnceRef<'static, [Record; RECORDS]>; STACKS / RECORDS];

/// Records by stack.
pub(super) struct Table {
    numbers: OnceRef<'static, Numbers>,
    records: OnceRef<'static, Records>,
    /// Records that are taken.
    taken: AtomicU32,
    /// Threads that have written.
    writers: AtomicU32,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self {
            numbers: OnceRef::new(),
            records: OnceRef::new(),
            taken: AtomicU32::new(0),
            writers: AtomicU32::new(0),
        }
    }

    /// The number of the thread that has `slot`; 0 without one. The slot keeps it for the threads that
    /// have it later.
    #[inline]
    pub(super) fn writer_of(&self, slot: Option<&ThreadSlot>) -> u32 {
        let Some(slot) = slot else { return 0 };
        match slot.writer.load(Ordering::Relaxed) {
            0 => {
                let new = self.writers.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
                slot.writer.store(new, Ordering::Relaxed);
                new
            }
            writer => writer,
        }
    }

    /// The record of `stack`.
    #[inline]
    pub(super) fn find(&self, stack: StackId) -> Option<&'static Record> {
        let numbers = self.numbers.get()?.get(stack.index() / NUMBERS)?.get()?;
        let number = numbers.get(stack.index() % NUMBERS)?;
        self.get(number.load(Ordering::Acquire))
    }

    /// The record of `stack`, made now by `writer` if it has none. `None` without memory for it.
    #[inline]
    pub(super) fn find_or_add(
        &self,
        arena: &Arena,
        session: SessionNumber,
        stack: StackId,
        writer: u32,
    ) -> Option<&'static Record> {
        match self.find(stack) {
            Some(record) => Some(record),
            None => self.add(arena, session, stack, writer),
        }
    }

    #[cold]
    #[inline(never)]
    fn add(
        &self,
        arena: &Arena,
        session: SessionNumber,
        stack: StackId,
        writer: u32,
    ) -> Option<&'static Record> {
        let numbers = arena.first_use(&self.numbers)?;
        let numbers = arena.first_use(numbers.get(stack.index() / NUMBERS)?)?;
        let number = numbers.get(stack.index() % NUMBERS)?;
        self.publish(arena, session, stack, writer, number)
    }

    /// The record that all threads but the owner of `main` write.
    #[inline]
    pub(super) fn others(&self, main: &Record) -> Option<&'static Record> {
        self.get(main.others().load(Ordering::Acquire))
    }

    /// Makes the record that all threads but the owner of `main` write. `None` without memory for it.
    #[cold]
    #[inline(never)]
    pub(super) fn add_others(
        &self,
        arena: &Arena,
        session: SessionNumber,
        main: &Record,
    ) -> Option<&'static Record> {
        self.publish(arena, session, main.stack(), 0, main.others())
    }

    /// Puts the number of a new record into `cell`, unless another thread was first. The record of the
    /// one that was later stays unused, without a way to it.
    fn publish(
        &self,
        arena: &Arena,
        session: SessionNumber,
        stack: StackId,
        owner: u32,
        cell: &AtomicU32,
    ) -> Option<&'static Record> {
        let (number, record) = self.take(arena)?;
        record.begin(session, stack, owner);
        match cell.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(record),
            Err(other) => self.get(other),
        }
    }

    /// A record that nobody has, and its number.
    fn take(&self, arena: &Arena) -> Option<(u32, &'static Record)> {
        let records = arena.first_use(&self.records)?;
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let index = taken as usize;
            // Before it is taken, so that want of memory takes no numbers.
            let chunk = arena.first_use(records.get(index / RECORDS)?)?;
            let next = taken.checked_add(1)?;
            match self.taken.compare_exchange_weak(
                taken,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some((next, chunk.get(index % RECORDS)?)),
                Err(other) => taken = other,
            }
        }
    }

    /// The record of a number; `None` for 0.
    #[inline]
    fn get(&self, number: u32) -> Option<&'static Record> {
        let index = number.checked_sub(1)? as usize;
        let chunk = self.records.get()?.get(index / RECORDS)?.get()?;
        chunk.get(index % RECORDS)
    }

    /// Calls `visit` with every stack's record that is reached by the stack.
    pub(super) fn for_each_main(&self, mut visit: impl FnMut(&'static Record)) {
        let Some(numbers) = self.numbers.get() else {
            return;
        };
        for chunk in numbers.iter().filter_map(OnceRef::get) {
            for number in chunk {
                if let Some(record) = self.get(number.load(Ordering::Acquire)) {
                    visit(record);
                }
            }
        }
    }

    /// Calls `visit` with every record.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&'static Record)) {
        self.for_each_main(|main| {
            visit(main);
            if let Some(others) = self.others(main) {
                visit(others);
            }
        });
    }
}
