//! From runs to figures.

use crate::contestants::Contestant;
use crate::rounds::{Results, Run};
use crate::workload::Workload;

/// Which clock a time is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Wall,
    Processor,
}

impl Clock {
    /// On one thread the processor's time, which a busy machine does not change. Where threads wait
    /// for each other, or for another process, only the wall clock includes all of the time.
    pub fn of(workload: &Workload, contestant: &Contestant) -> Self {
        if workload.threads > 1 || contestant.waits {
            Self::Wall
        } else {
            Self::Processor
        }
    }
}

/// Which of several runs.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    Fastest,
    /// The lower one of the two in the middle.
    Median,
    Slowest,
}

impl Of {
    /// None without a run.
    fn of(self, runs: &[Run], clock: Clock) -> Option<f64> {
        let time = |run: &Run| match clock {
            Clock::Wall => run.wall,
            Clock::Processor => run.processor(),
        };
        let mut times: Vec<u64> = runs.iter().map(time).collect();
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        let at = match self {
            Self::Fastest => 0,
            Self::Median => last / 2,
            Self::Slowest => last,
        };
        Some(times[at] as f64)
    }
}

/// What was measured, and what follows from it. A figure is None where a contestant did not run.
pub struct Figures<'a> {
    pub contestants: &'a [Contestant],
    pub results: &'a [Results],
}

impl Figures<'_> {
    pub fn named(&self, name: &str) -> &Contestant {
        let mut contestants = self.contestants.iter();
        contestants
            .find(|contestant| contestant.name == name)
            .expect("a baseline takes part")
    }

    /// In nanoseconds.
    pub fn time(
        &self,
        results: &Results,
        contestant: &Contestant,
        clock: Clock,
        of: Of,
    ) -> Option<f64> {
        let mut named = self.contestants.iter().zip(&results.runs);
        let (_, runs) = named.find(|(candidate, _)| candidate.name == contestant.name)?;
        of.of(runs, clock)
    }

    /// The times of a contestant and of its baseline, by one clock.
    fn both(
        &self,
        results: &Results,
        contestant: &Contestant,
        clock: Clock,
        of: Of,
    ) -> Option<(f64, f64)> {
        let time = self.time(results, contestant, clock, of)?;
        let baseline = self.named(contestant.baseline);
        Some((time, self.time(results, baseline, clock, of)?))
    }

    pub fn ratio(&self, results: &Results, contestant: &Contestant, of: Of) -> Option<f64> {
        let clock = Clock::of(&results.workload, contestant);
        let (time, baseline) = self.both(results, contestant, clock, of)?;
        Some(time / baseline)
    }

    /// Nanoseconds per allocation or reallocation, of the fastest runs.
    pub fn added(&self, results: &Results, contestant: &Contestant) -> Option<f64> {
        let clock = Clock::of(&results.workload, contestant);
        let (time, baseline) = self.both(results, contestant, clock, Of::Fastest)?;
        // Threads that run in parallel share the time.
        let per_thread = results.allocations as f64 / results.workload.threads as f64;
        Some((time - baseline) / per_thread)
    }

    /// The geometric mean of the ratios over the workloads of one thread, none of them missing.
    pub fn mean(&self, contestant: &Contestant, of: Of) -> Option<f64> {
        self.mean_of(|results| self.ratio(results, contestant, of))
    }

    /// The run in the middle by the processor's time; the lower one of two.
    pub fn median_run(&self, runs: &[Run]) -> Option<Run> {
        let mut runs = runs.to_vec();
        runs.sort_unstable_by_key(Run::processor);
        runs.get(runs.len().checked_sub(1)? / 2).copied()
    }

    /// The geometric mean of the ratios of CPU time, whatever the contestant waits for.
    pub fn processor_mean(&self, contestant: &Contestant) -> Option<f64> {
        self.mean_of(|results| {
            let times = self.both(results, contestant, Clock::Processor, Of::Fastest);
            times.map(|(time, baseline)| time / baseline)
        })
    }

    fn mean_of(&self, ratio: impl Fn(&Results) -> Option<f64>) -> Option<f64> {
        let ratios = self
            .results
            .iter()
            .filter(|results| results.workload.is_work_of_one_thread())
            .map(ratio);
        let ratios: Vec<f64> = ratios.collect::<Option<_>>()?;
        let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
        (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Figures, Of};
    use crate::contestants::{UNTRACED, named};
    use crate::rounds::{Results, Run};
    use crate::workload::Workload;

    fn runs(times: &[u64]) -> Vec<Run> {
        let run = |&processor: &u64| Run {
            user: processor,
            wall: 10 * processor,
            ..Run::default()
        };
        times.iter().map(run).collect()
    }

    fn results(threads: usize, untraced: &[u64], off: &[u64]) -> Results {
        let workload = Workload {
            name: "json".to_owned(),
            threads,
            about: String::new(),
        };
        Results {
            workload,
            allocations: 10,
            runs: vec![runs(untraced), runs(off)],
        }
    }

    #[test]
    fn the_fastest_the_median_and_the_slowest() {
        let times = runs(&[30, 10, 20, 40]);
        let of = |of: Of| of.of(&times, Clock::Processor);
        assert_eq!(of(Of::Fastest), Some(10.0));
        assert_eq!(of(Of::Median), Some(20.0));
        assert_eq!(of(Of::Slowest), Some(40.0));
        assert_eq!(Of::Median.of(&times, Clock::Wall), Some(200.0));
        assert_eq!(Of::Median.of(&[], Clock::Wall), None);
    }

    #[test]
    fn ratios_are_those_of_the_fastest_and_means_those_of_one_thread() {
        let contestants = named(&[UNTRACED, "off"]);
        let all = [
            results(1, &[110, 100], &[200, 210]),
            results(1, &[100], &[800]),
            results(2, &[100], &[900]),
        ];
        let figures = Figures {
            contestants: &contestants,
            results: &all,
        };
        let off = figures.named("off");
        assert_eq!(figures.ratio(&all[0], off, Of::Fastest), Some(2.0));
        assert_eq!(figures.added(&all[0], off), Some(10.0));
        // By the wall clock, and five allocations on each thread.
        assert_eq!(figures.added(&all[2], off), Some(1600.0));
        let mean = figures.mean(off, Of::Fastest).expect("all ran");
        assert!((mean - 4.0).abs() < 1e-9, "{mean}");
    }

    #[test]
    fn without_a_run_there_is_no_mean() {
        let contestants = named(&[UNTRACED, "off"]);
        let all = [results(1, &[100], &[200]), results(1, &[100], &[])];
        let figures = Figures {
            contestants: &contestants,
            results: &all,
        };
        assert_eq!(figures.mean(figures.named("off"), Of::Fastest), None);
    }
}
