//! Profiles in the form of pprof.
//!
//! [`message`] is the form, [`tables`] what samples refer to. A message may be written in pieces,
//! since the repeated fields of the pieces follow each other: so samples are compressed as they are
//! made, and only the tables wait for the end.

mod message;
mod tables;

use std::io::{self, Write};

use flate2::write::GzEncoder;
use prost::Message;

use super::notes::{self, Whose};
use super::visible::escaped;
use crate::gzip;
use crate::snapshot::{Snapshot, View};
use message::{Profile, ValueType};
use tables::{Strings, Tables};

/// The allocator's own frames, which are there if the runtime's frames were kept: viewers leave
/// them out, and all that they called. Tested against the whole name.
const DROP_FRAMES: &str = "<?(tracemalloc|alloc::alloc)::.*|__(rust|rg|rdl)_.*";

/// What Go's profiles call blocks and bytes: those that are live, and all that were allocated.
const INUSE: (&str, &str) = ("inuse_objects", "inuse_space");
const ALLOC: (&str, &str) = ("alloc_objects", "alloc_space");

/// Samples to a piece.
const PIECE: usize = 1024;

/// A profile of the live blocks: a `profile.proto` message, compressed by gzip. `go tool pprof`,
/// speedscope, Perfetto, Pyroscope, Parca and others read it. The usual name ends in `.pb.gz`.
///
/// Each stack has the values of Go's heap profiles: `inuse_objects`, its blocks, and `inuse_space`, its
/// bytes, which viewers show first. A snapshot with [history](Snapshot::has_history) has
/// `alloc_objects` and `alloc_space` before them, all that was allocated since tracing started. A
/// [view](Snapshot::view) has two values: `inuse_…` of the peak, `alloc_…` of allocated and temporary
/// memory; a comment says which. Values stop at the greatest `i64`.
///
/// Functions are named in full, with file, line and column. Inlined functions share the location of
/// their call; see [`separate_inlined`](Self::separate_inlined) for viewers that show only one function of
/// a location. Addresses are offsets in their module, as its linker
/// gave them, and modules have their build id, so that a server with the debug information can name
/// what is not named. If only the file of a frame is known, it is the function's name too.
/// Characters in names that would steer a terminal are escapes.
///
/// Of a [sampled](Snapshot::sample_every) snapshot the values are the estimates, and the period is
/// that of the sampling; otherwise it is 1. The comments say so, and what the recording could not
/// hold; the program's own [attributes](Snapshot::attributes) are comments too. Blocks of a
/// [domain](crate::Domain) other than the heap have its number as the label `domain`, and blocks of a
/// [tag](crate::Tag) or of a thread whose name is known those as `tag` and `thread`, and blocks of a
/// known [type](crate::Traceback::type_name) that as `type`, for pprof's `-tagfocus` and `-tags`.
///
/// Equal snapshots make equal files. The difference of two files is worked out by the viewer, as by
/// `go tool pprof -diff_base OLD NEW`.
///
/// ```
/// use tracemalloc::report::Pprof;
/// use tracemalloc::{Domain, Frame, Snapshot, Trace, Traceback};
///
/// let frame = Frame::new("src/main.rs", 12).with_path("/home/me/app/src/main.rs");
/// let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 640, Traceback::of(frame))], 25);
/// let mut out = Vec::new();
/// Pprof::new().full_paths(true).write(&snapshot, &mut out)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Pprof {
    full_paths: bool,
    separate_inlined: bool,
}

impl Pprof {
    /// A profile with the short names of source files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether files are named by their full paths, where they are known. Viewers that show source
    /// find it then on the machine where the program was built; on others the same program has
    /// other paths.
    #[must_use]
    pub fn full_paths(mut self, full_paths: bool) -> Self {
        self.full_paths = full_paths;
        self
    }

    /// Whether each inlined function is a location by itself, without an address. Some viewers show
    /// one function of a location only, the one that the others are inlined into: speedscope 1.25
    /// does. `go tool pprof` shows all of them, and marks inlined ones if they are not separate.
    ///
    /// ```
    /// use tracemalloc::report::Pprof;
    /// use tracemalloc::Snapshot;
    ///
    /// let mut out = Vec::new();
    /// Pprof::new().separate_inlined(true).write(&Snapshot::from_traces([], 25), &mut out)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn separate_inlined(mut self, separate_inlined: bool) -> Self {
        self.separate_inlined = separate_inlined;
        self
    }

    /// Writes the profile of `snapshot`.
    ///
    /// # Errors
    ///
    /// What `out` returns.
    pub fn write(&self, snapshot: &Snapshot, out: &mut impl Write) -> io::Result<()> {
        let mut gzip = GzEncoder::new(out, gzip::LEVEL);
        let mut tables = Tables::new(*self, snapshot.has_history());
        for sites in snapshot.sites().chunks(PIECE) {
            let piece = Profile {
                sample: sites.iter().map(|site| tables.sample(site)).collect(),
                ..Profile::default()
            };
            gzip.write_all(&piece.encode_to_vec())?;
        }
        gzip.write_all(&header(snapshot, &mut tables.strings)?.encode_to_vec())?;
        let (mapping, function) = (tables.mappings(), tables.functions());
        let (location, string_table) = tables.into_rows();
        let tables = Profile {
            mapping,
            location,
            function,
            string_table,
            ..Profile::default()
        };
        gzip.write_all(&tables.encode_to_vec())?;
        gzip.finish()?.flush()
    }
}

/// What is said once for the whole profile.
fn header(snapshot: &Snapshot, strings: &mut Strings) -> io::Result<Profile> {
    let mut value_type = |kind, unit| ValueType {
        kind: strings.index(kind),
        unit: strings.index(unit),
    };
    let (first, all): (_, &[_]) = match snapshot.viewed() {
        View::Live if snapshot.has_history() => (INUSE, &[ALLOC, INUSE]),
        View::Live | View::AtPeak => (INUSE, &[INUSE]),
        View::Allocated | View::Temporary => (ALLOC, &[ALLOC]),
    };
    let sample_type = all
        .iter()
        .flat_map(|(objects, space)| [value_type(objects, "count"), value_type(space, "bytes")])
        .collect();
    let period_type = Some(value_type("space", "bytes"));
    let period = snapshot.sample_every().map_or(1, u64::from);
    let taken_at = snapshot.recording().taken_at.unwrap_or(0);
    Ok(Profile {
        sample_type,
        period_type,
        period: i64::try_from(period).unwrap_or(i64::MAX),
        time_nanos: i64::try_from(taken_at)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000_000),
        drop_frames: strings.index(DROP_FRAMES),
        default_sample_type: strings.index(first.1),
        comment: comments(snapshot)?
            .iter()
            .map(|text| strings.index(text))
            .collect(),
        ..Profile::default()
    })
}

fn comments(snapshot: &Snapshot) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    notes::write_recording(snapshot, Whose::Only, &mut notes)?;
    let mut comments = vec![concat!("tracemalloc ", env!("CARGO_PKG_VERSION")).to_owned()];
    match snapshot.viewed() {
        View::Live => {}
        _ => comments.push(notes::heading(snapshot)),
    }
    comments.extend(String::from_utf8_lossy(&notes).lines().map(str::to_owned));
    let attributes = snapshot.attributes().iter();
    comments
        .extend(attributes.map(|(name, value)| format!("{}: {}", escaped(name), escaped(value))));
    Ok(comments)
}
