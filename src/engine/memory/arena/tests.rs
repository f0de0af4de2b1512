//! The arena on its own.

use super::*;
use std::sync::atomic::AtomicU64;

type Big = [AtomicU64; 64 << 10];

#[test]
fn once_ref_is_empty_when_zeroed() {
    // What `Zeroed for OnceRef` relies on.
    assert_eq!(size_of::<OnceRef<'static, Big>>(), size_of::<usize>());
    let mut zeroed = 0_usize;
    // SAFETY: the assertion above shows that the sizes agree; the test is whether the meaning
    // does. Nothing else uses the word meanwhile.
    let cell = unsafe { &*(&raw mut zeroed).cast::<OnceRef<'static, Big>>() };
    assert!(cell.get().is_none());
}

#[test]
fn small_tables_do_not_overlap_and_start_zeroed() {
    let arena = Arena::new();
    let tables: Vec<&'static [AtomicU64; 300]> =
        (0..500).map(|_| arena.zeroed().expect("memory")).collect();
    for (number, table) in tables.iter().enumerate() {
        assert!(table.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        table
            .iter()
            .for_each(|word| word.store(number as u64 + 1, Ordering::Relaxed));
    }
    for (number, table) in tables.iter().enumerate() {
        assert!(
            table
                .iter()
                .all(|word| word.load(Ordering::Relaxed) == number as u64 + 1)
        );
    }
}

#[test]
fn threads_that_meet_at_a_first_use_share_one_table() {
    let arena = Arena::new();
    let cell: OnceRef<'static, Big> = OnceRef::new();
    let barrier = std::sync::Barrier::new(8);
    let tables: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    ptr::from_ref(arena.first_use(&cell).expect("memory")).addr()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert!(tables.iter().all(|table| *table == tables[0]));
    // The losers gave theirs back: one table and at most the chunk with the list entry remain.
    assert!(arena.mapped.load(Ordering::Relaxed) <= size_of::<Big>() + CHUNK);
}

#[test]
fn the_limit_refuses_and_what_is_mapped_stays() {
    let arena = Arena::new();
    let first: OnceRef<'static, Big> = OnceRef::new();
    assert!(arena.first_use(&first).is_some());
    let mapped = arena.mapped.load(Ordering::Relaxed);
    arena.set_limit(mapped);
    assert!(arena.first_use(&OnceRef::<Big>::new()).is_none());
    assert!(arena.first_use(&first).is_some());
    assert_eq!(arena.mapped.load(Ordering::Relaxed), mapped);
}

#[test]
fn a_dense_table_that_no_large_page_is_left_for_gets_small_ones() {
    let arena = Arena::new();
    arena.policy.record_small(1, u64::MAX);
    assert!(arena.policy.prefers_large());
    arena.set_limit(LARGE_CHUNK);
    let tables: [OnceRef<'static, [AtomicU64; 32 << 10]>; 4] = [const { OnceRef::new() }; 4];
    for cell in &tables {
        assert!(arena.first_use_dense(cell).is_some());
    }
}

#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn a_dense_table_has_its_memory_when_it_is_made() {
    let arena = Arena::new();
    let cell: OnceRef<'static, [AtomicU64; 32 << 10]> = OnceRef::new();
    let before = arena.resident();
    let table = arena.first_use_dense(&cell).expect("memory");
    let now = arena.resident() - before;
    assert!(
        (size_of_val(table)..=size_of_val(table) + CHUNK).contains(&now),
        "{now}"
    );
}

#[test]
#[cfg(all(any(target_os = "linux", windows), not(miri)))]
fn resident_counts_touched_pages_only() {
    let arena = Arena::new();
    let cell: OnceRef<'static, Big> = OnceRef::new();
    let table = arena.first_use(&cell).expect("memory");
    let before = arena.resident();
    table
        .iter()
        .take(1024)
        .for_each(|word| word.store(1, Ordering::Relaxed));
    assert_eq!(arena.resident() - before, 8192);
}
