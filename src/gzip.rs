//! How files are compressed.

use flate2::Compression;

/// A sixth of the time of flate2's default, for a file that is a twentieth longer: docs/FORMAT.md has
/// the figures.
pub(crate) const LEVEL: Compression = Compression::new(2);
