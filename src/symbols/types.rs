//! The type of what a stack allocates, from the generic arguments of the standard library's frames.
//!
//! ```text
//! newest   RawVec::grow_one<User>      out of line: the linker may have merged it with grow_one<Order>
//!          Vec::push<User>             inlined into app::load: its arguments are those of this call
//! oldest   app::load
//! ```
//!
//! The innermost frame that names a container says what the block is; frames around it say what the
//! container is a part of: a `Vec<u8>` inside of a `String`, a table inside of a `HashMap`. A frame that is
//! inlined into code of others is certain. One that is not may bear another type of the same layout,
//! because identical functions are merged in optimised builds. So it counts only where a certain frame
//! agrees, where a function that is inlined into the caller has the same generic arguments, such as
//! `Map<String, Value>::insert` around `BTreeMap<String, Value>::insert`, where the entry of a map is asked
//! for in the line that fills it, or where the code is not optimised.

mod arguments;

use std::sync::Arc;

use super::in_line;
use arguments::{GLOBALS, arguments, split, without_defaults, without_uninit};

/// What a frame of the standard library, or of a crate like it, tells of what it allocates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    container: Container,
    /// The whole type, by its full path.
    name: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    /// The buffer of a vector, or of what is made of one.
    Buffer,
    Vec,
    VecDeque,
    BinaryHeap,
    String,
    CString,
    OsString,
    PathBuf,
    Box,
    Rc,
    Arc,
    LinkedList,
    Node,
    BTreeMap,
    /// The entry of one.
    Entry,
    BTreeSet,
    /// The table of a hash map or set.
    Table,
    HashMap,
    HashSet,
    SmallVec,
    /// None: a function that is not generic, so that what is inlined into it has these arguments alone.
    Fixed,
}

impl Held {
    /// What the function called `name` in debug information tells, in the source file `file`.
    pub(super) fn of(file: &str, name: &str) -> Option<(Self, String)> {
        let function = name.split('<').next().unwrap_or(name);
        if let Some(made) = made_by(file, function, name) {
            return made;
        }
        let container = Container::of_file(file)?;
        if !container.is_made_by(function) {
            return None;
        }
        let arguments = arguments(name);
        let (container, name) = container.named(function, &arguments)?;
        Some(Self::named(container, name))
    }

    /// What a function called `name` tells that is inlined in the line of a call, beside the call.
    pub(super) fn of_line(name: &str) -> Option<(Self, String)> {
        let is_entry = name.starts_with(in_line::ENTRY);
        let container = is_entry.then_some(Container::Entry)?;
        let (container, name) = container.named("", &arguments(name))?;
        Some(Self::named(container, name))
    }

    /// What a function of the standard library called `name` tells that is machine code, of what is
    /// inlined into it.
    pub(super) fn of_physical(file: &str, name: &str) -> Option<(Self, String)> {
        let is_fixed = file.starts_with("<std>/") && !name.contains('<');
        is_fixed.then(|| Self::named(Container::Fixed, String::new()))
    }

    /// True for what a function tells that is not generic.
    pub(super) fn is_fixed(&self) -> bool {
        self.container == Container::Fixed
    }

    /// True if this comes from what else is inlined in the line of a call, not from the function that is called.
    fn is_of_line(&self) -> bool {
        self.container == Container::Entry
    }

