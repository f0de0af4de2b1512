//! Stacks as builds of every kind show them, written out as text.

use super::*;

/// The frames that are seen of `stack`.
fn visible(stack: &[Frame]) -> Range<usize> {
    let roles: Vec<Role> = stack.iter().map(Role::of).collect();
    super::visible(&roles)
}

/// A frame from one line of text: `FILE:LINE FUNCTION`, `- FUNCTION` without lines, `?` without any
/// name. The crate is the function's, or stands in front: `CRATE| FILE:LINE FUNCTION`, as where
/// only the file tells it.
fn frame(text: &str) -> Frame {
    let (crate_name, text) = match text.split_once("| ") {
        Some((name, rest)) => (Some(name), rest),
        None => (None, text),
    };
    let (place, function) = text.split_once(' ').unwrap_or((text, ""));
    let frame = match place.rsplit_once(':') {
        Some((file, line)) => Frame::new(file, line.parse().expect("a line number")),
        None if place == "-" => Frame::named(function),
        None => return Frame::named("myapp+0x1f3a0"),
    };
    match crate_name.or(crate::symbols::crate_names::crate_of(function, None)) {
        Some(name) => frame.with_crate(name),
        None => frame,
    }
    .with_function(function)
}

/// Checks which lines of `stack`, oldest first, are seen: those that begin with `*`, which is then
/// taken off.
#[track_caller]
fn check(stack: &[&str]) {
    let seen = |line: &&str| line.starts_with('*');
    let first = stack
        .iter()
        .position(seen)
        .expect("something is always seen");
    let last = stack
        .iter()
        .rposition(seen)
        .expect("something is always seen");
    assert!(
        stack[first..=last].iter().all(seen),
        "what is seen has no holes"
    );
    let frames: Vec<Frame> = stack
        .iter()
        .map(|line| frame(line.trim_start_matches('*')))
        .collect();
    assert_eq!(visible(&frames), first..last + 1, "of {stack:#?}");
}

/// Start-up of the main thread, in a build with debug information.
const MAIN: [&str; 7] = [
    "- _start",
    "csu/libc-start.c:360 __libc_start_main_impl",
    "sysdeps/nptl/libc_start_call_main.h:58 __libc_start_call_main",
    "- main",
    "<std>/std/src/rt.rs:205 std::rt::lang_start",
    "<std>/std/src/rt.rs:175 std::rt::lang_start_internal::{closure#0}",
    "<std>/std/src/sys/backtrace.rs:166 std::sys::backtrace::__rust_begin_short_backtrace",
];

#[track_caller]
fn check_in_main(stack: &[&str]) {
    check(&[&MAIN[..], stack].concat());
}

#[test]
fn a_debug_build() {
    check_in_main(&[
        "<std>/core/src/ops/function.rs:250 core::ops::function::FnOnce::call_once",
        "*src/main.rs:33 myapp::main",
        "*src/main.rs:27 myapp::outer",
        "*src/main.rs:26 myapp::inl",
        "<std>/alloc/src/vec/mod.rs:992 alloc::vec::Vec<T,A>::push",
        "<std>/alloc/src/raw_vec/mod.rs:491 alloc::raw_vec::RawVecInner<A>::grow_one",
        "<std>/alloc/src/alloc.rs:429 <alloc::alloc::Global as core::alloc::Allocator>::allocate",
        "<std>/alloc/src/alloc.rs:95 alloc::alloc::alloc",
        "src/main.rs:14 __rustc::__rust_alloc",
        "tracemalloc-0.1.0/src/engine/allocator.rs:40 <tracemalloc::engine::allocator::TraceAlloc<A> as core::alloc::global::GlobalAlloc>::alloc",
        "tracemalloc-0.1.0/src/engine/tracker.rs:9 tracemalloc::engine::tracker::Tracker::on_alloc",
    ]);
}

/// Line tables give functions without their paths; files and the shim tell them apart.
#[test]
fn line_tables_only() {
    check_in_main(&[
        "core| <std>/core/src/ops/function.rs:250 call_once<fn(), ()>",
        "*myapp| src/main.rs:33 main",
        "*myapp| src/main.rs:27 start",
        "*myapp| src/main.rs:26 clone",
        "alloc| <std>/alloc/src/vec/mod.rs:992 push<u64, alloc::alloc::Global>",
        "alloc| <std>/alloc/src/raw_vec/mod.rs:491 grow_one<alloc::alloc::Global>",
        "alloc| <std>/alloc/src/alloc.rs:95 alloc",
        "myapp| src/main.rs:14 __rust_alloc",
        "myapp| src/main.rs:9 alloc",
    ]);
}

