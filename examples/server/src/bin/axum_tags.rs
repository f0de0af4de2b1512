//! A service that says what each of its routes holds: every request is in the tag of its route.
//!
//!     cargo run --release --bin axum_tags
//!
//! It listens on a free port of this machine, is asked by several clients at a time, and ends. A request's
//! future moves between the threads of the runtime, and its tag with it. What a request leaves behind keeps
//! the tag, also when another thread frees it: here one that forgets old images.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tracemalloc::report::Text;
use tracemalloc::{Filter, GroupBy, InTag, Snapshot, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

/// The one line per service: whatever a request allocates has the tag of its route.
async fn tag_by_route(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("no route", MatchedPath::as_str);
    let route = format!("{} {path}", request.method());
    next.run(request).tagged(&route).await
}

const ITEM: usize = 10_000;
const IMAGE: usize = 30_000;

static ITEMS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
static IMAGES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Never forgets an item. The other requests have their turn between its two halves.
async fn item() -> &'static str {
    let first = vec![1; ITEM];
    tokio::task::yield_now().await;
    let second = vec![1; ITEM];
    ITEMS
        .lock()
        .expect("no thread panicked")
        .extend([first, second]);
    "item\n"
}

/// Keeps an image until the thread of [`forget_images`] takes it away.
async fn image() -> &'static str {
    IMAGES
        .lock()
        .expect("no thread panicked")
        .push(vec![1; IMAGE]);
    "image\n"
}

async fn health() -> &'static str {
    drop(vec![1_u8; ITEM]);
    "well\n"
}

fn routes() -> Router {
    Router::new()
        .route("/items/{id}", get(item))
        .route("/images/{name}", get(image))
        .route("/health", get(health))
        .route_layer(middleware::from_fn(tag_by_route))
}

fn forget_images() {
    let forgotten = thread::spawn(|| std::mem::take(&mut *IMAGES.lock().expect("no panic")));
    drop(forgotten.join());
}

/// Large blocks by their tag.
fn held(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    let large = Filter::include_if(|block| [ITEM as u64, IMAGE as u64].contains(&block.size));
    let tags = snapshot.filter_traces([large]).statistics(GroupBy::Tag);
    tags.into_iter()
        .map(|tag| (tag.traceback.to_string(), tag.size))
        .collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    const CLIENTS: u64 = 8;
    const REQUESTS: u64 = 40;
    tracemalloc::start(25)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let server = listener.local_addr()?;
    runtime.spawn(async { axum::serve(listener, routes()).await });

    thread::scope(|clients| {
        for client in 0..CLIENTS {
            clients.spawn(move || {
                for request in 0..REQUESTS {
                    ask(server, &format!("/items/{client}-{request}"));
                    ask(server, &format!("/images/{request}.png"));
                    ask(server, "/health");
                }
            });
        }
    });

    let snapshot = tracemalloc::take_snapshot()?;
    Text::new()
        .group_by(GroupBy::Tag)
        .limit(5)
        .write(&snapshot, &mut std::io::stdout())?;
    let all = CLIENTS * REQUESTS;
    let items = ("GET /items/{id}".to_owned(), 2 * all * ITEM as u64);
    let images = ("GET /images/{name}".to_owned(), all * IMAGE as u64);
    assert_eq!(held(&snapshot), BTreeMap::from([items.clone(), images]));

    // Freed by a thread without a tag, from the account of the route.
    forget_images();
    assert_eq!(
        held(&tracemalloc::take_snapshot()?),
        BTreeMap::from([items])
    );
    Ok(())
}

/// One request of a client that knows only TCP.
fn ask(server: SocketAddr, path: &str) {
    let mut stream = TcpStream::connect(server).expect("the server listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .expect("the server answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
