//! Loom's atomics for sources that make theirs in constants and in zeroed memory: the real one is
//! made at the first use, which has to happen before every other one.

pub(crate) use crate::once_ref::OnceRef;
pub(crate) use loom::sync::atomic::Ordering;
pub(crate) use std::thread_local;

use std::cell::Cell;

/// `$name` in the place of the standard library's.
macro_rules! atomics {
    ($($name:ident: $value:ty),*) => {$(
        #[repr(C)]
        pub(crate) struct $name {
            first: $value,
            made: Cell<*const loom::sync::atomic::$name>,
        }

        // SAFETY: loom runs all threads of a model on one.
        unsafe impl Sync for $name {}
        // SAFETY: as above.
        unsafe impl Send for $name {}

        impl $name {
            pub(crate) const fn new(value: $value) -> Self {
                Self { first: value, made: Cell::new(std::ptr::null()) }
            }

            fn real(&self) -> &loom::sync::atomic::$name {
                if self.made.get().is_null() {
                    let real = loom::sync::atomic::$name::new(self.first);
                    self.made.set(Box::leak(Box::new(real)));
                }
                // SAFETY: made above, and never given back.
                unsafe { &*self.made.get() }
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                self.real().load(order)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                self.real().store(value, order)
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                self.real().swap(value, order)
            }

            pub(crate) fn compare_exchange(
                &self,
                now: $value,
                then: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.real().compare_exchange(now, then, success, failure)
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                now: $value,
                then: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.real().compare_exchange(now, then, success, failure)
            }

            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                self.real().fetch_add(value, order)
            }

            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                self.real().fetch_sub(value, order)
            }

            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                self.real().fetch_and(value, order)
            }

            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                self.real().fetch_or(value, order)
            }

            pub(crate) fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                self.real().fetch_max(value, order)
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

/// A pointer, as the number that it is: loom's own cannot be made for types of any kind.
#[repr(C)]
pub(crate) struct AtomicPtr<T>(AtomicUsize, std::marker::PhantomData<*mut T>);

// SAFETY: an address.
unsafe impl<T> Sync for AtomicPtr<T> {}
// SAFETY: an address.
unsafe impl<T> Send for AtomicPtr<T> {}

fn pointer<T>(address: usize) -> *mut T {
    std::ptr::with_exposed_provenance_mut(address)
}

impl<T> AtomicPtr<T> {
    pub(crate) const fn new(value: *mut T) -> Self {
        assert!(value.is_null());
        Self(AtomicUsize::new(0), std::marker::PhantomData)
    }

    pub(crate) fn load(&self, order: Ordering) -> *mut T {
        pointer(self.0.load(order))
    }

    pub(crate) fn store(&self, value: *mut T, order: Ordering) {
        self.0.store(value.expose_provenance(), order)
    }

    pub(crate) fn compare_exchange(
        &self,
        now: *mut T,
        then: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        let (now, then) = (now.expose_provenance(), then.expose_provenance());
        let exchanged = self.0.compare_exchange(now, then, success, failure);
        exchanged.map(pointer).map_err(pointer)
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
