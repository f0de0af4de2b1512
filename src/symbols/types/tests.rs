use super::*;

const VEC: &str = "<std>/alloc/src/vec/mod.rs";
const RAW: &str = "<std>/alloc/src/raw_vec/mod.rs";
const BOX: &str = "<std>/alloc/src/boxed.rs";
const STRING: &str = "<std>/alloc/src/string.rs";

fn held(file: &str, name: &str) -> Option<Held> {
    Held::of(file, name).map(|(held, _)| held)
}

#[test]
fn functions_tell_what_they_allocate() {
    for (file, name, expect) in [
        (
            VEC,
            "push<app::User, alloc::alloc::Global>",
            Some("alloc::vec::Vec<app::User>"),
        ),
        (
            RAW,
            "grow_one<u8, alloc::alloc::Global>",
            Some("alloc::vec::Vec<u8>"),
        ),
        (RAW, "finish_grow<alloc::alloc::Global>", None),
        (
            BOX,
            "new<app::Order>",
            Some("alloc::boxed::Box<app::Order>"),
        ),
        (
            BOX,
            "new<core::mem::maybe_uninit::MaybeUninit<app::Order>>",
            Some("alloc::boxed::Box<app::Order>"),
        ),
        (
            BOX,
            "call_once<(), dyn app::Job, alloc::alloc::Global>",
            None,
        ),
        (
            BOX,
            "new<alloc::sync::ArcInner<app::Config>>",
            Some("alloc::sync::Arc<app::Config>"),
        ),
        (
            BOX,
            "new_uninit_in<alloc::collections::btree::node::LeafNode<u8, (u8, fn(u8) -> u8)>, alloc::alloc::Global>",
            Some("alloc::collections::btree::map::BTreeMap<u8, (u8, fn(u8) -> u8)>"),
        ),
        (
            "<std>/alloc/src/sync.rs",
            "allocate_for_slice<u8, alloc::alloc::Global>",
            Some("alloc::sync::Arc<[u8]>"),
        ),
        (STRING, "from", Some("alloc::string::String")),
        (
            "<std>/std/src/collections/hash/map.rs",
            "insert<u64, app::Session, std::hash::random::RandomState>",
            Some("std::collections::hash::map::HashMap<u64, app::Session>"),
        ),
        (
            "hashbrown-0.15.2/src/raw/mod.rs",
            "reserve_rehash<(u64, app::Session), alloc::alloc::Global, F>",
            Some("std::collections::hash::map::HashMap<u64, app::Session>"),
        ),
        (
            "<std>/hashbrown-0.16.0/src/raw/mod.rs",
            "reserve<(u64, ()), alloc::alloc::Global>",
            Some("std::collections::hash::set::HashSet<u64>"),
        ),
        (
            "<std>/core/src/iter/traits/iterator.rs",
            "collect<I, core::result::Result<alloc::vec::Vec<app::User, alloc::alloc::Global>, E>>",
            Some("alloc::vec::Vec<app::User>"),
        ),
        (
            "<std>/core/src/iter/traits/iterator.rs",
            "collect<I, app::Users>",
            None,
        ),
        (
            "<std>/core/src/iter/traits/iterator.rs",
            "fold<I, alloc::vec::Vec<u8>>",
            None,
        ),
        (
            "<std>/alloc/src/sync.rs",
            "from_iter<app::User, I>",
            Some("alloc::sync::Arc<[app::User]>"),
        ),
        // Of a slice, a vector or a value.
        ("<std>/alloc/src/sync.rs", "from<app::User>", None),
        (
            "<std>/alloc/src/sync.rs",
            "from",
            Some("alloc::sync::Arc<str>"),
        ),
        ("src/vec/mod.rs", "push<app::User>", None),
    ] {
        let found = held(file, name);
        assert_eq!(found.as_ref().map(|held| &*held.name), expect, "{name}");
    }
}

/// In place of a file: a function of one's own, in whose line the named one is inlined too.
const LINE: &str = "|line";

