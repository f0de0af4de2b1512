//! Labels of a block: the tag that its thread is in, and the thread's name.
//!
//! The stack is found first, without them, so what a thread remembers of its stacks does not depend on
//! them. Then the labels are put on top of it.

use super::Tracker;
use crate::engine::capture::CallContext;
use crate::engine::session::{Flag, Session};
use crate::engine::stacks::{Label, LabelCache, LabelKind, Labels, MAX_NAME, NameId, StackId};
use crate::engine::thread::guard::Guard;
use crate::engine::thread::name;
use crate::engine::thread::tag::{self, TagId};
use crate::engine::unwind::Mark;

impl Tracker {
    /// The tag called `name`. Has every event from now on ask which tag its thread is in.
    pub(crate) fn tag(&self, name: &[u8]) -> TagId {
        self.switch.set(Flag::Labels, true);
        let is_there = !self.arena.is_unmapped();
        TagId::of(is_there.then(|| self.name(name)).flatten())
    }

    /// What the blocks of the scope called `name` are labelled with. Has every event from now on ask for it.
    /// `None` without memory.
    pub(crate) fn owner(&self, name: &[u8]) -> Option<TagId> {
        let label = self.tag(name);
        label.name().is_some().then_some(label)
    }

    fn name(&self, name: &[u8]) -> Option<NameId> {
        self.capture.stacks().name(&self.arena, name)
    }

    /// Puts the bytes of a name into `buffer`, and returns them.
    pub(crate) fn read_name<'b>(
        &self,
        name: NameId,
        buffer: &'b mut [u8; MAX_NAME],
    ) -> Option<&'b [u8]> {
        let is_there = !self.arena.is_unmapped();
        is_there.then(|| self.capture.stacks().read_name(name, buffer))?
    }

    /// `stack` without its labels, and those.
    pub(crate) fn without_labels(&self, stack: StackId) -> (StackId, Labels) {
        self.capture.stacks().without_labels(stack)
    }

    /// Puts this thread's labels on a call context, if blocks have any.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn label(&self, session: Session, context: &mut CallContext) {
        if session.has_labels() {
            self.put_labels(session, context);
        }
    }

    // What it needs of the stack is not there while the caller's stack is walked.
    #[inline(never)]
    fn put_labels(&self, session: Session, context: &mut CallContext) {
        let slot = context.slot.as_ref();
        let cache = slot.and_then(|slot| self.arena.first_use(&slot.thread.labels));
        context.stack = self.labelled(session, cache, context.stack);
    }

    /// The number of the running thread's stack, from the first frame above `mark` on.
    pub(crate) fn stack_here(&self, session: Session, inside: &mut Guard, mark: Mark) -> StackId {
        let stack = self.capture.stack_here(&self.arena, session, mark);
        if !session.has_labels() {
            return stack;
        }
        let slot = self.threads.own_slot(&self.arena, inside);
        let mut context = CallContext { stack, slot };
        self.label(session, &mut context);
        context.stack
    }

    fn labelled(&self, session: Session, cache: Option<&LabelCache>, stack: StackId) -> StackId {
        let thread = match session.names_threads() {
            true => self.thread_name(session),
            false => TagId::NONE,
        };
        let labels = [
            (LabelKind::Thread, thread),
            (LabelKind::Tag, tag::tag()),
            (LabelKind::Owner, tag::owner()),
        ];
        labels.into_iter().fold(stack, |stack, (kind, label)| {
            if label == TagId::NONE {
                return stack;
            }
            let stacks = self.capture.stacks();
            let labelled = label
                .name()
                .and_then(|name| stacks.labelled(&self.arena, cache, stack, Label { kind, name }));
            labelled.unwrap_or_else(|| {
                self.lost.labels.add(session.number(), 1);
                stack
            })
        })
    }

    fn thread_name(&self, session: Session) -> TagId {
        // Tests have several trackers, whose sessions have the same numbers.
        let tracker = match cfg!(test) {
            true => std::ptr::from_ref(self).addr() as u64,
            false => 0,
        };
        name::name(session.bits() ^ tracker.rotate_left(16), |name| {
            if name.is_empty() {
                TagId::NONE
            } else {
                TagId::of(self.name(name))
            }
        })
    }
}
