//! The page as text: what it holds and what it must not. What it does in a browser is checked by
//! `tests/browser`.
#![cfg(feature = "html")]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroU64;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracemalloc::report::Html;
use tracemalloc::{Counting, Domain, ErrorKind, Frame, GroupBy, Snapshot, Trace, Traceback};

const GROUPINGS: [GroupBy; 4] = [
    GroupBy::Line,
    GroupBy::Function,
    GroupBy::File,
    GroupBy::Crate,
];

fn page(html: &Html, snapshot: &Snapshot) -> String {
    let mut out = Vec::new();
    html.write(snapshot, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn diff_page(new: &Snapshot, old: &Snapshot) -> String {
    let mut out = Vec::new();
    Html::new().write_diff(new, old, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The text between the first `start` and the next `end` after it.
#[track_caller]
fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = page.split_once(start).expect(start);
    rest.split_once(end).expect(end).0
}

#[track_caller]
fn payload(page: &str) -> Value {
    let text = between(
        page,
        r#"<script type="application/json" id="payload">"#,
        "</script>",
    );
    serde_json::from_str(text).unwrap()
}

fn stack(frames: impl IntoIterator<Item = Frame>) -> Traceback {
    Traceback::from_oldest_first(frames).unwrap()
}

fn frame(name: &str, line: u32) -> Frame {
    Frame::new(format!("{name}/src/lib.rs"), line)
        .with_function(format!("{name}::f{}", line / 4))
        .with_crate(name)
}

/// Blocks of many sizes at stacks of many shapes: recursion, names without lines, frames of which
/// nothing is known, cut stacks, domains.
fn varied() -> Snapshot {
    let traces = (0..500_u32).map(|number| {
        let frames = (0..number % 7 + 1).map(|level| match (number + level) % 11 {
            0 => Frame::named("libz.so.1!inflate"),
            1 => Frame::new("<unknown>", 0),
            other => frame(["app", "parser", "store"][level as usize % 3], other % 9),
        });
        let mut stack = stack(frames);
        if number % 5 == 0 {
            stack = stack.with_total_nframe(40);
        }
        let domain = Domain(u32::from(number % 13 == 0) * 2);
        Trace::new(domain, u64::from(number) * 37 % 9000, stack)
    });
    Snapshot::from_traces(traces, 25)
}

/// The columns of a list of numbers.
fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|number| number.as_f64().unwrap()).collect()
}

/// What a reader of the payload can add up: bytes and blocks by group, for the most recent frame
/// alone or for every group in a stack.
struct Payload(Value);

impl Payload {
    fn group(&self, by: GroupBy, frame: usize) -> String {
        let row = numbers(&self.0["frames"][frame]);
        let text = |column: usize| self.0["strings"][row[column] as usize].as_str().unwrap();
        let file = text(0);
        match by {
            GroupBy::Line => format!("{file}:{}", row[1]),
            GroupBy::Function if !text(2).is_empty() => text(2).to_owned(),
            GroupBy::Crate if text(3).is_empty() => "<unknown>".to_owned(),
            GroupBy::Crate => text(3).to_owned(),
            _ => file.to_owned(),
        }
    }

    fn sums(&self, by: GroupBy, inclusive: bool) -> BTreeMap<String, (f64, f64)> {
        let sites = &self.0["snapshots"][0];
        let [nodes, bytes, blocks] = ["nodes", "bytes", "blocks"].map(|name| numbers(&sites[name]));
        let (parents, calls) = (numbers(&self.0["parents"]), numbers(&self.0["calls"]));
        let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (site, node) in nodes.iter().enumerate() {
            let mut groups = Vec::new();
            let mut node = *node as usize;
            while node != 0 {
                assert!(parents[node] < node as f64, "callers come first");
                if calls[node] != 0.0 {
                    groups.push(self.group(by, calls[node] as usize));
                }
                node = parents[node] as usize;
            }
            groups.truncate(if inclusive { groups.len() } else { 1 });
            groups.sort();
            groups.dedup();
            for group in groups {
                let sum = sums.entry(group).or_default();
                sum.0 += bytes[site];
                sum.1 += blocks[site];
            }
        }
        sums
    }
}

/// `within` is how far a sum may be off: by rounding, if it is an estimate.
#[track_caller]
fn check_sums(snapshot: &Snapshot, within: f64) {
    let payload = Payload(payload(&page(&Html::new(), snapshot)));
    for by in GROUPINGS {
        let own = snapshot.statistics(by);
        let all = snapshot.statistics_with(by, Counting::Inclusive).unwrap();
        for (inclusive, statistics) in [(false, own), (true, all)] {
            let found = payload.sums(by, inclusive);
            assert_eq!(found.len(), statistics.len(), "{by}");
            for statistic in statistics {
                let frame = statistic.traceback.most_recent();
                let name = match by {
                    GroupBy::Line => format!("{}:{}", frame.filename(), frame.lineno()),
                    _ => frame.filename().to_owned(),
                };
                let (bytes, blocks) = found[&name];
                assert!((bytes - statistic.size as f64).abs() <= within, "{name}");
                assert!((blocks - statistic.count as f64).abs() <= within, "{name}");
            }
        }
    }
}

#[test]
fn sums_agree_with_the_statistics() {
    check_sums(&varied(), 0.0);
}

/// Fractions are kept, so that many small estimates are not rounded one by one.
#[test]
fn sums_of_a_sample_agree_with_the_statistics() {
    let period = NonZeroU64::new(4096).unwrap();
    check_sums(&varied().with_sample_every(period), 1.0);
}

#[test]
fn sizes_and_domains_are_kept_apart() {
    let at = |domain, size| Trace::new(Domain(domain), size, Traceback::of(frame("a", 1)));
    let traces = [
        at(0, 0),
        at(0, 1),
        at(0, 7),
        at(0, 4),
        at(3, 8),
        at(0, u64::MAX),
    ];
    let payload = payload(&page(&Html::new(), &Snapshot::from_traces(traces, 1)));
    let sites = &payload["snapshots"][0];
    assert_eq!(numbers(&sites["domains"]), [0.0, 0.0, 0.0, 0.0, 3.0]);
    assert_eq!(numbers(&sites["classes"]), [0.0, 1.0, 3.0, 64.0, 4.0]);
    assert_eq!(numbers(&sites["blocks"]), [1.0, 1.0, 2.0, 1.0, 1.0]);
    assert_eq!(sites["bytes"][2], 11);
    assert_eq!(sites["bytes"][3], u64::MAX);
}

#[test]
fn tags_and_threads_are_columns_where_there_are_any() {
    let at = |size, tag: Option<&str>| {
        let stack = Traceback::of(frame("a", 1));
        let labelled = tag.map(|tag| stack.clone().with_tag(tag));
        Trace::new(Domain::HEAP, size, labelled.unwrap_or(stack))
    };
    let traces = [at(1, Some("images")), at(2, None), at(4, Some("</script>"))];
    let payload = payload(&page(&Html::new(), &Snapshot::from_traces(traces, 1)));
    let sites = &payload["snapshots"][0];
    let tags = numbers(&sites["tags"]);
    let names = tags.iter().map(|tag| &payload["strings"][*tag as usize]);
    assert_eq!(names.collect::<Vec<_>>(), ["images", "", "</script>"]);
    assert_eq!(numbers(&sites["nodes"]), [1.0; 3]);
    assert!(sites.get("threads").is_none());
}

#[test]
fn two_snapshots_share_their_tables() {
    let old = Snapshot::from_traces(varied().traces().unwrap().take(300), 25);
    let page = diff_page(&varied(), &old);
    let payload = payload(&page);
    assert_eq!(payload["snapshots"].as_array().unwrap().len(), 2);
    let total = |which: usize| {
        numbers(&payload["snapshots"][which]["bytes"])
            .iter()
            .sum::<f64>()
    };
    assert_eq!(total(0), varied().total_size() as f64);
    assert_eq!(total(1), old.total_size() as f64);
    assert!(page.contains("<title>Heap difference</title>"));
}

#[test]
fn nothing_is_a_page_too() {
    let none = Snapshot::from_traces([], 25);
    let text = page(&Html::new(), &none);
    assert!(text.contains("<dd>0 B</dd>"));
    let payload = payload(&text);
    assert_eq!(payload["frames"].as_array().unwrap().len(), 1);
    assert!(numbers(&payload["snapshots"][0]["nodes"]).is_empty());
    assert!(diff_page(&none, &none).contains("<dd>+0 B</dd>"));
}

const HOSTILE: [&str; 8] = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "\"'><a href=javascript:alert(1)>",
    "</title></style></noscript></table>",
    "a\u{2028}b\u{2029}c",
    "\u{0}\u{1b}[2J\r\n\u{7f}\u{9b}",
    "\u{202e}\u{2066}\u{feff}{{payload}}{{script}}&lt;",
];

