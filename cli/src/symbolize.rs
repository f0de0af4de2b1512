//! Names for snapshots that their processes saved without names.

use std::path::PathBuf;

use clap::Args;
use tracemalloc::{Snapshot, Symbolizer};

use crate::failure::Failure;
use crate::input::{note, read_as_it_is, warn};

/// Add names to a snapshot that was saved without them.
///
/// A program saves snapshots without names if TRACEMALLOC_NAMES=later is set, or if it had too little memory to
/// read them. Names come from the files that the process had loaded, from the system's folders of debug
/// information, and from the files and folders given here. A file counts only if its build id is that of
/// the module in the process.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tracemalloc symbolize app.tmsnap.json.gz
  tracemalloc symbolize app.tmsnap.json.gz --debug-file app.unstripped -o named.gz
  tracemalloc symbolize app.tmsnap.json.gz --debug-dir /srv/debug")]
pub(crate) struct Options {
    /// A saved snapshot; `-` is standard input.
    #[arg(value_name = "SNAPSHOT")]
    path: PathBuf,

    /// Write to FILE, which is replaced if it exists. Without it, SNAPSHOT itself is
    /// replaced once all modules have names.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Look into this file first: the program, an unstripped copy, or a file of
    /// debug information. May be repeated.
    #[arg(long, value_name = "FILE")]
    debug_file: Vec<PathBuf>,

    /// Look for files in this folder too: by their names, by the paths of modules,
    /// and by build id in `.build-id`. May be repeated.
    #[arg(long, value_name = "FOLDER")]
    debug_dir: Vec<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let path = options.path.as_path();
    let snapshot = read_as_it_is(path)?;
    let mut symbolizer = Symbolizer::new();
    for file in &options.debug_file {
        symbolizer = symbolizer.debug_file(file);
    }
    for folder in &options.debug_dir {
        symbolizer = symbolizer.debug_dir(folder);
    }
    let named = symbolizer.symbolize(&snapshot)?;
    if named.modules.is_empty() {
        note(&format!(
            "{}: every frame has a name already",
            path.display()
        ));
        return options.save(&snapshot);
    }
    let mut is_complete = true;
    for module in &named.modules {
        match &module.file {
            Ok(file) => note(&format!(
                "{}: names from {}",
                module.module.path,
                file.display()
            )),
            Err(why) => {
                is_complete = false;
                warn(&format!("{}: {why}", module.module.path));
            }
        }
    }
    if named.modules.iter().all(|module| module.file.is_err())
        || named.snapshot.recording().unnamed.is_some()
    {
        return Err(Failure::new(format!(
            "{}: no names for the program: give its file, or an unstripped copy, with --debug-file",
            path.display()
        )));
    }
    if !is_complete && options.output.is_none() {
        return Err(Failure::new(format!(
            "{}: not replaced, because some modules have no names: choose another file with -o",
            path.display()
        )));
    }
    options.save(&named.snapshot)
}

impl Options {
    fn save(&self, snapshot: &Snapshot) -> Result<(), Failure> {
        let path = self.output.as_deref().unwrap_or(&self.path);
        match path.as_os_str() == "-" {
            true => Ok(snapshot.write_to(&mut std::io::stdout().lock())?),
            false => Ok(snapshot.dump(path)?),
        }
    }
}
