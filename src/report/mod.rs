//! Shows snapshots to people and programs. Each report is a function from a snapshot to a writer.

mod text;

pub use text::{Summary, Text, Tree, terminal_colour, terminal_text, text};
