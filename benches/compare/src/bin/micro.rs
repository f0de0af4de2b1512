//! What a pair of allocation and free costs, in loops that do nothing else.
//!
//! `cargo run --release --manifest-path benches/compare/Cargo.toml --bin micro -- [--small]
//! [--rounds N] [--cores A,B] [--into FILE]`

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use compare::arguments::Arguments;
use compare::building;
use compare::contestants::{self, UNTRACED};
use compare::machine::Machine;
use compare::table::Table;
use compare::workload::{self, Workload};

const NAMES: [&str; 3] = [UNTRACED, "off", "traced"];

fn main() -> Result<(), Box<dyn Error>> {
    let Some(arguments) = Arguments::from_command_line()? else {
        println!(
            "--small, --rounds N, --cores A,B, --into FILE; --workloads A,B: only these cases"
        );
        return Ok(());
    };
    let machine = Machine::this()?;
    let own = contestants::named(&NAMES);
    building::build(own, &mut Vec::new())?;
    let cases = workload::listed("--list-cases", &arguments)?;
    let cores = arguments.cores.as_ref().unwrap_or(&machine.cores);
    let mut table = Table::new([
        "case",
        "untraced, ns",
        "off, added",
        "off",
        "traced, added",
        "traced",
        "medians, ns",
    ]);
    let mut not_run = String::new();
    for case in &cases {
        if case.threads > cores.len() {
            not_run += &format!("Not run: {}, needs {} cores.\n", case.name, case.threads);
            continue;
        }
        eprintln!("{}", case.name);
        let best = measure(case, &arguments, cores)?;
        let [untraced, off, traced] = best.map(|times| times.fastest);
        table.row(
            [case.name.clone()],
            vec![
                format!("{untraced:.1}"),
                format!("{:+.1}", off - untraced),
                format!("{:.2}x", off / untraced),
                format!("{:+.1}", traced - untraced),
                format!("{:.2}x", traced / untraced),
                best.map(|times| format!("{:.1}", times.median)).join(" / "),
            ],
        );
    }
    let about = |case: &Workload| format!("- {}: {}\n", case.name, case.about);
    let text = format!(
        "{}; {} pieces each, in turn.\n\n{}\nNanoseconds per pair of allocation and free, the \
         fastest of all pieces; beside them the medians of\nuntraced, off and traced. By the \
         processor's time on one thread, by the wall clock on two.\n\n{}{not_run}",
        machine.text(),
        pieces(&arguments),
        table.text(),
        cases.iter().map(about).collect::<String>(),
    );
    arguments.publish("pairs", &text)
}

fn pieces(arguments: &Arguments) -> usize {
    arguments.rounds.unwrap_or(25)
}

/// Nanoseconds per pair.
#[derive(Clone, Copy, Default)]
struct Times {
    fastest: f64,
    median: f64,
}

/// All contestants run side by side and take turns, one piece of work each.
fn measure(
    case: &Workload,
    arguments: &Arguments,
    cores: &[usize],
) -> Result<[Times; NAMES.len()], Box<dyn Error>> {
    let cores: Vec<String> = cores[cores.len() - case.threads..]
        .iter()
        .map(usize::to_string)
        .collect();
    let order = format!("{} {}", case.name, cores.join(","));
    let mut servers = Vec::new();
    for name in NAMES {
        let mut server = Server::start(name, arguments.size())?;
        // The first piece meets everything for the first time.
        server.ask(&order, case.threads)?;
        servers.push(server);
    }
    let mut times = [const { Vec::new() }; NAMES.len()];
    for round in 0..pieces(arguments) {
        for at in 0..servers.len() {
            let at = (at + round) % servers.len();
            times[at].push(servers[at].ask(&order, case.threads)?);
        }
    }
    servers.into_iter().try_for_each(Server::end)?;
    Ok(times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        Times {
            fastest: times[0],
            median: times[(times.len() - 1) / 2],
        }
    }))
}

/// A contestant that waits for orders.
struct Server {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Server {
    fn start(name: &str, size: &str) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(building::programs()?.join(name))
            .args(["--serve", size])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            orders: child.stdin.take().ok_or("no way to give orders")?,
            answers: BufReader::new(child.stdout.take().ok_or("no answers")?),
            child,
        })
    }

    /// Nanoseconds per pair: of the processor on one thread, of the wall clock on two.
    fn ask(&mut self, order: &str, threads: usize) -> Result<f64, Box<dyn Error>> {
        writeln!(self.orders, "{order}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let fields = answer.split_whitespace().map(str::parse::<f64>);
        let fields: Vec<f64> = fields.collect::<Result<_, _>>()?;
        let [pairs, wall, processor] = fields.as_slice() else {
            return Err(format!("not an answer to {order}: {answer:?}").into());
        };
        Ok(if threads > 1 { wall } else { processor } / pairs)
    }

    fn end(mut self) -> Result<(), Box<dyn Error>> {
        drop(self.orders);
        let status = self.child.wait()?;
        status
            .success()
            .then_some(())
            .ok_or_else(|| format!("a contestant ended with {status}").into())
    }
}
