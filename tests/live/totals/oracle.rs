//! What a program has allocated, counted in the plainest way: by an allocator that is asked for every
//! block and adds up at each site. Each new peak copies all sums.

use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::sites;

/// Live blocks that there is room for.
const ROOM: usize = 1 << 13;
/// All sites, and one for what is allocated outside of them.
pub const ROWS: usize = sites::SITES.len() + 1;

/// Bytes and blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub bytes: u64,
    pub blocks: u64,
}

impl Sum {
    const ZERO: Self = Self {
        bytes: 0,
        blocks: 0,
    };

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.blocks += 1;
    }

    fn remove(&mut self, bytes: usize) {
        self.bytes -= bytes as u64;
        self.blocks -= 1;
    }
}

/// What one site has allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Reallocations too, each with its new size.
    pub allocated: Sum,
    pub reallocations: u64,
    pub live: Sum,
    pub at_peak: Sum,
    /// Freed by their thread within its next few allocations.
    pub temporary: Sum,
}

impl Sums {
    const ZERO: Self = Self {
        allocated: Sum::ZERO,
        reallocations: 0,
        live: Sum::ZERO,
        at_peak: Sum::ZERO,
        temporary: Sum::ZERO,
    };
}

#[derive(Clone, Copy)]
struct Block {
    address: usize,
    size: usize,
    row: usize,
    thread: usize,
    /// How many blocks its thread had allocated before.
    number: u64,
}

struct State {
    rows: [Sums; ROWS],
    total: u64,
    peak: u64,
    blocks: [Block; ROOM],
    count: usize,
    /// There was no room for a block: nothing is known any more.
    is_full: bool,
}

/// The sums of all sites. Waits for nobody but itself, and allocates nothing.
pub struct Oracle {
    is_on: AtomicBool,
    is_locked: AtomicBool,
    state: UnsafeCell<State>,
}

// SAFETY: the state is reached by whoever has taken the lock alone.
unsafe impl Sync for Oracle {}

/// A block is temporary if its thread frees it before it has allocated as many others.
const FEW: u64 = 4;

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(1);
    if THREAD.get() == 0 {
        THREAD.set(THREADS.fetch_add(1, Ordering::Relaxed));
    }
    THREAD.get()
}

impl Oracle {
    pub const fn new() -> Self {
        let none = Block {
            address: 0,
            size: 0,
            row: 0,
            thread: 0,
            number: 0,
        };
        Self {
            is_on: AtomicBool::new(false),
            is_locked: AtomicBool::new(false),
            state: UnsafeCell::new(State {
                rows: [Sums::ZERO; ROWS],
                total: 0,
                peak: 0,
                blocks: [none; ROOM],
                count: 0,
                is_full: false,
            }),
        }
    }

    /// Counts from now on, or no more.
    pub fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::SeqCst);
    }

    /// The sums of each site, and of what was allocated outside of them; and the peak.
    pub fn answer(&self) -> ([Sums; ROWS], u64) {
        assert!(!self.is_on.load(Ordering::SeqCst));
        let (rows, peak, is_full) = self.locked(|state| (state.rows, state.peak, state.is_full));
        assert!(!is_full, "more than {ROOM} blocks were live");
        (rows, peak)
    }

    /// A block was allocated. Null is none.
    pub fn allocated(&self, block: *mut u8, size: usize) {
        if self.counts(block) {
            self.locked(|state| state.add(block as usize, size, sites::current()));
        }
    }

    /// A block is about to be freed.
    pub fn freed(&self, block: *mut u8) {
        if self.counts(block) {
            self.locked(|state| state.remove(block as usize, false));
        }
    }

    /// A block was resized, and may have moved. Null if it was not.
    pub fn resized(&self, old: *mut u8, new: *mut u8, size: usize) {
        if self.counts(new) {
            self.locked(|state| {
                state.remove(old as usize, true);
                let row = state.add(new as usize, size, sites::current());
                state.rows[row].reallocations += 1;
            });
        }
    }

    fn counts(&self, block: *mut u8) -> bool {
        self.is_on.load(Ordering::Relaxed) && !block.is_null()
    }

    fn locked<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        while self.is_locked.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        // SAFETY: the lock is taken, and `work` does not come back here: it allocates nothing.
        let result = work(unsafe { &mut *self.state.get() });
        self.is_locked.store(false, Ordering::Release);
        result
    }
}

impl State {
    fn add(&mut self, address: usize, size: usize, site: Option<usize>) -> usize {
        let row = site.unwrap_or(ROWS - 1);
        let number = ALLOCATIONS.get();
        ALLOCATIONS.set(number + 1);
        match self.blocks.get_mut(self.count) {
            Some(free) => {
                *free = Block {
                    address,
                    size,
                    row,
                    thread: thread(),
                    number,
                }
            }
            None => {
                self.is_full = true;
                return row;
            }
        }
        self.count += 1;
        self.rows[row].allocated.add(size);
        self.rows[row].live.add(size);
        self.total += size as u64;
        if self.total > self.peak {
            self.peak = self.total;
            self.rows.iter_mut().for_each(|row| row.at_peak = row.live);
        }
        row
    }

    /// A block that was there before the oracle is none of its blocks.
    fn remove(&mut self, address: usize, is_resized: bool) {
        let known = self.blocks[..self.count]
            .iter()
            .rposition(|block| block.address == address);
        let Some(known) = known else { return };
        let block = self.blocks[known];
        self.count -= 1;
        self.blocks[known] = self.blocks[self.count];
        let row = &mut self.rows[block.row];
        row.live.remove(block.size);
        self.total -= block.size as u64;
        let since = || ALLOCATIONS.get() - block.number - 1;
        if !is_resized && block.thread == thread() && since() < FEW {
            row.temporary.add(block.size);
        }
    }
}
