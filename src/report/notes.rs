//! What reports say below their numbers: totals, what was not captured, and how to capture more.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use super::cut_stacks::CutStacks;
use super::visible;
use crate::snapshot::{
    Domain, Frame, Losses, Module, Size, SizeDiff, Snapshot, Traceback, Unread, View, difference,
};

/// Which snapshot a note is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Only,
    New,
    Old,
}

impl fmt::Display for Whose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Only => "",
            Self::New => " (new snapshot)",
            Self::Old => " (old snapshot)",
        })
    }
}

pub(super) fn total(snapshot: &Snapshot) -> String {
    let mut text = format!(
        "Total: {} in {}",
        Size(snapshot.total_size()),
        counted(snapshot.block_count(), "block")
    );
    let recording = snapshot.recording();
    if recording.peak > 0 {
        text += &format!("; {} {}", peak_of(snapshot), Size(recording.peak));
    }
    text
}

/// What the numbers of a snapshot are about, as the beginning of a title.
pub(super) fn heading(snapshot: &Snapshot) -> String {
    let view = snapshot.viewed().to_string();
    match snapshot.sample_every() {
        Some(_) => format!("Estimated {view}"),
        None => capitalised(&view),
    }
}

pub(super) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars.clone()).collect()
}

/// Whose peak the one of the recording is. What filters have left had a peak of its own, which nobody
/// knows; a view adds up to a peak of its own where several threads allocate.
pub(super) fn peak_of(snapshot: &Snapshot) -> &'static str {
    match snapshot.viewed() {
        View::Live if is_part(snapshot) => "peak of all",
        View::Live => "peak",
        _ => "peak of the process",
    }
}

/// Tells how to see what the peak was made of, if live memory is less than a tenth of it.
pub(super) fn write_peak_hint(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let with_history = "--at-peak or View::AtPeak shows what the peak was made of.";
    match peak_hint(snapshot, with_history) {
        None => Ok(()),
        Some([share, how]) => writeln!(out, "\n{share}\n{how}"),
    }
}

/// That live memory is less than a tenth of the peak, if it is, and how to see what the peak was made
/// of: `with_history` says that where it is known.
pub(super) fn peak_hint(snapshot: &Snapshot, with_history: &str) -> Option<[String; 2]> {
    let recording = snapshot.recording();
    if snapshot.viewed() != View::Live || recording.current >= recording.peak / 10 {
        return None;
    }
    let share = match recording.current as f64 / recording.peak as f64 * 100.0 {
        ..0.1 => "less than 0.1%".to_owned(),
        share => format!("{share:.1}%"),
    };
    let how = match snapshot.has_history() {
        true => with_history,
        false => "To see what the peak was made of, record with TRACEMALLOC_HISTORY=1.",
    };
    Some([
        format!("Live memory is {share} of the peak."),
        how.to_owned(),
    ])
}

/// True if filters have left out some of what was live. Of a sample it is not known: its sums are
/// estimates.
fn is_part(snapshot: &Snapshot) -> bool {
    snapshot.sample_every().is_none() && snapshot.total_size() < snapshot.recording().current
}

pub(super) fn total_change(new: &Snapshot, old: &Snapshot) -> String {
    format!(
        "Total: {:+} in {:+} blocks; now {} in {}",
        SizeDiff(difference(new.total_size(), old.total_size())),
        difference(new.block_count(), old.block_count()),
        Size(new.total_size()),
        counted(new.block_count(), "block"),
    )
}

