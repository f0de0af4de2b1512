//! Where the memory block behind a smart pointer or a collection begins.

use std::alloc::Layout;
use std::collections::BinaryHeap;
use std::ffi::{CString, OsString};
use std::path::PathBuf;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// Something whose memory block can be found: what [`block_of`](crate::block_of) and
/// [`get_object_traceback`](crate::get_object_traceback) can be asked about.
///
/// Smart pointers and collections stand for the block that they own. A reference stands for what it
/// refers to, however many there are, and an `Option` for what is in it. A slice, a `str` and an
/// array stand for their own first byte, and so does a raw pointer for the byte that it points at,
/// which is looked up and never read.
///
/// `HashMap`, `HashSet`, `VecDeque`, `BTreeMap`, `BTreeSet` and `LinkedList` do not reveal where their
/// blocks begin. Their blocks are in every snapshot, with the line that made them.
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say where its memory block begins",
    label = "this is not a `HeapBlock`",
    note = "pass a `Box`, `Vec`, `String`, `Rc`, `Arc`, `PathBuf`, `OsString`, `CString`, \
            `BinaryHeap` or an `Option` of one, or the field that owns the memory",
    note = "pass a raw pointer to the first byte of any other block: `&std::ptr::from_ref(&*value)`",
    note = "a `HashMap`, `HashSet`, `VecDeque`, `BTreeMap`, `BTreeSet` or `LinkedList` hides its \
            blocks: take a snapshot and look for the line that filled it"
)]
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

impl<T: HeapBlock + ?Sized> HeapBlock for &T {
    fn block_address(&self) -> usize {
        (**self).block_address()
    }
}

impl<T: HeapBlock + ?Sized> HeapBlock for &mut T {
    fn block_address(&self) -> usize {
        (**self).block_address()
    }
}

impl<T: HeapBlock> HeapBlock for Option<T> {
    fn block_address(&self) -> usize {
        self.as_ref().map_or(0, T::block_address)
    }
}

impl<T> HeapBlock for [T] {
    fn block_address(&self) -> usize {
        self.as_ptr().addr()
    }
}

impl<T, const N: usize> HeapBlock for [T; N] {
    fn block_address(&self) -> usize {
        self.as_ptr().addr()
    }
}

impl HeapBlock for str {
    fn block_address(&self) -> usize {
        self.as_ptr().addr()
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

impl<T> HeapBlock for BinaryHeap<T> {
    fn block_address(&self) -> usize {
        self.as_slice().block_address()
    }
}

impl HeapBlock for OsString {
    fn block_address(&self) -> usize {
        self.as_encoded_bytes().block_address()
    }
}

impl HeapBlock for PathBuf {
    fn block_address(&self) -> usize {
        self.as_os_str().as_encoded_bytes().block_address()
    }
}

impl HeapBlock for CString {
    fn block_address(&self) -> usize {
        self.as_ptr().addr()
    }
}

impl<T: ?Sized> HeapBlock for Pin<Box<T>> {
    fn block_address(&self) -> usize {
        std::ptr::from_ref(&**self).addr()
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
