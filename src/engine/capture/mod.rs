//! Where an allocation comes from: its call stack and its thread.

pub(super) mod call_context;
#[cfg(tracemalloc_check)]
#[expect(unsafe_code, reason = "prints by the C library's functions")]
pub(super) mod check;
