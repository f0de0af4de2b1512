//! The figures as text.

use std::fmt::Write;

use crate::arguments::Arguments;
use crate::contestants::{COUNT, Contestant, UNTRACED};
use crate::machine::Machine;
use crate::rounds::{Results, Run};
use crate::table::Table;
use crate::workload::Workload;

pub(crate) struct Report<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) machine: &'a Machine,
    pub(crate) contestants: &'a [Contestant],
    pub(crate) results: &'a [Results],
    pub(crate) left_out: &'a [String],
}

impl Report<'_> {
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes everything");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        if self.arguments.is_small {
            writeln!(
                out,
                "Tiny inputs: everything ran; the figures mean nothing.\n"
            )?;
        }
        self.write_machine(out)?;
        self.heading(out, "Time, as a multiple of the baseline's")?;
        writeln!(out, "{}", self.ratios().text())?;
        self.heading(out, "Nanoseconds added per allocation or reallocation")?;
        writeln!(out, "{}", self.added().text())?;
        self.heading(out, "Most memory resident, MiB")?;
        writeln!(out, "{}", self.memory().text())?;
        self.heading(out, "Spread: fastest / median / slowest run, ms, and runs")?;
        writeln!(out, "{}", self.spread().text())?;
        self.write_notes(out)
    }

    fn heading(&self, out: &mut String, title: &str) -> std::fmt::Result {
        let mark = if self.arguments.is_markdown {
            "### "
        } else {
            ""
        };
        writeln!(out, "{mark}{title}\n")
    }

    fn write_machine(&self, out: &mut String) -> std::fmt::Result {
        let machine = self.machine;
        writeln!(
            out,
            "{}: {}, {} cores, {} GiB, {}, {}, {}; load {} at the start; {} rounds, pinned.\n",
            machine.date,
            machine.processor,
            machine.cores.len(),
            machine.memory_gib,
            machine.kernel,
            machine.c_library,
            machine.rustc,
            machine.load,
            self.arguments.rounds
        )
    }

    /// The contestants with a column, by their place in the list.
    fn columns(&self) -> impl Iterator<Item = (usize, &Contestant)> {
        let all = self.contestants.iter().enumerate();
        all.filter(|(_, contestant)| contestant.name != COUNT)
    }

    fn compared(&self) -> impl Iterator<Item = (usize, &Contestant)> {
        self.columns()
            .filter(|(_, contestant)| contestant.name != UNTRACED)
    }

    fn heads(&self, first: &str) -> Vec<String> {
        let names = self.compared().map(|(_, contestant)| contestant.name);
        [first, "untraced"]
            .into_iter()
            .chain(names)
            .map(str::to_owned)
            .collect()
    }

    fn named(&self, name: &str) -> usize {
        let place = self
            .contestants
            .iter()
            .position(|contestant| contestant.name == name);
        place.expect("a baseline takes part")
    }

    fn ratios(&self) -> Table {
        let mut table = Table::new(self.heads("workload"));
        for results in self.results {
            let untraced = fastest(&results.runs[self.named(UNTRACED)]);
            let mut row = vec![
                results.workload.name.clone(),
                untraced.map_or("-".to_owned(), |time| format!("{:.0} ms", time / 1e6)),
            ];
            let ratios = self
                .compared()
                .map(|(at, _)| self.ratio(results, at, fastest));
            row.extend(ratios.map(shown_ratio));
            table.row(row);
        }
        for (title, of) in [
            (
                "geometric mean, one thread",
                fastest as fn(&[Run]) -> Option<f64>,
            ),
            ("the same of medians", median),
        ] {
            let mut row = vec![title.to_owned(), String::new()];
            let means = self.compared().map(|(at, _)| self.mean(at, of));
            row.extend(means.map(shown_ratio));
            table.row(row);
        }
        table
    }

    fn ratio(&self, results: &Results, at: usize, of: fn(&[Run]) -> Option<f64>) -> Option<f64> {
        let baseline = self.named(self.contestants[at].baseline);
        Some(of(&results.runs[at])? / of(&results.runs[baseline])?)
    }

    /// Over the workloads of one thread, of which none may be missing.
    fn mean(&self, at: usize, of: fn(&[Run]) -> Option<f64>) -> Option<f64> {
        let is_counted = |workload: &Workload| workload.threads == 1;
        let ratios = self
            .results
            .iter()
            .filter(|results| is_counted(&results.workload))
            .map(|results| self.ratio(results, at, of));
        let ratios: Vec<f64> = ratios.collect::<Option<_>>()?;
        let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
        (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
    }

    fn added(&self) -> Table {
        let mut heads = self.heads("workload");
        heads[1] = "allocations".to_owned();
        let mut table = Table::new(heads);
        for results in self.results {
            let mut row = vec![
                results.workload.name.clone(),
                results.allocations.to_string(),
            ];
            row.extend(self.compared().map(|(at, contestant)| {
                let baseline = self.named(contestant.baseline);
                let times = fastest(&results.runs[at]).zip(fastest(&results.runs[baseline]));
                // Threads that run at once share the time.
                let per_thread = results.allocations as f64 / results.workload.threads as f64;
                let added = |(time, baseline)| format!("{:.0}", (time - baseline) / per_thread);
                times.map_or("-".to_owned(), added)
            }));
            table.row(row);
        }
        table
    }

    fn memory(&self) -> Table {
        let mut table = Table::new(self.heads("workload"));
        for results in self.results {
            let untraced = self.named(UNTRACED);
            let columns = std::iter::once(untraced).chain(self.compared().map(|(at, _)| at));
            let cells = columns.map(|at| {
                let most = results.runs[at].iter().map(|run| run.resident).min();
                most.map_or("-".to_owned(), |kib| format!("{:.0}", kib as f64 / 1024.0))
            });
            let name = std::iter::once(results.workload.name.clone());
            table.row(name.chain(cells));
        }
        table
    }

    fn spread(&self) -> Table {
        let mut table = Table::new(self.heads("workload"));
        for results in self.results {
            let untraced = self.named(UNTRACED);
            let columns = std::iter::once(untraced).chain(self.compared().map(|(at, _)| at));
            let cells = columns.map(|at| {
                let runs = &results.runs[at];
                let times = (fastest(runs), median(runs), slowest(runs));
                let (Some(fastest), Some(median), Some(slowest)) = times else {
                    return "-".to_owned();
                };
                let [fastest, median, slowest] =
                    [fastest, median, slowest].map(|time| (time / 1e6).round());
                format!("{fastest} / {median} / {slowest} ({})", runs.len())
            });
            let name = std::iter::once(results.workload.name.clone());
            table.row(name.chain(cells));
        }
        table
    }

    fn write_notes(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "Workloads:\n")?;
        for results in self.results {
            writeln!(
                out,
                "- {}: {}",
                results.workload.name, results.workload.about
            )?;
        }
        writeln!(out, "\nContestants:\n")?;
        for (_, contestant) in self.columns() {
            let against = match contestant.baseline {
                UNTRACED => String::new(),
                baseline if baseline == contestant.name => "; a baseline".to_owned(),
                baseline => format!("; compared with {baseline}"),
            };
            writeln!(out, "- {}: {}{against}", contestant.name, contestant.about)?;
        }
        writeln!(
            out,
            "\nEvery contestant had the same result, and those that count live bytes saw the same \
             peak."
        )?;
        if !self.left_out.is_empty() {
            writeln!(out, "\nNot compared:\n")?;
            for line in self.left_out {
                writeln!(out, "- {line}")?;
            }
        }
        Ok(())
    }
}

fn shown_ratio(ratio: Option<f64>) -> String {
    match ratio {
        None => "-".to_owned(),
        Some(ratio) if ratio < 10.0 => format!("{ratio:.2}x"),
        Some(ratio) => format!("{ratio:.0}x"),
    }
}

fn sorted(runs: &[Run]) -> Vec<u64> {
    let mut times: Vec<u64> = runs.iter().map(|run| run.nanoseconds).collect();
    times.sort_unstable();
    times
}

fn fastest(runs: &[Run]) -> Option<f64> {
    sorted(runs).first().map(|&time| time as f64)
}

fn slowest(runs: &[Run]) -> Option<f64> {
    sorted(runs).last().map(|&time| time as f64)
}

/// The lower one of the two in the middle.
fn median(runs: &[Run]) -> Option<f64> {
    let times = sorted(runs);
    let middle = times.len().checked_sub(1)? / 2;
    times.get(middle).map(|&time| time as f64)
}
