//! What the file's schema names of the library.

#[path = "../../../src/snapshot/origin.rs"]
pub(crate) mod origin;
