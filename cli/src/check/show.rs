//! The outcome of a check, in each of its forms.

use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Value, json};
use tracemalloc::report::terminal_text;
use tracemalloc::{Size, SizeDiff};

use super::measure::{Measure, Outcome, Site};
use crate::failure::Verdict;
use crate::flags::capitalised;
use crate::limits::Growth;

fn verdict(outcome: &Outcome) -> &'static str {
    match outcome.verdict() {
        Verdict::Passed => "passed",
        Verdict::OverBudget => "failed",
    }
}

pub(super) fn text(outcome: &Outcome, color: bool, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "Memory check: {}\n", verdict(outcome))?;
    for measure in &outcome.measures {
        let (word, paint) = match measure.passed() {
            true => ("ok    ", AnsiColor::Green.on_default()),
            false => ("FAILED", AnsiColor::Red.on_default()),
        };
        let paint = if color { paint } else { Style::new() };
        let (name, measured, limit) = (measure.name(), measure.measured(), measure.limit());
        writeln!(
            out,
            "  {paint}{word}{paint:#}  {name}: {measured}; at most {limit}"
        )?;
    }
    write_sites(outcome, out)?;
    for (index, note) in outcome.notes.iter().enumerate() {
        let gap = if index == 0 { "\n" } else { "" };
        writeln!(out, "{gap}{note}")?;
    }
    Ok(())
}

fn write_sites(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    let sites = outcome.shown();
    if sites.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}\n", heading(outcome))?;
    let numbers: Vec<String> = sites.iter().map(number).collect();
    let width = numbers.iter().map(String::len).max().unwrap_or(0);
    for (site, number) in sites.iter().zip(&numbers) {
        // Names are whole, however long: they are looked for in a log.
        writeln!(out, "  {number:>width$}  {}", terminal_text(&site.name()))?;
        if let Some(function) = site.function() {
            writeln!(out, "  {:width$}  {}", "", terminal_text(function))?;
        }
    }
    Ok(())
}

fn heading(outcome: &Outcome) -> String {
    let what = match outcome.sites.first() {
        Some(Site {
            growth: Some(_), ..
        }) => "Growth".to_owned(),
        _ => capitalised(&outcome.view.to_string()),
    };
    let (by, shown, all) = (outcome.by, outcome.shown().len(), outcome.sites.len());
    match shown < all {
        true => format!("{what} by {by}, the largest {shown} of {all}"),
        false => format!("{what} by {by}"),
    }
}

fn number(site: &Site) -> String {
    match site.growth {
        Some((size, _)) => format!("{:+}, now {}", SizeDiff(size), Size(site.size)),
        None => Size(site.size).to_string(),
    }
}

pub(super) fn markdown(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "### Memory check: {}\n", verdict(outcome))?;
    writeln!(
        out,
        "| | measured | at most | |\n| --- | ---: | ---: | --- |"
    )?;
    for measure in &outcome.measures {
        let (name, measured, limit) = (measure.name(), measure.measured(), measure.limit());
        let passed = if measure.passed() {
            "ok"
        } else {
            "**exceeded**"
        };
        writeln!(out, "| {name} | {measured} | {limit} | {passed} |")?;
    }
    write_site_table(outcome, out)?;
    for note in &outcome.notes {
        writeln!(out, "\n{note}")?;
    }
    Ok(())
}

fn write_site_table(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    let Some(first) = outcome.shown().first() else {
        return Ok(());
    };
    writeln!(out, "\n{}:\n", heading(outcome))?;
    let by = outcome.by;
    match first.growth {
        Some(_) => writeln!(
            out,
            "| growth | now | blocks | {by} |\n| ---: | ---: | ---: | --- |"
        )?,
        None => writeln!(out, "| bytes | blocks | {by} |\n| ---: | ---: | --- |")?,
    }
    for site in outcome.shown() {
        let (size, count) = (Size(site.size), site.count);
        match site.growth {
            Some((grown, more)) => {
                let grown = SizeDiff(grown);
                write!(out, "| {grown:+} | {size} | {more:+}, now {count} |")?;
            }
            None => write!(out, "| {size} | {count} |")?,
        }
        let function = site.function().map(|name| format!("<br>{}", code(name)));
        let name = code(&site.name());
        writeln!(out, " {name}{} |", function.unwrap_or_default())?;
    }
    Ok(())
}

/// `text` as code within a table, whatever it holds: a fence longer than any run of backticks in
/// it, and no bar that would end the cell.
fn code(text: &str) -> String {
    let text = terminal_text(text).replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A blank between the fence and a backtick is no part of the code.
    let blank = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{blank}{text}{blank}{fence}")
}

pub(super) fn json(outcome: &Outcome) -> Value {
    let measures: Vec<Value> = outcome.measures.iter().map(measure_as_json).collect();
    let sites: Vec<Value> = outcome.shown().iter().map(site_as_json).collect();
    json!({
        "passed": outcome.verdict() == Verdict::Passed,
        "limits": measures,
        "by": outcome.by.to_string(),
        "sites": sites,
        "notes": outcome.notes,
    })
}

fn measure_as_json(measure: &Measure) -> Value {
    let passed = measure.passed();
    match measure {
        Measure::Held { view, size, max } => {
            json!({"name": view.name(), "passed": passed, "size": size, "max_bytes": max})
        }
        Measure::Growth { old, new, max } => {
            let mut value = json!({
                "name": "growth", "passed": passed, "old_size": old, "size": new,
            });
            set_max(&mut value, *max);
            value
        }
        Measure::PerSite {
            over, grown, max, ..
        } => {
            let mut value = json!({
                "name": "per_site", "passed": passed, "beyond": over, "grown": grown,
            });
            set_max(&mut value, *max);
            value
        }
    }
}

fn set_max(value: &mut Value, max: Growth) {
    match max {
        Growth::Bytes(bytes) => value["max_bytes"] = json!(bytes),
        Growth::Percent(percent) => value["max_percent"] = json!(percent),
    }
}

fn site_as_json(site: &Site) -> Value {
    json!({
        "name": site.name(),
        "function": site.function(),
        "size": site.size,
        "size_diff": site.growth.map(|(size, _)| size),
        "count": site.count,
        "count_diff": site.growth.map(|(_, count)| count),
    })
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn no_name_leaves_its_cell() {
        #[track_caller]
        fn check(text: &str, shown: &str) {
            assert_eq!(code(text), shown);
        }
        check("src/main.rs:12", "`src/main.rs:12`");
        check("a|b", "`a\\|b`");
        check("a`b", "``a`b``");
        check("``", "``` `` ```");
        check("<img src=x>\n# b", "`<img src=x>\\n# b`");
    }
}
