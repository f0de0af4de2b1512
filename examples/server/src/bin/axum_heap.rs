//! A server that hands out profiles of its own heap while it runs, as Go's servers do:
//! `GET /debug/pprof/heap`, and `GET /debug/heap.html` for a browser.
//!
//!     cargo run --release --bin axum_heap [ADDRESS]
//!
//! Without an address it listens on a free port of this machine, asks itself, and ends. With one, such
//! as `127.0.0.1:6060`, it goes on until it is interrupted:
//!
//!     go tool pprof http://127.0.0.1:6060/debug/pprof/heap
//!
//! A profile tells much of a program. So listen to this machine alone, or put what checks passwords in
//! front; the paths have no parameters; and there is one profile at a time, since each one costs
//! memory and some time of a processor.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use server_examples::HeapProfile;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tracemalloc::report::{Html, Pprof};
use tracemalloc::{Snapshot, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// A form of a snapshot, and its media type.
struct Form {
    media_type: &'static str,
    write: fn(&Snapshot, &mut Vec<u8>) -> io::Result<()>,
}

const PPROF: Form = Form {
    // Compressed by itself, and not for the way: hence no Content-Encoding.
    media_type: "application/octet-stream",
    write: |snapshot, out| Pprof::new().write(snapshot, out),
};

const HTML: Form = Form {
    media_type: "text/html; charset=utf-8",
    write: |snapshot, out| Html::new().write(snapshot, out),
};

/// The request that takes a profile holds the only permit.
type OneAtATime = Arc<Semaphore>;

fn routes(permits: OneAtATime) -> Router {
    Router::new()
        .route("/", get(serve_request))
        .route("/debug/pprof/heap", get(|permits| profile(permits, PPROF)))
        .route("/debug/heap.html", get(|permits| profile(permits, HTML)))
        .with_state(permits)
}

async fn profile(State(permits): State<OneAtATime>, form: Form) -> Response {
    let Ok(permit) = permits.try_acquire_owned() else {
        let message = "another profile is being taken\n";
        return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")], message).into_response();
    };
    // Not on a thread that serves others. The permit goes along: the work goes on when the client has
    // hung up, and only then may the next begin.
    let work = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut out = Vec::new();
        let snapshot = tracemalloc::take_snapshot().map_err(io::Error::other)?;
        (form.write)(&snapshot, &mut out)?;
        io::Result::Ok(out)
    });
    match work.await.map_err(io::Error::other).and_then(|done| done) {
        Ok(out) => {
            let headers = [(CONTENT_TYPE, form.media_type), (CACHE_CONTROL, "no-store")];
            (headers, out).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

static SESSIONS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// What the server is there for. It never forgets a session.
async fn serve_request() -> &'static str {
    open_session();
    "hello\n"
}

/// Returns the line of the leak, so that the example can check what it finds.
#[inline(never)]
fn open_session() -> u32 {
    let (session, line) = (vec![1; 1000], line!());
    SESSIONS.lock().expect("no thread panicked").push(session);
    line
}

fn main() -> Result<(), Box<dyn Error>> {
    tracemalloc::start(60)?;
    let runtime = Runtime::new()?;
    let permits = OneAtATime::new(Semaphore::new(1));
    let address = std::env::args().nth(1);
    let listener = runtime.block_on(TcpListener::bind(
        address.as_deref().unwrap_or("127.0.0.1:0"),
    ))?;
    let server = listener.local_addr()?;
    println!("http://{server}/debug/pprof/heap and /debug/heap.html");
    let serving = runtime.spawn({
        let routes = routes(permits.clone());
        async { axum::serve(listener, routes).await }
    });
    match address {
        Some(_) => runtime.block_on(serving)??,
        None => check(server, &permits)?,
    }
    Ok(())
}

/// Asks the server as others would, and looks for the leak in what it answers.
fn check(server: SocketAddr, permits: &OneAtATime) -> Result<(), Box<dyn Error>> {
    const REQUESTS: i64 = 50;
    let leak = open_session();
    for _ in 1..REQUESTS {
        assert_eq!(Answer::get(server, "/")?.status, 200);
    }
    let answer = Answer::get(server, "/debug/pprof/heap")?;
    assert_eq!(answer.status, 200);
    assert!(answer.has_header("content-type: application/octet-stream"));
    let profile = HeapProfile::read(&answer.body)?;
    let found = profile.allocated_at("axum_heap::open_session", leak);
    assert_eq!(found, (REQUESTS, REQUESTS * 1000));
    println!("line {leak}: {} blocks, {} bytes", found.0, found.1);

    let page = Answer::get(server, "/debug/heap.html")?;
    assert_eq!(page.status, 200);
    assert!(page.has_header("content-type: text/html; charset=utf-8"));
    assert!(String::from_utf8(page.body)?.contains("open_session"));

    // As while another one is being taken.
    let held = permits.try_acquire()?;
    let refused = Answer::get(server, "/debug/pprof/heap")?;
    assert_eq!(refused.status, 429);
    assert!(refused.has_header("retry-after: 1"));
    drop(held);
    assert_eq!(Answer::get(server, "/debug/pprof/heap")?.status, 200);
    Ok(())
}

/// What a server answers to a client that knows only TCP.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn get(server: SocketAddr, path: &str) -> Result<Self, Box<dyn Error>> {
        let mut stream = TcpStream::connect(server)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n"
        )?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let body = bytes.split_off(end.ok_or("no end of the head")? + 4);
        let head = String::from_utf8(bytes)?.to_lowercase();
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        let answer = Self { status, head, body };
        let length = format!("content-length: {}", answer.body.len());
        if !answer.has_header(&length) {
            return Err("not as many bytes as announced".into());
        }
        Ok(answer)
    }

    fn has_header(&self, header: &str) -> bool {
        self.head.lines().any(|line| line == header)
    }
}
