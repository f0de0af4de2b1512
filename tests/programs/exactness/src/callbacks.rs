//! Callbacks through code of the C library.

use std::ffi::{c_int, c_void};
use std::fmt::{self, Display, Formatter};
use std::hint::black_box;

use crate::block;

/// Through the C library, the standard library's sort, and both inside one another.
#[inline(never)]
pub(crate) fn sorting(round: usize) {
    let mut numbers: Vec<u64> = (0..40).map(|n| (n * 7919 + round as u64) % 101).collect();
    sort_in_c(&mut numbers, compare);
    numbers.reverse();
    sort_in_c(&mut numbers, compare_by_sorting);
    numbers.sort_by(|a, b| {
        block(*a as usize + 1);
        b.cmp(a)
    });
    numbers.sort_by_cached_key(|n| n.to_string());
    black_box(numbers);
}

type Compare = extern "C" fn(*const c_void, *const c_void) -> c_int;

#[inline(never)]
fn sort_in_c(numbers: &mut [u64], compare: Compare) {
    // SAFETY: number and size are those of the slice, and `compare` is a total order.
    unsafe {
        libc::qsort(
            numbers.as_mut_ptr().cast(),
            numbers.len(),
            8,
            Some(as_c(compare)),
        )
    };
    black_box(());
}

fn as_c(compare: Compare) -> unsafe extern "C" fn(*const c_void, *const c_void) -> c_int {
    compare
}

fn order(a: *const c_void, b: *const c_void) -> c_int {
    // SAFETY: `qsort` passes addresses of elements.
    let (a, b) = unsafe { (*a.cast::<u64>(), *b.cast::<u64>()) };
    a.cmp(&b) as c_int
}

extern "C" fn compare(a: *const c_void, b: *const c_void) -> c_int {
    block(40);
    order(a, b)
}

extern "C" fn compare_by_sorting(a: *const c_void, b: *const c_void) -> c_int {
    let mut few = black_box([3, 1, 2]);
    sort_in_c(&mut few, compare);
    order(a, b)
}

/// A value whose text is made of the texts of others.
struct Nested(usize);

impl Display for Nested {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let inner = black_box(vec![self.0]);
        match inner[0] {
            0 => write!(f, "{:>5}", self.0),
            n => write!(f, "<{} {:?}>", Nested(n - 1), format!("{n:#x}")),
        }
    }
}

#[inline(never)]
pub(crate) fn formatting(round: usize) {
    black_box(format!(
        "{:>80}{}",
        Nested(8 + round % 5).to_string(),
        Nested(3)
    ));
}
