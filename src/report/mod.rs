//! Shows snapshots to people and programs. Each report is a function from a snapshot to a writer.
//!
//! [`Text`], [`Tree`], [`Source`] and [`Summary`] are for a terminal. [`Folded`] and, with their features, `Pprof` and `Dhat` are for
//! viewers, which group for themselves: they hold every stack. [`Csv`] and `Json` hold statistics,
//! for programs. `docs/EXPORT.md` lists the viewers of each format.
//!
//! Names come from symbol tables and files of other machines. `Json` keeps every character; the
//! others write control characters, marks without width and those that turn the direction of
//! writing as escapes such as `\u{1b}`, because their readers print names to terminals as they are.

mod calls;
mod cut_stacks;
#[cfg(feature = "json")]
mod dhat;
mod folded;
mod function_name;
#[cfg(feature = "html")]
mod html;
mod merged;
mod notes;
mod own_code;
#[cfg(feature = "pprof")]
mod pprof;
mod pruned;
mod roots;
mod statistics;
mod text;
mod visible;

#[cfg(feature = "json")]
pub use dhat::Dhat;
pub use folded::{Folded, Weight};
pub use function_name::shortened as short_function;
#[cfg(feature = "html")]
pub use html::Html;
pub use own_code::OwnCode;
#[cfg(feature = "pprof")]
pub use pprof::Pprof;
pub use statistics::Csv;
#[cfg(feature = "json")]
pub use statistics::Json;
pub use text::{Source, Summary, Text, Tree, terminal_color};
pub use visible::terminal_text;
