//! Scopes that own what their threads allocate.

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use tracemalloc::{Budget, Config, ErrorKind, Filter, GroupBy, NoGrowth, Scope, View, measure};

use super::{block, live_in, work};
use crate::{cases, repetitions};

cases![
    a_recording_scope_owns_what_its_threads_allocate,
    nested_recordings_know_their_own,
    recordings_side_by_side_do_not_see_each_other,
    a_changed_session_is_an_error,
    a_recording_works_in_any_session,
    outside_of_scopes_nothing_is_recorded,
    a_thread_that_stays_inside_counts_for_no_later_scope,
    scopes_that_come_and_go_do_not_mix_up,
    short_scopes_take_bounded_memory,
    a_scope_that_is_leaked_records_until_its_thread_ends,
    scopes_that_record_nest_to_a_limit,
    a_sample_does_not_say_what_a_scope_owns,
];

fn a_recording_scope_owns_what_its_threads_allocate() {
    let before = block(100);
    let scope = Scope::recording().unwrap();
    assert!(!tracemalloc::is_tracing());
    drop(block(2000));
    let kept = block(300);
    drop(before);
    let elsewhere = thread::scope(|threads| {
        let inside = threads.spawn(|| scope.enter_in(|| block(40)));
        let outside = threads.spawn(|| block(5000));
        drop(outside.join().unwrap());
        inside.join().unwrap()
    });
    let snapshot = scope.snapshot().unwrap();
    let sizes: Vec<u64> = snapshot.traces().unwrap().map(|trace| trace.size).collect();
    assert!(sizes.contains(&300) && sizes.contains(&40), "{sizes:?}");
    assert!(!sizes.contains(&5000) && !sizes.contains(&100), "{sizes:?}");
    let all = snapshot.view(View::Allocated).unwrap();
    assert!(all.total_size() >= 2340, "{}", all.total_size());
    let lines = snapshot.statistics(GroupBy::File);
    assert!(
        lines
            .iter()
            .any(|line| line.traceback.to_string().contains("scopes/mod.rs"))
    );
    assert_eq!(scope.usage().net_blocks(), scope.close().net_blocks());
    drop((kept, elsewhere));
    assert!(!tracemalloc::is_tracing());
}

fn nested_recordings_know_their_own() {
    let outer = Scope::recording().unwrap();
    let first = block(100);
    let inner = Scope::recording().unwrap();
    let second = block(30);
    let ((), _) = measure(|| drop(block(7)));
    assert_eq!(live_in(&inner), (30, 1));
    assert_eq!(live_in(&outer), (130, 2));
    drop(inner);
    let third = block(5);
    drop(first);
    assert_eq!(live_in(&outer), (35, 2));
    drop((second, third));
    assert_eq!(live_in(&outer), (0, 0));
}

fn recordings_side_by_side_do_not_see_each_other() {
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let noise = thread::spawn(move || {
        let mut kept = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            kept.push(block(64));
            kept.truncate(100);
        }
    });
    let tests = [1_usize, 2, 3].map(|seed| {
        thread::spawn(move || {
            for round in 0..repetitions(100) {
                let scope = Scope::recording().unwrap();
                let kept: Vec<Vec<u8>> = Vec::from([block(seed), block(seed * 10)]);
                assert_eq!(live_in(&scope).0, (seed * 11 + 48) as u64, "{round}");
                drop(kept);
                assert_eq!(live_in(&scope), (0, 0));
            }
        })
    });
    let ended = tests.map(thread::JoinHandle::join);
    done.store(true, Ordering::Relaxed);
    noise.join().unwrap();
    ended.into_iter().for_each(|ended| ended.unwrap());
}

fn a_changed_session_is_an_error() {
    let changes: [fn(); 3] = [
        || tracemalloc::start(5).unwrap(),
        tracemalloc::clear_traces,
        tracemalloc::stop,
    ];
    for change in changes {
        let scope = Scope::recording().unwrap();
        let kept = block(10);
        change();
        assert_eq!(scope.usage().allocations, 1, "counts do not depend on it");
        let error = scope.snapshot().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SessionChanged, "{error}");
        drop(scope);
        drop(kept);
        if tracemalloc::is_tracing() {
            drop(block(1));
        }
    }
    assert!(!tracemalloc::is_tracing());
    let error = Budget::new()
        .no_leak()
        .measure(|| tracemalloc::start(5).unwrap());
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("cannot be judged: tracing was started"),
        "{text}"
    );
    let error = Scope::open().unwrap().snapshot().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotTracing);
}

