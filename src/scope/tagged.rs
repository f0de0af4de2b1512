//! A future that is in a tag while it is polled.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::tag::Tag;

/// Carries [tags](Tag) with futures.
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
/// use std::pin::pin;
/// use std::task::{Context, Waker};
/// use tracemalloc::{Filter, InTag};
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// tracemalloc::start(10)?;
/// let request = async { vec![1_u8; 1000] }.tagged("GET /items");
/// // As a runtime does, on any of its threads.
/// let answer = pin!(request).poll(&mut Context::from_waker(Waker::noop()));
/// let snapshot = tracemalloc::take_snapshot()?;
/// let request = snapshot.filter_traces([Filter::include_tag("GET *")]);
/// assert_eq!(request.total_size(), 1000);
/// # drop(answer);
/// # Ok(())
/// # }
/// ```
pub trait InTag: Future + Sized {
    /// The future, in `tag` while it is polled and while it is dropped, on any thread. `tag` is a [`Tag`] or its
    /// name.
    ///
    /// The tag lasts no longer than each poll. So a future may move between threads, be one of several in a
    /// `select!`, or be cancelled half way, and it labels no other task. Tasks that it spawns do not inherit the
    /// tag: pass it on by `.tagged(Tag::current())`.
    fn tagged(self, tag: impl Into<Tag>) -> Tagged<Self> {
        Tagged {
            future: Some(self),
            tag: tag.into(),
        }
    }
}

impl<F: Future> InTag for F {}

pin_project! {
    /// The future that [`InTag::tagged`] makes.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Tagged<F> {
        // None once it was dropped.
        #[pin]
        future: Option<F>,
        tag: Tag,
    }

    impl<F> PinnedDrop for Tagged<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _tag = this.tag.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Tagged<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _tag = this.tag.enter();
        let future = this.future.as_pin_mut();
        let future = future.unwrap_or_else(|| unreachable!("dropped with the whole only"));
        future.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    use super::*;
    use crate::scope::tag::tag;

    fn current() -> Option<String> {
        Tag::current().name()
    }

    /// Ready when it is polled for the second time; says each time which tag it is in, and when it is dropped.
    struct Task {
        polled: bool,
        seen: Arc<Mutex<Vec<Option<String>>>>,
    }

    impl Task {
        fn new() -> (Self, Arc<Mutex<Vec<Option<String>>>>) {
            let seen = Arc::default();
            let task = Self {
                polled: false,
                seen: Arc::clone(&seen),
            };
            (task, seen)
        }

        fn see(&self) {
            self.seen.lock().expect("no panic").push(current());
        }
    }

    impl Future for Task {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            self.see();
            match std::mem::replace(&mut self.polled, true) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }
    }

    impl Drop for Task {
        fn drop(&mut self) {
            self.see();
        }
    }

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn expected(tags: &[&str]) -> Vec<Option<String>> {
        tags.iter().map(|tag| Some((*tag).to_owned())).collect()
    }

    #[test]
    fn a_future_has_its_tag_on_every_thread_that_polls_it() {
        let (task, seen) = Task::new();
        let mut task = Box::pin(task.tagged("task"));
        let _other = tag("other");
        assert!(poll(task.as_mut()).is_pending());
        assert_eq!(current().as_deref(), Some("other"));
        let there = std::thread::spawn(move || {
            let polled = poll(task.as_mut());
            drop(task);
            (polled, current())
        });
        assert_eq!(there.join().expect("ends"), (Poll::Ready(()), None));
        assert_eq!(*seen.lock().expect("no panic"), expected(&["task"; 3]));
    }

    #[test]
    fn futures_that_take_turns_do_not_share_tags() {
        let ((one, first), (two, second)) = (Task::new(), Task::new());
        {
            // As `select!` does: both are polled, one is ready, and the other is dropped half way.
            let mut two = pin!(two.tagged("two"));
            let mut one = Box::pin(one.tagged("one"));
            assert!(poll(one.as_mut()).is_pending() && poll(two.as_mut()).is_pending());
            assert!(poll(two.as_mut()).is_ready());
            drop(one);
            assert_eq!(current(), None);
        }
        assert_eq!(*first.lock().expect("no panic"), expected(&["one"; 2]));
        assert_eq!(*second.lock().expect("no panic"), expected(&["two"; 3]));
    }

    #[test]
    fn tagged_futures_nest() {
        let (task, seen) = Task::new();
        let mut task = Box::pin(async { task.tagged("inner").await }.tagged("outer"));
        assert!(poll(task.as_mut()).is_pending());
        std::mem::forget(task);
        assert_eq!(current(), None);
        assert_eq!(*seen.lock().expect("no panic"), expected(&["inner"]));
    }

    #[test]
    fn a_future_that_panics_leaves_its_tag() {
        let mut task = Box::pin(async { std::panic::resume_unwind(Box::new(())) }.tagged("task"));
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _: Poll<()> = poll(task.as_mut());
        }));
        assert!(polled.is_err());
        assert_eq!(current(), None);
    }
}