#[test]
fn a_release_build_without_lines() {
    check(&[
        "- _start",
        "csu/libc-start.c:360 __libc_start_main_impl",
        "- main",
        "- std::rt::lang_start_internal",
        "- std::rt::lang_start::{{closure}}",
        "- std::sys::backtrace::__rust_begin_short_backtrace",
        "*- myapp::main",
        "*- myapp::outer",
        "- alloc::raw_vec::RawVec<T,A>::grow_one",
        "- alloc::raw_vec::RawVecInner<A>::finish_grow",
    ]);
}

/// With fat link-time optimisation the shim is gone and the engine's frames follow the standard
/// library's.
#[test]
fn link_time_optimisation() {
    check_in_main(&[
        "*myapp| src/main.rs:34 main",
        "alloc| <std>/alloc/src/boxed.rs:286 new<u8>",
        "alloc| <std>/alloc/src/alloc.rs:190 alloc_impl_runtime",
        "tracemalloc| tracemalloc-0.1.0/src/engine/tracker.rs:9 on_alloc",
    ]);
}

/// Only the C library has names: what is below its start-up code is dropped, the program itself is
/// kept.
#[test]
fn a_stripped_build() {
    check(&[
        "?",
        "csu/libc-start.c:360 __libc_start_main_impl",
        "sysdeps/nptl/libc_start_call_main.h:58 __libc_start_call_main",
        "*?",
        "*?",
        "*?",
    ]);
    check(&["*?", "*?", "*?"]);
    check(&["*?"]);
    check(&["?", "- start_thread", "*?"]);
}

/// Nameless frames count as start-up only below start-up code, not below any code of the standard
/// library.
#[test]
fn nameless_frames_above_the_start_up_are_the_programs() {
    check(&[
        "?",
        "- __libc_start_main",
        "*?",
        "*- core::slice::sort::stable::sort",
        "*?",
        "- alloc::raw_vec::finish_grow",
    ]);
}

#[test]
fn a_thread() {
    check(&[
        "sysdeps/unix/sysv/linux/x86_64/clone3.S:81 clone3",
        "nptl/pthread_create.c:442 start_thread",
        "<std>/std/src/sys/thread/unix.rs:118 <std::sys::thread::unix::Thread>::new::thread_start",
        "<std>/alloc/src/boxed.rs:2240 <alloc::boxed::Box<dyn core::ops::function::FnOnce<(), Output = ()> + core::marker::Send> as core::ops::function::FnOnce<()>>::call_once",
        "<std>/core/src/ops/function.rs:250 core::ops::function::FnOnce::call_once{{vtable.shim}}",
        "<std>/std/src/thread/lifecycle.rs:89 std::thread::lifecycle::spawn_unchecked::{{closure}}",
        "- __rust_try",
        "<std>/std/src/sys/backtrace.rs:166 std::sys::backtrace::__rust_begin_short_backtrace",
        "*src/main.rs:42 myapp::main::{{closure}}",
        "<std>/alloc/src/boxed.rs:286 alloc::boxed::Box<T>::new",
    ]);
}

#[test]
fn a_thread_of_a_c_library() {
    check(&[
        "- __clone3",
        "- start_thread",
        "*src/main.rs:60 myapp::main::start",
        "<std>/alloc/src/boxed.rs:286 alloc::boxed::Box<T>::new",
    ]);
}

/// Which has line tables of its own.
#[test]
fn a_thread_of_musl() {
    check(&[
        "src_musl/src/thread/pthread_create.c:207 start",
        "<std>/std/src/sys/thread/unix.rs:118 <std::sys::thread::unix::Thread>::new::thread_start",
        "*src/main.rs:60 myapp::main::{{closure}}",
    ]);
    check(&[
        "src_musl/src/thread/pthread_key_create.c:82 __pthread_tsd_run_dtors",
        "<std>/std/src/sys/thread_local/guard/key.rs:29 std::sys::thread_local::guard::key::enable::run",
        "*src/main.rs:12 <myapp::Last as core::ops::drop::Drop>::drop",
    ]);
    check(&["*src/start.c:20 start", "*src/lib.rs:4 embedded::run"]);
}

