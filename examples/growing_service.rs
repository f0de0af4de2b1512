//! A service that grows: a shop that remembers every visitor and forgets none. `docs/GUIDE.md` finds
//! the line with it.
//!
//!     cargo run --release --example growing_service [FOLDER]
//!
//! Prints how the memory grows and what grew, and saves the two snapshots between which it did. Then the
//! mended service does the same work, and grows no more.

use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs, io};

use serde_json::{Value, json};
use tracemalloc::report::Text;
use tracemalloc::{Counting, GroupBy, Growth, Snapshot, StatisticDiff, TraceAlloc};

#[global_allocator]
static ALLOC: TraceAlloc = TraceAlloc::system();

const PRODUCTS: usize = 1_000;
const PAGES_KEPT: usize = 300;
const REQUESTS_PER_MINUTE: usize = 2_000;
const BASKET: usize = 16;

struct Request {
    path: String,
    session: usize,
    /// The visitor has been here before, and says so.
    has_cookie: bool,
    agent: &'static str,
}

impl Request {
    /// Three of four requests come from a hundred visitors; the others are from robots, which keep no
    /// cookie and so begin a session each time.
    fn number(number: usize) -> Self {
        let product = number * 7 % PRODUCTS;
        let robot = number % 4 == 3;
        Self {
            path: format!("/products/{product}"),
            session: if robot { 1_000 + number } else { number % 100 },
            has_cookie: !robot,
            agent: if robot {
                "Mozilla/5.0 (compatible; ExampleRobot/2.1; +https://robot.example.com/about)"
            } else {
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
            },
        }
    }
}

struct Session {
    agent: String,
    token: Vec<u8>,
    basket: Vec<usize>,
    requests: usize,
}

impl Session {
    fn begin(agent: &str) -> Self {
        Self {
            agent: agent.to_owned(),
            token: vec![0; 256],
            basket: Vec::with_capacity(BASKET),
            requests: 0,
        }
    }
}

struct Service {
    products: Vec<Value>,
    /// Rendered pages by path, thrown away when there are too many.
    pages: HashMap<String, String>,
    /// What is known of visitors. Nothing ever leaves it: that is the leak.
    sessions: HashMap<usize, Session>,
    /// A visitor without a cookie has no session yet: that mends it.
    is_mended: bool,
}

impl Service {
    fn start(is_mended: bool) -> Result<Self, serde_json::Error> {
        Ok(Self {
            products: serde_json::from_str(&catalogue())?,
            pages: HashMap::new(),
            sessions: HashMap::new(),
            is_mended,
        })
    }

    fn handle(&mut self, request: &Request) -> usize {
        let length = self.page(&request.path).len();
        if self.is_mended && !request.has_cookie {
            return length;
        }
        let session = self.session(request);
        session.requests += 1;
        if session.requests.is_multiple_of(8) {
            if session.basket.len() == BASKET {
                session.basket.clear(); // It is ordered.
            }
            session.basket.push(request.path.len());
        }
        length
    }

    fn page(&mut self, path: &str) -> &str {
        if self.pages.len() >= PAGES_KEPT && !self.pages.contains_key(path) {
            self.pages.clear();
        }
        let products = &self.products;
        let page = self.pages.entry(path.to_owned());
        page.or_insert_with(|| render(products, path))
    }

    fn session(&mut self, request: &Request) -> &mut Session {
        let session = self.sessions.entry(request.session);
        session.or_insert_with(|| Session::begin(request.agent))
    }

    /// A large text, for a moment: what a peak is made of.
    fn daily_report(&self) -> String {
        let line = |session: &Session| {
            let (agent, requests) = (&session.agent, session.requests);
            format!(
                "{requests} requests, {} in the basket, {agent}\n",
                session.basket.len()
            )
        };
        let lines: Vec<String> = self.sessions.values().map(line).collect();
        lines.concat()
    }
}

fn render(products: &[Value], path: &str) -> String {
    let number = path
        .rsplit('/')
        .next()
        .and_then(|text| text.parse::<usize>().ok());
    let product = &products[number.unwrap_or(0) % products.len()];
    format!("<h1>{}</h1>\n<p>{}</p>\n", product["name"], product["text"])
}