/// Broken once by writing texts as they are, in the payload and in the header: found by the count
/// of elements, and by the characters.
#[test]
fn no_name_is_a_part_of_the_page() {
    let hostile = |text: &str| {
        let frame = Frame::new(text, 3).with_function(text).with_crate(text);
        Trace::new(Domain::HEAP, 64, stack([Frame::named(text), frame]))
    };
    let mut snapshot = Snapshot::from_traces(HOSTILE.map(hostile), 25);
    for text in HOSTILE {
        snapshot.set_attribute(text, text);
    }
    let harmless = page(&Html::new(), &Snapshot::from_traces([], 25));
    let title = HOSTILE.concat();
    for text in [
        page(&Html::new().title(title.as_str()), &snapshot),
        diff_page(&snapshot, &Snapshot::from_traces([], 25)),
    ] {
        for tag in [
            "<script",
            "</script",
            "<!--",
            "<img",
            "<a ",
            "</title",
            "</style",
            "</noscript",
        ] {
            let expected = harmless.matches(tag).count();
            assert_eq!(text.matches(tag).count(), expected, "{tag}");
        }
        let steers = |c: char| {
            c.is_control() && c != '\n' || "\u{2028}\u{2029}\u{202e}\u{2066}\u{feff}".contains(c)
        };
        assert!(!text.contains(steers), "a character that steers");
        let strings = payload(&text)["strings"].clone();
        assert!(strings.as_array().unwrap().contains(&HOSTILE[0].into()));
    }
}

