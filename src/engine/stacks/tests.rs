use super::*;

fn read(stacks: &Stacks, id: StackId) -> (Vec<usize>, StackId) {
    let mut frames = Vec::new();
    let root = stacks.read(id, |address| frames.push(address));
    (frames, root)
}

#[test]
fn a_stack_reads_as_it_was_interned() {
    let (arena, stacks) = (Arena::new(), Stacks::new());
    let mut ids = Vec::new();
    for frames in [
        &[][..],
        &[1],
        &[2],
        &[1, 2],
        &[2, 1],
        &[3, 1, 2],
        &[(1 << 48) - 1; 40],
        &[0],
        &[usize::MAX],
    ] {
        for root in [Path::COMPLETE, Path::TRUNCATED, Path::INCOMPLETE] {
            let id = stacks.intern(&arena, frames, root).expect("memory");
            assert_eq!(stacks.intern(&arena, frames, root), Some(id));
            assert_eq!(read(&stacks, id), (frames.to_vec(), root.stack));
            assert!(!ids.contains(&id));
            ids.push(id);
        }
    }
}

#[test]
fn growth_loses_nothing_and_keeps_numbers() {
    let (arena, stacks) = (Arena::new(), Stacks::new());
    let frames = |n: usize| [n + 1, n / 3 + 1_000_000, n / 1000 + 2_000_000, 42];
    let ids: Vec<_> = (0..300_000)
        .map(|n| {
            stacks
                .intern(&arena, &frames(n), Path::COMPLETE)
                .expect("memory")
        })
        .collect();
    assert!(stacks.index.generation() > 2, "the test must reach growth");
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(stacks.intern(&arena, &frames(n), Path::COMPLETE), Some(*id));
        assert_eq!(read(&stacks, *id).0, frames(n));
    }
}

#[test]
fn equal_hashes_do_not_make_equal_stacks() {
    let (arena, stacks) = (Arena::new(), Stacks::new());
    // Injected: paths that all have the same hash must still be distinct.
    let hash = Path::COMPLETE.hash.then(77);
    let child = |caller, address| {
        let key = Key::of_path(hash);
        let is_right =
            |found| stacks.follow(found, &[address], &mut [Path::COMPLETE]) == Some(caller);
        match stacks.index.find(key, is_right) {
            Some(stack) => Some(stack),
            None => {
                let number = stacks.reserve(1).expect("room").start;
                let make = || stacks.write(&arena, StackId(number), caller, halves(address));
                stacks.index.add(&arena, key, number, make)
            }
        }
    };
    let mut ids = Vec::new();
    for address in 1..=100 {
        for caller in [StackId::COMPLETE, StackId::TRUNCATED] {
            ids.push((address, caller, child(caller, address).expect("memory")));
        }
    }
    for (address, caller, id) in ids {
        assert_eq!(child(caller, address), Some(id));
        assert_eq!(read(&stacks, id), (vec![address], caller));
    }
}

#[test]
fn a_path_is_found_only_if_every_frame_of_it_agrees() {
    let (arena, stacks) = (Arena::new(), Stacks::new());
    let extend = |base, frames: &[usize]| {
        let mut paths = [Path::COMPLETE; 8];
        stacks.hash_ahead(base, frames, &mut paths);
        stacks.extend(&arena, base, frames, &mut paths)
    };
    let base = extend(Path::COMPLETE, &[7, 8, 9]).expect("memory");
    let whole = extend(base, &[1, 2, 3]).expect("memory");
    assert_eq!(extend(Path::COMPLETE, &[1, 2, 3, 7, 8, 9]), Some(whole));
    assert_eq!(extend(base, &[]), Some(base));
    // Injected: the hash of another path, so that only the comparison can tell.
    let other = extend(Path::COMPLETE, &[4, 8, 9]).expect("memory");
    let forged = Path {
        hash: base.hash,
        ..other
    };
    let forged = extend(forged, &[1, 2, 3]).expect("memory");
    assert_eq!(forged.hash, whole.hash);
    assert_eq!(read(&stacks, forged.stack).0, [1, 2, 3, 4, 8, 9]);
    assert_eq!(read(&stacks, whole.stack).0, [1, 2, 3, 7, 8, 9]);
}

#[test]
fn without_memory_a_new_stack_is_refused_and_a_known_one_found() {
    let (arena, stacks) = (Arena::new(), Stacks::new());
    let known = stacks
        .intern(&arena, &[1, 2, 3], Path::COMPLETE)
        .expect("memory");
    arena.set_limit(0);
    let refused =
        (1..1_000_000).find(|n| stacks.intern(&arena, &[*n, 9, 9], Path::COMPLETE).is_none());
    assert!(refused.is_some());
    assert_eq!(
        stacks.intern(&arena, &[1, 2, 3], Path::COMPLETE),
        Some(known)
    );
}

