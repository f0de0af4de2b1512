//! How a command ends.

use std::io;

use tracemalloc::Error;

/// What a command that ran to its end has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// `check` alone says so: exit code 1.
    OverBudget,
}

/// Why a command could not run to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader of the output closed it, as `head` does. Not an error.
    ClosedPipe,
    /// A message for the user: exit code 2.
    Message(String),
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Message(error.to_string())
    }
}

/// Of the output: [`output`](crate::output) replaces it by one that names the file.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Message(format!("cannot write: {error}"))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}