#[test]
fn the_header_says_what_the_snapshot_does_not_hold() {
    let cut = Traceback::of(frame("a", 1)).with_truncated();
    let mut snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 100_000, cut)], 1);
    snapshot.set_attribute("label", "a & b");
    let text = page(&Html::new(), &snapshot);
    for part in [
        "every allocation recorded",
        "up to 1 frame per stack",
        "label: a &amp; b",
        "Stacks cut at 1 frame: 1 of 1, with 100.0% of the memory.",
        "For more frames: start(2).",
        "<dt>Live</dt><dd>97.7 KiB</dd>",
    ] {
        assert!(text.contains(part), "{part}");
    }
    let sampled = snapshot.with_sample_every(NonZeroU64::new(512 << 10).unwrap());
    let text = page(&Html::new(), &sampled);
    for part in [
        "sampled: one record per 512 KiB on average",
        "Sizes and counts are estimates from 1 record.",
        "<dt>Live, estimated</dt>",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[cfg(feature = "file")]
#[test]
fn the_header_says_how_the_snapshot_was_recorded() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/v1-all-fields.tmsnap.json.gz"
    );
    let snapshot = Snapshot::load(path).unwrap();
    let recording = snapshot.recording();
    let text = page(&Html::new().source_lines(false), &snapshot);
    let process = format!("process {}", recording.process_id.unwrap());
    let peak = format!("<dd>{}</dd>", tracemalloc::Size(recording.peak));
    let lost = format!("Not recorded: {} block", recording.losses.blocks);
    let bare = format!(
        "Recorded without a stack: {} block",
        recording.losses.stacks
    );
    for part in [&process, &peak, &lost, &bare] {
        assert!(text.contains(part.as_str()), "{part}");
    }
    assert!(text.contains("tracer&#39;s own memory "));
    assert!(text.contains("taken "));
}

