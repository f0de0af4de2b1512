//! What a file says of itself.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};
use tracemalloc::report::terminal_text;
use tracemalloc::{FileHeader, Size, Snapshot};

use crate::failure::Failure;
use crate::flags::{Format, Subject};
use crate::output::{Content, Destination};
use crate::stats;

/// Show when, where and how a snapshot was recorded.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tracemalloc info app.tmsnap.json.gz
  tracemalloc info app.tmsnap.json.gz --format json")]
pub(crate) struct Options {
    #[command(flatten)]
    subject: Subject,

    /// The form of the output.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    #[command(flatten)]
    destination: Destination,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let path = match options.subject.path.as_path() {
        path if path == Path::new("-") => Path::new("/dev/stdin"),
        path => path,
    };
    let (snapshot, header) = Snapshot::load_with_header(path)?;
    let file = File {
        path,
        // A pipe has no size.
        bytes: fs::metadata(path)
            .ok()
            .filter(fs::Metadata::is_file)
            .map(|file| file.len()),
        header,
        stacks: snapshot.stack_count(),
        snapshot,
    };
    match options.format {
        Format::Text => options
            .destination
            .write(Content::Text, |out| Ok(file.write(out)?)),
        Format::Json => options
            .destination
            .write(Content::Data, |out| out.json(&file.as_json())),
    }
}

struct File<'a> {
    path: &'a Path,
    bytes: Option<u64>,
    header: FileHeader,
    snapshot: Snapshot,
    stacks: u64,
}

