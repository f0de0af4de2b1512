//! (being written)
/// A filter.
#[derive(Clone, Debug)]
pub struct Filter;
impl Filter {
    pub fn domain(_: bool, _: super::Domain) -> Self {
        Self
    }
}