#[test]
fn without_scripts_the_largest_lines_are_shown() {
    let traces = (1..=30).map(|line| {
        Trace::new(
            Domain::HEAP,
            u64::from(line) * 1000,
            Traceback::of(frame("a", line)),
        )
    });
    let snapshot = Snapshot::from_traces(traces, 1);
    let text = page(&Html::new(), &snapshot);
    let table = between(&text, "<noscript>", "</noscript>");
    assert_eq!(table.matches("<tr><td").count(), 20);
    assert!(table.contains("The 20 largest lines of 30."));
    assert!(
        table.contains(">29.3 KiB</td><td class=\"number\">6.5%</td>"),
        "{table}"
    );
    assert!(table.contains("a/src/lib.rs:11<br>") && !table.contains("a/src/lib.rs:10<br>"));
    let text = diff_page(&Snapshot::from_traces([], 1), &snapshot);
    let table = between(&text, "<noscript>", "</noscript>");
    assert!(table.contains(">−29.3 KiB</td>"), "{table}");
}

#[test]
fn source_lines_can_be_left_out() {
    let at = Frame::new("html.rs", 2).with_path(file!());
    let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 1, Traceback::of(at))], 1);
    let line = "//! `tests/browser`.";
    assert!(page(&Html::new(), &snapshot).contains(line));
    assert!(!page(&Html::new().source_lines(false), &snapshot).contains(line));
}

#[test]
fn full_paths_stay_out() {
    let at = Frame::new("src/main.rs", 2).with_path("/home/somebody/shop/src/main.rs");
    let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 1, Traceback::of(at))], 1);
    assert!(!page(&Html::new(), &snapshot).contains("somebody"));
}

/// Hashes of the script and the style, in the order in which the policy names them. After a change
/// of either, `TRACEMALLOC_BLESS=1 cargo test --features html --test html` rewrites them.
#[test]
fn the_policy_allows_the_pages_own_script_and_style_alone() {
    let text = page(&Html::new(), &Snapshot::from_traces([], 1));
    let hash = |text: &str| {
        // As browsers read it.
        let text = text.replace("\r\n", "\n");
        format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
    };
    let script = hash(between(&text, "<script type=\"module\">", "</script>"));
    let style = hash(between(&text, "<style>", "</style>"));
    let expected = format!(
        "default-src 'none'; script-src {script}; style-src {style}; img-src data:; \
         base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'"
    );
    if std::env::var_os("TRACEMALLOC_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/report/html/policy.txt");
        std::fs::write(path, format!("{expected}\n")).unwrap();
        return;
    }
    let found = between(
        &text,
        "http-equiv=\"Content-Security-Policy\" content=\"",
        "\"",
    );
    assert_eq!(found, expected);
}

/// A writer that is full after a number of bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        match taken {
            0 => Err(io::ErrorKind::StorageFull.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn errors_of_the_writer_come_back() {
    let snapshot = varied();
    let whole = page(&Html::new(), &snapshot).len();
    for room in (0..whole).step_by(whole / 50).chain([whole - 1]) {
        let error = Html::new().write(&snapshot, &mut Full(room)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{room}");
    }
    Html::new().write(&snapshot, &mut Full(whole)).unwrap();
    let error = Html::new()
        .write_diff(&snapshot, &snapshot, &mut Full(whole / 2))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}
