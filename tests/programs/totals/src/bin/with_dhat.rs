//! The work under the crate `dhat`.
//!
//!     with_dhat FILE

use std::error::Error;

use totals::sites;

#[global_allocator]
static ALLOC: dhat::Alloc = dhat::Alloc;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("with_dhat FILE")?;
    let builder = dhat::Profiler::builder().file_name(file);
    let mut profiler = Some(builder.trim_backtraces(None).build());
    // What is left is freed after it has ended.
    sites::run(|| profiler = None);
    Ok(())
}
