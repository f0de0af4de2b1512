//! Names for a snapshot whose process did not read them: from files, matched by their build ids, on any
//! host.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::Cache;
use super::executable::base_name;
use super::file::{Mapped, build_id};
use super::files::{Candidate, FileReader, Wanted};
use super::resolve::{Program, Resolver};
use super::stacks::{NamedCalls, NamedStack, Oldest, Shape, is_not_recorded, mix};
use super::stash::Stash;
use crate::error::{Error, ErrorKind};
use crate::snapshot::{Frame, HistoryRow, Module, Runs, Snapshot, StackTable, Traceback, Unread};

/// Names the frames of a snapshot that its process left without names.
///
/// A snapshot without names ([`Config::names`](crate::Config::names)) holds places in machine code, with
/// the build id of each module. This reads the names from the modules' files, as the process would have
/// done, and then trims stacks and cuts them at the limit. A file counts only if its build id is the
/// module's. These are looked at, in this order:
///
/// 1. the files given by [`debug_file`](Self::debug_file);
/// 2. in the folders given by [`debug_dir`](Self::debug_dir): the module's file name, the same with
///    `.debug`, and the module's whole path below the folder;
/// 3. the path that the module was loaded from;
/// 4. separate debug information, by build id and by `.gnu_debuglink`, in these folders and in
///    `/usr/lib/debug`; split debug information where the file says that it is.
///
/// A module without a build id is named from a given file alone, which must have the module's file name
/// and no build id either.
///
/// ELF files are read on every host. Snapshots of Windows and Apple's systems have no places to be named.
///
/// ```no_run
/// use tracemalloc::{Snapshot, Symbolizer};
///
/// let snapshot = Snapshot::load("app.tmsnap.json.gz")?;
/// let named = Symbolizer::new().debug_file("app.unstripped").symbolize(&snapshot)?;
/// named.snapshot.dump("app.named.tmsnap.json.gz")?;
/// # Ok::<(), tracemalloc::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Symbolizer {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// What a [`Symbolizer`] has made of a snapshot.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Symbolized {
    /// The snapshot with names, or as it was where the program's own names could not be read: without
    /// them nobody knows where stacks begin.
    pub snapshot: Snapshot,
    /// The modules that have places to be named, by path.
    pub modules: Vec<SymbolizedModule>,
}

/// What became of the names of one module.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SymbolizedModule {
    /// The module.
    pub module: Arc<Module>,
    /// The file that names were read from, or why there are none.
    pub file: Result<PathBuf, Unread>,
}

impl Symbolizer {
    /// Looks where the modules were loaded from, and in the folders of the system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks into `path` first: the program itself, an unstripped copy, or a file of debug information. It
    /// serves the module whose build id it has. May be given for many modules.
    #[must_use]
    pub fn debug_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Looks for files in the folder `path` too.
    #[must_use]
    pub fn debug_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.folders.push(path.into());
        self
    }

    /// Names what has no name in `snapshot`. Of a snapshot whose names were read already, only places that
    /// could not be named then change; its stacks stay cut where they are.
    ///
    /// # Errors
    ///
    /// Of the files that were given by hand: [`Io`](ErrorKind::Io) if one cannot be read,
    /// [`InvalidFile`](ErrorKind::InvalidFile) if it is no ELF file, and
    /// [`OtherBuild`](ErrorKind::OtherBuild) if it is of none of the snapshot's modules.
    pub fn symbolize(&self, snapshot: &Snapshot) -> Result<Symbolized, Error> {
        let mut calls = Calls::of(snapshot);
        let given = self.given(&calls)?;
        let is_program = |module: &Module| {
            let program = snapshot.recording().program.as_deref();
            program == Some(base_name(&module.path)) && !module.is_library()
        };
        let program = snapshot.recording().program.as_deref();
        let program = Program::called(program.unwrap_or_default());
        let mut modules = Vec::new();
        for (module, offsets) in std::mem::take(&mut calls.places) {
            let wanted = Wanted {
                module: &module,
                is_program: is_program(&module),
                candidates: self.candidates(&module, &given),
                folders: &self.folders,
            };
            let file = calls.name(&module, &offsets, &wanted, &program);
            modules.push(SymbolizedModule { module, file });
        }
        let is_missing = |of: &SymbolizedModule| of.file.is_err() && is_program(&of.module);
        let none = modules.iter().all(|module| module.file.is_err());
        let snapshot = match none || modules.iter().any(is_missing) {
            true => snapshot.clone(),
            false => calls.put_together(snapshot, &modules),
        };
        Ok(Symbolized { snapshot, modules })
    }

    /// The files given by hand, each with its build id.
    fn given(&self, calls: &Calls) -> Result<Vec<(PathBuf, Option<String>)>, Error> {
        let read = |path: &PathBuf| {
            let mapped =
                Mapped::open(path).map_err(|error| Error::io("cannot read", error).at(path))?;
            let not_elf = || Error::new(ErrorKind::InvalidFile, "not an ELF file").at(path);
            let id = build_id(&mapped.object().ok_or_else(not_elf)?);
            let serves = |module: &Arc<Module>| serves(path, id.as_deref(), module);
            match calls.places.keys().any(serves) || calls.places.is_empty() {
                true => Ok((path.clone(), id)),
                false => Err(other_build(path, id.as_deref(), calls)),
            }
        };
        self.files.iter().map(read).collect()
    }

    fn candidates(&self, module: &Module, given: &[(PathBuf, Option<String>)]) -> Vec<Candidate> {
        let given = given.iter();
        let given = given.filter(|(path, id)| serves(path, id.as_deref(), module));
        let mut paths: Vec<PathBuf> = given.map(|(path, _)| path.clone()).collect();
        if module.build_id.is_some() {
            let name = base_name(&module.path);
            for folder in &self.folders {
                let below = module.path.trim_start_matches('/');
                let debug = format!("{name}.debug");
                paths.extend([name, debug.as_str(), below].map(|file| folder.join(file)));
            }
            paths.push(PathBuf::from(&module.path));
        }
        paths.into_iter().map(Into::into).collect()
    }
}

