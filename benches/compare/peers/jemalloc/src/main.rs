//! jemalloc, built with its profiler, which samples if `_RJEM_MALLOC_CONF` says so.

use std::env;
use std::error::Error;

use tikv_jemalloc_ctl::profiling;
use tikv_jemallocator::Jemalloc;
use workloads::contestant::Contestant;

#[global_allocator]
static ALLOC: Jemalloc = Jemalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = env::var("_RJEM_MALLOC_CONF").is_ok_and(|conf| conf.contains("prof:true"));
    if profiling::prof::read()? != wanted {
        return Err("the profiler is not as it was asked for".into());
    }
    // Its own setting when nothing is said: 512 KiB.
    if wanted && profiling::lg_prof_sample::read()? != 19 {
        return Err("the profiler samples at another rate".into());
    }
    Contestant::NOTHING.main()
}