/// That the numbers are estimates, the tracer's own memory and all that the recording does not
/// hold.
pub(super) fn write_recording(
    snapshot: &Snapshot,
    whose: Whose,
    out: &mut impl Write,
) -> io::Result<()> {
    write_sampling(snapshot, whose, out)?;
    let recording = snapshot.recording();
    for (what, memory) in process_memory(snapshot) {
        writeln!(out, "{}: {memory}{whose}", capitalised(what))?;
    }
    if recording.tracer_memory > 0 {
        let memory = Size(recording.tracer_memory);
        writeln!(out, "Tracer's own memory: {memory}{whose}")?;
    }
    for line in unnamed(snapshot) {
        writeln!(out, "{line}{whose}")?;
    }
    for loss in losses(snapshot) {
        writeln!(out, "{loss}{whose}")?;
    }
    let Some(cut) = CutStacks::of(snapshot) else {
        return Ok(());
    };
    writeln!(out, "{cut}{whose}")?;
    match cut.suggestion() {
        // Of two snapshots the next one counts.
        Some(suggestion) if whose != Whose::Old => writeln!(out, "{suggestion}"),
        _ => Ok(()),
    }
}

/// What of the process is resident, and what its allocator holds, as far as it is known. The rest of both is
/// no live block: memory that is kept free, gaps between blocks, blocks of other languages.
pub(super) fn process_memory(snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    let recording = snapshot.recording();
    let resident = recording
        .resident_memory
        .map(|resident| ("resident memory", Size(resident).to_string()));
    let held = recording.allocator_memory.map(|held| {
        let size = Size(held);
        // An estimate of the live blocks may be more than all that is held.
        let text = match held.checked_sub(recording.current) {
            Some(beyond) if snapshot.sample_every().is_none() => {
                format!("{size}, {} beyond live blocks", Size(beyond))
            }
            _ => size.to_string(),
        };
        ("held by the allocator", text)
    });
    resident.into_iter().chain(held).collect()
}

/// Modules that are named one by one, and characters of a file's name.
const MAX_MODULES: usize = 5;
const MAX_FILE: usize = 24;

/// How much memory lies in places without a name, and why; of a snapshot without names, how to read them.
pub(super) fn unnamed(snapshot: &Snapshot) -> Vec<String> {
    if let Some(why) = snapshot.recording().unnamed {
        let how = "To read names: tracemalloc symbolize FILE".to_owned();
        return vec![format!("No names yet: {why}"), how];
    }
    let places = snapshot.unnamed_places().into_iter();
    let places = places.filter_map(|places| Some((places.module?, places.size, places.why)));
    let places: Vec<(Arc<Module>, u64, Option<Unread>)> = places.collect();
    let (shown, more) = places.split_at(places.len().min(MAX_MODULES));
    let lines = shown.iter().map(|(module, size, why)| {
        let file = module.path.rsplit(['/', '\\']).next().unwrap_or_default();
        let file = visible::escaped(file);
        let file = visible::keep_end(&file, MAX_FILE);
        let why = match why {
            Some(why) => why.to_string(),
            None => "its file does not name them".to_owned(),
        };
        format!("Without a name: {} in {file}: {why}", Size(*size))
    });
    let size = more.iter().map(|(_, size, _)| size).sum();
    let more = (!more.is_empty()).then(|| {
        let modules = counted(more.len() as u64, "more module");
        format!("Without a name: {} in {modules}", Size(size))
    });
    lines.chain(more).collect()
}

/// What the recording could not hold, as many lines as there are kinds of it.
pub(super) fn losses(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    // Every field: what is lost and not said would be lost silently.
    let Losses {
        blocks,
        stacks,
        replaced,
        incomplete_stacks,
        history_events,
        labels,
    } = snapshot.recording().losses;
    // Losses of a sample are numbers of its records, not estimates.
    let block = match snapshot.sample_every() {
        None => "block",
        Some(_) => "sampled block",
    };
    let kinds = [
        ("Not recorded", blocks),
        ("Recorded without a stack", stacks),
        ("Freed unseen and replaced later", replaced),
        ("Stack ends in unknown code", incomplete_stacks),
    ];
    let found = kinds.into_iter().filter(|(_, count)| *count > 0);
    let blocks = found.map(move |(what, count)| format!("{what}: {}", counted(count, block)));
    let history = (history_events > 0)
        .then(|| format!("Not in the history: {}", counted(history_events, "event")));
    let labels = (labels > 0).then(|| format!("Without a label: {}", counted(labels, block)));
    blocks.chain(history).chain(labels)
}

