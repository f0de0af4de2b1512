//! Which model thread a place belongs to, and which have ended.

use std::cell::{Cell, RefCell};

std::thread_local! {
    static LAST: Cell<u64> = const { Cell::new(0) };
    static ENDED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

shuttle::thread_local! {
    static ME: Cell<u64> = Cell::new(0);
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(u64);

impl Owner {
    pub(crate) fn me() -> Option<Self> {
        ME.with(|me| {
            if me.get() == 0 {
                LAST.set(LAST.get() + 1);
                me.set(LAST.get());
            }
            Some(Self(me.get()))
        })
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn is_gone(self, _me: Self) -> bool {
        crate::atomic::point();
        ENDED.with_borrow(|ended| ended.contains(&self.0))
    }
}

/// No thread has ended.
pub(crate) fn reset() {
    LAST.set(0);
    ENDED.take();
}

/// A thread that is known to have ended when it has run `task`.
pub(crate) fn spawn(task: impl FnOnce() + Send + 'static) -> shuttle::thread::JoinHandle<()> {
    shuttle::thread::spawn(move || {
        task();
        if let Some(me) = Owner::me() {
            ENDED.with_borrow_mut(|ended| ended.push(me.0));
        }
    })
}
