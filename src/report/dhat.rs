//! Profiles in the form of Valgrind's DHAT.

use std::io::{self, BufWriter, Write};

use serde::{Serialize, Serializer};

use super::calls::{function, shown};
use super::merged::{Amount, Merged};
use super::roots;
use crate::snapshot::{BlockSum, Frame, Site, Snapshot, View};

/// The only version that the viewers read.
const VERSION: u32 = 2;

/// Microseconds of a lifetime that the viewer calls short.
const SHORT: u64 = 10;

/// The name of the root, which has the index 0 and is a part of no stack.
const ROOT: &str = "[root]";

/// A profile in the JSON of Valgrind's DHAT, version 2: for `dh_view.html`, which comes with Valgrind,
/// and for the Firefox Profiler.
///
/// With [history](Snapshot::has_history) it has for each stack what DHAT itself records: all that was
/// allocated, which the viewer calls total, the lifetimes, the stack's own highest (max), what was live
/// at the program's peak (at t-gmax), and what is live (at t-end). The viewer sorts by any of them.
/// Without history, or of another [view](Snapshot::view), the totals are the bytes and blocks of the
/// snapshot, and the file says that the rest is not there. Accesses are never there. When the peak was
/// and how long the program ran is not known: those times are 0.
///
/// Lifetimes are microseconds, from a clock that moves every few milliseconds. Where stacks of the same
/// text are one, the highest is the sum of theirs, which they need not have reached together.
///
/// A frame reads `0xADDRESS: FUNCTION (FILE:LINE:COLUMN)`, as far as that is known. The address is
/// the offset of the call in its module, 0 if that is not known; the functions inlined into a call
/// have its address. Stacks of the same text are one. Characters in names that would steer a
/// terminal are escapes.
///
/// Blocks of a [domain](crate::Domain) other than the heap have a frame such as `[domain 1]` below them, those of
/// a [tag](crate::Tag) `[tag images]`, and `[thread worker]` where the thread's name is known.
/// That the numbers of a [sampled](Snapshot::sample_every) snapshot are estimates stands in the
/// mode. What the recording could not hold is not said.
///
/// ```
/// use tracemalloc::report::Dhat;
/// use tracemalloc::Snapshot;
///
/// let mut out = Vec::new();
/// Dhat::new().write(&Snapshot::from_traces([], 25), &mut out)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Dhat {}

impl Dhat {
    /// The one form there is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the profile of `snapshot`.
    ///
    /// # Errors
    ///
    /// What `out` returns.
    pub fn write(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        let sites = snapshot.sites();
        let merged = Merged::of_sites(&sites, name, roots, Part::of_site);
        let has_history = snapshot.has_history();
        let document = Document {
            version: VERSION,
            mode: mode(snapshot),
            verb: match snapshot.viewed() {
                _ if has_history => "Allocated",
                View::Live | View::AtPeak => "Live",
                View::Allocated | View::Temporary => "Allocated",
            },
            has_lifetimes: has_history,
            has_accesses: false,
            time_unit: "µs",
            time_unit_million: "s",
            peak: has_history.then_some(0),
            short: has_history.then_some(SHORT),
            command: command(snapshot),
            process_id: snapshot.recording().process_id.unwrap_or(0),
            end: 0,
            points: Points {
                stacks: &merged.stacks,
                has_history,
            },
            frames: Frames(&merged.names),
        };
        let mut out = BufWriter::new(out);
        serde_json::to_writer(&mut out, &document)?;
        writeln!(out)?;
        out.flush()
    }
}

/// Every field has to be there.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "dhatFileVersion")]
    version: u32,
    mode: String,
    verb: &'static str,
    /// With it six more fields of each point would have to be there.
    #[serde(rename = "bklt")]
    has_lifetimes: bool,
    #[serde(rename = "bkacc")]
    has_accesses: bool,
    #[serde(rename = "tu")]
    time_unit: &'static str,
    #[serde(rename = "Mtu")]
    time_unit_million: &'static str,
    /// When the peak was.
    #[serde(rename = "tg", skip_serializing_if = "Option::is_none")]
    peak: Option<u64>,
    #[serde(rename = "tuth", skip_serializing_if = "Option::is_none")]
    short: Option<u64>,
    #[serde(rename = "cmd")]
    command: String,
    #[serde(rename = "pid")]
    process_id: u32,
    #[serde(rename = "te")]
    end: u64,
    #[serde(rename = "pps")]
    points: Points<'a>,
    #[serde(rename = "ftbl")]
    frames: Frames<'a>,
}

/// What is known of a site, as amounts side by side.
struct Part;

impl Part {
    const LIVE: usize = 0;
    const ALLOCATED: usize = 1;
    const HIGHEST: usize = 2;
    const AT_PEAK: usize = 3;
    /// No bytes: microseconds.
    const LIFETIME: usize = 4;

    fn of_site(site: &Site<'_>) -> [Amount; 5] {
        let history = &site.history;
        let sum = |sum: BlockSum| Amount::new(sum.size, sum.count);
        let mut parts = [Amount::default(); 5];
        parts[Self::LIVE] = Amount::new(site.size, site.count);
        parts[Self::ALLOCATED] = sum(history.allocated);
        parts[Self::HIGHEST] = sum(history.highest);
        parts[Self::AT_PEAK] = sum(history.at_peak);
        parts[Self::LIFETIME] = Amount::new(history.lifetime, 0);
        parts
    }
}

