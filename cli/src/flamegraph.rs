//! A flame graph as a picture.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use inferno::flamegraph::color::{BasicPalette, Palette};
use inferno::flamegraph::{Direction, Options as Graph};
use tracemalloc::report::Folded;
use tracemalloc::{CallOrder, GroupBy, Size, Snapshot};

use crate::failure::Failure;
use crate::flags::{Subject, Weight, capitalised};
use crate::input::{Selection, warn};
use crate::output::{Content, Destination};

/// Draw a flame graph as an SVG picture.
#[derive(Args, Debug)]
#[command(after_help = "\
The width of a box is the memory of all stacks that lead through it. With --diff
it is that of the new snapshot; a box is red if what it allocates itself has
grown, and blue if that has shrunk. What is gone is not there.

Examples:
  tracemalloc flamegraph app.tmsnap.json.gz -o app.svg
  tracemalloc flamegraph app.tmsnap.json.gz --inverted --weight blocks -o app.svg
  tracemalloc flamegraph after.tmsnap.json.gz --diff before.tmsnap.json.gz \\
      -o diff.svg")]
pub(crate) struct Options {
    #[command(flatten)]
    subject: Subject,

    /// Color by what changed since this earlier snapshot.
    #[arg(long, value_name = "OLD")]
    diff: Option<PathBuf>,

    /// Begin at the frames that made the allocations, with their callers below.
    #[arg(long)]
    inverted: bool,

    /// What the width of a box stands for.
    #[arg(long, value_name = "KEY", default_value = "bytes")]
    weight: Weight,

    /// The title of the picture.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    #[command(flatten)]
    selection: Selection,

    #[command(flatten)]
    destination: Destination,
}

/// The share of the picture's width below which a box is not drawn: an eighth of a pixel, so that there
/// is something to see in a box that is made wider.
const MIN_SHARE: f64 = 0.0001;

/// Maximum number of boxes on top of each other, 16 pixels each. A taller picture is not readable, and its text
/// would be as long as all stacks together.
const MAX_FRAMES: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let (new, old) = options
        .selection
        .load_with(&options.subject.path, options.diff.as_deref())?;
    check(options, [Some(&new), old.as_ref()])?;

    let stacks = Folded::new()
        .weight(options.weight.into())
        .order(if options.inverted {
            CallOrder::BottomUp
        } else {
            CallOrder::TopDown
        })
        .min_share(MIN_SHARE)
        .max_frames(MAX_FRAMES);
    warn_of_deep_stacks([Some(&new), old.as_ref()]);
    let mut folded = Vec::new();
    match &old {
        Some(old) => stacks.write_diff(&new, old, &mut folded)?,
        None => stacks.write(&new, &mut folded)?,
    }
    let folded = String::from_utf8_lossy(&folded);
    let mut graph = graph(options, &new, old.as_ref());
    options.destination.write(Content::Document, |out| {
        Ok(inferno::flamegraph::from_lines(
            &mut graph,
            folded.lines(),
            out,
        )?)
    })
}

/// The picture looks as if those stacks ended there.
fn warn_of_deep_stacks(snapshots: [Option<&Snapshot>; 2]) {
    let snapshots = snapshots.into_iter().flatten();
    let stacks = snapshots.flat_map(|snapshot| snapshot.statistics(GroupBy::Traceback));
    let depths = stacks.map(|stack| stack.traceback.len());
    if let Some(deepest) = depths.max().filter(|&depth| depth > MAX_FRAMES.get()) {
        warn(&format!(
            "the picture has {MAX_FRAMES} frames of each stack; the deepest has {deepest}"
        ));
    }
}

/// Refuses what cannot be drawn: nothing, and sums beyond what is counted with when drawing.
fn check(options: &Options, snapshots: [Option<&Snapshot>; 2]) -> Result<(), Failure> {
    let weight = |snapshot: &Snapshot| match options.weight {
        Weight::Bytes => snapshot.total_size(),
        Weight::Blocks => snapshot.block_count(),
    };
    let path = options.subject.path.display();
    let weights = snapshots.map(|snapshot| snapshot.map_or(0, weight));
    if weights[0] == 0 {
        return Err(Failure::new(format!(
            "{path}: no memory to draw a flame graph of"
        )));
    }
    if weights
        .iter()
        .any(|&weight| isize::try_from(weight).is_err())
    {
        return Err(Failure::new(format!(
            "{path}: too much memory to draw a flame graph of"
        )));
    }
    Ok(())
}

fn graph(options: &Options, new: &Snapshot, old: Option<&Snapshot>) -> Graph<'static> {
    let mut graph = Graph::default();
    graph.title = options.title.clone().unwrap_or_else(|| {
        let what = capitalised(&new.viewed().to_string());
        match old {
            None => what,
            Some(_) => format!("{what}, compared with an earlier snapshot"),
        }
    });
    let estimated = new.sample_every().or(old.and_then(Snapshot::sample_every));
    let estimated = if estimated.is_some() {
        ", estimated from a sample"
    } else {
        ""
    };
    let (size, blocks) = (Size(new.total_size()), new.block_count());
    graph.subtitle = Some(format!("{size} in {blocks} blocks{estimated}"));
    graph.colors = Palette::Basic(BasicPalette::Mem);
    graph.min_width = MIN_SHARE * 100.0;
    // Equal snapshots give equal pictures.
    graph.deterministic = true;
    graph.count_name = match options.weight {
        Weight::Bytes => "bytes",
        Weight::Blocks => "blocks",
    }
    .to_owned();
    if options.inverted {
        graph.direction = Direction::Inverted;
    }
    graph
}
