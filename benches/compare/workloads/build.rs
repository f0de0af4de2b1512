//! Finds the sources that the Rust parser reads: those of some dependencies, at the versions that
//! the lock file names, so that every machine parses the same text.

use std::env;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// In this order.
const PACKAGES: [&str; 4] = ["syn", "regex-syntax", "regex-automata", "rhai"];

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let metadata = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--locked"])
        .arg("--manifest-path")
        .arg(here.join("Cargo.toml"))
        .output()?;
    if !metadata.status.success() {
        return Err(String::from_utf8_lossy(&metadata.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)?;
    let mut files = Vec::new();
    for package in PACKAGES {
        find(&folder(&metadata, package)?.join("src"), &mut files)?;
    }
    let mut list = String::from("&[\n");
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        writeln!(list, "include_str!({:?}),", file.to_string_lossy())?;
    }
    list.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("sources.rs"), list)?;
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    Ok(())
}

fn folder(metadata: &serde_json::Value, package: &str) -> Result<PathBuf, Box<dyn Error>> {
    let packages = metadata["packages"].as_array().ok_or("no packages")?;
    let manifest = packages
        .iter()
        .find(|candidate| candidate["name"] == package)
        .and_then(|found| Path::new(found["manifest_path"].as_str()?).parent());
    Ok(manifest.ok_or(format!("no package {package}"))?.to_owned())
}

/// Adds the sources below `folder`, in the order of their names.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
