//! What a session could not record.

use super::SessionNumber;
use super::counters::Counter;

/// What one session could not record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Blocks without a record.
    pub(crate) blocks: u64,
    /// Records without their stack.
    pub(crate) stacks: u64,
    /// Records found in the entry of a new block, which had replaced them.
    pub(crate) replaced: u64,
    /// Labels that records lack.
    pub(crate) labels: u64,
}

/// Counts blocks whose record was lost.
pub(crate) struct LostBlocks {
    pub(in crate::engine) blocks: Counter,
    pub(in crate::engine) replaced: Counter,
    pub(in crate::engine) labels: Counter,
}

impl LostBlocks {
    pub(crate) const fn new() -> Self {
        Self {
            blocks: Counter::new(),
            replaced: Counter::new(),
            labels: Counter::new(),
        }
    }

    /// Brings the counters into the session: see [`Counter::refresh`].
    pub(crate) fn refresh(&self, number: SessionNumber) {
        self.blocks.refresh(number);
        self.replaced.refresh(number);
        self.labels.refresh(number);
    }

    /// All losses of the session, `stacks` of them records without their stack.
    pub(crate) fn with_stacks(&self, number: SessionNumber, stacks: u64) -> Lost {
        Lost {
            blocks: self.blocks.get(number),
            stacks,
            replaced: self.replaced.get(number),
            labels: self.labels.get(number),
        }
    }
}
