//! Builds the contestants beside this program, alike.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::contestants::{Contestant, OWN};

/// The contestants that could be built; the others are told in `left_out`.
pub fn build(
    contestants: Vec<Contestant>,
    left_out: &mut Vec<String>,
) -> Result<Vec<Contestant>, Box<dyn Error>> {
    let mut packages: Vec<&str> = contestants
        .iter()
        .map(|contestant| contestant.package)
        .collect();
    packages.dedup();
    // Together, so that all are linked with the same build of the workloads. If that fails, those
    // that can be built without the others.
    if !build_packages(&packages)? {
        let mut others = Vec::new();
        for package in packages {
            if build_packages(&[package])? {
                others.push(package);
            } else if package == OWN {
                return Err("the contestants do not build".into());
            } else {
                left_out.push(format!("{package}: does not build here"));
            }
        }
        packages = others;
        build_packages(&packages)?;
    }
    let is_built = |contestant: &Contestant| packages.contains(&contestant.package);
    Ok(contestants.into_iter().filter(is_built).collect())
}

fn build_packages(packages: &[&str]) -> Result<bool, Box<dyn Error>> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let folder = programs()?;
    let target = folder.parent().ok_or("no target folder")?;
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .args(packages.iter().flat_map(|package| ["--package", package]))
        // A crate draws the seed of its hash function when it is compiled, unless it is told one.
        .env("CONST_RANDOM_SEED", "1")
        // All are built without flags; what needs one says so in its own entry.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()?;
    Ok(status.success())
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
