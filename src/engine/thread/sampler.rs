//! The sampler: which allocations are recorded in a session that samples.
//!
//! Think of the bytes that a thread allocates as a line, with points scattered on it: independent
//! of each other, and `period` bytes apart on average. An allocation is recorded if it has a point
//! in it, so one of `s` bytes is with the probability `1 - exp(-s / period)`, and one with several
//! points is recorded once. This is a Poisson process, which has no memory: after an allocation that
//! was recorded, the distance to the next point is drawn as if nothing had been there.

use std::num::NonZeroU64;

/// The points of one thread, and how far away the next one is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler {
    /// Bytes before the next point. What fits into them has no point in it.
    clear: u64,
    period: NonZeroU64,
    random: u64,
}

impl Sampler {
    /// What a thread has before it samples.
    pub(crate) const NONE: Self = Self {
        clear: 0,
        period: NonZeroU64::MIN,
        random: 0,
    };

    /// A sampler whose points no other seed has. Any number is a good seed, also the next one.
    pub(crate) fn new(period: NonZeroU64, seed: u64) -> Self {
        let mut sampler = Self {
            clear: 0,
            period,
            // Seeds that differ by the step of the generator would give the same numbers shifted.
            random: mix(seed),
        };
        sampler.clear = sampler.gap();
        sampler
    }

    /// Moves past an allocation of `size` bytes if it has no point in it. False if it has: then nothing
    /// has changed. Takes one subtraction and one branch.
    #[inline]
    pub(crate) fn skip_within(&mut self, size: u64) -> bool {
        match self.clear.checked_sub(size) {
            Some(clear) => {
                self.clear = clear;
                true
            }
            None => false,
        }
    }

    /// Moves past an allocation of `size` bytes. True if it has no point in it, and is not recorded.
    pub(crate) fn skip(&mut self, size: u64) -> bool {
        let skipped = self.skip_within(size);
        if !skipped {
            self.clear = self.gap();
        }
        skipped
    }

    /// The whole bytes from here to the next point: an exponential variate, rounded down. For an
    /// allocation of whole bytes to reach beyond it is to reach beyond the variate itself, so
    /// rounding changes no probability.
    ///
    /// At most 37 periods. Stops at `u64::MAX`, which is more than any thread allocates.
    #[cold]
    fn gap(&mut self) -> u64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        // In (0, 1], so that the logarithm is finite and the platform's function has no error to
        // report in `errno`.
        let uniform = ((self.next() >> 11) + 1) as f64 * STEP;
        (-uniform.ln() * self.period.get() as f64) as u64
    }

    /// The generator SplitMix64: a counter, mixed well, that repeats after 2^64 numbers.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }
}