/// True if the file at `path`, whose build id is `id`, is one of the module.
fn serves(path: &Path, id: Option<&str>, module: &Module) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    let name = name.as_deref().unwrap_or_default();
    match &module.build_id {
        Some(own) => id == Some(own),
        None => id.is_none() && name.trim_end_matches(".debug") == base_name(&module.path),
    }
}

fn other_build(path: &Path, id: Option<&str>, calls: &Calls) -> Error {
    let identity =
        |id: Option<&str>| id.map_or("no build id".to_owned(), |id| format!("build id {id}"));
    let modules = calls.places.keys().map(|module| {
        let name = base_name(&module.path);
        format!("{name} ({})", identity(module.build_id.as_deref()))
    });
    let modules: Vec<String> = modules.collect();
    let text = format!(
        "the file has {}; the snapshot is of {}",
        identity(id),
        modules.join(", ")
    );
    Error::new(ErrorKind::OtherBuild, text).at(path)
}

/// The calls of a snapshot's stacks.
struct Calls {
    /// The calls that have no name, by module and offset there.
    places: BTreeMap<Arc<Module>, BTreeMap<u64, usize>>,
    /// Frames that were met, by identity.
    numbers: HashMap<usize, usize>,
    named: NamedCalls,
    /// Texts that frames share.
    texts: Cache,
}

impl Calls {
    fn of(snapshot: &Snapshot) -> Self {
        let mut calls = Self {
            places: BTreeMap::new(),
            numbers: HashMap::new(),
            named: NamedCalls::default(),
            texts: Cache::new(),
        };
        let mut met = HashMap::new();
        for stack in snapshot.stacks() {
            for frame in stack.newest_unmet(&mut met) {
                calls.add(frame);
            }
        }
        calls
    }

    fn add(&mut self, frame: &Frame) {
        let next = self.numbers.len();
        if self.numbers.contains_key(&frame.identity()) {
            return;
        }
        let mut number = next;
        match frame.code() {
            Some((module, offset)) if frame.is_unnamed() => {
                let module = self.places.entry(Arc::clone(module)).or_default();
                number = *module.entry(offset).or_insert(next);
            }
            _ => {}
        }
        self.numbers.insert(frame.identity(), number);
        self.named.set(number, std::slice::from_ref(frame), &[]);
    }

    /// Reads the names of one module. The file that they are from.
    fn name(
        &mut self,
        module: &Arc<Module>,
        offsets: &BTreeMap<u64, usize>,
        wanted: &Wanted<'_>,
        program: &Program,
    ) -> Result<PathBuf, Unread> {
        let stash = Stash::new();
        let wanted_places: Vec<u64> = offsets.keys().copied().collect();
        let reader = FileReader::open(&stash, wanted, &wanted_places).map_err(|unread| {
            let is_guess = module.build_id.is_none() && unread == Unread::NoFile;
            if is_guess { Unread::NoBuildId } else { unread }
        })?;
        // The names of a library that nobody has are those of its exported functions.
        if wanted.is_program && !reader.has_names() {
            return Err(Unread::Stripped);
        }
        let resolver = Resolver {
            cache: &self.texts,
            program,
        };
        for (offset, number) in offsets {
            let symbols = reader.symbols_at(*offset);
            let named = resolver.frames(&symbols, reader.packages(), Some((module, *offset)));
            self.named.set(*number, &named.frames, &named.held);
        }
        Ok(reader.file().to_owned())
    }