/// The program points: stacks with their blocks.
struct Points<'a> {
    stacks: &'a [(Box<[u32]>, [Amount; 5])],
    has_history: bool,
}

impl Serialize for Points<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.stacks.iter().map(|(stack, parts)| {
            let live = parts[Part::LIVE];
            let (total, history) = match self.has_history {
                true => (parts[Part::ALLOCATED], Some(History::of(parts))),
                false => (live, None),
            };
            Point {
                bytes: total.size,
                blocks: total.count,
                history,
                // The most recent frame comes first, and the root is no part of it.
                stack: stack.iter().rev().map(|frame| frame + 1).collect(),
            }
        }))
    }
}

#[derive(Serialize)]
struct Point {
    #[serde(rename = "tb")]
    bytes: u64,
    #[serde(rename = "tbk")]
    blocks: u64,
    #[serde(flatten)]
    history: Option<History>,
    #[serde(rename = "fs")]
    stack: Vec<u32>,
}

#[derive(Serialize)]
struct History {
    #[serde(rename = "tl")]
    lifetime: u64,
    #[serde(rename = "mb")]
    highest_bytes: u64,
    #[serde(rename = "mbk")]
    highest_blocks: u64,
    #[serde(rename = "gb")]
    peak_bytes: u64,
    #[serde(rename = "gbk")]
    peak_blocks: u64,
    #[serde(rename = "eb")]
    end_bytes: u64,
    #[serde(rename = "ebk")]
    end_blocks: u64,
}

impl History {
    fn of(parts: &[Amount; 5]) -> Self {
        let (highest, peak) = (parts[Part::HIGHEST], parts[Part::AT_PEAK]);
        let live = parts[Part::LIVE];
        Self {
            lifetime: parts[Part::LIFETIME].size,
            highest_bytes: highest.size,
            highest_blocks: highest.count,
            peak_bytes: peak.size,
            peak_blocks: peak.count,
            end_bytes: live.size,
            end_blocks: live.count,
        }
    }
}

struct Frames<'a>(&'a [String]);

impl Serialize for Frames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.0.iter().map(String::as_str);
        serializer.collect_seq(std::iter::once(ROOT).chain(names))
    }
}

fn mode(snapshot: &Snapshot) -> String {
    let what = match snapshot.viewed() {
        _ if snapshot.has_history() => "heap".to_owned(),
        View::Live => "live blocks".to_owned(),
        view => view.to_string(),
    };
    match snapshot.sample_every() {
        None => what,
        Some(period) => {
            format!("{what}, estimated from a sample of one record per {period} bytes allocated")
        }
    }
}

/// The program, which is the oldest frame's module unless that is a library.
fn command(snapshot: &Snapshot) -> String {
    let frames = snapshot
        .stacks()
        .iter()
        .flat_map(|stack| stack.newest_first());
    let mut modules = frames.filter_map(Frame::code).map(|(module, _)| module);
    let program = modules.find(|module| !module.is_library());
    program.map_or("unknown".into(), |module| shown(&module.path).into_owned())
}

fn roots(site: &Site<'_>) -> Vec<String> {
    roots::of(site).collect()
}

fn name(frame: &Frame, offset: Option<u64>) -> String {
    let mut name = format!("{:#x}: {}", offset.unwrap_or(0), function(frame));
    if !frame.is_named() {
        name += &format!(" ({}", shown(frame.filename()));
        if frame.lineno() > 0 {
            name += &format!(":{}", frame.lineno());
            if frame.column() > 0 {
                name += &format!(":{}", frame.column());
            }
        }
        name.push(')');
    } else if let Some((module, _)) = frame.code() {
        name += &format!(" (in {})", shown(&module.path));
    }
    name
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::snapshot::Module;

    #[test]
    fn a_frame_says_what_is_known() {
        #[track_caller]
        fn check(frame: &Frame, offset: Option<u64>, shown: &str) {
            assert_eq!(name(frame, offset), shown);
        }
        let place = Frame::new("src/main.rs", 12);
        check(&place, None, "0x0: src/main.rs (src/main.rs:12)");
        let full = place.with_function("app::main").with_column(9);
        check(&full, Some(4096), "0x1000: app::main (src/main.rs:12:9)");
        let lineless = Frame::new("src/main.rs", 0)
            .with_function("app::main")
            .with_column(9);
        check(&lineless, None, "0x0: app::main (src/main.rs)");
        let named = Frame::named("malloc");
        check(&named, None, "0x0: malloc");
        let libc = Arc::new(Module::new("/lib/libc.so.6", None));
        let coded = named.with_code(libc, 16);
        check(&coded, Some(16), "0x10: malloc (in /lib/libc.so.6)");
        let hostile = Frame::new("\u{202e}", 1).with_function("\x1b");
        check(&hostile, None, "0x0: \\u{1b} (\\u{202e}:1)");
    }
}
