//! Totals, sizes of blocks, domains, crates, and what was not recorded.

use clap::Args;
use serde_json::{Value, json};
use tracemalloc::report::Summary;
use tracemalloc::{Advice, GroupBy, Losses, Pattern, Snapshot};

use crate::failure::Failure;
use crate::flags::{Format, Subject, limit};
use crate::input::Selection;
use crate::output::{Content, Destination};

/// Show totals, the sizes of blocks, domains and crates.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tracemalloc stats app.tmsnap.json.gz
  tracemalloc stats app.tmsnap.json.gz --crate serde_json
  tracemalloc stats app.tmsnap.json.gz --format json")]
pub(crate) struct Options {
    #[command(flatten)]
    subject: Subject,

    /// How many crates to show, or `all`.
    #[arg(long, short = 'n', value_name = "N", default_value = "10", value_parser = limit)]
    limit: usize,

    /// The form of the output.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    destination: Destination,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let snapshot = options.selection.load(&options.subject.path)?;
    match options.format {
        Format::Text => options.destination.write(Content::Text, |out| {
            let summary = Summary::new()
                .limit(options.limit)
                .color(out.color)
                .width(out.width);
            Ok(summary.write(&snapshot, out)?)
        }),
        Format::Json => {
            let value = as_json(&snapshot, options.limit);
            options
                .destination
                .write(Content::Data, |out| out.json(&value))
        }
    }
}

fn as_json(snapshot: &Snapshot, limit: usize) -> Value {
    let recording = snapshot.recording();
    let classes: Option<Vec<Value>> = snapshot.size_classes().ok().map(|classes| {
        let values = classes.iter().map(|class| {
            json!({
                "min": class.min, "max": class.max,
                "size": class.size, "count": class.count,
            })
        });
        values.collect()
    });
    let domains: Vec<Value> = snapshot
        .domains()
        .iter()
        .map(|total| json!({"domain": total.domain.0, "size": total.size, "count": total.count}))
        .collect();
    let crates: Vec<Value> = snapshot
        .statistics(GroupBy::Crate)
        .iter()
        .take(limit)
        .map(|group| {
            let name = group.traceback.most_recent().filename();
            json!({"crate": name, "size": group.size, "count": group.count})
        })
        .collect();
    let advice: Vec<Value> = snapshot.advice().iter().map(advice_as_json).collect();
    json!({
        "size": snapshot.total_size(),
        "count": snapshot.block_count(),
        "peak": recording.peak,
        "tracer_memory": recording.tracer_memory,
        "resident_memory": recording.resident_memory,
        "allocator_memory": recording.allocator_memory,
        "sample_every": snapshot.sample_every(),
        "losses": losses(&recording.losses),
        "size_classes": classes,
        "domains": domains,
        "crates": crates,
        "advice": advice,
    })
}

fn advice_as_json(advice: &Advice) -> Value {
    let frame = advice.traceback.most_recent();
    let pattern = match advice.pattern {
        Pattern::Growth { .. } => "growth",
        Pattern::Temporaries { .. } => "temporaries",
        Pattern::TinyBlocks { .. } => "tiny_blocks",
        Pattern::TinyBlocksAtPeak { .. } => "tiny_blocks_at_peak",
        _ => "other",
    };
    json!({
        "filename": frame.filename(),
        "lineno": frame.lineno(),
        "pattern": pattern,
        "text": advice.pattern.to_string(),
    })
}

pub(crate) fn losses(losses: &Losses) -> Value {
    losses.by_name().collect()
}