#[test]
fn a_test() {
    check(&[
        "- __clone3",
        "- start_thread",
        "<std>/std/src/sys/thread/unix.rs:118 std::sys::thread::unix::thread_start",
        "<std>/test/src/lib.rs:686 test::run_test_in_process",
        "<std>/test/src/lib.rs:663 test::__rust_begin_short_backtrace",
        "<std>/core/src/ops/function.rs:250 core::ops::function::FnOnce::call_once",
        "*tests/api.rs:7 api::counts::{{closure}}",
        "*tests/api.rs:9 api::counts",
        "<std>/alloc/src/vec/mod.rs:992 alloc::vec::Vec<T>::with_capacity",
    ]);
}

/// A sort that calls the program back: the standard library's frames between the program's stay.
#[test]
fn the_middle_stays() {
    check_in_main(&[
        "*src/main.rs:37 myapp::main",
        "*<std>/alloc/src/slice.rs:196 alloc::slice::<impl [T]>::sort_by",
        "*<std>/core/src/slice/sort/stable/mod.rs:79 core::slice::sort::stable::sort",
        "*src/main.rs:37 myapp::main::{{closure}}",
        "<std>/alloc/src/fmt.rs:659 alloc::fmt::format",
        "<std>/core/src/fmt/mod.rs:0 core::fmt::write",
        "<std>/alloc/src/string.rs:1102 <alloc::string::String>::push_str",
    ]);
}

#[test]
fn a_sort_of_the_standard_library_alone_is_its_callers() {
    check_in_main(&[
        "*src/main.rs:38 myapp::main",
        "<std>/alloc/src/slice.rs:135 alloc::slice::<impl [T]>::sort",
        "<std>/alloc/src/slice.rs:867 alloc::slice::<impl core::slice::sort::stable::BufGuard<T> for alloc::vec::Vec<T>>::with_capacity",
    ]);
}

#[test]
fn a_trait_of_the_standard_library_on_the_programs_type_is_the_programs() {
    check_in_main(&[
        "*src/main.rs:47 myapp::main",
        "*<std>/alloc/src/string.rs:2894 <T as alloc::string::ToString>::to_string",
        "*src/net/mod.rs:5 <myapp::net::Shown as core::fmt::Display>::fmt",
        "<std>/alloc/src/vec/mod.rs:3651 alloc::vec::from_elem",
    ]);
    check(&[
        "- std::sys::backtrace::__rust_begin_short_backtrace",
        "*- myapp::main",
        "*- <alloc::vec::Vec<u64> as myapp::net::Sink>::put",
        "- alloc::raw_vec::RawVecInner<A>::finish_grow",
    ]);
}

#[test]
fn a_value_dropped_while_unwinding() {
    check_in_main(&[
        "*src/main.rs:65 myapp::main",
        "*<std>/std/src/panicking.rs:544 std::panicking::catch_unwind",
        "*- __rust_try",
        "*src/main.rs:66 myapp::main::{{closure}}",
        "*<std>/core/src/ptr/mod.rs:805 core::ptr::drop_in_place<myapp::D>",
        "*src/main.rs:29 <myapp::D as core::ops::drop::Drop>::drop",
        "<std>/alloc/src/vec/mod.rs:3651 alloc::vec::from_elem",
    ]);
}

#[test]
fn a_panic_hook() {
    check_in_main(&[
        "*src/main.rs:66 myapp::main::{{closure}}",
        "*<std>/core/src/panicking.rs:80 core::panicking::panic_fmt",
        "*<std>/std/src/panicking.rs:689 __rustc::rust_begin_unwind",
        "*<std>/std/src/panicking.rs:833 std::panicking::panic_with_hook",
        "*src/main.rs:62 myapp::main::{{closure}}",
        "<std>/alloc/src/boxed.rs:286 alloc::boxed::Box<T>::new",
    ]);
}

/// The handler of a failed allocation is no allocator: what it calls is the program's.
#[test]
fn the_error_handler_of_allocations_is_no_shim() {
    check_in_main(&[
        "*src/main.rs:5 myapp::main",
        "*<std>/alloc/src/alloc.rs:400 alloc::alloc::handle_alloc_error",
        "*- __rustc::__rust_alloc_error_handler",
        "*src/main.rs:80 myapp::main::{{closure}}",
        "<std>/alloc/src/boxed.rs:286 alloc::boxed::Box<T>::new",
    ]);
}

