//! Sends profiles of the running program to a server for continuous profiling, here Pyroscope.
//!
//!     cargo run --release --bin push_profile [URL]
//!
//! With the address of a Pyroscope server, such as `http://localhost:4040`, it sends two profiles
//! there. Without one it sends them to a stand-in of its own, which checks what it gets, and ends.
//!
//! The interface is that of "Server HTTP API" in Pyroscope's documentation: `POST /ingest` with `name`
//! (the application, with labels in braces), `from` and `until` (seconds since the epoch) and
//! `format=pprof` in the query, and the profile as the part `profile` of a form. `inuse_objects` and
//! `inuse_space`, which it holds, are known there; other kinds of values need a part
//! `sample_type_config`. There is no authentication: that is the matter of a proxy.
//!
//! Live memory is a level, not a flow: each profile shows what is live at its end, whenever it was
//! allocated. So the profiles of a time are averaged and not added up, as for Go's `inuse_space`.

use std::error::Error;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Multipart, Query, State};
use axum::http::StatusCode;
use axum::routing::post;
use server_examples::HeapProfile;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tracemalloc::TraceAlloc;
use tracemalloc::report::Pprof;
use ureq::Agent;
use ureq::unversioned::multipart::{Form, Part};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const APPLICATION: &str = "shop{region=eu west,version=1.2}";

/// Where profiles go, and how far the last one reached.
struct Pusher {
    url: String,
    application: &'static str,
    agent: Agent,
    until: u64,
}

impl Pusher {
    fn new(server: &str, application: &'static str) -> Self {
        // Without limits a server that does not answer would hold up the program.
        let config = Agent::config_builder().timeout_global(Some(Duration::from_secs(10)));
        Self {
            url: format!("{server}/ingest"),
            application,
            agent: config.build().into(),
            until: now(),
        }
    }

    /// Sends what is live now, as the profile of the time since the last one.
    fn push(&mut self) -> Result<(), Box<dyn Error>> {
        let snapshot = tracemalloc::take_snapshot()?;
        let mut profile = Vec::new();
        Pprof::new().write(&snapshot, &mut profile)?;
        let (from, until) = (self.until, now());
        let part = Part::bytes(&profile)
            .file_name("heap.pb.gz")
            .mime_str("application/octet-stream")?;
        // A status of 400 and above is an error.
        self.agent
            .post(&self.url)
            .query("name", self.application)
            .query("from", from.to_string())
            .query("until", until.to_string())
            .query("format", "pprof")
            .send(Form::new().part("profile", part))?;
        // Not before it has arrived: the next one reaches back to the last that did.
        self.until = until;
        Ok(())
    }
}

fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |time| time.as_secs())
}

/// Returns the line that allocates, so that the example can check what it finds.
#[inline(never)]
fn fill_cart(cart: &mut Vec<Vec<u8>>, items: usize) -> u32 {
    let mut allocated_at = 0;
    for _ in 0..items {
        let (item, line) = (vec![1; 2000], line!());
        cart.push(item);
        allocated_at = line;
    }
    allocated_at
}

fn main() -> Result<(), Box<dyn Error>> {
    tracemalloc::start(60)?;
    let runtime = Runtime::new()?;
    let (sender, received) = mpsc::channel();
    let server = match std::env::args().nth(1) {
        Some(server) => server,
        None => runtime.block_on(stand_in(sender))?,
    };
    let is_stand_in = std::env::args().len() == 1;

    let mut pusher = Pusher::new(&server, APPLICATION);
    let mut cart = Vec::new();
    for round in 1..=2 {
        let line = fill_cart(&mut cart, 100);
        // Times are in whole seconds. A program does this every 15 seconds, say.
        thread::sleep(Duration::from_millis(1100));
        pusher.push()?;
        println!("profile {round} sent to {server}");
        if is_stand_in {
            check(&received, line, round)?;
        }
    }
    if is_stand_in {
        let refused = Pusher::new(&server, "").push();
        let error = refused.expect_err("the name is missing").to_string();
        assert!(error.contains("400"), "{error}");
        println!("the stand-in has found 100 blocks in the first, and 200 in the second");
    }
    Ok(())
}

/// What the stand-in has got is what is live.
fn check(received: &Receiver<Ingested>, line: u32, round: i64) -> Result<(), Box<dyn Error>> {
    let ingested = received.recv_timeout(Duration::from_secs(10))?;
    assert_eq!(ingested.name, APPLICATION);
    assert!(ingested.from < ingested.until && ingested.until <= now());
    let found = ingested
        .profile
        .allocated_at("push_profile::fill_cart", line);
    assert_eq!(found, (100 * round, 200_000 * round));
    Ok(())
}

/// A profile that has been accepted.
struct Ingested {
    name: String,
    from: u64,
    until: u64,
    profile: HeapProfile,
}

/// Listens as Pyroscope would, and hands on what it accepts. Its address.
async fn stand_in(accepted: Sender<Ingested>) -> Result<String, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let routes = Router::new()
        .route("/ingest", post(ingest))
        .with_state(accepted);
    tokio::spawn(async { axum::serve(listener, routes).await });
    Ok(format!("http://{address}"))
}

async fn ingest(
    State(accepted): State<Sender<Ingested>>,
    Query(query): Query<Vec<(String, String)>>,
    mut form: Multipart,
) -> Result<(), (StatusCode, String)> {
    let refuse = |why: String| (StatusCode::BAD_REQUEST, why);
    let parameter = |name: &str| {
        let found = query.iter().find(|(key, _)| key == name);
        let missing = || refuse(format!("{name} is missing"));
        found.map(|(_, value)| value.clone()).ok_or_else(missing)
    };
    let seconds = |name: &str| {
        let value = parameter(name)?;
        value.parse().map_err(|_| refuse(format!("{name}={value}")))
    };
    if parameter("format")? != "pprof" {
        return Err(refuse("only pprof is understood".to_owned()));
    }
    let invalid = |error: &dyn std::fmt::Display| refuse(error.to_string());
    while let Some(part) = form.next_field().await.map_err(|error| invalid(&error))? {
        if part.name() == Some("profile") {
            let bytes = part.bytes().await.map_err(|error| invalid(&error))?;
            let name = parameter("name")?;
            if name.is_empty() {
                return Err(refuse("the name is empty".to_owned()));
            }
            let ingested = Ingested {
                name,
                from: seconds("from")?,
                until: seconds("until")?,
                profile: HeapProfile::read(&bytes).map_err(|error| invalid(&error))?,
            };
            return accepted.send(ingested).map_err(|error| invalid(&error));
        }
    }
    Err(refuse("there is no part called profile".to_owned()))
}
