//! Builds the contestants, alike, below the folder that this program is in.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use crate::contestants::{Contestant, Program};

/// The contestants that can run here. Adds the names of the others to `left_out`.
pub fn build(
    contestants: Vec<Contestant>,
    left_out: &mut Vec<String>,
) -> Result<Vec<Contestant>, Box<dyn Error>> {
    let here = packages_here(&contestants)?;
    let is_framed = |contestant: &Contestant| matches!(contestant.program, Program::Framed(_));
    let has_framed = contestants.iter().any(is_framed) && build_framed()?;
    let has_heaptrack = is_there("heaptrack");
    let mut built = Vec::new();
    for contestant in contestants {
        let obstacle = match contestant.program {
            Program::Here(package, _) if !here.contains(&package) => "does not build here",
            Program::Framed(_) if !has_framed => {
                "does not build here: needs the nightly toolchain, Rust 1.96 or newer"
            }
            Program::UnderHeaptrack if !has_heaptrack => "is not installed",
            _ => {
                built.push(contestant);
                continue;
            }
        };
        if !contestant.is_peer {
            return Err(format!("{} {obstacle}", contestant.name).into());
        }
        left_out.push(format!("{}: {obstacle}", contestant.name));
    }
    Ok(built)
}

/// A command that runs a contestant; its arguments are still to come.
pub fn command(contestant: &Contestant) -> Result<Command, Box<dyn Error>> {
    let folder = programs()?;
    let mut command = match contestant.program {
        Program::Here(_, program) => Command::new(folder.join(program)),
        Program::Framed(program) => {
            Command::new(framed_target(&folder)?.join("release").join(program))
        }
        Program::UnderHeaptrack => {
            let mut command = Command::new("heaptrack");
            command.args(["--raw", "--output"]).arg(recording());
            command.arg(folder.join("untraced"));
            command
        }
    };
    command.envs(contestant.environment.iter().copied());
    Ok(command)
}

/// Removes what a contestant has written.
pub fn remove_output(contestant: &Contestant) -> Result<(), Box<dyn Error>> {
    if contestant.program == Program::UnderHeaptrack {
        // It chooses the ending by the compressor that it finds.
        for ending in ["raw.zst", "raw.gz"] {
            let file = recording().with_extension(ending);
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
    }
    Ok(())
}

/// What heaptrack writes, without the ending.
fn recording() -> PathBuf {
    env::temp_dir().join(format!("compare-{}", process::id()))
}

/// The packages of this workspace that could be built.
fn packages_here(contestants: &[Contestant]) -> Result<Vec<&'static str>, Box<dyn Error>> {
    let mut packages: Vec<&str> = contestants
        .iter()
        .filter_map(|contestant| match contestant.program {
            Program::Here(package, _) => Some(package),
            _ => None,
        })
        .collect();
    packages.dedup();
    // Together, so that all are linked with the same build of the workloads. If that fails, those
    // that can be built without the others.
    if !build_packages(&packages)? {
        let mut others = Vec::new();
        for package in packages {
            if build_packages(&[package])? {
                others.push(package);
            }
        }
        packages = others;
        build_packages(&packages)?;
    }
    Ok(packages)
}

fn build_packages(packages: &[&str]) -> Result<bool, Box<dyn Error>> {
    let target = target(&programs()?)?;
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    build_command(&mut command, "Cargo.toml", &target);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    // Built without flags.
    command.env_remove("RUSTFLAGS");
    Ok(command.status()?.success())
}

fn build_framed() -> Result<bool, Box<dyn Error>> {
    let target = framed_target(&programs()?)?;
    let mut command = Command::new("cargo");
    command.arg("+nightly");
    build_command(&mut command, "heapscope/Cargo.toml", &target);
    command.env("RUSTFLAGS", "-C force-frame-pointers=yes");
    Ok(command.status().is_ok_and(|status| status.success()))
}

fn build_command(command: &mut Command, manifest: &str, target: &Path) {
    command
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest))
        .arg("--target-dir")
        .arg(target)
        // Otherwise a crate draws a random seed for its hash function at compile time.
        .env("CONST_RANDOM_SEED", "1")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdout(Stdio::null());
}

fn is_there(program: &str) -> bool {
    let status = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// The folder that this program and the contestants are in.
pub fn programs() -> Result<PathBuf, Box<dyn Error>> {
    let program = env::current_exe()?;
    let folder = program.parent().ok_or("this program is in no folder")?;
    if folder.file_name().is_none_or(|name| name != "release") {
        return Err("run this with --release: other builds measure nothing".into());
    }
    Ok(folder.to_owned())
}

fn target(programs: &Path) -> Result<PathBuf, Box<dyn Error>> {
    Ok(programs.parent().ok_or("no target folder")?.to_owned())
}

fn framed_target(programs: &Path) -> Result<PathBuf, Box<dyn Error>> {
    Ok(target(programs)?.join("framed"))
}
