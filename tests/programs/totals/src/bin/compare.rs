//! Compares what several tools say of the work's sites. Ends with an error if two differ.
//!
//!     compare traced=FILE [dhat=FILE] [valgrind=FILE] [allocations=FILE] [peak=FILE] [leaked=FILE]
//!
//! `dhat`, `valgrind`: files in DHAT's format. `allocations`, `peak`, `leaked`: folded stacks, as
//! `heaptrack_print` writes them, in blocks or bytes.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;

use serde_json::Value;
use totals::sites::SITES;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Figures of one site, by what they are about: bytes, blocks, or both.
type Figures = BTreeMap<&'static str, u64>;

/// What each site has according to one tool.
type Answer = BTreeMap<&'static str, Figures>;

const BYTES: [&str; 3] = ["allocated bytes", "peak bytes", "live bytes"];
const BLOCKS: [&str; 3] = ["allocated blocks", "peak blocks", "live blocks"];

fn main() -> Result<()> {
    let mut given = BTreeMap::new();
    for argument in std::env::args().skip(1) {
        let (tool, file) = argument.split_once('=').ok_or("TOOL=FILE")?;
        given.insert(tool.to_owned(), fs::read_to_string(file)?);
    }
    let ours = serde_json::from_str(given.get("traced").ok_or("traced=FILE")?)?;
    let oracle = of_traced(&ours, "oracle")?;
    let mut differences = 0;
    for (tool, text) in &given {
        let answer = match tool.as_str() {
            "traced" => of_traced(&ours, "traced")?,
            "dhat" | "valgrind" => of_dhat(&serde_json::from_str(text)?)?,
            "allocations" => of_folded(text, "allocated blocks")?,
            "peak" => of_folded(text, "peak bytes")?,
            "leaked" => of_folded(text, "live bytes")?,
            _ => return Err(format!("no such tool: {tool}").into()),
        };
        differences += compare(tool, &oracle, &answer);
    }
    if differences > 0 {
        return Err(format!("{differences} figures differ from the oracle's").into());
    }
    Ok(())
}

/// How many figures of `answer` are not the oracle's. Says which, or how many there are.
fn compare(tool: &str, oracle: &Answer, answer: &Answer) -> usize {
    let (mut same, mut different) = (0, 0);
    for (site, figures) in answer {
        for (what, figure) in figures {
            let expected = oracle[site][what];
            if *figure == expected {
                same += 1;
            } else {
                println!("totals: {tool}: {site}: {what}: {figure}, the oracle has {expected}");
                different += 1;
            }
        }
    }
    println!(
        "totals: {tool}: {same} figures of {} sites are the oracle's",
        answer.len()
    );
    different
}

fn of_traced(document: &Value, who: &str) -> Result<Answer> {
    let rows = document["sites"].as_array().ok_or("`sites`")?;
    let mut answer = Answer::new();
    for (site, row) in SITES.iter().zip(rows) {
        let row = &row[who];
        let mut figures = Figures::new();
        for (at, view) in ["allocated", "at_peak", "live"].into_iter().enumerate() {
            figures.insert(BYTES[at], number(&row[view][0])?);
            figures.insert(BLOCKS[at], number(&row[view][1])?);
        }
        figures.insert("reallocations", number(&row["reallocations"])?);
        figures.insert("temporary bytes", number(&row["temporary"][0])?);
        figures.insert("temporary blocks", number(&row["temporary"][1])?);
        answer.insert(site.name, figures);
    }
    Ok(answer)
}

/// Program points of a DHAT file, added up for the site that is on their stack.
fn of_dhat(document: &Value) -> Result<Answer> {
    let frames = document["ftbl"].as_array().ok_or("`ftbl`")?;
    let mut answer = every_site(&[BYTES, BLOCKS].concat());
    for point in document["pps"].as_array().ok_or("`pps`")? {
        let stack = point["fs"].as_array().ok_or("`fs`")?;
        let names = stack
            .iter()
            .filter_map(|frame| frames.get(frame.as_u64()? as usize)?.as_str());
        let Some(figures) = site_of(names).and_then(|site| answer.get_mut(site)) else {
            continue;
        };
        for (at, (bytes, blocks)) in [("tb", "tbk"), ("gb", "gbk"), ("eb", "ebk")]
            .into_iter()
            .enumerate()
        {
            *figures.entry(BYTES[at]).or_default() += number(&point[bytes])?;
            *figures.entry(BLOCKS[at]).or_default() += number(&point[blocks])?;
        }
    }
    Ok(answer)
}

/// Folded stacks, added up for the site that is on them: `main;totals::sites::small;malloc 12`.
fn of_folded(text: &str, what: &'static str) -> Result<Answer> {
    let mut answer = every_site(&[what]);
    for line in text.lines() {
        let (stack, figure) = line.rsplit_once(' ').ok_or("no figure")?;
        if let Some(figures) = site_of(stack.split(';')).and_then(|site| answer.get_mut(site)) {
            *figures.entry(what).or_default() += figure.parse::<u64>()?;
        }
    }
    Ok(answer)
}

fn every_site(figures: &[&'static str]) -> Answer {
    let none: Figures = figures.iter().map(|what| (*what, 0)).collect();
    SITES.iter().map(|site| (site.name, none.clone())).collect()
}

/// The site whose function is among the frames of a stack.
fn site_of<'a>(frames: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    const MODULE: &str = "totals::sites::";
    let mut names = frames.filter_map(|frame| {
        let name = frame.split(MODULE).nth(1)?;
        let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        Some(&name[..end.unwrap_or(name.len())])
    });
    names
        .find_map(|name| SITES.iter().find(|site| site.name == name))
        .map(|site| site.name)
}

fn number(value: &Value) -> Result<u64> {
    value
        .as_u64()
        .ok_or_else(|| format!("not a number: {value}").into())
}
