//! The workloads, as the contestants list them.

use std::error::Error;
use std::process::Command;

use crate::arguments::Arguments;
use crate::building;
use crate::contestants::UNTRACED;

/// One kind of work.
#[derive(Clone, Debug)]
pub struct Workload {
    pub name: String,
    /// How many threads run it; each does the whole work.
    pub threads: usize,
    pub about: String,
}

/// Shows what threads cost that do nothing; no work that anybody has.
const IDLE: &str = "large-idle";

impl Workload {
    /// True if its ratio counts for the mean.
    pub fn is_work_of_one_thread(&self) -> bool {
        self.threads == 1 && self.name != IDLE
    }
}

/// Those of a list of the contestants' that the command line asks for.
pub fn listed(list: &str, arguments: &Arguments) -> Result<Vec<Workload>, Box<dyn Error>> {
    let program = building::programs()?.join(UNTRACED);
    let output = Command::new(program).arg(list).output()?;
    let list = String::from_utf8(output.stdout)?;
    let all: Vec<Workload> = list.lines().map(read).collect::<Result<_, _>>()?;
    let Some(names) = &arguments.workloads else {
        return Ok(all);
    };
    let named = names.iter().map(|name| {
        let found = all.iter().find(|workload| workload.name == *name).cloned();
        found.ok_or_else(|| format!("no workload {name}").into())
    });
    named.collect()
}

fn read(line: &str) -> Result<Workload, Box<dyn Error>> {
    let mut fields = line.split('\t').map(str::to_owned);
    let mut field = || {
        fields
            .next()
            .ok_or_else(|| format!("not a workload: {line}"))
    };
    Ok(Workload {
        name: field()?,
        threads: field()?.parse()?,
        about: field()?,
    })
}
