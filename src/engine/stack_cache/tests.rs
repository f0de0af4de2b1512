//! The cache against its model: a plain walk, which remembers nothing.
//!
//! A made-up program calls and returns at random on a stack of one page, from a small vocabulary of
//! functions, so that stacks come again, and callers change below frames that look unchanged. Every
//! answer of the cache is compared with the walk's, frame by frame, by [`walk_and_count`].

use crate::engine::unwind::cfi::fuzzing::{Answers, walk_and_count};

/// Words of the stack. The oldest frame ends at the last one.
const WORDS: usize = 256;
/// Questions are asked from frames that begin below this word.
const TOP: usize = 60;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

/// A function: how its frame is unwound, as `rule_of` reads the number of its code.
#[derive(Clone, Copy)]
struct Function {
    words: usize,
    /// Its CFA is found by the frame register, which then points at the frame's first word.
    by_fp: bool,
    /// The caller's frame register is in the frame's first word.
    saves_fp: bool,
    variant: usize,
}

impl Function {
    fn any(random: &mut Random) -> Self {
        Self {
            // Mostly of one size, so that a frame is found at one place above different callers.
            words: if random.below(4) == 0 { 3 } else { 4 },
            by_fp: random.below(3) == 0,
            saves_fp: random.below(2) == 0,
            variant: random.below(2),
        }
    }

    fn code(self) -> usize {
        let kind = if self.by_fp {
            3 + self.variant
        } else {
            self.variant
        };
        let saved_at = (self.words - 1) << 9 | 1 << 3;
        kind | self.words << 4 | if self.saves_fp { saved_at } else { 0 }
    }

    /// A return address into it, as `value_of` reads a word.
    fn address(self) -> u16 {
        ((self.code() >> 1) << 2 | self.code() & 1) as u16
    }
}

/// A program on its stack: what each frame's first word is, and its function; oldest frame first.
struct Program {
    frames: Vec<(usize, Function)>,
    pieces: Vec<[u8; 8]>,
}

impl Program {
    fn top(&self) -> usize {
        self.frames.last().map_or(WORDS, |frame| frame.0)
    }

    fn write(&mut self, at: usize, word: u16) {
        let [low, high] = word.to_le_bytes();
        self.pieces.push([at as u8, 0, low, high, 0, 0, 0, 0]);
    }

    fn call(&mut self, mut function: Function) {
        // The frame register of such a caller has to come from somewhere.
        function.saves_fp |= self.frames.last().is_some_and(|caller| caller.1.by_fp);
        self.call_as_it_is(function);
    }

    fn call_as_it_is(&mut self, function: Function) {
        let before = self.top();
        let caller = self.frames.last().map(|frame| frame.1);
        let first = before - function.words;
        self.write(before - 1, caller.map_or(3, Function::address));
        if function.saves_fp {
            self.write(first, ((before + 64) << 2 | 2) as u16);
        }
        self.frames.push((first, function));
    }

    /// `fp`: the word that the frame register points at, an even one.
    fn ask(&mut self, fp: usize) {
        let (first, function) = *self.frames.last().expect("a frame");
        let [pc_low, pc_high] = function.address().to_le_bytes();
        // The word that a question changes as well: one below all frames.
        let (value, fp) = ([3, 0], ((fp + 64) / 2) as u8);
        self.pieces.push([
            0,
            1 | 31 << 1,
            value[0],
            value[1],
            pc_low,
            pc_high,
            first as u8,
            fp,
        ]);
    }
}

fn history(seed: u64, questions: usize) -> Vec<u8> {
    let random = &mut Random(seed);
    let vocabulary: Vec<Function> = (0..4).map(|_| Function::any(random)).collect();
    let mut program = Program {
        frames: Vec::new(),
        pieces: Vec::new(),
    };
    for _ in 0..questions {
        // Mostly a few functions return; now and then many do.
        let returns = match random.below(16) {
            0 => random.below(program.frames.len() + 1),
            _ => random.below(4),
        };
        let left = program.frames.len().saturating_sub(returns);
        program.frames.truncate(left);
        while program.top() > TOP || random.below(3) > 0 && program.top() > 8 {
            program.call(vocabulary[random.below(vocabulary.len())]);
        }
        // The function that asks finds its CFA by the stack pointer. It may leave the frame register to
        // its caller.
        let caller = program.top();
        program.call_as_it_is(Function {
            words: 2,
            by_fp: false,
            saves_fp: caller % 2 == 1,
            variant: random.below(2),
        });
        for _ in 0..1 + random.below(3) {
            // Now and then the register points elsewhere: if it matters, the stack is another one.
            let fp = match random.below(4) {
                0 => 2 * random.below(WORDS / 4),
                _ => caller,
            };
            program.ask(fp);
        }
        program.frames.pop();
    }
    program.pieces.concat()
}

/// Seen to fail when any part of the key or of the validity of an entry was not compared: its words, the
/// base stack's words, the frame register, the base stack's version, the stack at the attachment point.
#[test]
fn the_cache_agrees_with_a_plain_walk() {
    let mut sum = Answers::default();
    for seed in 0..5 {
        let answers = walk_and_count(&history(seed, 100));
        assert!(answers.fast <= answers.cached, "{answers:?}");
        sum.asked += answers.asked;
        sum.fast += answers.fast;
        sum.cached += answers.cached;
        sum.filled += answers.filled;
    }
    // The test means something only if the cache answers, and if answers cease to be valid.
    assert!(sum.fast * 10 > sum.asked, "{sum:?}");
    assert!(sum.cached > sum.fast, "{sum:?}");
    assert!(sum.filled * 5 > sum.asked, "{sum:?}");
}