#[test]
fn hash_tables_are_the_standard_librarys() {
    check_in_main(&[
        "*src/main.rs:45 myapp::main",
        "<std>/std/src/collections/hash/map.rs:1 std::collections::hash::map::HashMap<K,V,S,A>::insert",
        "<std>/hashbrown-0.16.1/src/map.rs:1843 hashbrown::map::HashMap<K,V,S,A>::insert",
    ]);
    check_in_main(&[
        "*src/main.rs:45 myapp::main",
        "hashbrown-0.14.5/src/map.rs:1843 hashbrown::map::HashMap<K,V,S,A>::insert",
    ]);
}

/// A backtrace that an error keeps is made by the line that makes the error. The unwinder is C.
#[test]
fn a_kept_backtrace_is_the_programs() {
    check_in_main(&[
        "*src/main.rs:8 app::main",
        "*src/main.rs:3 app::fetch",
        "<std>/std/src/backtrace.rs:313 <std::backtrace::Backtrace>::force_capture",
        "<std>/std/src/backtrace.rs:331 <std::backtrace::Backtrace>::create",
        "- _Unwind_Backtrace",
        "- std::backtrace_rs::backtrace::libunwind::trace::trace_fn",
        "<std>/alloc/src/vec/mod.rs:9 alloc::vec::Vec<T,A>::push",
        "- __rust_alloc",
    ]);
    check_in_main(&[
        "*- app::main",
        "- <std::backtrace::Backtrace>::create",
        "- uw_frame_state_for",
        "- _Unwind_Backtrace",
        "- std::backtrace_rs::backtrace::libunwind::trace::trace_fn",
        "- alloc::raw_vec::RawVec<T,A>::grow_one",
    ]);
}

/// What the standard library keeps of debug information belongs to nobody's line.
#[test]
fn symbols_that_the_standard_library_keeps_are_its_own() {
    check_in_main(&[
        "*src/main.rs:8 app::main",
        "*<std>/std/src/backtrace.rs:420 <std::backtrace::Backtrace as core::fmt::Display>::fmt",
        "*<std>/backtrace/src/symbolize/mod.rs:4 std::backtrace_rs::symbolize::resolve",
        "<std>/backtrace/src/symbolize/gimli.rs:4 std::backtrace_rs::symbolize::gimli::Cache::with_global",
        "std| <std>/gimli-0.32.3/src/read/dwarf.rs:9 gimli::read::dwarf::Dwarf<R>::load",
        "<std>/alloc/src/vec/mod.rs:9 alloc::vec::Vec<T,A>::push",
    ]);
    check_in_main(&[
        "*- app::main",
        "*- std::sys::backtrace::_print_fmt",
        "*- std::backtrace_rs::symbolize::gimli::resolve",
        "- addr2line::Context<R>::find_frames",
        "- gimli::read::abbrev::Abbreviations::parse",
        "- alloc::raw_vec::RawVec<T,A>::grow_one",
    ]);
}

#[test]
fn a_crate_that_is_built_into_the_standard_library_too_is_the_programs() {
    check_in_main(&[
        "*- app::main",
        "*- gimli::read::abbrev::Abbreviations::parse",
        "- alloc::raw_vec::RawVec<T,A>::grow_one",
    ]);
    check_in_main(&[
        "*src/main.rs:3 app::main",
        "*<std>/core/src/iter/mod.rs:3 core::iter::Iterator::map",
        "*gimli-0.34.0/src/read/abbrev.rs:3 gimli::read::abbrev::Abbreviations::parse",
        "- alloc::raw_vec::RawVec<T,A>::grow_one",
    ]);
}

#[test]
fn dependencies_stay() {
    check_in_main(&[
        "*src/main.rs:44 myapp::main",
        "*serde_json-1.0.154/src/de.rs:2713 serde_json::de::from_str",
        "*serde_json-1.0.154/src/value/de.rs:59 <serde_json::value::de::KeyClassifier as serde_core::de::Visitor>::visit_str",
        "<std>/alloc/src/slice.rs:448 alloc::slice::<impl [T]>::to_vec",
    ]);
}

