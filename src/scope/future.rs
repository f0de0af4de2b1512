//! A future that is in a scope while it is polled.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::guard::ScopeHandle;

/// Carries scopes with futures.
///
/// A [`Scope`](super::Scope) is bound to its thread, so a future that holds one over an `await` is not `Send`,
/// and the compiler says so where it is spawned. A task counts for a scope by this:
///
/// ```standalone_crate
/// use std::future::Future;
/// use std::pin::pin;
/// use std::task::{Context, Waker};
/// use tracemalloc::{InScope, Scope};
///
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() -> Result<(), tracemalloc::Error> {
/// let scope = Scope::open()?;
/// let task = async { vec![1_u8; 100].len() }.in_scope(&scope.handle());
/// // As a runtime does, on any of its threads.
/// let _ = pin!(task).poll(&mut Context::from_waker(Waker::noop()));
/// assert_eq!(scope.close().allocations, 1);
/// # Ok(())
/// # }
/// ```
pub trait InScope: Future + Sized {
    /// The future, in `scope` while it is polled and while it is dropped, on any thread.
    ///
    /// A stream counts item by item, whatever crate its `next` is from. What the stream holds between two items
    /// is freed where the stream is dropped.
    ///
    /// ```standalone_crate
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// use tracemalloc::{InScope, Scope, ScopeHandle};
    ///
    /// #[global_allocator]
    /// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
    ///
    /// struct Requests(u32);
    ///
    /// impl Requests {
    ///     async fn next(&mut self) -> Option<String> {
    ///         self.0 = self.0.checked_sub(1)?;
    ///         Some(format!("request {}", self.0))
    ///     }
    /// }
    ///
    /// async fn serve(mut stream: Requests, handle: &ScopeHandle) -> u32 {
    ///     let mut served = 0;
    ///     while let Some(_request) = stream.next().in_scope(handle).await {
    ///         served += 1;
    ///     }
    ///     served
    /// }
    ///
    /// # fn main() -> Result<(), tracemalloc::Error> {
    /// let handle = Scope::open()?.handle();
    /// let served = pin!(serve(Requests(3), &handle)).poll(&mut Context::from_waker(Waker::noop()));
    /// assert_eq!((served, handle.usage().allocations), (Poll::Ready(3), 3));
    /// # Ok(())
    /// # }
    /// ```
    fn in_scope(self, scope: &ScopeHandle) -> Scoped<Self> {
        Scoped {
            future: Some(self),
            scope: scope.clone(),
        }
    }
}

impl<F: Future> InScope for F {}

pin_project! {
    /// The future that [`InScope::in_scope`] makes.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct Scoped<F> {
        // None once it was dropped.
        #[pin]
        future: Option<F>,
        scope: ScopeHandle,
    }

    impl<F> PinnedDrop for Scoped<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _stay = this.scope.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _stay = this.scope.enter();
        let future = this.future.as_pin_mut();
        let future = future.unwrap_or_else(|| unreachable!("dropped with the whole only"));
        future.poll(context)
    }
}