fn write_sampling(snapshot: &Snapshot, whose: Whose, out: &mut impl Write) -> io::Result<()> {
    let Some(period) = snapshot.sample_every() else {
        return Ok(());
    };
    let from = match snapshot.viewed() {
        View::Live => format!(" from {}", counted(sampled_records(snapshot), "record")),
        _ => String::new(),
    };
    let period = Size(period.get());
    writeln!(
        out,
        "Sampled: one record per {period} allocated on average{whose}\n\
         Sizes and counts are estimates{from}{whose}"
    )
}

/// The records that estimates are made from: what the program tracks itself is no sample.
pub(super) fn sampled_records(snapshot: &Snapshot) -> u64 {
    let runs = snapshot.counted_runs();
    let sampled = runs.filter(|(run, _)| run.domain == Domain::HEAP);
    sampled.map(|(_, count)| count).sum()
}

/// What a build keeps that its frames show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lacking {
    /// Functions are there, their lines are not.
    Lines,
    /// Not even functions: the program was stripped, or nothing could be read.
    Functions,
}

/// The settings that keep what is lacking. They are the same whether it was never made or was
/// stripped, which the program's file does not show.
const SETTINGS: [&str; 2] = ["debug = \"limited\"", "strip = \"none\""];

/// Tells how to get lines, if there are allocations that could have some and have none.
pub(super) fn write_hint<const N: usize>(
    snapshots: [&Snapshot; N],
    out: &mut impl Write,
) -> io::Result<()> {
    let Some(lacking) = snapshots.into_iter().filter_map(lacking).max() else {
        return Ok(());
    };
    let [debug, strip] = SETTINGS;
    writeln!(
        out,
        "\n{}\nFor names and lines, add to Cargo.toml:\n\n    [profile.release]\n    {debug}\n    {strip}",
        lacking.sentence()
    )
}

/// The text of [`write_hint`], sentence by sentence.
#[cfg(feature = "html")]
pub(super) fn hint(snapshots: &[&Snapshot]) -> Option<String> {
    let lacking = snapshots
        .iter()
        .filter_map(|snapshot| lacking(snapshot))
        .max()?;
    let [debug, strip] = SETTINGS;
    Some(format!(
        "{} For names and lines, set {debug} and {strip} for the profile in Cargo.toml.",
        lacking.sentence()
    ))
}

impl Lacking {
    fn sentence(self) -> &'static str {
        match self {
            Self::Lines => "Some allocations have a function but no line.",
            Self::Functions => {
                "Some allocations have no function: the program is stripped or unreadable."
            }
        }
    }
}

/// What allocations of the program lack; `None` if other code of the program has lines, as its
/// settings then are those that keep them.
fn lacking(snapshot: &Snapshot) -> Option<Lacking> {
    if snapshot.recording().unnamed.is_some() {
        return None;
    }
    let stacks = stacks_in_use(snapshot);
    let mut frames = stacks.iter().flat_map(|stack| stack.newest_first());
    if frames.any(has_own_line) {
        return None;
    }
    let last = stacks.iter().map(|stack| stack.most_recent());
    let lacking = last
        .filter(|frame| could_have_line(frame))
        .map(|frame| match frame.function() {
            None if frame.code().is_some() => Lacking::Functions,
            _ => Lacking::Lines,
        });
    lacking.max()
}

/// True for a line of the program's build: the standard library comes with lines of its own.
fn has_own_line(frame: &Frame) -> bool {
    let file = frame.filename();
    frame.lineno() > 0 && file.ends_with(".rs") && !file.starts_with("<std>/")
}

/// True for a frame without a line that belongs to the program itself. A setting of this program
/// does not change the shared libraries that it uses.
fn could_have_line(frame: &Frame) -> bool {
    let in_library = frame.code().is_some_and(|(module, _)| module.is_library());
    // `<hidden>`, `<no own code>`: stands for frames that filters have left out.
    let name = frame.filename();
    let is_stand_in = frame.code().is_none() && name.starts_with('<') && name.ends_with('>');
    frame.is_named() && !in_library && !is_stand_in
}

