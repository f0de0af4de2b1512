//! Blocks whose owners know their sizes, compared with the tracer's records.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tracemalloc::get_object_traceback;

use crate::control::current;
use crate::random::Random;

/// How many blocks a thread has at most.
const MAX_BLOCKS: usize = 300;

/// The blocks of each thread. Room for them is there before anything is traced.
pub(crate) struct Population {
    parts: Vec<Mutex<Vec<Vec<u8>>>>,
    /// A block from before any session, which the audit takes for a traced one.
    injected: Option<Vec<u8>>,
}

impl Population {
    pub(crate) fn new(threads: usize, injected: bool) -> Self {
        let part = |_| Mutex::new(Vec::with_capacity(MAX_BLOCKS));
        Self {
            parts: (0..threads).map(part).collect(),
            injected: injected.then(|| vec![1; 1000]),
        }
    }

    /// Allocates, moves and frees, and changes blocks with another thread.
    pub(crate) fn change(&self, number: usize, random: &mut Random) {
        for _ in 0..2 * MAX_BLOCKS {
            let mut part = self.parts[number].lock().expect("no panic");
            let len = part.len();
            match random.below(5) {
                0 if len > 0 => drop(part.swap_remove(random.below(len))),
                1 if len > 0 => {
                    let block = &mut part[random.below(len)];
                    block.reserve_exact(random.size());
                }
                2 if len > 0 => {
                    let block = part.swap_remove(random.below(len));
                    drop(part);
                    let other = random.below(self.parts.len());
                    let mut part = self.parts[other].lock().expect("no panic");
                    if part.len() < MAX_BLOCKS {
                        part.push(block);
                    }
                }
                _ if len < MAX_BLOCKS => part.push(vec![1; random.size()]),
                _ => {}
            }
        }
    }

    /// Frees all blocks of a thread.
    pub(crate) fn clear(&self, number: usize) {
        self.parts[number].lock().expect("no panic").clear();
    }

    /// In a quiet moment: the tracer knows these blocks and no others.
    pub(crate) fn audit(&self) {
        let snapshot = tracemalloc::take_snapshot().expect("tracing");
        let mut told: BTreeMap<u64, i64> = BTreeMap::new();
        for trace in snapshot.traces().unwrap() {
            *told.entry(trace.size).or_default() += 1;
        }
        let now = current();
        let mut bytes = 0;
        let mut check = |block: &Vec<u8>| {
            let size = block.capacity() as u64;
            assert!(get_object_traceback(block).is_some(), "of {size} bytes");
            bytes += size;
            *told.entry(size).or_default() -= 1;
        };
        for part in &self.parts {
            part.lock().expect("no panic").iter().for_each(&mut check);
        }
        self.injected.iter().for_each(&mut check);
        told.retain(|_, more| *more != 0);
        // What this function itself has allocated so far came after the look at the counter, apart
        // from the map's first entries.
        let own: i64 = told.iter().map(|(size, more)| *size as i64 * more).sum();
        assert!(told.is_empty(), "by size, more than there are: {told:?}");
        assert_eq!(own, 0);
        drop(snapshot);
        let map = now - bytes;
        assert!(
            map < 1 << 20,
            "{now} bytes are said to be live, {bytes} are"
        );
        drop(told);
        assert_eq!(current(), bytes);
    }
}