fn a_recording_works_in_any_session() {
    for history in [false, true] {
        Config::new().history(history).start().unwrap();
        let outside = block(77);
        let scope = Scope::recording().unwrap();
        let kept = block(33);
        assert_eq!(live_in(&scope), (33, 1));
        let view = scope
            .snapshot()
            .unwrap()
            .view(View::Allocated)
            .map(|all| all.total_size());
        assert_eq!(view.ok(), history.then_some(33));
        drop(scope);
        assert!(tracemalloc::get_traced_memory().current >= 110);
        drop((outside, kept));
        tracemalloc::stop();
    }
}

fn outside_of_scopes_nothing_is_recorded() {
    let scope = Scope::recording().unwrap();
    assert!(tracemalloc::take_snapshot().is_err());
    assert_eq!(tracemalloc::get_traced_memory().peak, 0);
    thread::scope(|threads| {
        threads.spawn(|| {
            // Blocks of the scope may be resized and freed outside; then they are nobody's.
            // More than once: the tracer knows the stack the second time.
            for _ in 0..3 {
                let mut block = scope.enter_in(|| block(100));
                block.reserve_exact(5000);
                assert_eq!(live_in(&scope).0 / 1000, 0);
                drop(block);
            }
        });
    });
    tracemalloc::start(3).unwrap();
    let kept = block(10);
    assert_eq!(tracemalloc::take_snapshot().unwrap().total_size(), 10);
    drop(kept);
}

/// The scope ends on its own thread while another thread still allocates in it.
fn a_thread_that_stays_inside_counts_for_no_later_scope() {
    let first = Scope::recording().unwrap();
    let handle = first.handle();
    let (inside, ended, opened, allocated) = (
        Barrier::new(2),
        Barrier::new(2),
        Barrier::new(2),
        Barrier::new(2),
    );
    thread::scope(|threads| {
        threads.spawn(|| {
            handle.enter_in(|| {
                inside.wait();
                ended.wait();
                opened.wait();
                let late = block(1000);
                allocated.wait();
                ended.wait();
                drop(late);
            });
        });
        inside.wait();
        let usage = first.close();
        ended.wait();
        let later = Scope::recording().unwrap();
        let kept = block(10);
        opened.wait();
        allocated.wait();
        assert_eq!(live_in(&later), (10, 1));
        ended.wait();
        drop(kept);
        assert!(usage.allocated < 1000, "{usage}");
    });
}

/// Scopes one after the other and inside of each other, whose blocks live on: each knows its own, whatever
/// numbers the tracer gives it.
fn scopes_that_come_and_go_do_not_mix_up() {
    for history in [None, Some(false), Some(true)] {
        if let Some(history) = history {
            Config::new().history(history).start().unwrap();
        }
        let has_history = history != Some(false);
        // Blocks of scopes that have ended.
        let mut kept: Vec<Option<Vec<u8>>> = (0..50).map(|_| None).collect();
        let outer = Scope::recording().unwrap();
        let (mut all, mut total) = (0, 0);
        for round in 1..=500_usize {
            let scope = Scope::recording().unwrap();
            drop(block(round));
            let inner = Scope::recording().unwrap();
            let held = block(2 * round);
            if round % 50 == 0 {
                assert_eq!(live_in(&inner), (2 * round as u64, 1), "{round}");
                assert_eq!(live_in(&scope), (2 * round as u64, 1), "{round}");
                let all = scope.snapshot().unwrap().view(View::Allocated);
                let all = all.ok().map(|all| (all.total_size(), all.block_count()));
                assert_eq!(all, has_history.then_some((3 * round as u64, 2)), "{round}");
            }
            drop((inner, scope));
            total += 3 * round;
            all += 2 * round;
            if let Some(freed) = kept[round * 7 % 50].replace(held) {
                all -= freed.capacity();
            }
        }
        assert_eq!(live_in(&outer), (all as u64, 50));
        // The views above have allocated too.
        let blocks = [Filter::include("*/scopes/mod.rs")];
        let snapshot = outer.snapshot().unwrap().filter_traces(blocks);
        let view = snapshot.view(View::Allocated).ok();
        let view = view.map(|view| (view.total_size(), view.block_count()));
        drop(snapshot);
        assert_eq!(view, has_history.then_some((total as u64, 1000)));
        kept.iter_mut().for_each(|kept| *kept = None);
        assert_eq!(live_in(&outer), (0, 0));
        drop(outer);
        tracemalloc::stop();
    }
}

