//! Memory in places without a name.

use std::sync::Arc;

use super::frame::{Module, UNKNOWN};
use super::trace::Snapshot;
use super::traceback::Traceback;
use super::unread::Unread;

/// Memory that was allocated in places without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnnamedPlaces {
    /// The file of machine code; `None` for code in no file, as programs make it while they run.
    pub module: Option<Arc<Module>>,
    /// Why its names could not be read; `None` where they were, and the file has none for these places:
    /// it is stripped.
    pub why: Option<Unread>,
    /// Bytes of blocks whose most recent frame is such a place.
    pub size: u64,
    /// Those blocks.
    pub count: u64,
}

impl Snapshot {
    /// This snapshot as one in which names of these modules could not be read.
    pub(crate) fn with_unread(mut self, unread: Vec<(Arc<Module>, Unread)>) -> Self {
        self.unread = unread.into();
        self
    }

    /// Why the names of `module` could not be read; `None` if they were.
    pub(crate) fn unread(&self, module: &Module) -> Option<Unread> {
        let mut unread = self.unread.iter();
        let found = unread.find(|(known, _)| **known == *module);
        found.map(|(_, why)| *why).or(self.recording.unnamed)
    }

    /// The blocks whose most recent frame has no name, by module, most bytes first. Sums are estimates if
    /// the snapshot is [sampled](Self::sample_every).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tracemalloc::{Domain, Frame, Module, Snapshot, Trace, Traceback};
    ///
    /// let module = Arc::new(Module::new("/usr/bin/app", None));
    /// let stack = Traceback::of(Frame::unnamed(module, 0x11d7));
    /// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, stack)], 25);
    /// let unnamed = snapshot.unnamed_places();
    /// assert_eq!((unnamed[0].size, unnamed[0].why), (640, None));
    /// ```
    pub fn unnamed_places(&self) -> Vec<UnnamedPlaces> {
        let module_of = |stack: &Traceback| {
            let frame = stack.most_recent();
            let is_unknown = frame.filename() == UNKNOWN && frame.function().is_none();
            let is_unnamed = frame.is_unnamed() || is_unknown;
            is_unnamed.then(|| frame.code().map(|(module, _)| Arc::clone(module)))
        };
        let modules: Vec<_> = self.stacks.iter().map(module_of).collect();
        let totals = self.summed_by(|run| modules[run.stack as usize].clone());
        let places = totals.into_iter().filter_map(|(module, total)| {
            let module = module?;
            Some(UnnamedPlaces {
                why: module.as_deref().and_then(|module| self.unread(module)),
                module,
                size: total.size,
                count: total.count,
            })
        });
        let mut places: Vec<UnnamedPlaces> = places.collect();
        let path = |places: &UnnamedPlaces| places.module.as_ref().map(|m| m.path.clone());
        places.sort_by_key(|places| (std::cmp::Reverse(places.size), path(places)));
        places
    }
}
