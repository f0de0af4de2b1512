//! Writes pages into the folder that is its argument, and `expected.json`: what they must show, as
//! the library itself counts it.

mod service;
mod shop;

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tracemalloc::report::Html;
use tracemalloc::{
    BlockSum, Counting, Domain, Frame, GroupBy, Snapshot, StackHistory, Trace, Traceback, View,
};

/// Distinct stacks of the large page.
const MANY: usize = 50_000;

/// Names that a page must not take for a part of itself. Each would set `window.hit` or move away.
const HOSTILE: [&str; 9] = [
    "</script><script>window.hit=1</script>",
    "<img src=x onerror=window.hit=2>",
    "<!--<script>",
    "]]><svg onload=window.hit=3>",
    "\"'><a href=javascript:window.hit=4>x</a>",
    "</title></style></noscript><iframe src=https://example.invalid>",
    "line\u{2028}separator\u{2029}and\u{0}control\u{1b}[2J",
    "right\u{202e}to left\u{2066}",
    "{{payload}}&lt;&#60;",
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("the folder is missing")?);
    let (old, new) = (shop::snapshot(30)?, shop::snapshot(41)?);
    write(&folder, "heap", &new)?;
    let mut out = File::create(folder.join("diff.html"))?;
    Html::new().write_diff(&new, &old, &mut out)?;
    write(&folder, "empty", &Snapshot::from_traces([], 25))?;
    write(&folder, "hostile", &hostile())?;
    write(&folder, "many", &many())?;
    let (old_service, service) = (service::snapshot(20), service::snapshot(50));
    write(&folder, "service", &service)?;
    let mut out = File::create(folder.join("service-diff.html"))?;
    Html::new().write_diff(&service, &old_service, &mut out)?;
    let history = with_history(&shop::snapshot(3)?, &new);
    write(&folder, "history", &history)?;
    let expected = json!({
        "history": views(&history)?,
        "statistics": statistics(&new)?,
        "service": {
            "own": groups(&service.own_code(), GroupBy::Line),
            "all": groups(&service, GroupBy::Line),
            "type": groups(&service, GroupBy::Type),
            "tag": groups(&service, GroupBy::Tag),
            "thread": groups(&service, GroupBy::Thread),
            "change": service
                .own_code()
                .compare_to(&old_service.own_code(), GroupBy::Line)?
                .iter()
                .map(|change| json!([place(&change.traceback), change.size_diff]))
                .collect::<Vec<_>>(),
        },
        "changes": new
            .compare_to(&old, GroupBy::Line)?
            .iter()
            .map(|change| json!([place(&change.traceback), change.size_diff, change.count_diff]))
            .collect::<Vec<_>>(),
        "hostile": HOSTILE.len(),
        "many": MANY,
        "manySize": many().total_size(),
    });
    fs::write(folder.join("expected.json"), expected.to_string())?;
    Ok(())
}

/// What the snapshot was at its peak, and ten times that allocated in all.
fn with_history(live: &Snapshot, peak: &Snapshot) -> Snapshot {
    let rows = peak
        .statistics(GroupBy::Traceback)
        .into_iter()
        .map(|stack| {
            let mut history = StackHistory::default();
            history.at_peak = BlockSum::new(stack.size, stack.count);
            history.allocated = BlockSum::new(10 * stack.size, 10 * stack.count);
            history.temporary = BlockSum::new(stack.size, stack.count);
            (stack.traceback, Domain::HEAP, history)
        });
    live.clone().with_history(rows)
}

/// The bytes of each view, and its lines with their bytes.
fn views(snapshot: &Snapshot) -> Result<Value, Box<dyn Error>> {
    let mut views = Map::new();
    for view in [View::Live, View::AtPeak, View::Allocated, View::Temporary] {
        let part = snapshot.view(view)?;
        let lines = part.statistics(GroupBy::Line);
        let lines: Map<String, Value> = lines
            .iter()
            .map(|line| (place(&line.traceback), json!(line.size)))
            .collect();
        views.insert(
            view.name().to_owned(),
            json!({"size": part.total_size(), "lines": lines}),
        );
    }
    Ok(Value::Object(views))
}

fn write(folder: &Path, name: &str, snapshot: &Snapshot) -> Result<(), Box<dyn Error>> {
    let mut out = File::create(folder.join(format!("{name}.html")))?;
    Html::new().title(name).write(snapshot, &mut out)?;
    Ok(())
}

fn place(stack: &Traceback) -> String {
    let frame = stack.most_recent();
    if frame.lineno() == 0 {
        frame.filename().to_owned()
    } else {
        frame.to_string()
    }
}

/// Groups with their bytes, the largest first.
fn groups(snapshot: &Snapshot, by: GroupBy) -> Value {
    let groups = snapshot.statistics(by);
    let groups = groups
        .iter()
        .map(|group| json!([place(&group.traceback), group.size]));
    groups.collect()
}

/// By grouping: each group with its own bytes and blocks, and those with what it calls.
fn statistics(snapshot: &Snapshot) -> Result<Value, Box<dyn Error>> {
    let mut groupings = Map::new();
    for group_by in [
        GroupBy::Line,
        GroupBy::Function,
        GroupBy::File,
        GroupBy::Crate,
    ] {
        let mut groups: Map<String, Value> = Map::new();
        for all in snapshot.statistics_with(group_by, Counting::Inclusive)? {
            groups.insert(place(&all.traceback), json!([0, 0, all.size, all.count]));
        }
        for own in snapshot.statistics(group_by) {
            let group = &mut groups[&place(&own.traceback)];
            group[0] = own.size.into();
            group[1] = own.count.into();
        }
        groupings.insert(group_by.to_string(), groups.into());
    }
    Ok(groupings.into())
}

/// Every hostile text as a function, a file and a crate, and as an attribute.
fn hostile() -> Snapshot {
    let traces = HOSTILE.iter().zip(1..).map(|(text, number)| {
        let frame = Frame::new(*text, number)
            .with_function(*text)
            .with_crate(*text);
        let stack = [Frame::named(*text), frame];
        let stack = Traceback::from_oldest_first(stack).expect("a stack of some frames");
        Trace::new(Domain::HEAP, 1000 * u64::from(number), stack)
    });
    let mut snapshot = Snapshot::from_traces(traces, 25);
    for text in HOSTILE {
        snapshot.set_attribute(text, text);
    }
    snapshot
}

/// As many stacks as a large program has, 21 to 30 frames deep.
fn many() -> Snapshot {
    let frames: Vec<Frame> = (0..4000)
        .map(|number| {
            let krate = format!("crate_{}", number % 40);
            Frame::new(
                format!("{krate}/src/module_{}.rs", number % 300),
                number + 1,
            )
            .with_function(format!(
                "{krate}::module_{}::function_{number}",
                number % 300
            ))
            .with_crate(krate)
        })
        .collect();
    let traces = (0..MANY).map(|number| {
        let depth = 20 + number % 10;
        let frame = |level: usize| {
            // One caller at the top, and twice as many at each level below.
            let callers = MANY.min(1 << level);
            frames[(level * 131 + number * callers / MANY * 7) % frames.len()].clone()
        };
        // Few functions allocate, on behalf of many.
        let allocating = frames[number % 50].clone();
        let stack = (0..depth).map(frame).chain([allocating]);
        let stack = Traceback::from_oldest_first(stack).expect("a stack of some frames");
        Trace::new(Domain::HEAP, 16 + number as u64 % 5000, stack)
    });
    Snapshot::from_traces(traces, 40)
}
