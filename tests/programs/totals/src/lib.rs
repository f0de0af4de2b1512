//! Work with known allocations, for programs that differ in their allocators.

#[path = "../../../live/totals/oracle.rs"]
pub mod oracle;
#[path = "../../../live/totals/sites.rs"]
pub mod sites;
