//! Shows snapshots to people and programs. Each report is a function from a snapshot to a writer.

#[cfg(feature = "html")]
mod html;
mod text;

#[cfg(feature = "html")]
pub use html::Html;
pub use text::{Text, terminal_colour, text};
