//! How much memory the tracer takes: after its start, per stack, per live block.
//!
//! `cargo run --release --manifest-path benches/compare/Cargo.toml --bin memory -- [--small]
//! [--into FILE]`

use std::collections::HashMap;
use std::error::Error;
use std::process::Command;

use compare::arguments::Arguments;
use compare::building;
use compare::contestants::{self, UNTRACED};
use compare::machine::Machine;
use compare::table::Table;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(arguments) = Arguments::from_command_line()? else {
        println!("--small, --cores A,B, --into FILE");
        return Ok(());
    };
    let machine = Machine::this()?;
    building::build(contestants::named(&[UNTRACED, "traced"]), &mut Vec::new())?;
    let cores = arguments.cores.as_ref().unwrap_or(&machine.cores);
    let core = cores.last().ok_or("no core")?.to_string();
    let untraced = moments(UNTRACED, arguments.size(), &core)?;
    let traced = moments("traced", arguments.size(), &core)?;
    let mut table = Table::new(["what", "resident", "by its own count"]);
    for (what, moment, before) in [
        ("after the start, small program, KiB", "started", "before"),
        ("per distinct stack, bytes", "stacks", "started"),
        ("per live block of 8 bytes, bytes", "blocks", "stacks"),
    ] {
        let traced = difference(&traced, moment, before)?;
        let untraced = difference(&untraced, moment, before)?;
        let divisor = match moment {
            "started" => 1024.0,
            _ => traced.count,
        };
        let own = traced.own.ok_or("the tracer does not tell")?;
        let resident = traced.resident - untraced.resident;
        table.row(
            [what.to_owned()],
            vec![
                format!("{:.1}", resident / divisor),
                format!("{:.1}", own / divisor),
            ],
        );
    }
    let text = format!(
        "{}.\n\n{}\nResident: how much more a traced process has than an untraced one that does \
         the same. Small\nprogram: 500 blocks. Stacks: all paths of 18 calls, each left or right, so \
         that a stack shares all\nbut two frames with others. Live blocks: 2 million `Box<u64>`.\n",
        machine.text(),
        table.text()
    );
    arguments.publish("memory", &text)
}

/// Bytes.
#[derive(Clone, Copy, Debug)]
struct Moment {
    count: f64,
    resident: f64,
    own: Option<f64>,
}

fn difference(
    moments: &HashMap<String, Moment>,
    moment: &str,
    before: &str,
) -> Result<Moment, Box<dyn Error>> {
    let named = |name: &str| moments.get(name).ok_or_else(|| format!("no {name}"));
    let (moment, before) = (named(moment)?, named(before)?);
    Ok(Moment {
        count: moment.count,
        resident: moment.resident - before.resident,
        own: moment.own.zip(before.own).map(|(own, before)| own - before),
    })
}

fn moments(name: &str, size: &str, core: &str) -> Result<HashMap<String, Moment>, Box<dyn Error>> {
    let output = Command::new(building::programs()?.join(name))
        .args(["--memory", size, core])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let mut moments = HashMap::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, count, resident, own] = fields.as_slice() else {
            return Err(format!("not a moment: {line}").into());
        };
        let moment = Moment {
            count: count.parse()?,
            resident: resident.parse()?,
            own: own.parse().ok(),
        };
        moments.insert((*name).to_owned(), moment);
    }
    Ok(moments)
}
