//! The table of live blocks by itself.

use super::*;

const NUMBER: SessionNumber = SessionNumber(5);
const BASE: usize = 0x7fff_1230_0000;

/// One size from each end of every class.
const SIZES: [u64; 10] = [1, 31, 32, 255, 256, 4095, 4096, 65_535, 65_536, 1 << 40];

fn record(size: u64, stack: u64) -> Record {
    Record {
        size,
        stack: StackId::from_bits(stack),
    }
}

fn insert(live: &LiveTable, arena: &Arena, address: usize, record: Record) -> Option<Record> {
    live.insert(arena, address, record, NUMBER).expect("room")
}

fn all(live: &LiveTable) -> Vec<Record> {
    let mut found = Vec::new();
    live.for_each(NUMBER, |record| found.push(record));
    found
}

#[test]
fn a_record_reads_as_it_was_written_in_every_class_and_at_every_offset() {
    for size in SIZES {
        let window = 1 << Class::of(size, false).window_bits();
        for offset in [0, 1, 8, 16, window / 2, window - 1] {
            let (arena, live) = (Arena::new(), LiveTable::new());
            let (address, stack) = (BASE + offset, (1 << 28) - 1);
            assert_eq!(insert(&live, &arena, address, record(size, stack)), None);
            assert_eq!(live.get(address, NUMBER), Some(record(size, stack)));
            assert_eq!(all(&live), [record(size, stack)]);
            assert_eq!(live.get(address, SessionNumber(6)), None);
            for near in [
                address + 1,
                address - 1,
                address + window,
                address ^ (1 << 47),
            ] {
                assert_eq!(live.get(near, NUMBER), None, "{size} at {offset}");
            }
            let taken = live.remove(address, size as usize, NUMBER);
            assert_eq!(taken, Some(record(size, stack)));
            assert_eq!(live.remove(address, size as usize, NUMBER), None);
            assert_eq!(all(&live), []);
        }
    }
}

#[test]
fn blocks_side_by_side_keep_their_own_records() {
    let (arena, live) = (Arena::new(), LiveTable::new());
    let mut address = BASE - 100_000;
    let mut expect = Vec::new();
    for round in 0..2000_u64 {
        let size = SIZES[round as usize % 9];
        // Sizes below 8 may share a window; see the table of classes.
        insert(&live, &arena, address, record(size, round));
        expect.push((address, record(size, round)));
        address += size.max(8) as usize;
    }
    assert_eq!(all(&live).len(), expect.len());
    for (address, record) in expect {
        assert_eq!(live.get(address, NUMBER), Some(record));
    }
}

#[test]
fn any_number_can_be_looked_up() {
    let (arena, live) = (Arena::new(), LiveTable::new());
    for address in [
        0,
        1,
        8,
        4096,
        usize::MAX,
        usize::MAX / 2,
        1 << 48,
        (1 << 48) - 1,
    ] {
        assert_eq!(live.get(address, NUMBER), None);
        insert(&live, &arena, BASE, record(50, 3));
        assert_eq!(live.get(address, NUMBER), None);
        assert_eq!(live.remove(address, 50, NUMBER), None);
    }
    let outside = live.insert(&arena, 1 << 52, record(50, 3), NUMBER);
    assert_eq!(outside, Err(NoRoom));
}

#[test]
fn a_record_at_the_place_of_a_new_block_is_handed_out_unless_it_moves_or_is_dead() {
    for size in [8, 100, 1000, 5000, 100_000] {
        let (arena, live) = (Arena::new(), LiveTable::new());
        insert(&live, &arena, BASE, record(size, 3));
        assert_eq!(
            insert(&live, &arena, BASE, record(size, 4)),
            Some(record(size, 3))
        );

        let moving = live.begin_move(BASE, size as usize, NUMBER).expect("known");
        assert_eq!(moving.size, size);
        assert_eq!(insert(&live, &arena, BASE, record(size, 5)), None);
        live.finish_move(&moving, BASE + 4096);
        assert_eq!(live.get(BASE, NUMBER), Some(record(size, 5)));

        // A failed move leaves an ordinary record, not one that the next block may ignore.
        let moving = live.begin_move(BASE, size as usize, NUMBER).expect("known");
        live.cancel_move(&moving);
        assert_eq!(
            insert(&live, &arena, BASE, record(size, 6)),
            Some(record(size, 5))
        );

        let later = live.insert(&arena, BASE, record(size, 7), SessionNumber(6));
        assert_eq!(later, Ok(None));
    }
}

#[test]
fn a_sweep_spares_this_session_and_those_just_begun() {
    let (arena, live) = (Arena::new(), LiveTable::new());
    let now = SessionNumber(100_000);
    let ages = [-4000_i64, -1, 0, 1, 2, 4000, 8000, 20_000];
    for (place, age) in ages.iter().enumerate() {
        let number = SessionNumber((now.0 as i64 - age) as u64);
        live.insert(&arena, BASE + 64 * place, record(64, 3), number)
            .expect("room");
    }
    live.sweep(now);
    for (place, age) in ages.iter().enumerate() {
        let number = SessionNumber((now.0 as i64 - age) as u64);
        assert_eq!(
            live.get(BASE + 64 * place, number).is_some(),
            *age <= 0,
            "{age}"
        );
    }
}

#[test]
fn tiny_blocks_that_are_wide_apart_need_no_dense_table() {
    for (spacing, resident_words) in [(Spacing::Wide, 1), (Spacing::Close, 4)] {
        let (arena, live) = (Arena::new(), LiveTable::new());
        live.settle_spacing(|| spacing);
        live.settle_spacing(|| unreachable!("settled once"));
        let blocks = 30_000;
        for n in 0..blocks {
            insert(
                &live,
                &arena,
                BASE + 32 * n + 16,
                record(n as u64 % 32 + 1, 3),
            );
        }
        assert_eq!(all(&live).len(), blocks);
        // 32 bytes of heap are a word of the small table or four of the dense one. Elsewhere it is
        // not known which pages are in use.
        let pages = arena.resident();
        let table = blocks * 8 * resident_words;
        if cfg!(all(target_os = "linux", not(miri))) {
            assert!(
                (table..table + (512 << 10)).contains(&pages),
                "{spacing:?} {pages}"
            );
        }
    }
}
