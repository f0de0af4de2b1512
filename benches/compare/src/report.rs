//! The figures as text.

use std::fmt::Write;

use crate::arguments::Arguments;
use crate::contestants::{COUNT, Contestant, UNTRACED};
use crate::figures::{Clock, Figures, Of};
use crate::machine::Machine;
use crate::rounds::{PATIENCE, ROUNDS, Results};
use crate::table::Table;

pub struct Report<'a> {
    pub arguments: &'a Arguments,
    pub machine: &'a Machine,
    pub contestants: &'a [Contestant],
    pub results: &'a [Results],
    pub left_out: &'a [String],
}

impl Report<'_> {
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes everything");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "{}; {} rounds, the fastest counts.\n",
            self.machine.text(),
            self.arguments.rounds.unwrap_or(ROUNDS)
        )?;
        self.heading(out, "Time, as a multiple of the baseline's")?;
        writeln!(out, "{}", self.ratios().text())?;
        self.heading(out, "Nanoseconds added per allocation or reallocation")?;
        writeln!(out, "{}", self.added().text())?;
        self.heading(out, "Most memory resident, MiB")?;
        writeln!(out, "{}", self.memory().text())?;
        self.heading(
            out,
            "User + system time of the median run in ms, of all threads of the contestant",
        )?;
        writeln!(out, "{}", self.parts().text())?;
        self.heading(out, "Fastest / median / slowest run in ms, and runs")?;
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

    fn figures(&self) -> Figures<'_> {
        Figures {
            contestants: self.contestants,
            results: self.results,
        }
    }

    /// The contestants with a column, by their place in the list; the untraced one is the first.
    fn columns(&self) -> impl Iterator<Item = (usize, &Contestant)> {
        let all = self.contestants.iter().enumerate();
        all.filter(|(_, contestant)| contestant.name != COUNT)
    }

    fn compared(&self) -> impl Iterator<Item = (usize, &Contestant)> {
        self.columns()
            .filter(|(_, contestant)| contestant.name != UNTRACED)
    }

    /// A table with a column for each contestant, the untraced one under `second`.
    fn table(&self, second: &str) -> Table {
        let names = self.compared().map(|(_, contestant)| contestant.name);
        Table::new(["workload", second].into_iter().chain(names))
    }

    fn ratios(&self) -> Table {
        let figures = self.figures();
        let mut table = self.table(UNTRACED);
        for results in self.results {
            let untraced = figures.named(UNTRACED);
            let clock = Clock::of(&results.workload, untraced);
            let time = figures.time(results, untraced, clock, Of::Fastest);
            let ratios = self.compared().map(|(_, contestant)| {
                shown_ratio(figures.ratio(results, contestant, Of::Fastest))
            });
            let ratios: Vec<String> = ratios.collect();
            let time = time.map_or("-".to_owned(), |time| format!("{:.0} ms", time / 1e6));
            table.row([results.workload.name.clone(), time], ratios);
        }
        for (title, of) in [
            ("geometric mean, one thread", Of::Fastest),
            ("geometric mean of medians", Of::Median),
        ] {
            let means = self
                .compared()
                .map(|(_, contestant)| shown_ratio(figures.mean(contestant, of)));
            let means: Vec<String> = means.collect();
            table.row([title.to_owned(), String::new()], means);
        }
        table
    }

    fn added(&self) -> Table {
        let figures = self.figures();
        let mut table = self.table("allocations");
        for results in self.results {
            let cells = self.compared().map(|(_, contestant)| {
                let added = figures.added(results, contestant);
                added.map_or("-".to_owned(), |added| format!("{added:.0}"))
            });
            let cells: Vec<String> = cells.collect();
            let allocations = results.allocations.to_string();
            table.row([results.workload.name.clone(), allocations], cells);
        }
        table
    }

    fn memory(&self) -> Table {
        let mut table = self.table(UNTRACED);
        for results in self.results {
            let cells = self.columns().map(|(at, _)| {
                let min = results.runs[at].iter().map(|run| run.resident).min();
                min.map_or("-".to_owned(), |kib| format!("{:.0}", kib as f64 / 1024.0))
            });
            table.row([results.workload.name.clone()], cells.collect());
        }
        table
    }

    fn parts(&self) -> Table {
        let figures = self.figures();
        let mut table = self.table(UNTRACED);
        for results in self.results {
            let cells = self.columns().map(|(at, _)| {
                let run = figures.median_run(&results.runs[at]);
                let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
                run.map_or("-".to_owned(), |run| {
                    format!("{:.0} + {:.0}", ms(run.user), ms(run.system))
                })
            });
            table.row([results.workload.name.clone()], cells.collect());
        }
        table
    }

    fn spread(&self) -> Table {
        let figures = self.figures();
        let mut table = self.table(UNTRACED);
        for results in self.results {
            let cells = self.columns().map(|(at, contestant)| {
                let clock = Clock::of(&results.workload, contestant);
                let times = [Of::Fastest, Of::Median, Of::Slowest]
                    .map(|of| figures.time(results, contestant, clock, of));
                let times: Vec<String> = times
                    .iter()
                    .flatten()
                    .map(|time| format!("{:.0}", time / 1e6))
                    .collect();
                format!("{} ({})", times.join(" / "), results.runs[at].len())
            });
            table.row([results.workload.name.clone()], cells.collect());
        }
        table
    }

    fn write_notes(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "Workloads:\n")?;
        for results in self.results {
            let workload = &results.workload;
            writeln!(out, "- {}: {}", workload.name, workload.about)?;
        }
        writeln!(out, "\nContestants:\n")?;
        for (_, contestant) in self.columns() {
            let against = match contestant.baseline {
                UNTRACED => String::new(),
                baseline if baseline == contestant.name => "; a baseline".to_owned(),
                baseline => format!("; compared with {baseline}"),
            };
            let clock = match self.figures().processor_mean(contestant) {
                Some(mean) if contestant.waits => format!(
                    "; by the wall clock (by the time of its own process on a processor the mean \
                     is {mean:.2}x)"
                ),
                _ => String::new(),
            };
            writeln!(
                out,
                "- {}: {}{against}{clock}",
                contestant.name, contestant.about
            )?;
        }
        writeln!(
            out,
            "\nOn one thread times are those of the processor, which other processes do not add \
             to; on two, those\nof the wall clock. Every process is pinned. A contestant that took \
             more than {} s on a workload was\nnot run on it again. All had the same results; those \
             that count live bytes saw the same peak, and\nthose that count allocations the same \
             number.",
            PATIENCE.as_secs()
        )?;
        if self.columns().any(|(_, contestant)| contestant.is_peer) {
            writeln!(out, "\nVersions: {}.", self.machine.tools.join(", "))?;
        }
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
