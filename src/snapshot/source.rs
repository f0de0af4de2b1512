//! Stacks written out with the source line of each frame.

use std::collections::HashMap;
#[cfg(feature = "html")]
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::frame::Frame;
use super::traceback::Traceback;

impl Traceback {
    /// The stack as lines of text, as CPython writes it: for each frame its file and line, and
    /// below that the source line, if the file can be read and has it.
    ///
    /// `limit` selects frames: `None` all of them, a positive number that many of the most recent,
    /// a negative one all but that many of the most recent. The lines run from the oldest frame to
    /// the most recent one, or the other way round if `most_recent_first`.
    ///
    /// Source is read from the [path](Frame::path) of a frame, or from its file name where it has
    /// no path, as it is now: not as it was when the program was built. Of a frame that stands for
    /// no line, only the name is shown. Files that cannot be read are passed over in silence.
    ///
    /// ```
    /// use tracemalloc::{Frame, Traceback};
    ///
    /// let frames = [Frame::new("gone/main.rs", 3), Frame::new("gone/parse.rs", 40)];
    /// let stack = Traceback::from_oldest_first(frames).unwrap();
    /// assert_eq!(stack.format(Some(1), false), ["  File \"gone/parse.rs\", line 40"]);
    /// ```
    pub fn format(&self, limit: Option<isize>, most_recent_first: bool) -> Vec<String> {
        let frames = self.selected(limit);
        let mut files = SourceFiles::default();
        let mut lines = Vec::new();
        if most_recent_first {
            frames
                .iter()
                .rev()
                .for_each(|frame| write_frame(frame, &mut files, &mut lines));
        } else {
            frames
                .iter()
                .for_each(|frame| write_frame(frame, &mut files, &mut lines));
        }
        lines
    }

    fn selected(&self, limit: Option<isize>) -> &[Frame] {
        let depth = self.len();
        match limit {
            None => self,
            Some(limit) if limit < 0 => &self[..depth.saturating_sub(limit.unsigned_abs())],
            Some(limit) => &self[depth.saturating_sub(limit.unsigned_abs())..],
        }
    }
}

impl Frame {
    /// The line of source that the frame stands for, without the white space around it; `None` if the frame
    /// stands for no line, the file cannot be read or has no such line, or nothing is on the line.
    ///
    /// Source is read as for [`Traceback::format`], at every call.
    ///
    /// ```
    /// use tracemalloc::Frame;
    ///
    /// let frame = Frame::new("src/lib.rs", 1);
    /// assert!(frame.source_line().is_some_and(|line| line.starts_with("//!")));
    /// assert_eq!(Frame::new("gone/main.rs", 3).source_line(), None);
    /// ```
    pub fn source_line(&self) -> Option<String> {
        SourceFiles::default().line(self).map(str::to_owned)
    }
}

fn write_frame<'a>(frame: &'a Frame, files: &mut SourceFiles<'a>, lines: &mut Vec<String>) {
    if frame.is_named() {
        lines.push(format!("  {frame}"));
        return;
    }
    let (name, line) = (frame.filename(), frame.lineno());
    lines.push(format!("  File \"{name}\", line {line}"));
    if let Some(source) = files.line(frame) {
        lines.push(format!("    {source}"));
    }
}

/// Texts of source files, each read once.
#[derive(Debug, Default)]
struct SourceFiles<'a>(HashMap<&'a str, Option<String>>);

impl<'a> SourceFiles<'a> {
    /// The source line of `frame` without the white space around it, unless nothing is left then.
    fn line(&mut self, frame: &'a Frame) -> Option<&str> {
        let index = (frame.lineno() as usize).checked_sub(1)?;
        let path = frame.path().unwrap_or(frame.filename());
        let text = self.0.entry(path).or_insert_with(|| read(path)).as_ref()?;
        let line = text.lines().nth(index)?.trim();
        (!line.is_empty()).then_some(line)
    }
}

