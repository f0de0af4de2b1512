//! Reading snapshots, and choosing blocks and frames of them.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use clap::{Args, ValueEnum};
use regex_lite::{Regex, RegexBuilder};
use tracemalloc::report::{OwnCode, terminal_text};
use tracemalloc::{Domain, Filter, Frame, FrameFilter, Snapshot, Symbolizer};

use crate::failure::Failure;
use crate::flags::ViewFlags;

/// Which blocks to look at, and which frames of their stacks.
///
/// Each kind of condition filters what the kinds before it have left; within one kind a block that
/// meets any of the conditions stays.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which blocks and frames")]
pub(crate) struct Selection {
    #[command(flatten)]
    view: ViewFlags,

    /// Only blocks allocated in files whose name matches GLOB. May be repeated:
    /// any of them.
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    filter: Vec<String>,

    /// No blocks allocated in files whose name matches GLOB. May be repeated.
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    exclude: Vec<String>,

    /// Only blocks allocated in functions whose full path matches GLOB.
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    function: Vec<String>,

    /// Only blocks allocated in crates whose name matches GLOB.
    #[arg(long = "crate", value_name = "GLOB", value_parser = glob)]
    crates: Vec<String>,

    /// Only blocks of this domain; 0 is the global allocator.
    #[arg(long, value_name = "NUMBER")]
    domain: Vec<u32>,

    /// Only blocks whose tag matches GLOB; `<untagged>` selects blocks without a tag.
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    tag: Vec<String>,

    /// Apply the conditions on files, functions and crates to every frame of a
    /// stack, not only to the one that made the allocation.
    #[arg(long)]
    all_frames: bool,

    /// Only blocks whose stack has a frame that REGEX matches: its function, its
    /// crate or its FILE:LINE.
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    focus: Option<Regex>,

    /// No blocks whose stack has a frame that REGEX matches.
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    ignore: Option<Regex>,

    /// Remove frames that REGEX matches from the stacks; every block stays.
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    hide: Option<Regex>,

    /// Remove all frames but those that REGEX matches from the stacks.
    #[arg(long, value_name = "REGEX", value_parser = pattern)]
    show: Option<Regex>,

    /// Remove all frames but those of the program's own packages from the stacks,
    /// so that the nearest line of its authors is blamed. `auto`: in pages, and in
    /// texts of top, diff and trend by file, line or function, where most of the
    /// memory is allocated in dependencies and no option names files, functions,
    /// crates or frames to show.
    #[arg(
        long,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_value = "auto",
        default_missing_value = "always"
    )]
    own_code: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

impl Selection {
    /// What is chosen of the snapshot in the file `path`.
    pub(crate) fn load(&self, path: &Path) -> Result<Snapshot, Failure> {
        let whole = read(path)?;
        let whole = whole
            .view(self.view.view())
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let blocks = whole.block_count();
        let chosen = self.of(whole);
        if chosen.block_count() == 0 && blocks > 0 {
            warn(&format!(
                "{}: no block matches; the snapshot has {blocks}",
                path.display()
            ));
        }
        Ok(chosen)
    }

    /// What is chosen of an earlier snapshot and a later one.
    pub(crate) fn load_pair(
        &self,
        old: &Path,
        new: &Path,
    ) -> Result<(Snapshot, Snapshot), Failure> {
        if is_standard_input(old) && is_standard_input(new) {
            return Err(Failure::new(
                "one of two snapshots at most can be read from standard input",
            ));
        }
        let pair = (self.load(old)?, self.load(new)?);
        for doubt in doubts(&pair.0, &pair.1) {
            warn(&doubt);
        }
        Ok(pair)
    }

    /// What is chosen of a snapshot, and of an earlier one if there is one.
    pub(crate) fn load_with(
        &self,
        new: &Path,
        old: Option<&Path>,
    ) -> Result<(Snapshot, Option<Snapshot>), Failure> {
        match old {
            None => Ok((self.load(new)?, None)),
            Some(old) => self.load_pair(old, new).map(|(old, new)| (new, Some(old))),
        }
    }

    fn of(&self, snapshot: Snapshot) -> Snapshot {
        type Rule = fn(&str) -> Filter;
        let patterns: [(&Vec<String>, Rule); 4] = [
            (&self.filter, |glob| Filter::include(glob)),
            (&self.exclude, |glob| Filter::exclude(glob)),
            (&self.function, |glob| {
                Filter::include(FrameFilter::function(glob))
            }),
            (&self.crates, |glob| {
                Filter::include(FrameFilter::crate_name(glob))
            }),
        ];
        let mut chosen = snapshot;
        for (globs, rule) in patterns {
            let filters = globs.iter().map(|glob| self.looking_far(rule(glob)));
            chosen = kept(chosen, filters.collect());
        }
        let domains = self
            .domain
            .iter()
            .map(|&number| Filter::include_domain(Domain(number)));
        chosen = kept(chosen, domains.collect());
        let tags = self.tag.iter().map(|glob| Filter::include_tag(glob));
        chosen = kept(chosen, tags.collect());
        let focus = found_by(&self.focus).map(|frames| Filter::include(frames).all_frames());
        let ignore = found_by(&self.ignore).map(|frames| Filter::exclude(frames).all_frames());
        chosen = kept(chosen, focus.into_iter().chain(ignore).collect());
        if let Some(frames) = found_by(&self.hide) {
            chosen = chosen.hide_frames([frames]);
        }
        if let Some(frames) = found_by(&self.show) {
            chosen = chosen.show_frames([frames]);
        }
        if self.own_code == When::Always {
            chosen = chosen.own_code();
        }
        chosen
    }

