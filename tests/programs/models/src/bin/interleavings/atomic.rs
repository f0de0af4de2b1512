//! Atomics with a point before each step where the scheduler may switch threads.

pub(crate) use crate::once_ref::OnceRef;
pub(crate) use shuttle::thread_local;
pub(crate) use std::sync::atomic::Ordering;

use std::sync::atomic::Ordering::SeqCst;

static POINT: shuttle::sync::atomic::AtomicBool = shuttle::sync::atomic::AtomicBool::new(false);

/// A place where threads may be switched.
pub(crate) fn point() {
    POINT.load(SeqCst);
}

/// `$name` in the place of the standard library's.
macro_rules! atomics {
    ($($name:ident: $value:ty),*) => {$(
        #[repr(transparent)]
        pub(crate) struct $name(std::sync::atomic::$name);

        impl $name {
            pub(crate) const fn new(value: $value) -> Self {
                Self(std::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, _: Ordering) -> $value {
                point();
                self.0.load(SeqCst)
            }

            pub(crate) fn store(&self, value: $value, _: Ordering) {
                point();
                self.0.store(value, SeqCst)
            }

            pub(crate) fn swap(&self, value: $value, _: Ordering) -> $value {
                point();
                self.0.swap(value, SeqCst)
            }

            pub(crate) fn compare_exchange(
                &self,
                now: $value,
                then: $value,
                _: Ordering,
                _: Ordering,
            ) -> Result<$value, $value> {
                point();
                self.0.compare_exchange(now, then, SeqCst, SeqCst)
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                now: $value,
                then: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(now, then, success, failure)
            }

            pub(crate) fn fetch_add(&self, value: $value, _: Ordering) -> $value {
                point();
                self.0.fetch_add(value, SeqCst)
            }

            pub(crate) fn fetch_sub(&self, value: $value, _: Ordering) -> $value {
                point();
                self.0.fetch_sub(value, SeqCst)
            }

            pub(crate) fn fetch_and(&self, value: $value, _: Ordering) -> $value {
                point();
                self.0.fetch_and(value, SeqCst)
            }

            pub(crate) fn fetch_or(&self, value: $value, _: Ordering) -> $value {
                point();
                self.0.fetch_or(value, SeqCst)
            }

            pub(crate) fn fetch_max(&self, value: $value, _: Ordering) -> $value {
                point();
                self.0.fetch_max(value, SeqCst)
            }
        }
    )*};
}

atomics!(AtomicU8: u8, AtomicU32: u32, AtomicU64: u64, AtomicUsize: usize, AtomicI64: i64);

/// As a number: of the arithmetic that those have it has none.
#[repr(transparent)]
pub(crate) struct AtomicBool(AtomicU8);

impl AtomicBool {
    pub(crate) const fn new(value: bool) -> Self {
        Self(AtomicU8::new(value as u8))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        self.0.load(order) != 0
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        self.0.store(u8::from(value), order)
    }

    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        self.0.swap(u8::from(value), order) != 0
    }
}

#[repr(transparent)]
pub(crate) struct AtomicPtr<T>(std::sync::atomic::AtomicPtr<T>);

impl<T> AtomicPtr<T> {
    pub(crate) const fn new(value: *mut T) -> Self {
        Self(std::sync::atomic::AtomicPtr::new(value))
    }

    pub(crate) fn load(&self, _: Ordering) -> *mut T {
        point();
        self.0.load(SeqCst)
    }

    pub(crate) fn store(&self, value: *mut T, _: Ordering) {
        point();
        self.0.store(value, SeqCst)
    }

    pub(crate) fn compare_exchange(
        &self,
        now: *mut T,
        then: *mut T,
        _: Ordering,
        _: Ordering,
    ) -> Result<*mut T, *mut T> {
        point();
        self.0.compare_exchange(now, then, SeqCst, SeqCst)
    }

    pub(crate) fn compare_exchange_weak(
        &self,
        now: *mut T,
        then: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        self.compare_exchange(now, then, success, failure)
    }
}
