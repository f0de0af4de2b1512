//! The call tree of a file, checked.

use std::sync::Arc;

use super::limits::invalid;
use super::read::entry;
use super::schema::NodeRow;
use crate::error::Error;
use crate::snapshot::frame::Frame;
use crate::snapshot::shared::{Call, Calls};
use crate::snapshot::traceback::Traceback;

/// The calls, which stacks share. Parents come before their children, so every walk towards the
/// root ends.
pub(super) struct Tree {
    calls: Arc<Calls>,
    callers: Vec<Option<u32>>,
    /// Frames from the root to each node, itself included.
    depths: Vec<u32>,
}

impl Tree {
    pub(super) fn new(frames: Vec<Frame>, nodes: &[NodeRow]) -> Result<Self, Error> {
        let mut depths: Vec<u32> = Vec::with_capacity(nodes.len());
        for (index, &NodeRow(parent, frame)) in nodes.iter().enumerate() {
            entry(&frames, frame, "frame", || format!("node {index}"))?;
            let above = match parent {
                None => 0,
                Some(parent) => *depths.get(parent as usize).ok_or_else(|| {
                    invalid(format!(
                        "node {index} has the parent {parent}, which does not come before it"
                    ))
                })?,
            };
            depths.push(above.saturating_add(1));
        }
        let calls = nodes
            .iter()
            .map(|&NodeRow(caller, frame)| Call { caller, frame });
        let calls = Calls::new(frames, calls.collect())
            .ok_or_else(|| invalid("the nodes are not a tree of calls"))?;
        Ok(Self {
            calls: Arc::new(calls),
            callers: nodes.iter().map(|node| node.0).collect(),
            depths,
        })
    }

    /// Frames of the stack that ends in `node`.
    pub(super) fn depth(&self, index: usize, node: u32) -> Result<u32, Error> {
        entry(&self.depths, node, "node", || format!("stack {index}")).copied()
    }

    /// The stack that ends in `node`, without the `trim` frames at its oldest and at its most recent
    /// end.
    pub(super) fn stack(
        &self,
        index: usize,
        node: u32,
        trim: (u32, u32),
    ) -> Result<Traceback, Error> {
        let depth = self.depth(index, node)?;
        let (oldest, newest) = trim;
        let shown = depth
            .checked_sub(oldest)
            .and_then(|rest| rest.checked_sub(newest))
            .filter(|shown| *shown > 0)
            .ok_or_else(|| {
                invalid(format!(
                    "stack {index} has {depth} frames, of which {oldest} and {newest} are not \
                     shown: none is left"
                ))
            })?;
        let mut last = node;
        for _ in 0..newest {
            last = self.callers[last as usize].unwrap_or(last);
        }
        Ok(Traceback::shared(&self.calls, last, shown))
    }
}
