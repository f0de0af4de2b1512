//! The next version of the program in `../shop_service`: one function is new, so that most lines have
//! moved, and one function keeps more.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::hint::black_box;

use tracemalloc::TraceAlloc;

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

#[derive(Default)]
struct Service {
    sessions: BTreeMap<u32, String>,
    words: HashMap<String, u32>,
    log: Vec<String>,
    pages: Vec<Box<[u8]>>,
}

#[inline(never)]
fn remember(service: &mut Service, request: u32) {
    service.sessions.insert(request, String::new());
    black_box(service);
}

/// New in this version: everything below it has moved.
#[inline(never)]
fn is_robot(request: u32) -> bool {
    black_box(request) == u32::MAX
}

#[inline(never)]
fn count_words(service: &mut Service, request: u32) {
    for word in ["shoe", "lamp", "vase"] {
        let word = format!("{word}{}", request % 50);
        *service.words.entry(word).or_default() += 1;
    }
    black_box(service);
}

#[inline(never)]
fn write_log(service: &mut Service, request: u32) {
    service.log.push(format!(
        "served request {request}, robot: {}",
        is_robot(request)
    ));
    black_box(service);
}

#[inline(never)]
fn render(service: &mut Service, request: u32) {
    let page = vec![b' '; 1_000 + request as usize % 7];
    service.pages.push(page.into_boxed_slice());
    black_box(service);
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("no file is named")?;
    tracemalloc::start(25)?;
    let mut service = Service::default();
    for request in 0..1_000 {
        remember(&mut service, request);
        count_words(&mut service, request);
        write_log(&mut service, request);
        render(&mut service, request);
    }
    let snapshot = tracemalloc::take_snapshot()?;
    tracemalloc::stop();
    snapshot.dump(path)?;
    println!(
        "{:p} {:p}",
        remember as *const (),
        service.pages[0].as_ptr()
    );
    Ok(())
}