#[test]
fn c_code_between_the_programs_functions_stays() {
    check_in_main(&[
        "*src/main.rs:63 myapp::main",
        "*stdlib/msort.c:296 __GI___qsort_r",
        "*stdlib/msort.c:82 msort_with_tmp",
        "*src/main.rs:61 myapp::main::cmp",
        "<std>/alloc/src/boxed.rs:286 alloc::boxed::Box<T>::new",
    ]);
}

#[test]
fn a_main_in_c_is_the_programs() {
    check(&[
        "- _start",
        "- __libc_start_main",
        "*main.c:12 main",
        "*src/lib.rs:4 embedded::run",
        "<std>/alloc/src/boxed.rs:286 alloc::boxed::Box<T>::new",
    ]);
}

#[test]
fn this_crates_interface_is_not_seen() {
    check_in_main(&[
        "*src/main.rs:9 myapp::main",
        "tracemalloc-0.1.0/src/engine/tracker.rs:30 tracemalloc::track",
        "tracemalloc-0.1.0/src/engine/live.rs:3 tracemalloc::engine::live::insert",
    ]);
}

/// A start of a thread allocates before any code of the program runs.
#[test]
fn if_all_is_runtime_only_the_allocator_is_dropped() {
    check(&[
        "*- clone3",
        "*- start_thread",
        "*<std>/std/src/sys/thread/unix.rs:118 <std::sys::thread::unix::Thread>::new::thread_start",
        "*<std>/std/src/thread/current.rs:1 std::thread::current::set_current",
        "- __rustc::__rust_alloc",
        "tracemalloc-0.1.0/src/engine/allocator.rs:40 tracemalloc::engine::allocator::alloc",
    ]);
    check(&[
        "*<std>/std/src/rt.rs:1 std::rt::init",
        "tracemalloc-0.1.0/src/engine/allocator.rs:40 tracemalloc::engine::allocator::alloc",
    ]);
}

/// Without lines, a closure that was inlined into the standard library leaves no frame of the
/// program.
#[test]
fn a_stack_without_the_program_is_kept_whole() {
    check(&[
        "*?",
        "*nptl/pthread_create.c:442 start_thread",
        "*- core::ops::function::FnOnce::call_once{{vtable.shim}}",
        "*- std::sys::backtrace::__rust_begin_short_backtrace",
        "- tracemalloc::engine::tracker::Tracker::on_alloc",
    ]);
}

#[test]
fn a_destructor_of_a_thread_local_value() {
    check(&[
        "- clone3",
        "- start_thread",
        "stdlib/cxa_thread_atexit_impl.c:159 __GI___call_tls_dtors",
        "<std>/std/src/sys/thread_local/native/eager.rs:66 std::sys::thread_local::native::eager::destroy",
        "<std>/core/src/ptr/mod.rs:805 core::ptr::drop_in_place<myapp::T>",
        "*src/main.rs:38 <myapp::T as core::ops::drop::Drop>::drop",
        "<std>/alloc/src/boxed.rs:286 alloc::boxed::Box<T>::new",
    ]);
}

#[test]
fn a_stack_never_becomes_empty() {
    check(&["*- __rustc::__rust_alloc"]);
    check(&["*tracemalloc-0.1.0/src/engine/live.rs:3 tracemalloc::engine::live::insert"]);
    check(&[
        "*- __rustc::__rust_alloc",
        "*- tracemalloc::engine::allocator::alloc",
    ]);
    check(&["*- main"]);
    check(&["*- _start"]);
    check(&["*- "]);
    assert_eq!(visible(&[]), 0..0);
    let unknown = [Frame::new(UNKNOWN, 0)];
    assert_eq!(visible(&unknown), 0..1);
}

#[test]
fn functions_lose_paths_and_arguments() {
    let bare =
        |function: &str| bare_function(&Frame::named("x").with_function(function)).to_owned();
    assert_eq!(bare("__rustc::__rust_alloc"), "__rust_alloc");
    assert_eq!(bare("std::rt::lang_start::<()>"), "lang_start");
    assert_eq!(
        bare("__rust_begin_short_backtrace<fn(), ()>"),
        "__rust_begin_short_backtrace"
    );
    assert_eq!(bare("f<a::__rust_alloc>"), "f");
    assert_eq!(
        bare("<std::sys::thread::unix::Thread>::new::thread_start"),
        "thread_start"
    );
    assert_eq!(bare(""), "");
}
