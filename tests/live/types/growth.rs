//! Every way to allocate in the standard library tells its type.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::{CString, OsString};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use tracemalloc::{GroupBy, Snapshot};

use super::size_of_type;

/// A type for each way, told apart by a number.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Item<const WAY: u32>(u64, u64);

fn item<const WAY: u32>() -> Item<WAY> {
    black_box(Item(1, 2))
}

fn items<const WAY: u32>() -> impl Iterator<Item = Item<WAY>> {
    (0..black_box(5)).map(|n| Item(n, n))
}

trait Speak {}
impl<const WAY: u32> Speak for Item<WAY> {}

/// Keeps what it is given until the snapshot is taken.
#[derive(Default)]
struct Kept(Vec<Box<dyn Send>>);

impl Kept {
    #[inline(never)]
    fn keep<T: Send + 'static>(&mut self, value: T) {
        self.0.push(Box::new(value));
    }
}

/// What each of these holds has the type that its source says.
#[track_caller]
fn assert_known(snapshot: &Snapshot, labels: &[&str]) {
    let unknown: Vec<&&str> = labels
        .iter()
        .filter(|label| size_of_type(snapshot, label) == 0)
        .collect();
    assert!(
        unknown.is_empty(),
        "no block has one of the types {unknown:?}"
    );
    for label in labels {
        assert_never_another(snapshot, label);
    }
}

/// As [`assert_known`] of a way that the compiler may leave out of line in optimised builds: there its type may
/// be `<unknown>`, but no other one.
#[track_caller]
fn assert_known_if_inlined(snapshot: &Snapshot, label: &str) {
    if cfg!(debug_assertions) {
        assert_known(snapshot, &[label]);
    } else {
        assert_never_another(snapshot, label);
    }
}

/// No block has a type of the item in `label` that is neither `label` nor around it.
#[track_caller]
fn assert_never_another(snapshot: &Snapshot, label: &str) {
    let Some(item) = label.find("Item<").map(|at| &label[at..]) else {
        return;
    };
    let item = &item[..=item.find('>').unwrap()];
    for group in snapshot.statistics(GroupBy::Type) {
        let name = group.traceback.most_recent().filename().to_owned();
        assert!(
            !name.contains(item) || name.contains(label),
            "{name} in place of {label}"
        );
    }
}

pub(crate) fn vectors_tell_their_types_however_they_grow() {
    tracemalloc::start(25).unwrap();
    let mut kept = Kept::default();
    let mut pushed = black_box(Vec::new());
    pushed.push(item::<1>());
    kept.keep(pushed);
    kept.keep(Vec::<Item<2>>::with_capacity(black_box(3)));
    let mut reserved = black_box(Vec::<Item<3>>::new());
    reserved.reserve(black_box(3));
    kept.keep(reserved);
    kept.keep(items::<4>().collect::<Vec<_>>());
    let mut extended = Vec::new();
    extended.extend(items::<5>());
    kept.keep(extended);
    let array = black_box([item::<6>(); 3]);
    kept.keep(array.to_vec());
    kept.keep(Vec::from_iter(items::<7>()));
    let mut inserted = Vec::new();
    inserted.insert(0, item::<8>());
    kept.keep(inserted);
    kept.keep(vec![item::<9>(); black_box(4)]);
    let mut resized = Vec::new();
    resized.resize(black_box(4), item::<10>());
    kept.keep(resized);
    let mut copied = Vec::new();
    copied.extend_from_slice(black_box(&[item::<11>(); 3]));
    kept.keep(copied);
    let results = items::<12>().map(Some);
    kept.keep(results.collect::<Option<Vec<_>>>());
    kept.keep(items::<13>().collect::<Box<[_]>>());
    kept.keep(items::<14>().collect::<VecDeque<_>>());
    let mut queue = VecDeque::new();
    queue.push_back(item::<15>());
    kept.keep(queue);
    let mut heap = BinaryHeap::new();
    heap.push(item::<16>());
    kept.keep(heap);
    kept.keep(items::<17>().collect::<BinaryHeap<_>>());
    let snapshot = tracemalloc::take_snapshot().unwrap();
    for way in 1..=12 {
        assert_known(&snapshot, &[&format!("Vec<Item<{way}>>")]);
    }
    assert_known(
        &snapshot,
        &[
            "Box<[Item<13>]>",
            "VecDeque<Item<14>>",
            "VecDeque<Item<15>>",
            "BinaryHeap<Item<16>>",
        ],
    );
    assert_known_if_inlined(&snapshot, "BinaryHeap<Item<17>>");
    drop(kept);
}

