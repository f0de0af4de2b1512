//! What each section of a case asks, put to the crate.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};
use tracemalloc::{
    Counting, Domain, ErrorKind, Filter, Frame, GroupBy, SizeDiff, Snapshot, Statistic,
    StatisticDiff, Trace, Traceback,
};

use super::case::{
    Case, Outcome, check_keys, each, flag, index, member, number, optional, parts, text, texts,
};

pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Case, &Value) -> Result<Vec<Outcome>, String>,
}

pub(crate) const SECTIONS: [Section; 12] = [
    section("statistics", statistics),
    section("compare", compare),
    section("filters", filters),
    section("match", matches),
    section("trace_text", trace_text),
    section("stack_order", stack_order),
    section("stack_equal", stack_equal),
    section("stack_text", stack_text),
    section("frame_order", frame_order),
    section("format", format),
    section("sizes", sizes),
    section("errors", errors),
];

const fn section(
    name: &'static str,
    run: fn(&Case, &Value) -> Result<Vec<Outcome>, String>,
) -> Section {
    Section { name, run }
}

fn statistics(case: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    each(rows, |row| {
        check_keys(row, &["snapshot", "key", "cumulative", "result"])?;
        let snapshot = case.snapshot(row, "snapshot")?;
        let found = summed(snapshot, text(&row["key"])?, flag(&row["cumulative"])?)
            .map_err(|error| error.to_string())?;
        let found: Value = found
            .iter()
            .map(|group| {
                let frames = case.frames(&group.traceback);
                json!([frames, group.size, group.count, group.to_string()])
            })
            .collect();
        Ok(Outcome::new(row["result"].clone(), found))
    })
}

fn compare(case: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    each(rows, |row| {
        check_keys(row, &["old", "new", "key", "cumulative", "result"])?;
        let (old, new) = (case.snapshot(row, "old")?, case.snapshot(row, "new")?);
        let found = compared(old, new, text(&row["key"])?, flag(&row["cumulative"])?)
            .map_err(|error| error.to_string())?;
        let found: Value = found
            .iter()
            .map(|group| {
                json!([
                    case.frames(&group.traceback),
                    group.size,
                    group.size_diff,
                    group.count,
                    group.count_diff,
                    group.to_string(),
                ])
            })
            .collect();
        Ok(Outcome::new(row["result"].clone(), found))
    })
}

fn summed(
    snapshot: &Snapshot,
    key: &str,
    cumulative: bool,
) -> Result<Vec<Statistic>, tracemalloc::Error> {
    let group_by: GroupBy = key.parse()?;
    if cumulative {
        snapshot.statistics_with(group_by, Counting::Cumulative)
    } else {
        Ok(snapshot.statistics(group_by))
    }
}

fn compared(
    old: &Snapshot,
    new: &Snapshot,
    key: &str,
    cumulative: bool,
) -> Result<Vec<StatisticDiff>, tracemalloc::Error> {
    let group_by: GroupBy = key.parse()?;
    if cumulative {
        new.compare_with(old, group_by, Counting::Cumulative)
    } else {
        new.compare_to(old, group_by)
    }
}

/// Blocks are identified by value, so the blocks at the expected positions are compared: blocks
/// that are equal share their fate.
fn filters(case: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    each(rows, |row| {
        check_keys(row, &["snapshot", "steps", "kept", "tags"])?;
        let whole = case.snapshot(row, "snapshot")?;
        let steps = each(&row["steps"], |step| each(step, filter))?;
        let kept = steps.iter().fold(whole.clone(), |snapshot, filters| {
            snapshot.filter_traces(filters)
        });
        if kept.traceback_limit() != whole.traceback_limit() {
            return Err("the limit changed".to_owned());
        }
        let all = whole.traces().unwrap();
        let expected: Value = each(&row["kept"], index)?
            .into_iter()
            .map(|position| blocks(case, all.get(position)))
            .collect();
        let found: Value = kept
            .traces()
            .unwrap()
            .map(|trace| blocks(case, Some(trace)))
            .collect();
        Outcome::new(expected, found).tagged(row)
    })
}

fn blocks(case: &Case, trace: Option<Trace>) -> Value {
    trace.map_or(Value::Null, |trace| {
        let depth = trace.traceback.total_nframe();
        json!([
            trace.domain.0,
            trace.size,
            case.frames(&trace.traceback),
            depth
        ])
    })
}

fn filter(value: &Value) -> Result<Filter, String> {
    let inclusive = flag(member(value, "inclusive")?)?;
    match text(member(value, "kind")?)? {
        "domain" => {
            check_keys(value, &["kind", "inclusive", "domain"])?;
            let domain = Domain(number(&value["domain"])?);
            Ok(if inclusive {
                Filter::include_domain(domain)
            } else {
                Filter::exclude_domain(domain)
            })
        }
        "file" => file_filter(inclusive, value),
        kind => Err(format!("unknown kind of filter {kind:?}")),
    }
}

