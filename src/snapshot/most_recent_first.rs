//! Stacks as Rust's own backtraces show them.

use std::fmt;

use super::traceback::Traceback;

/// A [`Traceback`] whose `Display` begins at the frame that made the allocation; see
/// [`Traceback::most_recent_first`].
#[derive(Clone, Copy, Debug)]
pub struct MostRecentFirst<'a>(&'a Traceback);

impl Traceback {
    /// The whole stack for people: `Display` writes every frame, the most recent one first, in the
    /// form of Rust's own backtraces. `Display` of a traceback itself writes the oldest frame alone,
    /// as CPython does; [`format`](Self::format) writes source lines too.
    ///
    /// ```
    /// use tracemalloc::{Frame, Traceback};
    ///
    /// let frames = [("app::main", 3), ("app::parse", 40)]
    ///     .map(|(name, line)| Frame::new("src/main.rs", line).with_function(name));
    /// let stack = Traceback::from_oldest_first(frames).unwrap();
    /// let lines = ["   0: app::parse", "             at src/main.rs:40"];
    /// let text = stack.most_recent_first().to_string();
    /// assert!(text.lines().take(2).eq(lines));
    /// ```
    pub fn most_recent_first(&self) -> MostRecentFirst<'_> {
        MostRecentFirst(self)
    }
}

impl fmt::Display for MostRecentFirst<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, frame) in self.0.iter().rev().enumerate() {
            let line_end = if number == 0 { "" } else { "\n" };
            match frame.function() {
                Some(function) if !frame.is_named() => write!(
                    out,
                    "{line_end}{number:4}: {function}\n             at {frame}"
                )?,
                _ => write!(out, "{line_end}{number:4}: {frame}")?,
            }
        }
        let kept = self.0.len();
        match self.0.total_nframe().map(|depth| depth as usize) {
            Some(depth) if depth > kept => write!(out, "\n      {} older frames", depth - kept),
            _ if self.0.is_truncated() => out.write_str("\n      older frames that were not kept"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::frame::Frame;

    #[test]
    fn every_frame_is_shown_and_what_was_cut_is_said() {
        let frames = [Frame::named("libc.so!start"), Frame::new("a.rs", 7)];
        let stack = Traceback::from_oldest_first(frames).expect("a stack of two frames");
        let text = |stack: &Traceback| stack.most_recent_first().to_string();
        let whole = "   0: a.rs:7\n   1: libc.so!start";
        assert_eq!(text(&stack), whole);
        let known = stack.clone().with_total_nframe(5);
        assert_eq!(text(&known), format!("{whole}\n      3 older frames"));
        let unknown = format!("{whole}\n      older frames that were not kept");
        assert_eq!(text(&stack.with_truncated()), unknown);
    }
}