pub(crate) fn maps_and_lists_tell_their_types() {
    tracemalloc::start(25).unwrap();
    let mut kept = Kept::default();
    let mut map = HashMap::new();
    map.insert(black_box(1_u64), item::<1>());
    kept.keep(map);
    kept.keep(
        items::<2>()
            .map(|item| (1_u64, item))
            .collect::<HashMap<_, _>>(),
    );
    let mut map = HashMap::new();
    map.entry(black_box(1_u64)).or_insert_with(item::<3>);
    kept.keep(map);
    kept.keep(HashMap::<u64, Item<4>>::with_capacity(black_box(3)));
    let mut set = HashSet::new();
    set.insert(item::<5>());
    kept.keep(set);
    kept.keep(items::<6>().collect::<HashSet<_>>());
    let mut map = BTreeMap::new();
    *map.entry(black_box(1_u64)).or_default() = item::<7>();
    kept.keep(map);
    let mut list = LinkedList::new();
    list.push_back(item::<8>());
    kept.keep(list);
    kept.keep(
        items::<9>()
            .map(|item| (1_u64, item))
            .collect::<BTreeMap<_, _>>(),
    );
    kept.keep(items::<10>().collect::<BTreeSet<_>>());
    let snapshot = tracemalloc::take_snapshot().unwrap();
    assert_known(
        &snapshot,
        &[
            "HashMap<u64, Item<1>>",
            "HashMap<u64, Item<2>>",
            "HashMap<u64, Item<3>>",
            "HashMap<u64, Item<4>>",
            "HashSet<Item<5>>",
            "HashSet<Item<6>>",
            "BTreeMap<u64, Item<7>>",
            "LinkedList<Item<8>>",
            "BTreeMap<u64, Item<9>>",
            "BTreeSet<Item<10>>",
        ],
    );
    drop(kept);
}

pub(crate) fn pointers_and_texts_tell_their_types() {
    tracemalloc::start(25).unwrap();
    let mut kept = Kept::default();
    kept.keep(Box::new(item::<1>()));
    let spoken: Box<dyn Speak + Send> = Box::new(item::<2>());
    kept.keep(spoken);
    kept.keep(Arc::new(item::<3>()));
    let shared: Arc<[Item<4>]> = items::<4>().collect();
    kept.keep(shared);
    let local = black_box(Rc::new(item::<5>()));
    let slice: Rc<[Item<6>]> = black_box(Rc::from(vec![item::<6>(); black_box(3)]));
    kept.keep(Box::<[Item<7>]>::from(
        black_box([item::<7>(); 3]).as_slice(),
    ));
    kept.keep(Arc::<str>::from(black_box("seven")));
    kept.keep(Box::<str>::from(black_box("eleven byte")));
    let (sender, receiver) = mpsc::channel();
    sender.send(item::<8>()).unwrap();
    kept.keep(
        thread::spawn(move || receiver.recv().is_ok())
            .join()
            .unwrap(),
    );
    let snapshot = tracemalloc::take_snapshot().unwrap();
    let mut expected = vec![
        "Box<Item<1>>",
        "Box<Item<2>>",
        "Rc<[Item<6>]>",
        "Box<[Item<7>]>",
        "Arc<str>",
        "Box<str>",
    ];
    // Without optimisation these are functions of their own, which might be merged with another's.
    if !cfg!(debug_assertions) {
        expected.extend(["Arc<Item<3>>", "Arc<[Item<4>]>", "Rc<Item<5>>"]);
    }
    assert_known(&snapshot, &expected);
    drop((kept, local, slice, sender));
    texts();
}

fn texts() {
    let mut kept = Kept::default();
    let sizes = [
        ("String", 1),
        ("PathBuf", 1),
        ("OsString", 1),
        ("CString", 1),
    ];
    kept.keep(String::from(black_box("from a text")));
    kept.keep(format!("{}-{}", black_box(1), black_box(2)));
    kept.keep(Cow::Borrowed(black_box("owned")).into_owned());
    kept.keep(PathBuf::from(black_box("/a/path")));
    kept.keep(Path::new(black_box("/a")).join(black_box("path")));
    kept.keep(OsString::from(black_box("a")));
    kept.keep(CString::new(black_box("a")).unwrap());
    let snapshot = tracemalloc::take_snapshot().unwrap();
    for (label, at_least) in sizes {
        assert!(size_of_type(&snapshot, label) >= at_least, "{label}");
    }
    drop(kept);
}
