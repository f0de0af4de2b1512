//! The work alone, for tools that look at it from outside. Ends while blocks are live.

use totals::sites;

fn main() {
    sites::run(|| std::process::exit(0));
}
