//! Who called whom.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};
use tracemalloc::report::Tree;
use tracemalloc::{CallNode, CallOrder, GroupBy, Snapshot};

use crate::failure::Failure;
use crate::flags::{Format, Subject, Weight, limit};
use crate::input::Selection;
use crate::output::{Content, Destination};

/// Show which calls led to the memory, as an indented tree.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tracemalloc tree app.tmsnap.json.gz
  tracemalloc tree app.tmsnap.json.gz --inverted --by function
  tracemalloc tree app.tmsnap.json.gz --threshold 0.1 --depth all")]
pub(crate) struct Options {
    #[command(flatten)]
    subject: Subject,

    /// Begin at the frames that made the allocations, with their callers below.
    #[arg(long)]
    inverted: bool,

    /// What a node of the tree is.
    #[arg(long, value_name = "KEY", default_value = "line", value_parser = nodes())]
    by: GroupBy,

    /// What calls are ordered by, and what decides which are shown.
    #[arg(long, value_name = "KEY", default_value = "bytes")]
    weight: Weight,

    /// How many calls to follow from the root, or `all`.
    #[arg(long, value_name = "N", default_value = "25", value_parser = limit)]
    depth: usize,

    /// The share of the whole that a call needs to be shown, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "1", value_parser = percent)]
    threshold: f64,

    /// The form of the output. JSON has every call and ignores depth and threshold.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    destination: Destination,
}

fn nodes() -> impl TypedValueParser<Value = GroupBy> {
    PossibleValuesParser::new(["file", "line", "function", "crate"])
        .try_map(|name| name.parse::<GroupBy>())
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse();
    number
        .ok()
        .filter(|share| (0.0..=100.0).contains(share))
        .ok_or_else(|| "expected a number from 0 to 100".to_owned())
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let snapshot = options.selection.load(&options.subject.path)?;
    let order = match options.inverted {
        true => CallOrder::BottomUp,
        false => CallOrder::TopDown,
    };
    match options.format {
        Format::Text => options.destination.write(Content::Text, |out| {
            let tree = Tree::new()
                .group_by(options.by)
                .order(order)
                .weight(options.weight.into())
                .depth(options.depth)
                .min_share(options.threshold / 100.0)
                .color(out.color)
                .width(out.width);
            Ok(tree.write(&snapshot, out)?)
        }),
        Format::Json => {
            let value = as_json(&snapshot, options.by, order);
            options
                .destination
                .write(Content::Data, |out| out.json(&value))
        }
    }
}

/// A flat list, callers before what they call: stacks may be deeper than readers of nested JSON
/// like to go.
fn as_json(snapshot: &Snapshot, group_by: GroupBy, order: CallOrder) -> Value {
    let tree = snapshot.call_tree(group_by, order);
    let mut calls = Vec::new();
    let mut waiting: Vec<(Option<usize>, CallNode<'_>)> =
        tree.roots().rev().map(|node| (None, node)).collect();
    while let Some((parent, node)) = waiting.pop() {
        let id = calls.len();
        calls.push(call(parent, node));
        waiting.extend(node.children().rev().map(|child| (Some(id), child)));
    }
    json!({
        "by": group_by.to_string(),
        "inverted": order == CallOrder::BottomUp,
        "size": snapshot.total_size(),
        "count": snapshot.block_count(),
        "sample_every": snapshot.sample_every(),
        "calls": calls,
    })
}

/// `parent` is an index into the list.
fn call(parent: Option<usize>, node: CallNode<'_>) -> Value {
    let frame = node.frame();
    json!({
        "parent": parent,
        "name": frame.to_string(),
        "function": frame.function(),
        "size": node.size(),
        "count": node.count(),
        "own_size": node.own_size(),
        "own_count": node.own_count(),
    })
}