    /// Whether a report for people shows own code, if it is made of [whole stacks](Self::of_whole_stacks).
    pub(crate) fn own_code(&self) -> OwnCode {
        match self.own_code {
            When::Always => OwnCode::Always,
            When::Never => OwnCode::Never,
            When::Auto if self.names_places() => OwnCode::Never,
            When::Auto => OwnCode::Auto,
        }
    }

    /// True if the user says which files, functions, crates or frames to show.
    fn names_places(&self) -> bool {
        let globs = [&self.filter, &self.function, &self.crates];
        globs.iter().any(|globs| !globs.is_empty()) || self.hide.is_some() || self.show.is_some()
    }

    /// This choice, with own code.
    pub(crate) fn with_own_code(&self) -> Self {
        Self {
            own_code: When::Always,
            ..self.clone()
        }
    }

    /// This choice for a report that leaves frames out itself, because it says what it leaves out.
    pub(crate) fn of_whole_stacks(&self) -> Self {
        Self {
            own_code: When::Never,
            ..self.clone()
        }
    }

    fn looking_far(&self, filter: Filter) -> Filter {
        match self.all_frames {
            true => filter.all_frames(),
            false => filter,
        }
    }
}

fn kept(snapshot: Snapshot, filters: Vec<Filter>) -> Snapshot {
    match filters.is_empty() {
        true => snapshot,
        false => snapshot.filter_traces(filters),
    }
}

/// Frames that a pattern finds by one of their names.
fn found_by(pattern: &Option<Regex>) -> Option<FrameFilter> {
    let pattern = pattern.clone()?;
    Some(FrameFilter::custom(move |frame: &Frame| {
        let names = [frame.function(), frame.crate_name()];
        names
            .into_iter()
            .flatten()
            .any(|name| pattern.is_match(name))
            || pattern.is_match(&frame.to_string())
    }))
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// The snapshot in the file `path`. Names that its process did not read are read where the files for them
/// are at hand.
pub(crate) fn read(path: &Path) -> Result<Snapshot, Failure> {
    Ok(named(read_as_it_is(path)?, path))
}

/// The snapshot in the file `path`.
pub(crate) fn read_as_it_is(path: &Path) -> Result<Snapshot, Failure> {
    match is_standard_input(path) {
        true => Snapshot::read_from(io::stdin().lock())
            .map_err(|error| Failure::new(format!("standard input: {error}"))),
        false => Ok(Snapshot::load(path)?),
    }
}

fn named(snapshot: Snapshot, path: &Path) -> Snapshot {
    let places = snapshot.unnamed_places();
    let could_be = places.iter().any(|places| places.why.is_some());
    if !could_be && snapshot.recording().unnamed.is_none() {
        return snapshot;
    }
    // Files that are not at hand are no failure: reports say what has no name.
    let Ok(found) = Symbolizer::new().symbolize(&snapshot) else {
        return snapshot;
    };
    let is_named = found.snapshot.recording().unnamed.is_none();
    let name = found.snapshot.recording().program.as_deref();
    let is_program = |path: &str| Path::new(path).file_name() == name.map(OsStr::new);
    let (program, libraries): (Vec<_>, Vec<_>) = found
        .modules
        .iter()
        .partition(|module| is_program(&module.module.path));
    let mut files = program.iter().chain(&libraries);
    let file = files.find_map(|module| module.file.as_ref().ok());
    if let (true, Some(file)) = (is_named, file) {
        note(&format!(
            "{}: names were read from {} and the other files of the process; `tracemalloc symbolize` \
             keeps them",
            path.display(),
            file.display()
        ));
    }
    found.snapshot
}

/// Writes a line for the user to standard error.
pub(crate) fn note(text: &str) {
    // If standard error is closed, nobody can read the line.
    let _ = writeln!(io::stderr(), "note: {}", terminal_text(text));
}

/// Why the difference from `old` to `new` may not be what the user wants to see.
fn doubts(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut doubts = Vec::new();
    if let (Some(before), Some(after)) = (&old.recording().program, &new.recording().program)
        && before != after
    {
        doubts.push(format!(
            "the snapshots are of two programs: {before} and {after}"
        ));
    }
    if let (Some(before), Some(after)) = (old.recording().taken_at, new.recording().taken_at)
        && after < before
    {
        doubts.push("the new snapshot was taken before the old one: are they swapped?".to_owned());
    }
    doubts
}

pub(crate) fn warn(text: &str) {
    // If standard error is closed, nobody can read the line.
    let _ = writeln!(io::stderr(), "warning: {}", terminal_text(text));
}

/// A pattern with wildcards. An open bracket without its end is an error here; the library matches it
/// literally, as CPython does.
fn glob(text: &str) -> Result<String, String> {
    let mut rest = text;
    while let Some((_, class)) = rest.split_once('[') {
        let first = class.strip_prefix('!').unwrap_or(class);
        // A bracket that comes first is a member of the class.
        let members = first.strip_prefix(']').unwrap_or(first);
        rest = members
            .split_once(']')
            .map(|(_, after)| after)
            .ok_or_else(|| "a [ without its ]: [[] matches the character itself".to_owned())?;
    }
    Ok(text.to_owned())
}

pub(crate) fn pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .case_insensitive(true)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_is_not_closed_is_an_error() {
        for whole in [
            "", "*", "src/*.rs", "[abc]*", "[!a]", "[]]", "[!]x]", "a]b", "[[]",
        ] {
            assert_eq!(glob(whole).as_deref(), Ok(whole));
        }
        for broken in ["[", "[abc", "src/[a-z", "[!", "[]", "[a]["] {
            assert!(glob(broken).is_err(), "{broken}");
        }
    }
}