/// Makes the running thread's stack cache as large as it gets, by allocations from many places. Otherwise it
/// may grow at any time, if the addresses of few places happen to have one hash.
fn fill_stack_cache() {
    #[inline(never)]
    fn below(frames: usize) {
        if frames > 0 {
            below(frames - 1);
        }
        drop(hint::black_box(Box::new(1_u8)));
        drop(hint::black_box(Box::new(2_u16)));
        drop(hint::black_box(Box::new(3_u32)));
        drop(hint::black_box(Box::new(4_u64)));
    }
    let _scope = Scope::recording().unwrap();
    for _ in 0..8 {
        below(750);
    }
}

/// However many scopes record one after the other, while another one keeps their session open.
fn short_scopes_take_bounded_memory() {
    let scopes = |count: usize| {
        for _ in 0..repetitions(count) {
            Budget::new().no_leak().check(work);
        }
        tracemalloc::get_tracemalloc_memory()
    };
    // Beside a scope that is open all the time, and inside of it.
    let (open, done) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|threads| {
        threads.spawn(|| {
            let _scope = Scope::recording().unwrap();
            open.wait();
            done.wait();
        });
        open.wait();
        fill_stack_cache();
        let (few, many) = (scopes(500), scopes(5_000));
        assert!(many <= few + 64 * 1024, "{few} {many}");
        done.wait();
    });
    let _scope = Scope::recording().unwrap();
    let (few, many) = (scopes(500), scopes(5_000));
    assert!(many <= few + 64 * 1024, "{few} {many}");
}

fn a_scope_that_is_leaked_records_until_its_thread_ends() {
    let leak = || -> &'static Scope { Box::leak(Box::new(Scope::recording().unwrap())) };
    let leaked = thread::spawn(move || {
        let scope = leak();
        assert!(scope.snapshot().is_ok());
        scope
    });
    let scope = leaked.join().unwrap();
    assert_eq!(scope.snapshot().unwrap_err().kind(), ErrorKind::NotTracing);
    assert!(scope.usage().allocations > 0);
}

fn scopes_that_record_nest_to_a_limit() {
    let mut scopes = Vec::new();
    let error = loop {
        match Scope::recording() {
            Ok(scope) => scopes.push(scope),
            Err(error) => break error,
        }
    };
    assert_eq!((scopes.len(), error.kind()), (63, ErrorKind::OutOfMemory));
    assert!(error.to_string().contains("63 deep"), "{error}");
    let kept = block(10);
    for scope in &scopes {
        assert!(live_in(scope).1 >= 1);
    }
    drop((kept, scopes.pop()));
    assert!(Scope::recording().is_ok());
}

fn a_sample_does_not_say_what_a_scope_owns() {
    Config::new().sample_every(1 << 20).start().unwrap();
    let leaks = || std::mem::forget(block(10));
    let error = Budget::new().no_leak().measure(leaks).unwrap_err();
    assert!(error.to_string().contains("tracing samples"), "{error}");
    let error = NoGrowth::new().find(leaks).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Sampled, "{error}");
    Budget::new().max_allocations(1).max_bytes(10).check(leaks);
    let exceeded = Budget::new().max_allocations(0).measure(leaks).unwrap_err();
    assert_eq!(exceeded.usage().allocations, 1);
}
