//! Scopes: what a section of a program allocates, frees and holds at most.
//!
//! ```text
//! engine/scopes   a thread's counters, and its highest net since its innermost scope began
//! part.rs         one stay of one thread in a scope: the counters at its two ends
//! recording.rs    which blocks belong to a scope; owner.rs: what they are labelled with; numbers.rs: again
//! total.rs        what the parts of one scope come to
//! guard.rs        Scope, ScopeHandle: who enters and leaves
//! usage.rs        Usage: the answer
//! future.rs       a future that is in a scope while it is polled
//! budget.rs       Budget: limits for a test; sites.rs: where its blocks come from
//! no_growth.rs    NoGrowth: a task that must not hold more and more
//! tag.rs          Tag: what a thread allocates has a label
//! tagged.rs       a future that is in a tag while it is polled
//! variants.rs     what objects cost each: PerObject, and a table that compares them
//! ```

mod budget;
mod future;
mod guard;
mod no_growth;
mod numbers;
mod owner;
mod part;
mod recording;
mod sites;
mod tag;
mod tagged;
mod total;
mod usage;
mod variants;

pub use budget::{Budget, BudgetError};
pub use future::{InScope, Scoped};
pub use guard::{Scope, ScopeHandle, measure};
pub use no_growth::{Grown, NoGrowth};
pub use tag::{Tag, TagGuard, tag};
pub use tagged::{InTag, Tagged};
pub use usage::Usage;
pub use variants::{PerObject, Variants, freed_by, measure_each};