/// Newest first: `|` stands behind a physical function, `-` for one of nobody's library.
#[track_caller]
fn check(stack: &[(&str, &str)], expect: Option<&str>) {
    let frames: Vec<(Option<Held>, &str, &str, bool)> = stack
        .iter()
        .map(|(file, name)| {
            let is_physical = name.ends_with('|');
            let name = name.trim_end_matches('|');
            let held = match *file {
                LINE => Held::of_line(name).map(|(held, _)| held),
                _ => held(file, name),
            };
            let function = if *file == LINE { "app::load" } else { name };
            (held, *file, function, is_physical)
        })
        .collect();
    let seen = frames
        .iter()
        .map(|(held, file, function, is_physical)| Seen {
            held: held.as_ref(),
            is_library: file.starts_with("<std>"),
            is_global: *file == GLOBAL_FILE,
            is_physical: *is_physical,
            is_fixed: *is_physical && Held::of_physical(file, function).is_some(),
            function,
        });
    assert_eq!(type_of(seen).as_deref(), expect);
}

/// An out-of-line function may bear the type of another one of the same layout.
#[test]
fn the_inlined_frame_at_its_call_site_decides() {
    let grow = (RAW, "grow_one<app::Order>|");
    let app = ("src/main.rs", "load|");
    let users = Some("alloc::vec::Vec<app::User>");
    check(&[grow, (VEC, "push<app::User>"), app], users);
    // With nothing inlined around it, it says nothing.
    check(&[grow, app], None);
    check(
        &[(RAW, "grow_amortized<alloc::alloc::Global>"), grow, app],
        None,
    );
    let extend = (VEC, "extend_desugared<app::Order>|");
    check(&[extend, (VEC, "extend<app::User>"), app], users);
    // A clone of vectors of vectors calls one of vectors.
    let outer = (VEC, "clone<alloc::vec::Vec<app::Order>>");
    let clone = (VEC, "clone<app::Order>|");
    check(&[(VEC, "to_vec<app::Order>"), clone, outer, app], None);
    check(
        &[(VEC, "clone<app::Order>"), outer, app],
        Some("alloc::vec::Vec<app::Order>"),
    );
}

/// Without optimisation nothing is merged.
#[test]
fn out_of_line_functions_count_without_optimisation() {
    let app = ("src/main.rs", "load|");
    let [alloc, allocate] = ["alloc_impl|", "allocate|"].map(|name| (GLOBAL_FILE, name));
    let raw = (RAW, "grow_one<app::User>|");
    let push = (VEC, "push<app::User>|");
    let users = Some("alloc::vec::Vec<app::User>");
    check(&[alloc, allocate, raw, push, app], users);
    check(&[allocate, raw, push, app], None);
    let inlined = ["alloc_impl", "allocate"].map(|name| (GLOBAL_FILE, name));
    check(&[inlined[0], inlined[1], raw, push, app], None);
}

#[test]
fn frames_around_say_what_a_buffer_is_a_part_of() {
    let app = ("src/main.rs", "load|");
    let bytes = (VEC, "with_capacity<u8>");
    let string = Some("alloc::string::String");
    check(&[bytes, (STRING, "clone"), app], string);
    check(
        &[
            bytes,
            (STRING, "clone|"),
            (VEC, "clone<alloc::string::String>"),
            app,
        ],
        string,
    );
    check(&[bytes, app], Some("alloc::vec::Vec<u8>"));
    let deque = "<std>/alloc/src/collections/vec_deque/mod.rs";
    let users = (VEC, "from_iter<app::User, I>");
    let expect = Some("alloc::collections::vec_deque::VecDeque<app::User>");
    check(&[users, (deque, "from_iter<app::User, I>"), app], expect);
    let of_vectors = (deque, "from_iter<alloc::vec::Vec<app::User>, I>");
    check(
        &[users, of_vectors, app],
        Some("alloc::vec::Vec<app::User>"),
    );
    let map = (
        "<std>/std/src/collections/hash/map.rs",
        "insert<u64, app::B, S>",
    );
    let table = (
        "<std>/hashbrown-0.16.0/src/raw/mod.rs",
        "reserve_rehash<(u64, app::A), G>|",
    );
    check(
        &[table, map, app],
        Some("std::collections::hash::map::HashMap<u64, app::B, S>")
            .map(|_| "std::collections::hash::map::HashMap<u64, app::B>"),
    );
    check(&[("<std>/core/src/ops.rs", "call"), app], None);
    check(&[], None);
}

