//! What is kept for one thread.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use once_cell::race::OnceRef;

use crate::engine::memory::arena::Zeroed;
use crate::engine::stack_cache::StackCache;
use crate::engine::stacks::LabelCache;
use crate::engine::thread::counter::ThreadCounter;
use crate::engine::thread::recent::Recent;

/// One slot. It belongs to one thread at a time.
#[repr(C)]
pub(crate) struct ThreadSlot {
    /// The bits of an `Owner`; 0 for none.
    pub(super) owner: AtomicU64,
    /// The last owner vanished in a fork: the stack cache may be half changed.
    pub(super) torn: AtomicBool,
    /// The stack cache was used since its memory was given back.
    pub(super) is_touched: AtomicBool,
    pub(super) next: OnceRef<'static, ThreadSlot>,
    pub(crate) counter: ThreadCounter,
    /// The slot's number among those that write history; 0 for none.
    pub(crate) writer: AtomicU32,
    pub(crate) recent: Recent,
    /// Made when the thread is first in a tag.
    pub(in crate::engine) labels: OnceRef<'static, LabelCache>,
    /// The session in which the thread has allocated to a new peak that is not noted yet; 0 for none.
    pub(crate) rises: AtomicU64,
    /// What the clock has said, and how many events ago.
    pub(crate) time: AtomicU64,
    pub(crate) time_age: AtomicU32,
    pub(super) stack_cache: UnsafeCell<StackCache>,
}

// SAFETY: the stack cache is reached by the owning thread alone, see `OwnSlot::stack_cache`; the
// rest are atomics.
unsafe impl Sync for ThreadSlot {}
// SAFETY: all fields are valid when zero, the stack cache by its own promise; 0 is no owner.
unsafe impl Zeroed for ThreadSlot {}
