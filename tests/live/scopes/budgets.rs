//! Limits that tests set: budgets, leaks, growth.

use std::hint::black_box;
use std::panic::catch_unwind;
use std::thread;

use tracemalloc::{Budget, NoGrowth};

use super::{block, work};
use crate::cases;

cases![
    a_budget_says_what_is_exceeded,
    frees_on_other_threads_are_no_leaks,
    a_leak_is_found_and_named,
    growth_is_found_and_filling_is_not,
];

fn a_budget_says_what_is_exceeded() {
    let kept = |budget: Budget| budget.measure(|| block(5000)).map(|(_, usage)| usage);
    assert!(kept(Budget::new().max_allocations(1).max_net(5000)).is_ok());
    let exceeded = kept(
        Budget::new()
            .max_allocations(0)
            .max_bytes(5000)
            .max_peak(4999),
    );
    let exceeded = exceeded.unwrap_err();
    assert_eq!(exceeded.usage().allocations, 1);
    let text = exceeded.to_string();
    let expected = "the memory budget is exceeded\n  \
         allocations  1, at most 0\n  \
         peak         5000 B, at most 4999 B\n\
         used: 1 allocation of 5000 B, 0 frees of 0 B\n      \
         net +5000 B in +1 block; peak 5000 B\n\
         allocated, by line:\n";
    assert!(text.starts_with(expected), "{text}");
    let lines: Vec<&str> = text[expected.len()..].lines().collect();
    assert!(
        lines[0].contains("5000 B 100.0 %  1 block") && lines[0].contains("scopes/mod.rs:"),
        "{text}"
    );
    assert_eq!(lines.len(), 2, "{text}");
    let panic = catch_unwind(|| Budget::new().max_net(10).check(|| block(11))).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("net          11 B, at most 10 B"), "{text}");
    // A free of what was there before makes up for nothing in the peak.
    let before = block(9000);
    let replaced = Budget::new().max_peak(100).measure(|| {
        drop(before);
        block(101)
    });
    assert!(replaced.is_ok(), "{replaced:?}");
}

fn frees_on_other_threads_are_no_leaks() {
    Budget::new().no_leak().check(|| {
        let made = block(100);
        let freed = thread::spawn(move || drop(made));
        freed.join().unwrap();
    });
    // What is freed here and was allocated elsewhere makes up for nothing.
    let from_before = block(1000);
    let leaked = Budget::new().max_net(0).no_leak().measure(|| {
        drop(from_before);
        std::mem::forget(block(10));
    });
    let text = leaked.unwrap_err().to_string();
    assert!(text.contains("leaked       1 block, at most 0"), "{text}");
    assert!(!text.contains("\n  net"), "{text}");
}

fn a_leak_is_found_and_named() {
    let leak = || std::mem::forget(black_box(vec![block(10), block(20)]));
    let error = Budget::new().no_leak().measure(leak).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("leaked       3 blocks, at most 0"), "{text}");
    assert!(text.contains("still live, by line:"), "{text}");
    assert!(text.contains("scopes/mod.rs:"), "{text}");
    for _ in 0..20 {
        assert!(Budget::new().no_leak().measure(work).is_ok());
    }
}

fn growth_is_found_and_filling_is_not() {
    let mut kept = Vec::with_capacity(1000);
    let grown = NoGrowth::new().find(|| kept.push(block(16))).unwrap();
    assert!(!grown.is_empty());
    let text = grown.to_string();
    assert!(
        text.contains("memory grew by 800 B in 50 blocks over 50 rounds"),
        "{text}"
    );
    assert!(text.contains("scopes/mod.rs:"), "{text}");
    let mut cache = Vec::new();
    NoGrowth::new().warm_up(2).rounds(40).check(|| {
        if cache.len() < 10 {
            cache.push(block(16));
        }
        work();
    });
    // Freed by another thread than the one that allocated.
    NoGrowth::new().rounds(8).check(|| {
        let made = block(100);
        thread::spawn(move || drop(made)).join().unwrap();
    });
    let leaks = || {
        NoGrowth::new()
            .rounds(12)
            .check(|| std::mem::forget(block(8)))
    };
    assert!(catch_unwind(leaks).is_err());
}
