//! Reading snapshots, and choosing blocks of them.

use std::path::Path;

use clap::Args;
use tracemalloc::{Domain, Filter, FrameFilter, Snapshot};

use crate::failure::Failure;

/// Which blocks to look at.
///
/// Each kind of condition filters what the kinds before it have left; within one kind a block that
/// meets any of the conditions stays.
#[derive(Args, Debug)]
#[command(next_help_heading = "Which blocks")]
pub(crate) struct Selection {
    /// Only blocks allocated in files whose name matches GLOB. May be repeated:
    /// any of them.
    #[arg(long, value_name = "GLOB")]
    filter: Vec<String>,

    /// No blocks allocated in files whose name matches GLOB. May be repeated.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Only blocks allocated in functions whose full path matches GLOB.
    #[arg(long, value_name = "GLOB")]
    function: Vec<String>,

    /// Only blocks allocated in crates whose name matches GLOB.
    #[arg(long = "crate", value_name = "GLOB")]
    crates: Vec<String>,

    /// Only blocks of this domain; 0 is the global allocator.
    #[arg(long, value_name = "NUMBER")]
    domain: Vec<u32>,

    /// Let the conditions on files, functions and crates look at every caller,
    /// not only at the frame that made the allocation.
    #[arg(long)]
    all_frames: bool,
}

impl Selection {
    /// The chosen blocks of the snapshot in the file `path`.
    pub(crate) fn load(&self, path: &Path) -> Result<Snapshot, Failure> {
        Ok(self.of(Snapshot::load(path)?))
    }

    pub(crate) fn of(&self, snapshot: Snapshot) -> Snapshot {
        type Rule = fn(&str) -> Filter;
        let patterns: [(&Vec<String>, Rule); 4] = [
            (&self.filter, |glob| Filter::include(glob)),
            (&self.exclude, |glob| Filter::exclude(glob)),
            (&self.function, |glob| {
                Filter::include(FrameFilter::function(glob))
            }),
            (&self.crates, |glob| {
                Filter::include(FrameFilter::crate_name(glob))
            }),
        ];
        let mut chosen = snapshot;
        for (globs, rule) in patterns {
            let filters = globs.iter().map(|glob| self.looking_far(rule(glob)));
            chosen = kept(chosen, filters.collect());
        }
        let domains = self.domain.iter();
        kept(
            chosen,
            domains
                .map(|&number| Filter::include_domain(Domain(number)))
                .collect(),
        )
    }

    fn looking_far(&self, filter: Filter) -> Filter {
        match self.all_frames {
            true => filter.all_frames(),
            false => filter,
        }
    }
}

fn kept(snapshot: Snapshot, filters: Vec<Filter>) -> Snapshot {
    match filters.is_empty() {
        true => snapshot,
        false => snapshot.filter_traces(filters),
    }
}
