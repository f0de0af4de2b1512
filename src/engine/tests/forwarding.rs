//! The wrapper forwards one to one: the same operation, the same arguments, the same result,
//! whatever the tracer does.

use std::ptr;
use std::sync::Mutex;

use super::*;
use crate::engine::thread::guard::Guard;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Alloc(Layout),
    AllocZeroed(Layout),
    Dealloc(usize, Layout),
    Realloc(usize, Layout, usize),
}

/// Writes down every call and answers with the address that it was given.
struct Spy {
    calls: Mutex<Vec<Call>>,
    answer: usize,
}

impl Spy {
    fn note(&self, call: Call) -> *mut u8 {
        self.calls.lock().expect("no panic").push(call);
        ptr::without_provenance_mut(self.answer)
    }
}

// SAFETY: nobody touches the memory.
unsafe impl GlobalAlloc for &Spy {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.note(Call::Alloc(layout))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.note(Call::AllocZeroed(layout))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.note(Call::Dealloc(block.addr(), layout));
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.note(Call::Realloc(block.addr(), layout, new_size))
    }
}

/// Every operation once, with layouts from the smallest to the largest; checks what arrived and
/// what came back.
fn check(answer: usize, tracing: bool, inside: bool) {
    let spy = Spy {
        calls: Mutex::new(Vec::new()),
        answer,
    };
    let tracker = tracker();
    if tracing {
        start(tracker);
    }
    let allocator = TraceAlloc::with_tracker(&spy, tracker);
    let largest = isize::MAX as usize & !7;
    let layouts = [
        (0, 1),
        (1, 1),
        (24, 8),
        (4096, 4096),
        (100, 1 << 30),
        (largest, 8),
    ];
    let mut expect = Vec::new();
    for (size, align) in layouts {
        let layout = Layout::from_size_align(size, align).expect("a valid layout");
        let block = ptr::without_provenance_mut(0x5000_0000_0000);
        let all = || {
            // SAFETY: the spy touches no memory and accepts every layout.
            let allocated = unsafe { allocator.alloc(layout) };
            // SAFETY: as above.
            let zeroed = unsafe { allocator.alloc_zeroed(layout) };
            // SAFETY: as above.
            let grown = unsafe { allocator.realloc(block, layout, 99) };
            // SAFETY: as above.
            unsafe { allocator.dealloc(block, layout) };
            [allocated, zeroed, grown]
        };
        let guard = if inside { Guard::enter() } else { None };
        let results = all();
        drop(guard);
        assert_eq!(results.map(|result| result.addr()), [answer; 3]);
        expect.extend([
            Call::Alloc(layout),
            Call::AllocZeroed(layout),
            Call::Realloc(block.addr(), layout, 99),
            Call::Dealloc(block.addr(), layout),
        ]);
    }
    assert_eq!(*spy.calls.lock().expect("no panic"), expect);
}

#[test]
fn every_call_is_forwarded_one_to_one() {
    for answer in [0, 1, 0x5000_0000_0010, usize::MAX & !7] {
        for (tracing, inside) in [(false, false), (true, false), (true, true)] {
            check(answer, tracing, inside);
        }
    }
}

#[test]
fn a_null_answer_changes_no_count() {
    let spy = Spy {
        calls: Mutex::new(Vec::new()),
        answer: 0,
    };
    let tracker = tracker();
    start(tracker);
    let allocator = TraceAlloc::with_tracker(&spy, tracker);
    assert!(alloc(&allocator, 100).is_null());
    let untraced = ptr::without_provenance_mut(0x6000);
    assert!(realloc(&allocator, untraced, 10, 20).is_null());
    assert_eq!(state(tracker), (0, 0, vec![]));
}

#[test]
fn an_address_beyond_the_tables_is_counted_as_lost() {
    let spy = Spy {
        calls: Mutex::new(Vec::new()),
        answer: usize::MAX & !7,
    };
    let tracker = tracker();
    start(tracker);
    let allocator = TraceAlloc::with_tracker(&spy, tracker);
    assert!(!alloc(&allocator, 100).is_null());
    let session = tracker.session().expect("tracing");
    assert_eq!(tracker.lost(session).blocks, 1);
    assert_eq!(state(tracker), (0, 0, vec![]));
}
