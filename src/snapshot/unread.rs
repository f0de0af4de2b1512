//! Why names could not be read.

use std::fmt;

/// Why the names of places in machine code were not read. They can be read later: by the next snapshot
/// of the process, or from the file of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Unread {
    /// The session leaves names for later.
    Later,
    /// There was too little memory to read them.
    NoMemory,
    /// No file of the module could be opened.
    NoFile,
    /// The files that were found are of other builds.
    OtherBuild,
    /// The module has no build id, so that only a file given by hand can be its own.
    NoBuildId,
    /// Its file has neither symbols nor debug information.
    Stripped,
}

impl fmt::Display for Unread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Later => "names were left for later",
            Self::NoMemory => "too little memory to read names",
            Self::NoFile => "no file of it could be opened",
            Self::OtherBuild => "its file is of another build",
            Self::NoBuildId => "it has no build id to know its file by",
            Self::Stripped => "its file is stripped",
        })
    }
}
