//! (being written)
/// A filter.
#[derive(Clone, Debug)]
pub struct Filter;