    /// The snapshot with the names that were read.
    fn put_together(mut self, snapshot: &Snapshot, modules: &[SymbolizedModule]) -> Snapshot {
        let mut recording = snapshot.recording().clone();
        let is_unnamed = recording.unnamed.take().is_some();
        let shape = Shape {
            limit: snapshot.traceback_limit(),
            runtime_frames: recording.runtime_frames,
        };
        let mut stacks = StackTable::default();
        let mut incomplete = Vec::new();
        let numbers = snapshot.stacks().iter().map(|stack| {
            let named = match is_unnamed {
                true => self.trimmed(stack, shape),
                false => self.renamed(stack, shape),
            };
            incomplete.push(named.is_incomplete);
            let mut hasher = DefaultHasher::new();
            named.traceback.hash_labels(&mut hasher);
            stacks.intern_hashed(mix(named.hash ^ hasher.finish()), named.traceback)
        });
        let numbers: Vec<u32> = numbers.collect();
        let mut runs = Runs::default();
        for (run, count) in snapshot.counted_runs() {
            let stack = run.stack as usize;
            runs.push(numbers[stack], run.domain, run.size, count);
            if incomplete[stack] {
                recording.losses.incomplete_stacks += count;
            }
        }
        let rows = snapshot.has_history().then(|| {
            let rows = snapshot.history_rows().iter();
            let renumbered = |row: &HistoryRow| HistoryRow {
                stack: numbers[row.stack as usize],
                ..*row
            };
            rows.map(renumbered).collect()
        });
        let unread = modules.iter().filter_map(|of| {
            let why = of.file.as_ref().err()?;
            Some((Arc::clone(&of.module), *why))
        });
        let named = snapshot.with_stacks(stacks.into_stacks(), runs);
        let named = named
            .with_recording(recording)
            .with_unread(unread.collect());
        match rows {
            Some(rows) => named.with_history_rows(rows),
            None => named,
        }
    }

    /// A stack as it was recorded, with names: as the process would have shown it.
    fn trimmed(&mut self, stack: &Traceback, shape: Shape) -> NamedStack {
        if is_not_recorded(stack.most_recent()) {
            return self.unchanged(stack);
        }
        let oldest = match (stack.was_cut(), stack.is_incomplete()) {
            (true, _) => Oldest::Truncated,
            (false, true) => Oldest::Incomplete,
            (false, false) => Oldest::Whole,
        };
        let mut named = self
            .named
            .stack(self.calls(stack).into_iter(), oldest, shape);
        named.traceback = named.traceback.with_labels_of(stack);
        named
    }

    /// A stack that was trimmed, with names where it had none.
    fn renamed(&mut self, stack: &Traceback, shape: Shape) -> NamedStack {
        if !stack.newest_first().any(Frame::is_unnamed) {
            return self.unchanged(stack);
        }
        let type_name = stack.type_name().map(Arc::<str>::from);
        let was_cut = stack.is_truncated();
        let oldest = if was_cut {
            Oldest::Truncated
        } else {
            Oldest::Whole
        };
        let mut named = self
            .named
            .stack(self.calls(stack).into_iter(), oldest, shape);
        named.traceback = named.traceback.with_labels_of(stack);
        // Frames that have names do not tell which of them were inlined, and so no type for sure.
        named.traceback = named.traceback.with_known_type(type_name);
        named
    }

    fn unchanged(&self, stack: &Traceback) -> NamedStack {
        NamedStack {
            traceback: stack.clone(),
            hash: self
                .calls(stack)
                .iter()
                .fold(0, |hash, call| mix(hash ^ *call as u64)),
            is_incomplete: false,
        }
    }

    /// The calls of a stack, oldest first.
    fn calls(&self, stack: &Traceback) -> Vec<usize> {
        let number = |frame: &Frame| self.numbers.get(&frame.identity()).copied();
        let mut calls: Vec<usize> = stack.newest_first().filter_map(number).collect();
        calls.reverse();
        calls
    }
}