fn file_filter(inclusive: bool, value: &Value) -> Result<Filter, String> {
    check_keys(
        value,
        &[
            "kind",
            "inclusive",
            "pattern",
            "lineno",
            "all_frames",
            "domain",
        ],
    )?;
    let pattern = text(&value["pattern"])?;
    let mut filter = if inclusive {
        Filter::include(pattern)
    } else {
        Filter::exclude(pattern)
    };
    if let Some(line) = optional(&value["lineno"])? {
        filter = filter.with_line(line);
    }
    if flag(&value["all_frames"])? {
        filter = filter.all_frames();
    }
    if let Some(domain) = optional(&value["domain"])? {
        filter = filter.in_domain(Domain(domain));
    }
    Ok(filter)
}

fn matches(_: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    each(rows, |row| {
        check_keys(row, &["pattern", "normalized", "names", "matched", "tags"])?;
        let filter = Filter::include(text(&row["pattern"])?);
        let matched: Value = each(&row["names"], |name| {
            let stack = Traceback::of(Frame::new(text(name)?, 1));
            let block = Trace::new(Domain::HEAP, 1, stack);
            Ok(Snapshot::from_traces([block], 1)
                .filter_traces([&filter])
                .block_count()
                == 1)
        })?
        .into();
        Outcome::new(
            json!([row["normalized"], row["matched"]]),
            json!([filter.pattern(), matched]),
        )
        .tagged(row)
    })
}

fn trace_text(case: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    let found = case.snapshots().iter().map(|snapshot| {
        let texts: Vec<String> = snapshot
            .traces()
            .unwrap()
            .map(|trace| trace.to_string())
            .collect();
        texts.into()
    });
    row_by_row(rows, found.collect())
}

fn stack_order(case: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    let mut order: Vec<usize> = (0..case.stacks.len()).collect();
    order.sort_by(|&a, &b| case.stacks[a].cmp(&case.stacks[b]));
    row_by_row(rows, order.into_iter().map(Value::from).collect())
}

/// For each stack: which others are equal to it, and which of those have the same hash.
fn stack_equal(case: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    let groups = each(rows, |row| each(row, index))?;
    let hashes: Vec<u64> = case.stacks.iter().map(hash).collect();
    let outcome = |stack: usize| {
        let alone = vec![stack];
        let expected = groups.iter().find(|group| group.contains(&stack));
        let expected = expected.unwrap_or(&alone).clone();
        let equal: Vec<usize> = (0..case.stacks.len())
            .filter(|&other| case.stacks[other] == case.stacks[stack])
            .collect();
        let same_hash = equal.iter().all(|&other| hashes[other] == hashes[stack]);
        Outcome::new(json!([expected, true]), json!([equal, same_hash]))
    };
    Ok((0..case.stacks.len()).map(outcome).collect())
}

fn hash(stack: &Traceback) -> u64 {
    let mut hasher = DefaultHasher::new();
    stack.hash(&mut hasher);
    hasher.finish()
}

fn stack_text(case: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    let texts = case.stacks.iter().map(|stack| stack.to_string().into());
    row_by_row(rows, texts.collect())
}

fn frame_order(case: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    let mut frames: Vec<Frame> = case.stacks.iter().flatten().cloned().collect();
    frames.sort();
    frames.dedup();
    let frames = frames.chunks(1).map(|frame| case.frames(frame)[0].take());
    row_by_row(rows, frames.collect())
}

fn format(case: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    each(rows, |row| {
        check_keys(
            row,
            &["stack", "limit", "most_recent_first", "lines", "tags"],
        )?;
        let stack = index(&row["stack"])?;
        let stack = case.stacks.get(stack).ok_or("no such stack")?;
        let limit = optional(&row["limit"])?;
        let found = stack.format(limit, flag(&row["most_recent_first"])?);
        Outcome::new(texts(&row["lines"])?, found).tagged(row)
    })
}

fn sizes(_: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    each(rows, |row| {
        let [value, plain, signed] = parts(row)?;
        let size = SizeDiff(number(value)?);
        let found = json!([size.to_string(), format!("{size:+}")]);
        Ok(Outcome::new(json!([plain, signed]), found))
    })
}

fn errors(case: &Case, rows: &Value) -> Result<Vec<Outcome>, String> {
    each(rows, |row| {
        check_keys(row, &["op", "key", "cumulative", "error"])?;
        let (key, cumulative) = (text(&row["key"])?, flag(&row["cumulative"])?);
        let [first, .., last] = case.snapshots() else {
            return Err("needs two snapshots".to_owned());
        };
        let error = match text(&row["op"])? {
            "statistics" => summed(first, key, cumulative).err(),
            "compare_to" => compared(last, first, key, cumulative).err(),
            op => return Err(format!("unknown operation {op:?}")),
        };
        let found = match error.map(|error| error.kind()) {
            Some(ErrorKind::UnknownKey) => "unknown-key".into(),
            Some(ErrorKind::CumulativeTraceback) => "cumulative-traceback".into(),
            other => format!("{other:?}"),
        };
        Ok(Outcome::new(row["error"].clone(), found))
    })
}

/// Sets a list of expected values beside as many found ones.
fn row_by_row(expected: &Value, found: Vec<Value>) -> Result<Vec<Outcome>, String> {
    let expected = each(expected, |value| Ok(value.clone()))?;
    if expected.len() != found.len() {
        let (expected, found) = (expected.len(), found.len());
        return Err(format!("{expected} rows expected, {found} found"));
    }
    let pairs = expected.into_iter().zip(found);
    Ok(pairs
        .map(|(expected, found)| Outcome::new(expected, found))
        .collect())
}
