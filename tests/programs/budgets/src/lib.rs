//! What the tests hold to a budget.

/// The number of words.
///
/// A budget in a documentation test:
///
/// ```standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() {
/// let count = tracemalloc::Budget::new()
///     .max_allocations(0)
///     .check(|| budgets::count("spam and eggs"));
/// assert_eq!(count, 3);
/// # }
/// ```
///
/// ```should_panic,standalone_crate
/// #[global_allocator]
/// static ALLOC: tracemalloc::TraceAlloc = tracemalloc::TraceAlloc::system();
///
/// # fn main() {
/// tracemalloc::Budget::new().max_allocations(0).check(|| budgets::upper("spam"));
/// # }
/// ```
pub fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

/// The text in capitals: one allocation.
///
/// The result is used before it is returned: optimized builds turn a call in last place into a jump, which leaves
/// no frame of this function in the stack.
pub fn upper(text: &str) -> String {
    std::hint::black_box(text.to_uppercase())
}
