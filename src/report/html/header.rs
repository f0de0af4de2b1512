//! What stands above the views, written without any script: the totals, how the snapshots were
//! recorded, and what they do not hold.

use std::io::{self, Write};

use super::escape::Escaped;
use crate::report::cut_stacks::CutStacks;
use crate::report::notes;
use crate::report::text::share;
use crate::snapshot::{CodeShares, Size, Snapshot, View, difference};
use crate::utc::Utc;

/// One snapshot's totals and facts.
pub(super) fn write(snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let heading = notes::heading(snapshot);
    let live = match (snapshot.viewed(), snapshot.sample_every()) {
        (View::Live, None) => "Live",
        (View::Live, Some(_)) => "Live, estimated",
        _ => &heading,
    };
    let mut figures = vec![
        (live, Size(snapshot.total_size()).to_string()),
        ("Blocks", grouped(snapshot.block_count())),
    ];
    let recording = snapshot.recording();
    if recording.peak > 0 {
        figures.push(("Peak", Size(recording.peak).to_string()));
    }
    let is_live = snapshot.viewed() == View::Live;
    // A filtered snapshot is a part of its recording.
    if recording.current > 0 && recording.current != snapshot.total_size() && is_live {
        figures.push(("Live in recording", Size(recording.current).to_string()));
    }
    figures.extend(own_code(snapshot).map(|share| ("Own code", share)));
    write_figures(&figures, out)?;
    write_facts("", snapshot, out)?;
    let mut notices = of_recording(snapshot);
    let selector = "Choose Memory: at the peak, to see what it was made of.";
    notices.extend(notes::peak_hint(snapshot, selector).map(|hint| hint.join(" ")));
    write_notices(notices, &[snapshot], out)
}

/// What changed between two snapshots, and the facts of both.
pub(super) fn write_diff(new: &Snapshot, old: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let size = difference(new.total_size(), old.total_size());
    let blocks = difference(new.block_count(), old.block_count());
    let change = match new.sample_every().or(old.sample_every()) {
        None => "Change",
        Some(_) => "Change, estimated",
    };
    let mut figures = vec![
        (change, signed_size(size)),
        ("Change in blocks", signed(blocks)),
        ("New", Size(new.total_size()).to_string()),
        ("Old", Size(old.total_size()).to_string()),
    ];
    if new.recording().peak > 0 {
        figures.push(("Peak, new", Size(new.recording().peak).to_string()));
    }
    figures.extend(own_code(new).map(|share| ("Own code, new", share)));
    write_figures(&figures, out)?;
    write_facts("New", new, out)?;
    write_facts("Old", old, out)?;
    let of_both = [("New snapshot", new), ("Old snapshot", old)].map(|(whose, snapshot)| {
        let notices = of_recording(snapshot);
        (!notices.is_empty()).then(|| format!("{whose}: {}", notices.join(" ")))
    });
    write_notices(of_both.into_iter().flatten().collect(), &[new, old], out)
}

/// The share of the bytes that have own code in their stacks; nothing where none have.
fn own_code(snapshot: &Snapshot) -> Option<String> {
    let shares = CodeShares::of(snapshot);
    (shares.own > 0.0).then(|| share(shares.own, 1.0))
}

fn write_figures(figures: &[(&str, String)], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "<dl class=\"figures\">")?;
    for (name, value) in figures {
        writeln!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    writeln!(out, "</dl>")
}

/// How a snapshot was recorded, in one line.
fn write_facts(whose: &str, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
    let recording = snapshot.recording();
    let frames = notes::counted(snapshot.traceback_limit().into(), "frame");
    let mut facts = vec![
        match snapshot.sample_every() {
            None => "every allocation recorded".to_owned(),
            Some(period) => format!("sampled: one record per {} on average", Size(period.get())),
        },
        format!("up to {frames} per stack"),
    ];
    if recording.runtime_frames {
        facts.push("standard library's frames kept".to_owned());
    }
    let memory = notes::process_memory(snapshot).into_iter();
    facts.extend(memory.map(|(what, memory)| format!("{what} {memory}")));
    if recording.tracer_memory > 0 {
        let memory = Size(recording.tracer_memory);
        facts.push(format!("tracer's own memory {memory}"));
    }
    if let Some(program) = &recording.program {
        facts.push(format!("program {program}"));
    }
    if let Some(process) = recording.process_id {
        facts.push(format!("process {process}"));
    }
    if let Some(seconds) = recording.taken_at {
        facts.push(format!("taken {}", Utc(seconds)));
    }
    for (name, value) in snapshot.attributes() {
        facts.push(format!("{name}: {value}"));
    }
    write!(out, "<ul class=\"facts\">")?;
    if !whose.is_empty() {
        write!(out, "<li class=\"whose\">{whose}</li>")?;
    }
    for fact in &facts {
        write!(out, "<li>{}</li>", Escaped(fact))?;
    }
    writeln!(out, "</ul>")
}

/// What a reader of a snapshot's numbers must know, each as a sentence.
fn of_recording(snapshot: &Snapshot) -> Vec<String> {
    let mut notices = Vec::new();
    match (snapshot.viewed(), snapshot.sample_every()) {
        (_, None) => {}
        (View::Live, Some(_)) => {
            let records = notes::counted(notes::sampled_records(snapshot), "record");
            notices.push(format!("Sizes and counts are estimates from {records}."));
        }
        _ => notices.push("Sizes and counts are estimates.".to_owned()),
    }
    notices.extend(notes::unnamed(snapshot).into_iter().map(|line| line + "."));
    notices.extend(notes::losses(snapshot).map(|loss| loss + "."));
    if let Some(cut) = CutStacks::of(snapshot) {
        notices.push(format!("{cut}."));
        notices.extend(cut.suggestion().map(|suggestion| suggestion + "."));
    }
    notices
}

fn write_notices(
    mut notices: Vec<String>,
    snapshots: &[&Snapshot],
    out: &mut impl Write,
) -> io::Result<()> {
    notices.extend(notes::hint(snapshots));
    if notices.is_empty() {
        return Ok(());
    }
    writeln!(out, "<ul class=\"notices\">")?;
    for notice in &notices {
        writeln!(out, "<li>{}</li>", Escaped(notice))?;
    }
    writeln!(out, "</ul>")
}

/// A number with its digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A difference with its sign, `+0` if there is none.
pub(super) fn signed(difference: i64) -> String {
    format!("{}{}", sign(difference), grouped(difference.unsigned_abs()))
}

/// A difference in bytes with its sign.
pub(super) fn signed_size(difference: i64) -> String {
    format!("{}{}", sign(difference), Size(difference.unsigned_abs()))
}

/// The minus sign is as wide as the plus sign; a hyphen is not.
fn sign(difference: i64) -> char {
    if difference < 0 { '−' } else { '+' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(signed(-1000), "−1,000");
        assert_eq!(signed(0), "+0");
        assert_eq!(signed(i64::MIN), "−9,223,372,036,854,775,808");
    }
}
