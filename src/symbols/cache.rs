//! What is already named, shared by snapshots taken on several threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use dashmap::mapref::entry::Entry as MapEntry;
use dashmap::{DashMap, DashSet};

use crate::snapshot::{Frame, Module, Unread};

use super::types::Held;

/// Bytes of a frame without its texts: the fields behind the pointer and two reference counts,
/// rounded up.
const FRAME_BYTES: usize = 128;

/// Frames by return address, and the texts that they share: a file name that a thousand frames bear
/// is kept once.
pub(super) struct Cache {
    frames: LazyLock<DashMap<usize, Entry>>,
    texts: LazyLock<DashSet<Arc<str>>>,
    bytes: AtomicUsize,
    /// Modules whose names could not be read when they were last asked for.
    unread: Mutex<Vec<(Arc<Module>, Unread)>>,
}

/// What is kept of one return address.
struct Entry {
    frames: Arc<[Frame]>,
    /// What each frame tells of the type of what it allocates; empty if none does.
    held: Arc<[Option<Held>]>,
    /// The name could not be read: it is asked for again.
    is_unread: bool,
}

/// What was read of one return address.
pub(super) struct Named {
    pub(super) frames: Arc<[Frame]>,
    pub(super) held: Arc<[Option<Held>]>,
}

impl From<Arc<[Frame]>> for Named {
    /// Frames that tell of no types.
    fn from(frames: Arc<[Frame]>) -> Self {
        let held = Arc::new([]);
        Self { frames, held }
    }
}

/// Parts of the cache with a lock each. Without a number `DashMap` asks the system for that of processors,
/// which opens files.
const SHARDS: usize = 16;

impl Cache {
    pub(super) const fn new() -> Self {
        Self {
            frames: LazyLock::new(|| DashMap::with_shard_amount(SHARDS)),
            texts: LazyLock::new(DashSet::new),
            bytes: AtomicUsize::new(0),
            unread: Mutex::new(Vec::new()),
        }
    }

    /// Notes whether the names of a module could be read.
    pub(super) fn note(&self, module: &Arc<Module>, unread: Option<Unread>) {
        let mut noted = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        noted.retain(|(known, _)| known != module);
        noted.extend(unread.map(|why| (Arc::clone(module), why)));
    }

    /// The modules whose names could not be read.
    pub(super) fn unread(&self) -> Vec<(Arc<Module>, Unread)> {
        let noted = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        noted.clone()
    }

    pub(super) fn get(&self, return_address: usize) -> Option<Arc<[Frame]>> {
        self.frames
            .get(&return_address)
            .map(|entry| Arc::clone(&entry.frames))
    }

    /// What the frames of the address tell of types; empty if nothing.
    pub(super) fn held(&self, return_address: usize) -> Arc<[Option<Held>]> {
        let entry = self.frames.get(&return_address);
        entry.map_or_else(|| Arc::from([]), |entry| Arc::clone(&entry.held))
    }

    /// True if the address has the name that it keeps.
    pub(super) fn is_named(&self, return_address: usize) -> bool {
        let entry = self.frames.get(&return_address);
        entry.is_some_and(|entry| !entry.is_unread)
    }

    /// Keeps `frames` as the names of the address, unless another thread was faster: the first
    /// answer stays, so that snapshots share their frames.
    pub(super) fn insert(&self, return_address: usize, frames: Named) {
        self.put(return_address, frames, false);
    }

    /// Keeps `frames` as long as the names cannot be read.
    pub(super) fn insert_unread(&self, return_address: usize, frames: Arc<[Frame]>) {
        self.put(return_address, frames.into(), true);
    }

