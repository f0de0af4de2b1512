//! Merged stacks without the frames that are too small to be seen.
//!
//! ```text
//! main ── serve ─┬─ parse  60      The frames of `log` and `trace` hold less than is asked for, so
//!                ├─ log     1      their stacks end at `serve`, which gets what they hold: every
//!                └─ trace   1      frame that stays is as wide as before.
//! ```

use super::merged::{Amount, Merged};

/// A call of the merged stacks. Callers come before what they call, in the order of names.
struct Call<const N: usize> {
    caller: Option<u32>,
    name: u32,
    own: [Amount; N],
    /// What the call holds with all that it calls.
    whole: [Amount; N],
    stays: bool,
}

/// Cuts every stack at its first frame that `stays` is false of, given what the frame holds.
pub(super) fn prune<const N: usize>(
    merged: Merged<N>,
    stays: impl Fn(&[Amount; N]) -> bool,
) -> Merged<N> {
    let mut calls = calls_of(&merged.stacks);
    for index in (0..calls.len()).rev() {
        let own = calls[index].own;
        add(&mut calls[index].whole, own);
        if let Some(caller) = calls[index].caller {
            let whole = calls[index].whole;
            add(&mut calls[caller as usize].whole, whole);
        }
    }
    for index in 0..calls.len() {
        let caller = calls[index].caller;
        let reached = caller.is_none_or(|caller| calls[caller as usize].stays);
        calls[index].stays = reached && (caller.is_none() || stays(&calls[index].whole));
        if let (Some(caller), true, false) = (caller, reached, calls[index].stays) {
            let whole = calls[index].whole;
            add(&mut calls[caller as usize].own, whole);
        }
    }
    let stacks = (0..calls.len()).filter(|&index| calls[index].stays);
    let stacks = stacks.filter(|&index| calls[index].own != [Amount::default(); N]);
    Merged {
        stacks: stacks
            .map(|index| (path(&calls, index), calls[index].own))
            .collect(),
        names: merged.names,
    }
}

fn calls_of<const N: usize>(stacks: &[(Box<[u32]>, [Amount; N])]) -> Vec<Call<N>> {
    let mut calls: Vec<Call<N>> = Vec::new();
    // The calls of the last stack. Stacks are in order, so those that share a caller follow each
    // other.
    let mut last: Vec<u32> = Vec::new();
    for (stack, amounts) in stacks {
        let shared = last.iter().zip(stack);
        let common = shared
            .take_while(|(call, name)| calls[**call as usize].name == **name)
            .count();
        last.truncate(common);
        for &name in stack.iter().skip(common) {
            let index = u32::try_from(calls.len())
                .unwrap_or_else(|_| unreachable!("memory for 2^32 calls does not exist"));
            calls.push(Call {
                caller: last.last().copied(),
                name,
                own: [Amount::default(); N],
                whole: [Amount::default(); N],
                stays: false,
            });
            last.push(index);
        }
        if let Some(&call) = last.last() {
            add(&mut calls[call as usize].own, *amounts);
        }
    }
    calls
}

fn path<const N: usize>(calls: &[Call<N>], index: usize) -> Box<[u32]> {
    let caller = |call: &&Call<N>| calls.get(call.caller? as usize);
    let path = std::iter::successors(calls.get(index), caller);
    let mut names: Vec<u32> = path.map(|call| call.name).collect();
    names.reverse();
    names.into()
}

fn add<const N: usize>(to: &mut [Amount; N], more: [Amount; N]) {
    for (sum, amount) in to.iter_mut().zip(more) {
        sum.size = sum.size.saturating_add(amount.size);
        sum.count = sum.count.saturating_add(amount.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stacks of one-letter names with their bytes, in order.
    #[track_caller]
    fn check(stacks: &[(&str, u64)], min: u64, expected: &[(&str, u64)]) {
        let row = |(names, size): &(&str, u64)| {
            let amount = Amount {
                size: *size,
                count: 1,
            };
            (names.bytes().map(u32::from).collect(), [amount])
        };
        let merged = Merged {
            names: Vec::new(),
            stacks: stacks.iter().map(row).collect(),
        };
        let pruned = prune(merged, |whole| whole[0].size >= min);
        let shown: Vec<(String, u64)> = pruned
            .stacks
            .iter()
            .map(|(names, amounts)| {
                let names = names.iter().filter_map(|name| char::from_u32(*name));
                (names.collect(), amounts[0].size)
            })
            .collect();
        let expected: Vec<(String, u64)> = expected
            .iter()
            .map(|(names, size)| ((*names).to_owned(), *size))
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_small_counts_for_its_caller() {
        let stacks = [("m", 1), ("msl", 1), ("msp", 60), ("mst", 1), ("mx", 5)];
        check(&stacks, 0, &stacks);
        check(&stacks, 2, &[("m", 1), ("ms", 2), ("msp", 60), ("mx", 5)]);
        check(&stacks, 6, &[("m", 6), ("ms", 2), ("msp", 60)]);
        check(&stacks, 61, &[("m", 6), ("ms", 62)]);
        // What lies below all stays, or there would be nobody to count for.
        check(&stacks, 1000, &[("m", 68)]);
        check(&[("a", 1), ("ba", 1)], 1000, &[("a", 1), ("b", 1)]);
    }

    #[test]
    fn many_small_frames_make_a_large_caller() {
        check(&[("mal", 4), ("mbl", 4)], 5, &[("m", 8)]);
        check(&[("mab", 4), ("mac", 4)], 5, &[("ma", 8)]);
    }
}