impl File<'_> {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}\n", terminal_text(&self.path.to_string_lossy()))?;
        for (name, value) in self.facts() {
            writeln!(out, "  {name:<15}  {value}")?;
        }
        self.write_attributes(out)?;
        self.write_modules(out)
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let (snapshot, recording) = (&self.snapshot, self.snapshot.recording());
        let writer = match terminal_text(&self.header.writer) {
            writer if writer.is_empty() => "an unnamed program".into(),
            writer => writer,
        };
        let mut facts = vec![(
            "format",
            format!("version {}, by {writer}", self.header.version),
        )];
        if let Some(bytes) = self.bytes {
            facts.push(("file", Size(bytes).to_string()));
        }
        if let Some(seconds) = recording.taken_at {
            facts.push(("taken at", moment(seconds)));
        }
        if let Some(program) = &recording.program {
            facts.push(("program", terminal_text(program).into_owned()));
        }
        if let Some(process) = recording.process_id {
            facts.push(("process", process.to_string()));
        }
        facts.push((
            "frames",
            format!("{} at most per block", snapshot.traceback_limit()),
        ));
        let runtime = if recording.runtime_frames {
            "kept"
        } else {
            "left out"
        };
        facts.push(("runtime frames", runtime.to_owned()));
        if let Some(why) = recording.unnamed {
            facts.push(("names", format!("still to be read: {why}")));
        }
        facts.push((
            "recorded",
            match snapshot.sample_every() {
                None => "every allocation".to_owned(),
                Some(bytes) => format!("one block per {} allocated, on average", Size(bytes.get())),
            },
        ));
        let history = match snapshot.has_history() {
            true => "totals, peak and lifetimes of each stack",
            false => "not recorded",
        };
        facts.push(("history", history.to_owned()));
        if snapshot.sample_every().is_some() {
            facts.push(("records", self.records().to_string()));
        }
        facts.push(("live", self.live()));
        if recording.peak > 0 {
            facts.push(("peak", Size(recording.peak).to_string()));
        }
        if let Some(bytes) = recording.resident_memory {
            facts.push(("resident", Size(bytes).to_string()));
        }
        if let Some(bytes) = recording.allocator_memory {
            facts.push(("allocator holds", Size(bytes).to_string()));
        }
        if recording.tracer_memory > 0 {
            facts.push(("tracer's memory", Size(recording.tracer_memory).to_string()));
        }
        facts.push(("losses", self.losses()));
        facts
    }

    fn records(&self) -> usize {
        self.snapshot.traces().map_or(0, |traces| traces.len())
    }

    fn live(&self) -> String {
        let snapshot = &self.snapshot;
        let (size, blocks) = (Size(snapshot.total_size()), snapshot.block_count());
        let stacks = self.stacks;
        let estimated = match snapshot.sample_every() {
            None => "",
            Some(_) => ", estimated",
        };
        format!("{size} in {blocks} blocks of {stacks} stacks{estimated}")
    }

    fn losses(&self) -> String {
        let losses = &self.snapshot.recording().losses;
        let found = losses.by_name().filter(|(_, count)| *count > 0);
        let found: Vec<String> = found
            .map(|(name, count)| format!("{count} {}", in_words(name)))
            .collect();
        match found.is_empty() {
            true => "none".to_owned(),
            false => found.join(", "),
        }
    }

    fn write_attributes(&self, out: &mut impl Write) -> io::Result<()> {
        let attributes = self.snapshot.attributes();
        if attributes.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nAttributes\n")?;
        for (name, value) in attributes {
            let line = format!("  {:<15}  {}", terminal_text(name), terminal_text(value));
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn write_modules(&self, out: &mut impl Write) -> io::Result<()> {
        let modules = self.snapshot.modules();
        if modules.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nModules, and their build ids\n")?;
        for module in modules {
            let build_id = module.build_id.as_deref().unwrap_or("no build id");
            writeln!(out, "  {}", terminal_text(&module.path))?;
            writeln!(out, "      {}", terminal_text(build_id))?;
        }
        Ok(())
    }

    fn as_json(&self) -> Value {
        let (snapshot, recording) = (&self.snapshot, self.snapshot.recording());
        let modules: Vec<Value> = snapshot
            .modules()
            .iter()
            .map(|module| json!({"path": module.path, "build_id": module.build_id}))
            .collect();
        json!({
            "file": self.path.to_string_lossy(),
            "bytes": self.bytes,
            "version": self.header.version,
            "writer": self.header.writer,
            "taken_at": recording.taken_at,
            "process_id": recording.process_id,
            "program": recording.program,
            "traceback_limit": snapshot.traceback_limit(),
            "runtime_frames": recording.runtime_frames,
            "unnamed": recording.unnamed.map(|why| why.to_string()),
            "sample_every": snapshot.sample_every(),
            "history": snapshot.has_history(),
            "size": snapshot.total_size(),
            "count": snapshot.block_count(),
            "records": self.records(),
            "stacks": self.stacks,
            "current": recording.current,
            "peak": recording.peak,
            "tracer_memory": recording.tracer_memory,
            "resident_memory": recording.resident_memory,
            "allocator_memory": recording.allocator_memory,
            "losses": stats::losses(&recording.losses),
            "attributes": snapshot.attributes(),
            "modules": modules,
        })
    }
}

/// The date and time of a number of seconds since the Unix epoch.
fn moment(seconds: u64) -> String {
    /// The first second of the year 10000, which the format has no room for.
    const END: u64 = 253_402_300_800;
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    match time {
        Some(time) if seconds < END => {
            let text = humantime::format_rfc3339_seconds(time).to_string();
            text.replace('T', " ").replace('Z', " UTC")
        }
        _ => format!("{seconds} seconds after the Unix epoch"),
    }
}

/// What a number of [`tracemalloc::Losses`] counts.
fn in_words(name: &str) -> &str {
    match name {
        "blocks" => "blocks not recorded",
        "stacks" => "without a stack",
        "replaced" => "freed unseen",
        "incomplete_stacks" => "with a stack that ends in unknown code",
        "history_events" => "events not in the history",
        "labels" => "without a tag or thread",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn any_moment_has_a_text() {
        assert_eq!(moment(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(1_700_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(moment(253_402_300_799), "9999-12-31 23:59:59 UTC");
        let after = "253402300800 seconds after the Unix epoch";
        assert_eq!(moment(253_402_300_800), after);
        assert!(moment(u64::MAX).starts_with("18446744073709551615 seconds"));
    }
}