    /// The container that the type `name` is, if it is one.
    fn of_type(name: &str) -> Option<(Self, String)> {
        let container = Container::ALL.into_iter().find(|container| {
            let rest = name.strip_prefix(container.path());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('<'))
        })?;
        let name = without_defaults(name);
        Some(Self::named(container, name))
    }

    fn named(container: Container, name: String) -> (Self, String) {
        let shared = name.as_str().into();
        let held = Self {
            container,
            name: shared,
        };
        (held, name)
    }

    /// With the one copy of its name.
    pub(super) fn shared(self, name: Arc<str>) -> Self {
        Self { name, ..self }
    }

    /// True if a value of this type, around the other one, is what holds the block of that one.
    fn is_made_of(&self, inner: &Self) -> bool {
        use Container::{
            Arc, BTreeMap, BTreeSet, BinaryHeap, Box, Buffer, CString, Entry, HashMap, HashSet,
            Node, OsString, PathBuf, Rc, String, Table, Vec, VecDeque,
        };
        let is_bytes = inner.name.ends_with("<u8>");
        match (self.container, inner.container) {
            (Vec | VecDeque, Buffer) => true,
            (BinaryHeap, Buffer) => true,
            (BinaryHeap | VecDeque, Vec) => self.content() == inner.content(),
            (String | CString | OsString | PathBuf, Buffer | Vec) => is_bytes,
            (PathBuf, OsString) => true,
            (HashMap | HashSet, Table) | (HashSet, HashMap) => true,
            (BTreeMap | BTreeSet | Entry, Node) | (BTreeSet, BTreeMap) => true,
            (BTreeMap | BTreeSet, Entry) => true,
            (Rc, Rc) | (Arc, Arc) => self.name.ends_with("<str>") && inner.name.ends_with("<[u8]>"),
            (Box, Buffer | Vec) => self.slice_content().is_some_and(|content| {
                // A slice that is collected is a vector first.
                format!("{content}>") == inner.content()
            }),
            _ => false,
        }
    }

    fn content(&self) -> &str {
        self.name.split_once('<').map_or("", |(_, content)| content)
    }

    /// What the elements of a slice are.
    fn slice_content(&self) -> Option<&str> {
        self.content().strip_prefix('[')?.strip_suffix("]>")
    }

    /// True if the type has no arguments, so that no function of another type is merged with its own.
    /// Of bytes there is one type that people use.
    fn is_plain(&self) -> bool {
        let plain = ["<u8>", "<[u8]>", "<str>"];
        !self.name.contains('<') || plain.iter().any(|end| self.name.ends_with(end))
    }

    /// True if a function has the arguments of this type among its own. Arguments without a path, such
    /// as `u64`, say too little.
    fn is_named_by(&self, function: &str) -> bool {
        let squeezed = |text: &str| text.replace(' ', "");
        let content = squeezed(self.content());
        let content = content.strip_suffix('>').unwrap_or(&content);
        let function = squeezed(function);
        content.contains("::")
            && function.match_indices(content).any(|(at, _)| {
                let after = &function[at + content.len()..];
                function[..at].ends_with(['<', ',']) && after.starts_with(['>', ','])
            })
    }
}

impl Container {
    fn of_file(file: &str) -> Option<Self> {
        if let Some(file) = file.strip_prefix("<std>/") {
            return Self::of_standard(file).or_else(|| Self::of_hashbrown(file));
        }
        if file.starts_with("smallvec-") {
            return Some(Self::SmallVec);
        }
        Self::of_hashbrown(file)
    }

    fn of_standard(file: &str) -> Option<Self> {
        if let Some(file) = file.strip_prefix("alloc/src/") {
            return Some(match file {
                "slice.rs" => Self::Vec,
                "string.rs" | "str.rs" | "fmt.rs" => Self::String,
                "rc.rs" => Self::Rc,
                "sync.rs" => Self::Arc,
                "ffi/c_str.rs" => Self::CString,
                "collections/linked_list.rs" => Self::LinkedList,
                "collections/btree/node.rs" => Self::Node,
                "collections/btree/set.rs" => Self::BTreeSet,
                "collections/btree/map/entry.rs" => Self::Entry,
                _ if file.starts_with("raw_vec") => Self::Buffer,
                _ if file.starts_with("vec/") => Self::Vec,
                _ if file.starts_with("boxed") => Self::Box,
                _ if file.starts_with("collections/vec_deque") => Self::VecDeque,
                _ if file.starts_with("collections/binary_heap") => Self::BinaryHeap,
                _ if file.starts_with("collections/btree/map") => Self::BTreeMap,
                _ => return None,
            });
        }
        match file.strip_prefix("std/src/")? {
            "collections/hash/map.rs" => Some(Self::HashMap),
            "collections/hash/set.rs" => Some(Self::HashSet),
            "path.rs" => Some(Self::PathBuf),
            file if file.starts_with("ffi/os_str") => Some(Self::OsString),
            file if file.starts_with("sys/os_str") => Some(Self::OsString),
            _ => None,
        }
    }

    fn of_hashbrown(file: &str) -> Option<Self> {
        let file = file.strip_prefix("hashbrown")?;
        let (_, file) = file.split_once("/src/")?;
        match file {
            "map.rs" | "rustc_entry.rs" => Some(Self::HashMap),
            "set.rs" => Some(Self::HashSet),
            _ if file.starts_with("raw") || file == "table.rs" => Some(Self::Table),
            _ => None,
        }
    }

    /// True for functions that may allocate the container itself. A `Box` is also called through, as
    /// by `FnOnce`, and what is allocated then is something else.
    fn is_made_by(self, function: &str) -> bool {
        const MAKES: [&str; 10] = [
            "new", "try_new", "pin", "box_new", "from", "clone", "default", "allocate", "into",
            "make",
        ];
        match self {
            Self::Box | Self::Rc | Self::Arc => {
                MAKES.iter().any(|start| function.starts_with(start))
                    || function.starts_with("copy_from")
            }
            _ => true,
        }
    }

