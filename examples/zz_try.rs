use tracemalloc::*;
#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();
#[inline(never)]
fn work() -> Vec<Box<[u8; 100]>> {
    (0..1000).map(|_| Box::new([1u8; 100])).collect()
}
fn main() {
    start(25).unwrap();
    let t = std::time::Instant::now();
    let w = work();
    println!("{:?}", t.elapsed());
    println!("{:?} own {}", get_traced_memory(), get_tracemalloc_memory());
    let s = take_snapshot().unwrap();
    println!("{:?} {:?}", s.traces(), s.recording());
    let t = s.traces().get(500).unwrap();
    for f in t.traceback.iter().rev() {
        println!("  {f} {:?}", f.function());
    }
    println!("{:?}", t.traceback.total_nframe());
    drop(w);
    println!("{:?}", get_traced_memory());
    let b = std::sync::Arc::new(5u64);
    println!("{:?}", get_object_traceback(&b).is_some());
    println!("own {}", get_tracemalloc_memory());
}