/// The stacks that allocator blocks have. A filtered snapshot holds others too, and a domain of the
/// program's own may name its frames as it likes.
fn stacks_in_use(snapshot: &Snapshot) -> Vec<&Traceback> {
    let mut used = vec![false; snapshot.stacks().len()];
    for (run, _) in snapshot.counted_runs() {
        if let Some(used) = used.get_mut(run.stack as usize) {
            *used |= run.domain == Domain::HEAP;
        }
    }
    let stacks = snapshot.stacks().iter().zip(used);
    stacks
        .filter(|(_, used)| *used)
        .map(|(stack, _)| stack)
        .collect()
}

pub(super) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Recording, StackHistory};

    #[track_caller]
    fn check(current: u64, peak: u64, has_history: bool, hint: &str) {
        let mut snapshot = Snapshot::from_traces([], 25).with_memory(current, peak);
        if has_history {
            let row = (Traceback::unknown(), Domain::HEAP, StackHistory::default());
            snapshot = snapshot.with_history([row]);
        }
        let mut out = Vec::new();
        write_peak_hint(&snapshot, &mut out).expect("a vector takes all");
        assert_eq!(String::from_utf8_lossy(&out), hint);
        if has_history {
            let peak = snapshot.view(View::AtPeak).expect("history was recorded");
            let mut out = Vec::new();
            write_peak_hint(&peak, &mut out).expect("a vector takes all");
            assert_eq!(out, b"");
        }
    }

    #[test]
    fn a_peak_that_is_gone_is_shown_the_way_to() {
        let how = "To see what the peak was made of, record with TRACEMALLOC_HISTORY=1.";
        let small = "\nLive memory is less than 0.1% of the peak.\n";
        check(32, 54_000, false, &format!("{small}{how}\n"));
        let how = "--at-peak or View::AtPeak shows what the peak was made of.";
        check(32, 54_000, true, &format!("{small}{how}\n"));
        check(0, 0, false, "");
        check(10, 100, false, "");
        check(
            9,
            100,
            false,
            "\nLive memory is 9.0% of the peak.\nTo see what the peak was made of, record with TRACEMALLOC_HISTORY=1.\n",
        );
    }

    #[test]
    fn memory_beside_the_live_blocks_is_said_as_far_as_it_is_known() {
        #[track_caller]
        fn check(resident: Option<u64>, held: Option<u64>, current: u64, lines: &[&str]) {
            let recording = Recording {
                resident_memory: resident,
                allocator_memory: held,
                current,
                ..Recording::default()
            };
            let snapshot = Snapshot::from_traces([], 25).with_recording(recording);
            let mut out = Vec::new();
            write_recording(&snapshot, Whose::New, &mut out).expect("a vector takes all");
            let expected: String = lines
                .iter()
                .map(|line| format!("{line} (new snapshot)\n"))
                .collect();
            assert_eq!(String::from_utf8(out).expect("text"), expected);
        }
        check(None, None, 10, &[]);
        check(Some(2000), None, 10, &["Resident memory: 2000 B"]);
        check(
            Some(2000),
            Some(1000),
            10,
            &[
                "Resident memory: 2000 B",
                "Held by the allocator: 1000 B, 990 B beyond live blocks",
            ],
        );
        // Another allocator has the blocks.
        check(None, Some(1000), 1001, &["Held by the allocator: 1000 B"]);
    }

    #[test]
    fn what_a_view_shows_stands_in_titles() {
        let live = Snapshot::from_traces([], 25)
            .with_memory(10, 99)
            .with_history([]);
        let heading_of = |view| {
            let view = live.view(view).expect("history was recorded");
            (heading(&view), total(&view))
        };
        let nothing = |whose| format!("Total: 0 B in 0 blocks; {whose} 99 B");
        let peak = "Memory at the peak".to_owned();
        assert_eq!(
            heading_of(View::AtPeak),
            (peak, nothing("peak of the process"))
        );
        let live = "Live memory".to_owned();
        assert_eq!(heading_of(View::Live), (live, nothing("peak of all")));
    }
}