    /// Those whose paths are their own.
    const ALL: [Self; 16] = [
        Self::Vec,
        Self::VecDeque,
        Self::BinaryHeap,
        Self::String,
        Self::CString,
        Self::OsString,
        Self::PathBuf,
        Self::Box,
        Self::Rc,
        Self::Arc,
        Self::LinkedList,
        Self::BTreeMap,
        Self::BTreeSet,
        Self::HashMap,
        Self::HashSet,
        Self::SmallVec,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::String => "alloc::string::String",
            Self::CString => "alloc::ffi::c_str::CString",
            Self::OsString => "std::ffi::os_str::OsString",
            Self::PathBuf => "std::path::PathBuf",
            Self::Buffer | Self::Vec => "alloc::vec::Vec",
            Self::VecDeque => "alloc::collections::vec_deque::VecDeque",
            Self::BinaryHeap => "alloc::collections::binary_heap::BinaryHeap",
            Self::Box => "alloc::boxed::Box",
            Self::Rc => "alloc::rc::Rc",
            Self::Arc => "alloc::sync::Arc",
            Self::LinkedList => "alloc::collections::linked_list::LinkedList",
            Self::Node | Self::BTreeMap | Self::Entry => "alloc::collections::btree::map::BTreeMap",
            Self::BTreeSet => "alloc::collections::btree::set::BTreeSet",
            Self::Table => "hashbrown::table::HashTable",
            Self::HashMap => "std::collections::hash::map::HashMap",
            Self::HashSet => "std::collections::hash::set::HashSet",
            Self::SmallVec => "smallvec::SmallVec",
            Self::Fixed => "",
        }
    }

    /// The type that a function of this container with these arguments is about.
    fn named(self, function: &str, arguments: &[&str]) -> Option<(Self, String)> {
        let path = self.path();
        if matches!(
            self,
            Self::String | Self::CString | Self::OsString | Self::PathBuf
        ) {
            return Some((self, path.to_owned()));
        }
        if matches!(self, Self::Rc | Self::Arc) && function == "from" && arguments.is_empty() {
            return Some((self, format!("{path}<str>")));
        }
        let first = arguments.first().filter(|first| !GLOBALS.contains(first))?;
        let first = &without_uninit(first);
        if let Some(known) = self.of_content(first) {
            return Some(known);
        }
        let of_slice = function.contains("slice") || function.starts_with("from_iter");
        let content = match self {
            // From a value, a slice, a vector or a box: what is called inside says which.
            Self::Box | Self::Rc | Self::Arc if function == "from" => return None,
            Self::Rc | Self::Arc if of_slice => format!("[{first}]"),
            Self::Node | Self::BTreeMap | Self::Entry | Self::HashMap => {
                format!("{first}, {}", arguments.get(1)?)
            }
            _ => (*first).to_owned(),
        };
        Some((self, without_defaults(&format!("{path}<{content}>"))))
    }

    /// What a box or a table is part of, by what is in it.
    fn of_content(self, content: &str) -> Option<(Self, String)> {
        const PARTS: [(&str, Container); 5] = [
            ("alloc::sync::ArcInner<", Container::Arc),
            ("alloc::rc::RcInner<", Container::Rc),
            ("alloc::rc::RcBox<", Container::Rc),
            (
                "alloc::collections::linked_list::Node<",
                Container::LinkedList,
            ),
            ("alloc::collections::btree::node::", Container::Node),
        ];
        if self == Self::Table {
            let pair = content.strip_prefix('(')?.strip_suffix(')')?;
            let [key, value] = split(pair)[..] else {
                return None;
            };
            let (path, content) = match value {
                "()" => ("std::collections::hash::set::HashSet", key.to_owned()),
                _ => (
                    "std::collections::hash::map::HashMap",
                    format!("{key}, {value}"),
                ),
            };
            return Some((self, without_defaults(&format!("{path}<{content}>"))));
        }
        if self != Self::Box {
            return None;
        }
        let (_, container) = PARTS.iter().find(|(part, _)| content.starts_with(part))?;
        container.named("new", &arguments(content))
    }
}

