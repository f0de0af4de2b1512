//! The operating system's allocator alone: what the others are compared with.

use std::alloc::System;
use std::error::Error;

use workloads::contestant::Contestant;

#[global_allocator]
static ALLOC: System = System;

fn main() -> Result<(), Box<dyn Error>> {
    Contestant::NOTHING.main()
}
