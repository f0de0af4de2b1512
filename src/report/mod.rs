//! Shows snapshots to people and programs. Each report is a function from a snapshot to a writer.

mod text;

pub use text::{Text, terminal_colour, text};