/// The lines of the source file at `path` that have the numbers `wanted`, without the white space
/// around them. Missing and empty lines are left out.
#[cfg(feature = "html")]
pub(crate) fn lines_of(path: &str, wanted: &BTreeSet<u32>) -> BTreeMap<u32, String> {
    let Some(text) = read(path) else {
        return BTreeMap::new();
    };
    let lines = (1..).zip(text.lines().map(str::trim));
    lines
        .filter(|(number, line)| !line.is_empty() && wanted.contains(number))
        .map(|(number, line)| (number, line.to_owned()))
        .collect()
}

/// Bytes of the largest file that can be source.
const LARGEST: u64 = 16 << 20;

/// The text of a source file. A snapshot may come from elsewhere and name anything, so what cannot
/// be source is not opened: pipes and devices, which may never end, and huge files.
pub(crate) fn read(path: &str) -> Option<String> {
    let file = fs::metadata(path).ok()?;
    // Files of the kernel's own claim to be empty and are not.
    if !file.is_file() || file.len() == 0 || file.len() > LARGEST {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(line: u32) -> Frame {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/snapshot/source.rs");
        Frame::new("short.rs", line).with_path(path)
    }

    fn stack(frames: impl IntoIterator<Item = Frame>) -> Traceback {
        Traceback::from_oldest_first(frames).expect("a stack of some frames")
    }

    #[track_caller]
    fn check(limit: Option<isize>, oldest_first: &[u32]) {
        let stack = stack((1..=3).map(|line| Frame::new("no-such-file", line)));
        let mut expected: Vec<String> = oldest_first
            .iter()
            .map(|line| format!("  File \"no-such-file\", line {line}"))
            .collect();
        assert_eq!(stack.format(limit, false), expected);
        expected.reverse();
        assert_eq!(stack.format(limit, true), expected);
    }

    #[test]
    fn limits_select_frames() {
        check(None, &[1, 2, 3]);
        check(Some(2), &[2, 3]);
        check(Some(4), &[1, 2, 3]);
        check(Some(0), &[]);
        check(Some(-1), &[1, 2]);
        check(Some(-3), &[]);
        check(Some(isize::MIN), &[]);
        check(Some(isize::MAX), &[1, 2, 3]);
    }

    #[test]
    fn source_lines_stay_below_their_frame() {
        let source = "    //! Stacks written out with the source line of each frame.";
        assert_eq!(
            stack([Frame::new("gone", 1), here(1)]).format(None, true),
            [
                "  File \"short.rs\", line 1",
                source,
                "  File \"gone\", line 1"
            ]
        );
        assert_eq!(here(2).path(), here(1).path());
        for without_source in [here(0), here(2), here(u32::MAX)] {
            assert_eq!(without_source.source_line(), None);
            assert_eq!(stack([without_source]).format(None, false).len(), 1);
        }
        assert_eq!(here(1).source_line().as_deref(), Some(source.trim()));
    }

    #[test]
    fn frames_without_a_line_show_their_name() {
        let lines = stack([Frame::named("libc.so!malloc")]).format(None, false);
        assert_eq!(lines, ["  libc.so!malloc"]);
    }

    #[track_caller]
    fn check_not_read(path: &str) {
        assert_eq!(stack([Frame::new(path, 1)]).format(None, false).len(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_no_source_is_not_read() {
        check_not_read("/dev/zero");
        check_not_read("/proc/self/status");
        check_not_read("/proc/self");
    }

    #[test]
    fn huge_files_are_not_read() {
        let path = std::env::temp_dir().join(format!("huge-{}.rs", std::process::id()));
        fs::write(&path, "first line\n").unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(LARGEST + 1).unwrap();
        check_not_read(path.to_str().expect("a temporary folder with a plain name"));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn text_that_is_not_utf_8_is_shown_all_the_same() {
        let path = std::env::temp_dir().join(format!("source-{}.rs", std::process::id()));
        fs::write(&path, b"\xff = 1;\r\nnext\r\n").unwrap();
        let name = path.to_str().expect("a temporary folder with a plain name");
        let lines = stack([Frame::new(name, 1)]).format(None, false);
        fs::remove_file(&path).unwrap();
        assert_eq!(lines[1], "    \u{fffd} = 1;");
    }
}