    fn put(&self, return_address: usize, named: Named, is_unread: bool) {
        let Named { frames, held } = named;
        let new = Entry {
            frames,
            held,
            is_unread,
        };
        let bytes = bytes_of(&new);
        match self.frames.entry(return_address) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(new);
            }
            MapEntry::Occupied(mut old) if old.get().is_unread && !is_unread => {
                let old = old.insert(new);
                self.bytes.fetch_sub(bytes_of(&old), Ordering::Relaxed);
            }
            MapEntry::Occupied(_) => return,
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Forgets the names of calls in these places. Texts stay, as others may share them.
    pub(super) fn forget(&self, places: &[Range<usize>]) {
        if places.is_empty() {
            return;
        }
        self.frames.retain(|return_address, entry| {
            let call = return_address.wrapping_sub(1);
            let stays = !places.iter().any(|place| place.contains(&call));
            if !stays {
                self.bytes.fetch_sub(bytes_of(entry), Ordering::Relaxed);
            }
            stays
        });
    }

    /// The one copy of `text`.
    pub(super) fn text(&self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known.key());
        }
        let text: Arc<str> = text.into();
        if self.texts.insert(Arc::clone(&text)) {
            let bytes = size_of::<Arc<str>>() + 2 * size_of::<usize>() + text.len();
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            return text;
        }
        // Another thread inserted it in between.
        match self.texts.get(&*text) {
            Some(known) => Arc::clone(known.key()),
            None => text,
        }
    }

    /// Estimated bytes of what is kept.
    pub(super) fn memory(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn bytes_of(entry: &Entry) -> usize {
    let held = entry.held.len() * size_of::<Option<Held>>();
    size_of::<(usize, Entry)>() + entry.frames.len() * FRAME_BYTES + held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(frame: Frame) -> Named {
        Named::from(Arc::from([frame]))
    }

    #[test]
    fn equal_texts_are_one_allocation() {
        let cache = Cache::new();
        let first = cache.text("src/main.rs");
        let second = cache.text(&String::from("src/main.rs"));
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &cache.text("src/other.rs")));
    }

    #[test]
    fn the_first_answer_stays_and_is_counted_once() {
        let cache = Cache::new();
        assert_eq!(cache.memory(), 0);
        assert!(cache.get(16).is_none());
        cache.insert(16, named(Frame::new("first.rs", 1)));
        let once = cache.memory();
        assert!(once > 0);
        cache.insert(16, named(Frame::new("second.rs", 2)));
        assert_eq!(cache.memory(), once);
        let frames = cache.get(16).expect("inserted above");
        assert_eq!(frames[0].filename(), "first.rs");
    }

    /// A name that could not be read gives way to the one that is read later.
    #[test]
    fn what_could_not_be_read_is_no_name() {
        let cache = Cache::new();
        cache.insert_unread(16, Arc::new([Frame::named("app+0x10")]));
        assert!(!cache.is_named(16));
        assert_eq!(cache.get(16).expect("kept")[0].filename(), "app+0x10");
        let once = cache.memory();
        cache.insert(16, named(Frame::new("src/main.rs", 1)));
        cache.insert_unread(16, Arc::new([Frame::named("app+0x10")]));
        assert!(cache.is_named(16));
        assert_eq!(cache.get(16).expect("kept")[0].filename(), "src/main.rs");
        assert_eq!(cache.memory(), once);
    }

    #[test]
    fn memory_grows_with_entries_and_texts() {
        let cache = Cache::new();
        let mut before = cache.memory();
        for address in 1..50 {
            cache.text(&format!("file{address}.rs"));
            cache.insert(address, named(Frame::new("a.rs", 1)));
            assert!(cache.memory() > before);
            before = cache.memory();
        }
    }

    /// The call is what lies in a place, not where it returns to.
    #[test]
    fn names_are_removed_by_the_address_of_the_call() {
        let cache = Cache::new();
        for address in [16, 17, 32, 33] {
            cache.insert(address, named(Frame::new("a.rs", 1)));
        }
        let each = cache.memory() / 4;
        cache.forget(std::slice::from_ref(&(16..32)));
        let known = [16, 17, 32, 33].map(|address| cache.get(address).is_some());
        assert_eq!(known, [true, false, false, true]);
        assert_eq!(cache.memory(), 2 * each);
    }
}
