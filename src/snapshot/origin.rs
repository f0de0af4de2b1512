//! Whose code a frame is.

/// Whose code a frame is: see [`Frame::origin`](crate::Frame::origin).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameOrigin {
    /// A package of the program's own: a member of its workspace.
    Own,
    /// Another package that the program is built from.
    Dependency,
    /// The standard library.
    Standard,
}
