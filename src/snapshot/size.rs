//! (being written)
/// Displays a number of bytes.
pub(crate) struct Bytes(pub(crate) f64);