#[test]
fn threads_agree_on_what_a_stack_reads() {
    let (arena, stacks) = (Arena::new(), Stacks::new());
    std::thread::scope(|scope| {
        for start in 0..4 {
            let (arena, stacks) = (&arena, &stacks);
            scope.spawn(move || {
                for step in 0..20_000 {
                    let n = (step * 7 + start) % 5000;
                    let frames = [n + 1, n / 10 + 1, n / 100 + 1];
                    let id = stacks
                        .intern(arena, &frames, Path::COMPLETE)
                        .expect("memory");
                    assert_eq!(read(stacks, id).0, frames);
                }
            });
        }
    });
}

/// Whatever is new of a stack, each frame on the way gets the stack that it has on its own.
#[test]
fn every_frame_of_a_path_gets_its_own_stack() {
    let (arena, stacks) = (Arena::new(), Stacks::new());
    let base = Path {
        stack: stacks
            .intern(&arena, &[90, 91], Path::COMPLETE)
            .expect("memory"),
        hash: Path::COMPLETE.hash.then(91).then(90),
    };
    // Stacks that share their oldest frames, in an order in which none, some or all are new.
    for number in [
        0b0000_0000_u32,
        0b1111_0000,
        0b1111_1111,
        0b1110_0000,
        0,
        0b0000_0001,
    ] {
        let frames: Vec<usize> = (0..8).map(|bit| (number >> bit & 1) as usize + 1).collect();
        let mut paths = [Path::COMPLETE; 8];
        stacks.hash_ahead(base, &frames, &mut paths);
        let whole = stacks.extend(&arena, base, &frames, &mut paths);
        assert_eq!(whole, Some(paths[0]));
        for (at, path) in paths.iter().enumerate() {
            let own = [&frames[at..], &[90, 91]].concat();
            assert_eq!(read(&stacks, path.stack).0, own);
            assert_eq!(
                stacks.intern(&arena, &own, Path::COMPLETE),
                Some(path.stack)
            );
            let mut paths = [Path::COMPLETE; 8];
            stacks.hash_ahead(base, &frames[at..], &mut paths);
            let alone = stacks.extend(&arena, base, &frames[at..], &mut paths);
            assert_eq!(alone, Some(*path));
        }
    }
}

/// Of a stack whose most recent frames are new, however many, the others are found.
#[test]
fn only_what_is_new_of_a_stack_is_added() {
    const FRAMES: usize = 60;
    let (arena, stacks) = (Arena::new(), Stacks::new());
    let added = || stacks.added.0.load(Ordering::Relaxed) as usize;
    let extend = |frames: &[usize]| {
        let mut paths = [Path::COMPLETE; FRAMES];
        stacks.hash_ahead(Path::COMPLETE, frames, &mut paths);
        let whole = stacks.extend(&arena, Path::COMPLETE, frames, &mut paths);
        assert_eq!(read(&stacks, whole.expect("memory").stack).0, frames);
    };
    let known: Vec<usize> = (1..=FRAMES).collect();
    extend(&known);
    for new in 0..=FRAMES {
        let before = added();
        let mut frames = known.clone();
        frames[..new].fill(1000 + new);
        extend(&frames);
        assert_eq!(added() - before, new);
    }
}

/// Refusals use no numbers up: the table of a session with more memory has them all.
#[test]
fn what_is_refused_takes_no_numbers() {
    let (arena, stacks) = (Arena::new(), Stacks::new());
    stacks
        .intern(&arena, &[1, 2, 3], Path::COMPLETE)
        .expect("memory");
    arena.set_limit(0);
    let mut numbers = 10..1_000_000;
    let refused = numbers.find(|number| {
        stacks
            .intern(&arena, &[*number; 3], Path::COMPLETE)
            .is_none()
    });
    let refused = refused.expect("memory ends");
    let before = stacks.added.0.load(Ordering::Relaxed);
    for number in refused..refused + 1000 {
        assert_eq!(stacks.intern(&arena, &[number; 5], Path::COMPLETE), None);
    }
    assert!(stacks.added.0.load(Ordering::Relaxed) - before < 5);
}

/// Whatever the number of contexts, nodes and index take up to 32 bytes for each. A large page more
/// may be there in advance for either.
#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn a_new_context_takes_a_bounded_number_of_bytes() {
    const STACKS: usize = 40_000;
    const FRAMES: usize = 31;
    let (arena, stacks) = (Arena::new(), Stacks::new());
    for stack in 1..=STACKS {
        let frames: Vec<usize> = (0..FRAMES).map(|frame| stack << 8 | frame).collect();
        stacks
            .intern(&arena, &frames, Path::COMPLETE)
            .expect("memory");
        if stack.is_multiple_of(STACKS / 16) {
            let (bytes, contexts) = (arena.resident(), stack * FRAMES);
            assert!(
                bytes <= 32 * contexts + (4 << 20),
                "{bytes} B of {contexts}"
            );
        }
    }
}