fn catalogue() -> String {
    let product = |number: usize| {
        json!({
            "name": format!("Lamp number {number}"),
            "price": number * 13 % 900,
            "text": "A lamp for a table or a shelf, with a switch. ".repeat(1 + number % 8),
            "tags": ["lamp", "light", "home"],
        })
    };
    Value::Array((0..PRODUCTS).map(product).collect()).to_string()
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).unwrap_or_else(|| "target/guide".into());
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder)?;

    tracemalloc::start(64)?; // Enough for the parser's stacks, too.
    let mut service = Service::start(false)?;
    let ([before, after], _) = &ten_minutes(&mut service)?;
    before.dump(folder.join("before.tmsnap.json.gz"))?;
    after.dump(folder.join("after.tmsnap.json.gz"))?;
    println!();
    Text::new()
        .limit(5)
        .write_diff(after, before, &mut io::stdout())?;

    show_holder(&service)?;
    show_peak(&service);
    drop(service);
    tracemalloc::reset_peak();

    println!("\nA session begins when a visitor comes back:");
    let mut mended = Service::start(true)?;
    let (_, grown) = ten_minutes(&mut mended)?;
    tracemalloc::stop();
    assert_eq!(grown, 0, "a line of the mended service still grows");
    check(before, after)
}

/// Prints the memory of each minute, and how many lines hold more than ever before. Returns the snapshots of
/// the sixth minute and the tenth, and how many lines grew in one minute after the sixth, at most.
fn ten_minutes(service: &mut Service) -> Result<([Snapshot; 2], usize), tracemalloc::Error> {
    let mut growth = Growth::new(GroupBy::Line);
    let (mut snapshots, mut grown_later) = (Vec::with_capacity(10), 0);
    println!("minute  live KiB  peak KiB  lines that grew");
    for minute in 1..=10 {
        serve(service, minute);
        let memory = tracemalloc::get_traced_memory();
        let snapshot = tracemalloc::take_snapshot()?;
        let grown = growth.beyond_highest(&snapshot).len();
        let (live, peak) = (memory.current >> 10, memory.peak >> 10);
        println!("{minute:6} {live:9} {peak:9} {grown:16}");
        // What is filled once, such as the pages, is full after some minutes: what still grows then
        // will go on growing.
        if minute > 6 {
            grown_later = grown_later.max(grown);
        }
        snapshots.push(snapshot);
    }
    let (tenth, sixth) = (snapshots.swap_remove(9), snapshots.swap_remove(5));
    Ok(([sixth, tenth], grown_later))
}

fn serve(service: &mut Service, minute: usize) {
    let first = minute * REQUESTS_PER_MINUTE;
    for number in first..first + REQUESTS_PER_MINUTE {
        service.handle(&Request::number(number));
    }
}

/// Which calls allocated a block that is at hand?
fn show_holder(service: &Service) -> Result<(), Box<dyn Error>> {
    let session = service.sessions.values().next().ok_or("nobody came")?;
    let stack = tracemalloc::get_object_traceback(&session.token).ok_or("not traced")?;
    println!("\nA session's token was allocated at");
    for frame in stack.iter().rev() {
        println!("  {frame}  {}", frame.function().unwrap_or_default());
    }
    Ok(())
}

/// How much does one piece of work need for a moment?
fn show_peak(service: &Service) {
    tracemalloc::reset_peak();
    let before = tracemalloc::get_traced_memory().current;
    let report = service.daily_report();
    let peak = tracemalloc::get_traced_memory().peak - before;
    let length = report.len() >> 10;
    println!(
        "\nThe report is {length} KiB long and took {} KiB",
        peak >> 10
    );
}

/// What the guide claims.
fn check(before: &Snapshot, after: &Snapshot) -> Result<(), Box<dyn Error>> {
    let begun = (4 * REQUESTS_PER_MINUTE / 4) as i64;
    let lines = after.compare_to(before, GroupBy::Line)?;
    let first = &lines[0];
    let place = format!("examples/growing_service.rs:{}", line_of("token: vec!"));
    assert_eq!(first.traceback.to_string(), place);
    assert_eq!((first.size_diff, first.count_diff), (256 * begun, begun));

    // The function that begins sessions stands for all lines of a session.
    let functions = after.compare_with(before, GroupBy::Function, Counting::Inclusive)?;
    let named = |group: &&StatisticDiff| group.traceback.to_string().ends_with("::session");
    let session = functions.iter().find(named).ok_or("no such function")?;
    let growth = after.total_size() - before.total_size();
    assert!(session.size_diff > first.size_diff);
    assert!(session.size_diff.unsigned_abs() > growth / 10 * 9);
    Ok(())
}

/// The number of the first line of this file that holds `text`.
fn line_of(text: &str) -> usize {
    let lines = include_str!("growing_service.rs").lines();
    lines.take_while(|line| !line.contains(text)).count() + 1
}
