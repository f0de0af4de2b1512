//! Whose code a frame is.

/// Whose code a frame is: see [`Frame::origin`](crate::Frame::origin).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameOrigin {
    /// A package of the program's own: a member of its workspace, or a dependency with a path whose directory
    /// is not that of a copy (see [`Snapshot::own_code`](crate::Snapshot::own_code)).
    Own,
    /// Another package that the program is built from.
    Dependency,
    /// The standard library.
    Standard,
}
