//! What the file's schema names of the library.

#[path = "../../../src/snapshot/origin.rs"]
pub(crate) mod origin;
#[path = "../../../src/snapshot/unread.rs"]
pub(crate) mod unread;