/// What functions return that make a value of any type: `collect`, `into`, `to_owned`. `None` for other
/// functions.
fn made_by(file: &str, function: &str, name: &str) -> Option<Option<(Held, String)>> {
    let makes = match file {
        "<std>/core/src/iter/traits/iterator.rs" => function == "collect",
        "<std>/core/src/convert/mod.rs" => function == "into",
        "<std>/alloc/src/borrow.rs" => function == "to_owned",
        _ => false,
    };
    let made = || {
        let mut made = *arguments(name).last()?;
        for wrapper in ["core::result::Result<", "core::option::Option<"] {
            if made.starts_with(wrapper) {
                made = *arguments(made).first()?;
            }
        }
        Held::of_type(made)
    };
    makes.then(made)
}

/// A frame as [`type_of`] sees it.
pub(crate) struct Seen<'a> {
    pub(crate) held: Option<&'a Held>,
    /// Of the standard library, or of the allocator below it.
    pub(crate) is_library: bool,
    /// A function of machine code; those inlined into it come after it.
    pub(crate) is_physical: bool,
    /// One of those, of the standard library, that is not generic.
    pub(crate) is_fixed: bool,
    /// One of the functions that lead to the global allocator.
    pub(crate) is_global: bool,
    /// The function by its path, with its generic arguments where they are known.
    pub(crate) function: &'a str,
}

/// The file of those functions.
pub(crate) const GLOBAL_FILE: &str = "<std>/alloc/src/alloc.rs";

/// The type of what is allocated by a stack, whose frames come newest first.
pub(crate) fn type_of<'a>(mut stack: impl Iterator<Item = Seen<'a>>) -> Option<Arc<str>> {
    let mut run = Vec::new();
    let mut is_inside = false;
    let mut caller = None;
    for seen in stack.by_ref() {
        if !seen.is_library && seen.held.is_none_or(Held::is_of_line) {
            // Frames since the last physical one are inlined into this one's function.
            is_inside = run.last().is_some_and(|last: &Seen<'_>| !last.is_physical);
            caller = Some(seen);
            break;
        }
        run.push(seen);
    }
    let is_unoptimised = is_unoptimised(&run);
    let inner = run.iter().rposition(|seen| seen.is_physical);
    let certain_from = match inner {
        _ if !is_inside => run.len(),
        Some(last) => last + 1,
        None => 0,
    };
    let mut best: Option<(&Held, bool)> = None;
    for (at, seen) in run.iter().enumerate() {
        let Some(held) = seen.held else {
            continue;
        };
        let is_certain = at >= certain_from || is_unoptimised || is_in_fixed(&run[at..]);
        best = Some(match best {
            None => (held, is_certain),
            Some((inner, _)) if held.is_made_of(inner) => (held, is_certain),
            Some((inner, false)) if is_certain && agrees(held, inner) => (held, true),
            Some(known) => known,
        });
    }
    let (held, is_certain) = best?;
    let in_line = caller.as_ref().and_then(|caller| caller.held);
    let is_known = is_certain || held.is_plain() || is_entry_of(run.last(), in_line, held) || {
        let inlined = caller.into_iter().chain(stack);
        let mut inlined = inlined.take_while(|seen| !seen.is_physical && !seen.is_library);
        inlined.any(|seen| held.is_named_by(seen.function))
    };
    is_known.then(|| Arc::clone(&held.name))
}

/// True if the first of these is inlined into a function that is the same for all types.
fn is_in_fixed(run: &[Seen<'_>]) -> bool {
    let physical = run.iter().find(|seen| seen.is_physical);
    physical.is_some_and(|physical| physical.is_fixed)
}

/// True if `callee` is a function of an entry of the map `held`, and `BTreeMap::entry` of that map is inlined in
/// the line that calls it.
fn is_entry_of(callee: Option<&Seen<'_>>, in_line: Option<&Held>, held: &Held) -> bool {
    let is_entry = |of: &Held| of.container == Container::Entry && of.name == held.name;
    callee.and_then(|callee| callee.held).is_some_and(is_entry) && in_line.is_some_and(is_entry)
}

/// True if the code is not optimised: even the short functions before the allocator are functions of
/// machine code.
fn is_unoptimised(run: &[Seen<'_>]) -> bool {
    let short = run.iter().filter(|seen| seen.is_global && seen.is_physical);
    short.count() > 1
}

/// True if `outer`, which is certain, is about the container that `inner` is about, and not about one
/// that has such a container in it.
fn agrees(outer: &Held, inner: &Held) -> bool {
    let is_vector = matches!(inner.container, Container::Buffer | Container::Vec);
    let is_slice = is_vector && outer.slice_content().is_some();
    (is_slice || outer.container == inner.container) && !outer.content().contains(&*inner.name)
}

#[cfg(test)]
mod tests;
