//! The operating system's allocator alone, built as heapscope's program is: what that one is
//! compared with.

use std::alloc::System;
use std::error::Error;

use workloads::contestant::Contestant;

#[global_allocator]
static ALLOC: System = System;

fn main() -> Result<(), Box<dyn Error>> {
    Contestant::NOTHING.main()
}
