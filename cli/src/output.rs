//! Where the output goes: standard output, or a file that appears when it is complete.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anstream::{AutoStream, ColorChoice};
use clap::{Args, ValueEnum};
use tempfile::NamedTempFile;
use terminal_size::{Width, terminal_size_of};

use crate::failure::Failure;

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct Destination {
    /// Write to FILE instead of standard output, which is `-`.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Overwrite FILE if it exists.
    #[arg(long, short)]
    force: bool,

    /// Whether a text has color. `auto`: on a terminal, unless NO_COLOR is set.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,

    /// Columns of a text, at least 60; by default those of the terminal, or 80 for
    /// other outputs.
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// For people to read; may be colored.
    Text,
    /// For programs, but readable.
    Data,
    /// Nothing that a terminal could show.
    Document,
}

/// A writer that keeps its first error, even if its users ignore it.
pub(crate) struct Out {
    inner: Box<dyn Write>,
    error: Option<io::Error>,
    /// Whether text is to be colored.
    pub(crate) color: bool,
    /// How many columns a text may have.
    pub(crate) width: usize,
}

/// Columns of a text that is not for a terminal.
const WIDTH: usize = 80;

impl Destination {
    /// Has `write` make the output, and puts it where the user wants it. A file is written under
    /// another name and renamed, so that none is there after a failure.
    pub(crate) fn write(
        &self,
        content: Content,
        write: impl FnOnce(&mut Out) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self.output.as_deref() {
            Some(path) if path != Path::new("-") => self.write_file(path, content, write),
            named => {
                if named.is_none() && content == Content::Document && io::stdout().is_terminal() {
                    return Err(Failure::new(
                        "this is nothing for a terminal: name a file with -o FILE, or insist with \
                         -o -",
                    ));
                }
                let name = "standard output";
                filled(name, self.standard_output(content), write)
            }
        }
    }

    fn standard_output(&self, content: Content) -> Out {
        let choice = match self.color {
            Color::Auto => AutoStream::choice(&io::stdout()),
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        if content != Content::Text || choice == ColorChoice::Never {
            return self.out(BufWriter::new(io::stdout()), false);
        }
        // Turns colors into what older consoles of Windows understand.
        self.out(BufWriter::new(AutoStream::new(io::stdout(), choice)), true)
    }

    fn out(&self, inner: impl Write + 'static, color: bool) -> Out {
        let is_named = self
            .output
            .as_deref()
            .is_some_and(|path| path != Path::new("-"));
        let of_terminal = || match is_named {
            true => None,
            false => terminal_size_of(io::stdout()).map(|(Width(columns), _)| columns.into()),
        };
        Out {
            inner: Box::new(inner),
            error: None,
            color,
            width: self.width.or_else(of_terminal).unwrap_or(WIDTH),
        }
    }

    fn write_file(
        &self,
        path: &Path,
        content: Content,
        write: impl FnOnce(&mut Out) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let color = content == Content::Text && matches!(self.color, Color::Always);
        let name = path.display().to_string();
        let failed =
            |what: &str, error: &io::Error| Failure::new(format!("{name}: {what}: {error}"));
        match fs::metadata(path) {
            // A device or a pipe: a new file in its place would destroy it.
            Ok(found) if !found.is_file() => {
                let device = OpenOptions::new().write(true).open(path);
                let device = device.map_err(|error| failed("cannot open", &error))?;
                return filled(&name, self.out(BufWriter::new(device), color), write);
            }
            Ok(_) if !self.force => return Err(exists(&name)),
            _ => {}
        }
        let file = beside(path).map_err(|error| failed("cannot create", &error))?;
        let copy = file
            .reopen()
            .map_err(|error| failed("cannot create", &error))?;
        filled(&name, self.out(BufWriter::new(copy), color), write)?;
        let kept = match self.force {
            true => file.persist(path),
            false => file.persist_noclobber(path),
        };
        match kept {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(exists(&name)),
            Err(error) => Err(failed("cannot create", &error.error)),
        }
    }
}

fn exists(name: &str) -> Failure {
    Failure::new(format!("{name}: the file exists; -f overwrites it"))
}

/// A file in the folder of `path` that is removed unless it is given that name.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tracemalloc-").suffix(".tmp");
    // As any new file, less what the user's mask takes away.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder.unwrap_or(Path::new(".")))
}

/// Writes all of the output to `out`, which is called `name`.
fn filled(
    name: &str,
    mut out: Out,
    write: impl FnOnce(&mut Out) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let written = write(&mut out).and_then(|()| Ok(out.flush()?));
    match out.error {
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ClosedPipe),
        Some(error) => Err(Failure::new(format!("{name}: cannot write: {error}"))),
        None => written,
    }
}

impl Out {
    /// Writes `value` as indented JSON.
    pub(crate) fn json(&mut self, value: &serde_json::Value) -> Result<(), Failure> {
        serde_json::to_writer_pretty(&mut *self, value)?;
        Ok(writeln!(self)?)
    }

    fn keep_error<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            // The caller tries again: not an error of the output.
            if kind == io::ErrorKind::Interrupted {
                return error;
            }
            self.error.get_or_insert(error);
            kind.into()
        })
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(bytes);
        self.keep_error(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        self.keep_error(result)
    }
}
