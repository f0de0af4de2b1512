//! What the tracer knows of each thread.

pub(super) mod counter;
pub(super) mod guard;
#[expect(unsafe_code, reason = "asks the system for the thread's name")]
pub(super) mod name;
#[expect(unsafe_code, reason = "asks the system for threads")]
pub(super) mod owner;
pub(super) mod recent;
pub(super) mod sampler;
pub(super) mod samples;
#[expect(unsafe_code, reason = "promises what may be shared, and zeroed")]
pub(super) mod slot;
#[expect(unsafe_code, reason = "lets a thread alone into its own memory")]
pub(super) mod slots;
pub(super) mod tag;
