//! From statistics to rows.

use super::Text;
use super::style::Paint;
use super::table::{Line, Number, Row, Table};
use crate::report::own_code::crates_without_own;
use crate::snapshot::{
    Bytes, CodeShares, Frame, GroupBy, NO_OWN_CODE, Size, SizeDiff, Statistic, StatisticDiff,
    Traceback,
};

/// `own`: whose code is in the stacks, if own code is shown.
pub(super) fn of_statistics(
    text: &Text,
    statistics: &[Statistic],
    total: u64,
    own: Option<&CodeShares>,
) -> Table {
    Table {
        headings: vec!["size", "share", "blocks", "average"],
        rows: statistics
            .iter()
            .map(|statistic| Row {
                numbers: vec![
                    Number::new(Size(statistic.size)),
                    Number::new(share(statistic.size as f64, total as f64)),
                    Number::new(statistic.count),
                    Number::new(average(statistic.size, statistic.count)),
                ],
                place: place(text.group_by, statistic.traceback.most_recent()),
                details: details(text, &statistic.traceback, own, false),
            })
            .collect(),
    }
}

pub(super) fn of_diffs(text: &Text, diffs: &[&StatisticDiff], own: Option<&CodeShares>) -> Table {
    Table {
        headings: vec!["±size", "size", "±blocks", "blocks"],
        rows: diffs
            .iter()
            .map(|diff| Row {
                numbers: vec![
                    Number {
                        text: format!("{:+}", SizeDiff(diff.size_diff)),
                        paint: match diff.size_diff {
                            ..0 => Paint::Decline,
                            0 => Paint::Normal,
                            1.. => Paint::Growth,
                        },
                    },
                    Number::new(Size(diff.size)),
                    Number::new(format_args!("{:+}", diff.count_diff)),
                    Number::new(diff.count),
                ],
                place: place(text.group_by, diff.traceback.most_recent()),
                details: details(text, &diff.traceback, own, true),
            })
            .collect(),
    }
}

pub(in crate::report) fn share(size: f64, total: f64) -> String {
    if total == 0.0 {
        return "-".to_owned();
    }
    match size / total * 100.0 {
        share if share > 0.0 && share < 0.05 => "<0.1%".to_owned(),
        share => format!("{share:.1}%"),
    }
}

fn average(size: u64, count: u64) -> String {
    if count == 0 {
        return "-".to_owned();
    }
    Bytes(size as f64 / count as f64).to_string()
}

pub(super) fn place(group_by: GroupBy, frame: &Frame) -> Line {
    match group_by {
        GroupBy::Function | GroupBy::Crate | GroupBy::Type | GroupBy::Tag | GroupBy::Thread => {
            Line::Function(frame.filename().to_owned())
        }
        GroupBy::File => Line::Path(frame.filename().to_owned()),
        GroupBy::Line | GroupBy::Traceback if frame.is_named() => {
            Line::Function(frame.filename().to_owned())
        }
        GroupBy::Line | GroupBy::Traceback => Line::Path(file_and_line(frame)),
    }
}

/// The line is left out where it is not known.
pub(super) fn file_and_line(frame: &Frame) -> String {
    if frame.lineno() == 0 {
        frame.filename().to_owned()
    } else {
        frame.to_string()
    }
}

fn details(text: &Text, stack: &Traceback, own: Option<&CodeShares>, is_change: bool) -> Vec<Line> {
    let shares = own.filter(|_| stack.most_recent().filename() == NO_OWN_CODE);
    if let Some(shares) = shares {
        return vec![Line::Source(crates_without_own(shares, is_change))];
    }
    match text.group_by {
        GroupBy::File
        | GroupBy::Function
        | GroupBy::Crate
        | GroupBy::Type
        | GroupBy::Tag
        | GroupBy::Thread => Vec::new(),
        GroupBy::Line => {
            let frame = stack.most_recent();
            let function = function(frame).map(Line::Function);
            let source = source_line(text, frame).map(Line::Source);
            function.into_iter().chain(source).collect()
        }
        GroupBy::Traceback => calls(text, stack),
    }
}

/// The stack, oldest frame first.
fn calls(text: &Text, stack: &Traceback) -> Vec<Line> {
    let mut lines = Vec::new();
    if stack.is_truncated() {
        lines.push(Line::Source(callers_left_out(stack)));
    }
    for frame in stack {
        lines.push(Line::Call(file_and_line(frame), function(frame)));
        lines.extend(source_line(text, frame).map(Line::CallSource));
    }
    lines
}

fn callers_left_out(stack: &Traceback) -> String {
    let kept = u32::try_from(stack.len()).unwrap_or(u32::MAX);
    match stack
        .total_nframe()
        .and_then(|total| total.checked_sub(kept))
    {
        Some(1) => "… 1 older frame".to_owned(),
        Some(older @ 2..) => format!("… {older} older frames"),
        _ => "… older frames".to_owned(),
    }
}

/// The function, unless the place says as much.
pub(super) fn function(frame: &Frame) -> Option<String> {
    frame
        .function()
        .filter(|function| *function != frame.filename())
        .map(str::to_owned)
}

fn source_line(text: &Text, frame: &Frame) -> Option<String> {
    if !text.source_lines || frame.is_named() {
        return None;
    }
    let lines = Traceback::of(frame.clone()).format(None, false);
    lines.get(1).map(|line| line.trim().to_owned())
}
