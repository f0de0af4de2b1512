//! What one recorded block stands for when not every block is recorded.
//!
//! Sampling is a Poisson process over the bytes that are allocated: a block of `s` bytes is
//! recorded with the probability `p(s) = 1 - exp(-s / N)`, where `N` is the period. Dividing each
//! recorded block by its own probability makes the sum of any set of blocks right on average (the
//! estimator of Horvitz and Thompson). Go's heap profiles are put right with the same formula, from
//! the average size of a stack's blocks (`scaleHeapSample` in `runtime/pprof`); here each block has
//! its own size, so that a stack with blocks of many sizes is right too.
//!
//! Sums are kept in fixed point, so that they do not depend on the order of the blocks, and are
//! rounded once, when they are shown. The probability is worked out with the four operations
//! alone, which give the same bits on every machine: `exp_m1` need not even give them twice.

use std::num::NonZeroU64;

/// Sampling by bytes: on average one record per period, in allocated bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sampling {
    /// The period in bytes.
    pub(crate) every: NonZeroU64,
}

impl Sampling {
    /// How many blocks of `size` bytes one recorded block of that size stands for: `1 / p(size)`.
    ///
    /// A block of no bytes is never sampled. If there is one all the same, it stands for itself.
    pub(crate) fn weight(self, size: u64) -> Fixed {
        if size == 0 {
            return Fixed::ONE;
        }
        let weight = 1.0 / hit(size as f64 / self.every.get() as f64);
        // 1 at least and below 2^65: it has no bits beyond the places of `Fixed`, and fits.
        Fixed((weight * Fixed::UNIT as f64) as u128)
    }
}

/// `1 - exp(-x)`, the probability of a hit within a stretch of `x` periods. `x` is above 0.
fn hit(x: f64) -> f64 {
    /// From here on the difference to 1 is less than the last bit.
    const CERTAIN: f64 = 40.0;
    /// Up to here the terms below are enough.
    const SHORT: f64 = 0.125;
    const TERMS: u32 = 11;

    if x >= CERTAIN {
        return 1.0;
    }
    let mut short = x;
    let mut halvings = 0;
    while short > SHORT {
        short *= 0.5;
        halvings += 1;
    }
    // y - y^2/2! + y^3/3! - ...
    let mut sum = 1.0;
    for term in (2..=TERMS).rev() {
        sum = 1.0 - short / f64::from(term) * sum;
    }
    let mut hit = short * sum;
    // A hit in either half. Nothing cancels out here, as it would in 1 - (1 - hit)^2.
    for _ in 0..halvings {
        hit *= 2.0 - hit;
    }
    hit
}

/// A number of blocks or bytes with 52 binary places. Sums and products stop at 2^76, so the order
/// of additions never matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fixed(u128);

impl Fixed {
    const PLACES: u32 = 52;
    const UNIT: u128 = 1 << Self::PLACES;

    pub(crate) const ONE: Self = Self(Self::UNIT);

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub(crate) fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(u128::from(factor)))
    }

    /// The nearest whole number, of two the greater; `u64::MAX` if it is beyond that.
    pub(crate) fn rounded(self) -> u64 {
        let whole = self.0.saturating_add(Self::UNIT / 2) >> Self::PLACES;
        u64::try_from(whole).unwrap_or(u64::MAX)
    }

    /// The number, if it is a whole one.
    #[cfg(feature = "html")]
    pub(crate) fn whole(self) -> Option<u64> {
        self.0.is_multiple_of(Self::UNIT).then(|| self.rounded())
    }

    /// The nearest number of three decimal places, as exact as a double is.
    pub(crate) fn thousandths(self) -> f64 {
        (self.0 as f64 / Self::UNIT as f64 * 1000.0).round() / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(every: u64) -> Sampling {
        Sampling {
            every: NonZeroU64::new(every).expect("a period above 0"),
        }
    }

    /// Against the platform's own function, from hits that are next to impossible to certain ones.
    #[test]
    fn the_probability_is_that_of_a_poisson_process() {
        let mut x = 1e-20;
        while x < 100.0 {
            let expected = -f64::exp_m1(-x);
            let error = (hit(x) / expected - 1.0).abs();
            assert!(error < 1e-14, "{x}: {error}");
            x *= 1.001;
        }
    }

    #[test]
    fn a_block_stands_for_the_inverse_of_its_probability() {
        #[track_caller]
        fn check(every: u64, size: u64, blocks: u64, bytes: u64) {
            let weight = sampling(every).weight(size);
            assert_eq!(weight.rounded(), blocks, "blocks");
            assert_eq!(weight.times(size).rounded(), bytes, "bytes");
        }
        // 1 / (1 - exp(-1)) = 1.58198, 1 / (1 - exp(-1/512)) = 512.50016.
        check(1 << 19, 1 << 19, 2, 829_411);
        check(1 << 19, 1 << 10, 513, 524_800);
        check(1 << 19, 1, 524_289, 524_289);
        check(1 << 19, 100 << 20, 1, 100 << 20);
        check(1, 1, 2, 2);
        check(1, 41, 1, 41);
        // Nothing to divide by: it stands for itself.
        check(1, 0, 1, 0);
        check(u64::MAX, 0, 1, 0);
        // The greatest numbers stop where they are shown, not before.
        check(u64::MAX, 1, u64::MAX, u64::MAX);
        check(u64::MAX, u64::MAX, 2, u64::MAX);
        check(1, u64::MAX, 1, u64::MAX);
    }

    /// A weight below one block would make estimates smaller than what was seen.
    #[test]
    fn no_block_stands_for_less_than_itself() {
        for every in [1, 1000, 1 << 19, u64::MAX] {
            for size in (0..64).map(|bit| 1_u64 << bit) {
                assert!(sampling(every).weight(size).0 >= Fixed::UNIT);
            }
        }
    }

    #[cfg(feature = "html")]
    #[test]
    fn fractions_are_told_from_whole_numbers() {
        let third = Fixed(Fixed::UNIT / 3);
        assert_eq!((third.whole(), third.thousandths()), (None, 0.333));
        let seven = Fixed::ONE.times(7);
        assert_eq!((seven.whole(), seven.thousandths()), (Some(7), 7.0));
        assert_eq!(Fixed(u128::MAX - Fixed::UNIT + 1).whole(), Some(u64::MAX));
    }

    #[test]
    fn halves_are_rounded_up_and_sums_stop() {
        let half = Fixed(Fixed::UNIT / 2);
        assert_eq!(half.rounded(), 1);
        assert_eq!(Fixed(half.0 - 1).rounded(), 0);
        assert_eq!(Fixed::ONE.plus(half).rounded(), 2);
        let max = Fixed(u128::MAX);
        assert_eq!(max.plus(Fixed::ONE), max);
        assert_eq!(max.times(2), max);
        assert_eq!(max.rounded(), u64::MAX);
        assert_eq!(Fixed::ONE.times(u64::MAX).plus(half).rounded(), u64::MAX);
    }
}
