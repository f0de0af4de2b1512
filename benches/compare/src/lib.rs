//! Runs programs that differ in their allocator alone, and shows what each took.

pub mod arguments;
pub mod building;
pub mod contestants;
pub mod document;
pub mod figures;
pub mod machine;
pub mod report;
pub mod rounds;
pub mod table;
pub mod workload;
