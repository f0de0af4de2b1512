//! A snapshot of a service: its own code between dependencies, types, tags and threads.

use tracemalloc::{Domain, Frame, FrameOrigin, Snapshot, Trace, Traceback};

fn frame(file: &str, line: u32, origin: FrameOrigin) -> Frame {
    let name = file.split(['-', '/']).next().unwrap_or_default();
    let name = if origin == FrameOrigin::Own {
        "service"
    } else {
        name
    };
    Frame::new(file, line)
        .with_function(format!("{name}::f{line}"))
        .with_crate(name)
        .with_origin(origin)
}

/// What the service holds after `requests` of them.
pub(crate) fn snapshot(requests: usize) -> Snapshot {
    let own = |line| frame("src/main.rs", line, FrameOrigin::Own);
    let of = |file, line| frame(file, line, FrameOrigin::Dependency);
    let (hyper, tower) = (
        of("hyper-1.6.0/src/io.rs", 538),
        of("tower-0.5.3/src/lib.rs", 7),
    );
    let parse = of("serde_json-1.0.154/src/map.rs", 138);
    let stack = |frames: &[&Frame], type_name: &str, tag: &str, thread: &str| {
        let frames = frames.iter().map(|frame| (*frame).clone());
        Traceback::from_oldest_first(frames)
            .expect("a stack of some frames")
            .with_type_name(type_name)
            .with_tag(tag)
            .with_thread_name(thread)
    };
    let handler = own(30);
    let stacks = [
        (
            600,
            stack(
                &[&hyper, &handler, &parse],
                "app::Map",
                "POST /orders",
                "worker-0",
            ),
        ),
        (
            64,
            stack(
                &[&hyper, &tower, &handler, &own(44)],
                "alloc::string::String",
                "GET /",
                "worker-1",
            ),
        ),
        (
            40,
            stack(
                &[&hyper, &tower],
                "alloc::vec::Vec<u8>",
                "GET /",
                "worker-1",
            ),
        ),
        (
            96,
            Traceback::from_oldest_first([hyper.clone()]).expect("a stack of one frame"),
        ),
    ];
    let blocks = stacks.iter().flat_map(|(size, stack)| {
        std::iter::repeat_n(Trace::new(Domain::HEAP, *size, stack.clone()), requests)
    });
    Snapshot::from_traces(blocks, 25)
}
