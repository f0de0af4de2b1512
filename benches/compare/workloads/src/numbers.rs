//! Numbers that look random and are the same every time, and sums of what was done.

/// SplitMix64.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// A few words with spaces between them.
    pub(crate) fn words(&mut self, count: usize) -> String {
        let words: Vec<&str> = (0..count).map(|_| self.pick(&WORDS)).collect();
        words.join(" ")
    }
}

const WORDS: [&str; 24] = [
    "ash", "barrel", "candle", "distance", "ember", "fathom", "garden", "harbour", "inlet",
    "juniper", "kettle", "lantern", "meadow", "nettle", "orchard", "pebble", "quarry", "river",
    "signal", "timber", "umbrella", "valley", "winter", "yard",
];

/// Depends on everything that was added and on its order.
#[derive(Default)]
pub(crate) struct Checksum(u64);

impl Checksum {
    pub(crate) fn add(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// The length and the ends of a text; all of it would cost more than the work.
    pub(crate) fn add_text(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let end = |byte: Option<&u8>| u64::from(byte.copied().unwrap_or_default());
        self.add(bytes.len() as u64);
        self.add(end(bytes.first()) << 8 | end(bytes.last()));
    }

    pub(crate) fn value(&self) -> u64 {
        self.0
    }
}
