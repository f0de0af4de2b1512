//! What `once_cell::race::OnceRef` is, with a model's atomics.

use crate::atomic::{AtomicPtr, Ordering};

/// A pointer that is set once.
pub(crate) struct OnceRef<'a, T>(AtomicPtr<T>, std::marker::PhantomData<&'a T>);

impl<'a, T> OnceRef<'a, T> {
    pub(crate) const fn new() -> Self {
        Self(
            AtomicPtr::new(std::ptr::null_mut()),
            std::marker::PhantomData,
        )
    }

    pub(crate) fn get(&self) -> Option<&'a T> {
        // SAFETY: what was set is valid for `'a`.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn set(&self, value: &'a T) -> Result<(), ()> {
        let value = std::ptr::from_ref(value).cast_mut();
        let null = std::ptr::null_mut();
        let set = self
            .0
            .compare_exchange(null, value, Ordering::Release, Ordering::Acquire);
        set.map(drop).map_err(drop)
    }
}
