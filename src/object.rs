//! Where the memory block behind a smart pointer or a collection begins.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// Something that owns, or is, the address of a memory block: what
/// [`get_object_traceback`](crate::get_object_traceback) can be asked about.
///
/// A raw pointer or a reference stands for the address itself and need not point anywhere: the
/// address is looked up, never read.
///
/// ```
/// use tracemalloc::HeapBlock;
///
/// struct Image {
///     pixels: Vec<u8>,
/// }
///
/// impl HeapBlock for Image {
///     fn block_address(&self) -> usize {
///         self.pixels.block_address()
///     }
/// }
///
/// let image = Image { pixels: vec![0; 100] };
/// assert_eq!(image.block_address(), image.pixels.as_ptr().addr());
/// ```
pub trait HeapBlock {
    /// The address at which the block begins. Any number for a value that owns no block, such as an
    /// empty `Vec`.
    fn block_address(&self) -> usize;
}

impl<T: ?Sized> HeapBlock for *const T {
    fn block_address(&self) -> usize {
        self.addr()
    }
}

impl<T: ?Sized> HeapBlock for *mut T {
    fn block_address(&self) -> usize {
        self.addr()
    }
}

impl<T: ?Sized> HeapBlock for NonNull<T> {
    fn block_address(&self) -> usize {
        self.addr().get()
    }
}

impl<T: ?Sized> HeapBlock for &T {
    fn block_address(&self) -> usize {
        std::ptr::from_ref(*self).addr()
    }
}

impl<T: ?Sized> HeapBlock for Box<T> {
    fn block_address(&self) -> usize {
        std::ptr::from_ref(&**self).addr()
    }
}

impl<T> HeapBlock for Vec<T> {
    fn block_address(&self) -> usize {
        self.as_ptr().addr()
    }
}

impl HeapBlock for String {
    fn block_address(&self) -> usize {
        self.as_ptr().addr()
    }
}

impl<T: ?Sized> HeapBlock for Rc<T> {
    fn block_address(&self) -> usize {
        before_payload(&**self)
    }
}

impl<T: ?Sized> HeapBlock for Arc<T> {
    fn block_address(&self) -> usize {
        before_payload(&**self)
    }
}

/// The block of an `Rc` or `Arc`: two counters of a word each stand before the value.
fn before_payload<T: ?Sized>(value: &T) -> usize {
    let counters = Layout::new::<[usize; 2]>();
    let offset = counters
        .extend(Layout::for_value(value))
        .map_or(0, |(_, offset)| offset);
    std::ptr::from_ref(value).addr().wrapping_sub(offset)
}
