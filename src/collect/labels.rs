//! The names of labels, each read once.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::{Labels, MAX_NAME, NameId, Tracker};
use crate::snapshot::Traceback;

/// Names of tags and threads, as far as they were asked for.
pub(super) struct LabelNames<'a> {
    tracker: &'a Tracker,
    /// `None`: the tracer's memory was given back.
    known: HashMap<NameId, Option<Arc<str>>>,
}

impl<'a> LabelNames<'a> {
    pub(super) fn new(tracker: &'a Tracker) -> Self {
        Self {
            tracker,
            known: HashMap::new(),
        }
    }

    /// The stack with its labels.
    pub(super) fn put_on(&mut self, mut stack: Traceback, labels: Labels) -> Traceback {
        if let Some(tag) = labels.tag.and_then(|name| self.name(name)) {
            stack = stack.with_tag(tag);
        }
        if let Some(thread) = labels.thread.and_then(|name| self.name(name)) {
            stack = stack.with_thread_name(thread);
        }
        stack
    }

    fn name(&mut self, name: NameId) -> Option<Arc<str>> {
        let tracker = self.tracker;
        let read = || {
            let mut buffer = [0; MAX_NAME];
            let bytes = tracker.read_name(name, &mut buffer)?;
            Some(Arc::from(String::from_utf8_lossy(bytes)))
        };
        self.known.entry(name).or_insert_with(read).clone()
    }
}
