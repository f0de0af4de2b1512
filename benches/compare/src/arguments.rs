//! What the command line asks for.

use std::env;
use std::error::Error;
use std::path::PathBuf;

use crate::document;

pub const HELP: &str = "\
Measures what tracing costs: workloads of real crates under several contestants.

  --peers               other tools too; builds them, and leaves out what is not there
  --workloads A,B       only these: json syn regex html markdown script strings boxes syn-2
  --contestants A,B     only these, and what they are compared with
  --rounds N            how often each is run; the fastest counts (default 5)
  --small               tiny inputs: shows that everything runs, measures nothing
  --cores A,B           the core to run on, and another for two threads (default: the last two)
  --markdown            print a section for a document
  --into FILE           put the section between its marks in that document
";

#[derive(Debug)]
pub struct Arguments {
    pub with_peers: bool,
    /// None: all.
    pub workloads: Option<Vec<String>>,
    /// None: all.
    pub contestants: Option<Vec<String>>,
    /// None: as many as the program holds right.
    pub rounds: Option<usize>,
    pub is_small: bool,
    pub cores: Option<Vec<usize>>,
    pub is_markdown: bool,
    /// None: print.
    pub into: Option<PathBuf>,
}

impl Arguments {
    /// None if help was asked for.
    pub fn from_command_line() -> Result<Option<Self>, Box<dyn Error>> {
        let mut arguments = Self {
            with_peers: false,
            workloads: None,
            contestants: None,
            rounds: None,
            is_small: false,
            cores: None,
            is_markdown: false,
            into: None,
        };
        let mut given = env::args().skip(1);
        while let Some(argument) = given.next() {
            let mut value = || {
                given
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--peers" => arguments.with_peers = true,
                "--small" => arguments.is_small = true,
                "--markdown" => arguments.is_markdown = true,
                "--into" => {
                    arguments.into = Some(value()?.into());
                    arguments.is_markdown = true;
                }
                "--rounds" => arguments.rounds = Some(value()?.parse()?),
                "--workloads" => arguments.workloads = Some(names(&value()?)),
                "--contestants" => arguments.contestants = Some(names(&value()?)),
                "--cores" => {
                    let cores: Result<_, _> = value()?.split(',').map(str::parse).collect();
                    arguments.cores = Some(cores?);
                }
                _ => return Err(format!("not known: {argument}; try --help").into()),
            }
        }
        if arguments.rounds == Some(0) {
            return Err("--rounds must be at least 1".into());
        }
        Ok(Some(arguments))
    }

    /// Prints what was measured, or puts it between the marks of that name in the document.
    pub fn publish(&self, name: &str, text: &str) -> Result<(), Box<dyn Error>> {
        match &self.into {
            Some(file) => document::put(file, name, text),
            None => {
                print!("{text}");
                Ok(())
            }
        }
    }

    /// As the contestants take it.
    pub fn size(&self) -> &'static str {
        if self.is_small { "small" } else { "full" }
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}