/// Makes every bit depend on every bit. The output function of SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// All seeds are fixed, so a test that has passed once passes for ever. The limits are such that a
/// right sampler with seeds chosen at random would fail a check once in 10^9 times at most; there
/// are about a hundred checks.
#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: NonZeroU64 = NonZeroU64::new(512 * 1024).unwrap();
    /// A block of this many bytes is recorded every other time: 512 KiB times the logarithm of 2.
    const EVEN_CHANCE: u64 = 363_409;

    fn probability(size: u64, period: NonZeroU64) -> f64 {
        -f64::exp_m1(-(size as f64) / period.get() as f64)
    }

    /// How far the sum of many terms may be from its mean, each of them with a mean of 0 whatever
    /// the others are, and none beyond `largest`. By the inequality of Bernstein and Freedman it is
    /// further away with a probability of 10^-9 at most; in the limit of many terms these are 6.5
    /// standard deviations.
    fn tolerance(variance: f64, largest: f64) -> f64 {
        let log = f64::ln(2.0 / 1e-9);
        let shift = largest * log / 3.0;
        shift + (shift * shift + 2.0 * variance * log).sqrt()
    }

    #[track_caller]
    fn check_count(recorded: u64, of: u64, probability: f64) {
        let mean = of as f64 * probability;
        let max_frames = tolerance(mean * (1.0 - probability), 1.0);
        let off = recorded as f64 - mean;
        assert!(
            off.abs() <= max_frames,
            "{recorded} of {of}: {off} > {max_frames}"
        );
    }

    impl Sampler {
        /// How many of `times` allocations of `size` bytes are recorded. Those up to the next point
        /// are passed in one step.
        fn recorded_of(&mut self, size: u64, times: u64) -> u64 {
            let (mut left, mut recorded) = (times, 0);
            while left > 0 {
                let skipped = left.min(self.clear / size);
                assert!(self.skip(size * skipped));
                left -= skipped;
                if left > 0 {
                    assert!(!self.skip(size));
                    recorded += 1;
                    left -= 1;
                }
            }
            recorded
        }
    }

    #[test]
    fn bytes_count_however_they_are_divided() {
        for (seed, size) in [1, 16, 1_000, 100_000].into_iter().enumerate() {
            let mut one_by_one = Sampler::new(PERIOD, seed as u64);
            let mut in_steps = one_by_one;
            let recorded = (0..1_000_000).filter(|_| !one_by_one.skip(size)).count();
            assert_eq!(in_steps.recorded_of(size, 1_000_000), recorded as u64);
            assert_eq!(in_steps.clear, one_by_one.clear);
            assert_eq!(in_steps.random, one_by_one.random);
        }
    }

    /// The estimate of a size's blocks is their recorded number divided by the probability, so it
    /// is right on average if that number is. A million records would show a probability that is
    /// wrong by more than 0.7 %.
    #[test]
    fn every_size_is_recorded_with_its_probability() {
        let around = [
            EVEN_CHANCE,
            PERIOD.get() - 1,
            PERIOD.get(),
            PERIOD.get() + 1,
        ];
        let sizes = [1, 16, 1_000, 100_000, 10_000_000]
            .into_iter()
            .chain(around);
        for (seed, size) in sizes.enumerate() {
            let probability = probability(size, PERIOD);
            let times = (1e6 / probability) as u64;
            let recorded = Sampler::new(PERIOD, seed as u64).recorded_of(size, times);
            check_count(recorded, times, probability);
        }
    }

    /// A sampler that counts on from the last point, or from where an allocation began, would fall
    /// into step with sizes like these.
    #[test]
    fn sizes_that_divide_the_period_do_not_fall_into_step() {
        for divisor in [1, 2, 8, 128, 4_096] {
            let size = PERIOD.get() / divisor;
            let mut sampler = Sampler::new(PERIOD, divisor);
            for _ in 0..8 {
                let recorded = sampler.recorded_of(size, 50_000 * divisor);
                check_count(recorded, 50_000 * divisor, probability(size, PERIOD));
            }
        }
    }

    /// Of two allocations so far apart, one tells nothing of the other: the products of how far
    /// each is from its mean add up to nothing.
    #[track_caller]
    fn check_independent(outcomes: &[(bool, f64)], apart: usize) {
        let off = |&(recorded, mean): &(bool, f64)| f64::from(u8::from(recorded)) - mean;
        let pairs = outcomes.iter().zip(&outcomes[apart..]);
        let (mut sum, mut variance) = (0.0, 0.0);
        for (first, second) in pairs {
            sum += off(first) * off(second);
            let max_frames = f64::max(first.1, 1.0 - first.1);
            variance += max_frames * max_frames * second.1 * (1.0 - second.1);
        }
        let max_frames = tolerance(variance, 1.0);
        assert!(
            sum.abs() <= max_frames,
            "{apart} apart: {sum} > {max_frames}"
        );
    }

    #[test]
    fn successive_allocations_are_independent() {
        let period = PERIOD.get();
        let turns: [&[u64]; 4] = [
            &[EVEN_CHANCE],
            &[period / 8],
            &[EVEN_CHANCE, period / 4],
            &[16, 3 * period, period / 2, 1_000],
        ];
        for (seed, sizes) in turns.into_iter().enumerate() {
            let mut sampler = Sampler::new(PERIOD, seed as u64);
            let outcomes: Vec<(bool, f64)> = sizes
                .iter()
                .cycle()
                .take(400_000)
                .map(|&size| (!sampler.skip(size), probability(size, PERIOD)))
                .collect();
            for apart in 1..=5 {
                check_independent(&outcomes, apart);
            }
        }
    }

    #[test]
    fn neighbouring_seeds_are_independent() {
        for step in [1, 8, 4_096, 0x9e37_79b9_7f4a_7c15] {
            let mut outcomes = Vec::new();
            for thread in 0..100_000_u64 {
                let mut sampler = Sampler::new(PERIOD, thread.wrapping_mul(step));
                let records = [sampler.skip(EVEN_CHANCE), sampler.skip(EVEN_CHANCE)];
                outcomes.extend(records.map(|skipped| (!skipped, 0.5)));
            }
            let recorded = outcomes.iter().filter(|(recorded, _)| *recorded).count();
            check_count(recorded as u64, 200_000, 0.5);
            for apart in 1..=5 {
                check_independent(&outcomes, apart);
            }
        }
    }

    /// The first numbers that the published generator makes of the seed 1234567.
    #[test]
    fn the_generator_is_the_published_one() {
        let mut sampler = Sampler::new(PERIOD, 0);
        sampler.random = 1_234_567;
        for expected in [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ] {
            assert_eq!(sampler.next(), expected);
        }
    }

    #[test]
    fn nothing_is_never_recorded() {
        for period in [NonZeroU64::MIN, PERIOD, NonZeroU64::MAX] {
            let mut sampler = Sampler::new(period, 0);
            // With a period of 1 the next point is often right here.
            for _ in 0..1_000 {
                assert!(sampler.skip(0));
                sampler.skip(1);
            }
        }
    }

    #[test]
    fn an_allocation_is_recorded_once_however_large() {
        let mut sampler = Sampler::new(PERIOD, 0);
        for size in [100 * PERIOD.get(), u64::MAX - 1, u64::MAX] {
            assert!(!sampler.skip(size));
            assert!(sampler.clear <= 37 * PERIOD.get());
        }
    }

    #[test]
    fn the_shortest_and_the_longest_period() {
        let mut every_byte = Sampler::new(NonZeroU64::MIN, 0);
        for size in [1, 2, 5] {
            let probability = probability(size, NonZeroU64::MIN);
            check_count(every_byte.recorded_of(size, 100_000), 100_000, probability);
        }
        let mut never = Sampler::new(NonZeroU64::MAX, 0);
        assert_eq!(never.recorded_of(1, 1_000_000), 0);
        // Beyond 2^64 bytes the line ends, so each sampler is asked once.
        let seeds = 0..100_000;
        let recorded = seeds.filter(|&seed| !Sampler::new(NonZeroU64::MAX, seed).skip(u64::MAX));
        let probability = probability(u64::MAX, NonZeroU64::MAX);
        check_count(recorded.count() as u64, 100_000, probability);
    }
}
