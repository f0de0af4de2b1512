//! How much memory a contestant needs.

use std::error::Error;
use std::hint::black_box;

use super::{Contestant, pinned, resident};
use crate::Size;
use crate::micro::all_paths;

impl<S> Contestant<S> {
    /// Prints the memory in bytes at some moments: resident, and the contestant's own if it tells.
    pub(super) fn memory(&self, size: Size, cores: &str) -> Result<(), Box<dyn Error>> {
        let blocks = size.of(2_000_000, 1000);
        let frames = size.of(18, 4);
        pinned::pin(cores)?;
        // Room for what is said, and for the blocks, is there before.
        let mut held: Vec<Box<u64>> = Vec::with_capacity(blocks);
        self.say("before", 0)?;
        let session = (self.start)();
        // A small program: a few hundred blocks in some places.
        let text: Vec<String> = (0..500).map(|number: u32| number.to_string()).collect();
        drop(black_box(text));
        self.say("started", 500)?;
        all_paths(frames);
        self.say("stacks", 1 << frames)?;
        held.extend((0..blocks as u64).map(Box::new));
        self.say("blocks", blocks)?;
        drop(black_box(held));
        (self.stop)(session);
        Ok(())
    }

    fn say(&self, moment: &str, count: usize) -> Result<(), Box<dyn Error>> {
        let own = (self.own_memory)();
        let own = own.map_or("-".to_owned(), |bytes| bytes.to_string());
        println!("{moment} {count} {} {own}", resident::now()? * 1024);
        Ok(())
    }
}