/// A function around that is inlined into its caller has the arguments of this call.
#[test]
fn an_inlined_function_around_confirms_arguments() {
    let insert = (
        "<std>/alloc/src/collections/btree/map.rs",
        "insert<alloc::string::String, app::Value, alloc::alloc::Global>|",
    );
    let app = ("src/main.rs", "load|");
    let expect =
        Some("alloc::collections::btree::map::BTreeMap<alloc::string::String, app::Value>");
    let around = |name| [insert, ("src/object.rs", name), app];
    let object = "app::Object<alloc::string::String,app::Value>::add";
    check(&around(object), expect);
    check(
        &[insert, ("src/a.rs", "app::read"), ("src/b.rs", object), app],
        expect,
    );
    for other in [
        "app::Object<alloc::string::String,app::Other>::add",
        "app::Object<app::String,app::Value>::add",
        "app::Object<alloc::string::String,app::Value<u8>>::add",
        "app::Object<K,V>::add",
        // One that is not inlined may be another's too.
        "app::Object<alloc::string::String,app::Value>::add|",
    ] {
        check(&around(other), None);
    }
    // Numbers of one size are one to the linker.
    let push = (RAW, "grow_one<u64, alloc::alloc::Global>|");
    check(&[push, ("src/ids.rs", "app::Ids<u64>::add"), app], None);
}

/// A backtrace is always one of its frames, whoever takes it.
#[test]
fn what_is_inlined_into_a_function_of_std_that_is_not_generic_is_certain() {
    let grow = (RAW, "grow_one<std::backtrace::Printer>|");
    let push = (VEC, "push<std::backtrace::Frame>");
    let create = "<std>/std/src/backtrace.rs";
    let app = ("src/main.rs", "load|");
    let frames = Some("alloc::vec::Vec<std::backtrace::Frame>");
    let closure = (create, "{closure#0}|");
    check(&[grow, push, closure, (create, "create|"), app], frames);
    let generic = (create, "{closure#0}<app::User>|");
    check(&[grow, push, generic, (create, "create|"), app], None);
    check(&[grow, closure, app], None);
    check(&[grow, push, ("src/other.rs", "load|"), app], frames);
}

/// What is asked of a map for an entry in the same line is what fills it.
#[test]
fn the_entry_of_a_line_confirms_a_map() {
    const ENTRY: &str = "<std>/alloc/src/collections/btree/map/entry.rs";
    let map = Some("alloc::collections::btree::map::BTreeMap<u64, app::User>");
    let line = |name| (LINE, name);
    let entry = line("entry<u64, app::User, alloc::alloc::Global>");
    let or_default = (ENTRY, "or_default<u64, app::User, alloc::alloc::Global>|");
    check(&[or_default, entry], map);
    // Another map is filled in that line, or the function may be another map's.
    check(
        &[
            or_default,
            line("entry<u64, app::Order, alloc::alloc::Global>"),
        ],
        None,
    );
    check(&[or_default, ("src/main.rs", "load|")], None);
    // The line says nothing of other functions.
    let insert = "insert<u64, app::User, alloc::alloc::Global>|";
    let btree = "<std>/alloc/src/collections/btree/map.rs";
    check(&[(btree, insert), entry], None);
    check(&[(RAW, "grow_one<app::User>"), or_default, entry], None);
    // An insertion that is inlined tells the map itself.
    let vacant = (
        ENTRY,
        "insert_entry<u64, app::Order, alloc::alloc::Global>|",
    );
    let app = ("src/main.rs", "load|");
    check(&[vacant, (btree, insert.trim_end_matches('|')), app], map);
}

#[test]
fn slices_are_collected_as_vectors() {
    let app = ("src/main.rs", "load|");
    let iterator = "<std>/core/src/iter/traits/iterator.rs";
    let collect = |of| (iterator, of);
    let boxed = collect("collect<I, alloc::boxed::Box<[app::User], alloc::alloc::Global>>");
    let users = Some("alloc::boxed::Box<[app::User]>");
    check(&[(VEC, "from_iter<app::User, I>"), boxed, app], users);
    let orders = (VEC, "from_iter<app::Order, I>|");
    check(&[orders, boxed, app], users);
    // An element may have a vector of its own.
    let inner = (VEC, "with_capacity<u8>");
    check(&[inner, boxed, app], Some("alloc::vec::Vec<u8>"));
}

#[test]
fn texts_are_known_without_a_caller() {
    let app = ("src/main.rs", "load|");
    let text = Some("alloc::boxed::Box<str>");
    check(
        &[(BOX, "clone_from_ref<str, alloc::alloc::Global>|"), app],
        text,
    );
    check(&[(BOX, "clone_from_ref<app::User>|"), app], None);
}
