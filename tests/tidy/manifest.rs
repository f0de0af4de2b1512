//! The manifest says which compiler is needed, and what each feature is for.

use std::fs;

use crate::{assert_none, repository};

fn violations(manifest: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let has_version = |line: &str| line.starts_with("rust-version = \"1.");
    if !section(manifest, "package").any(|(_, line)| has_version(line)) {
        violations.push("[package] has no rust-version".to_owned());
    }
    let mut before = "";
    for (number, line) in section(manifest, "features") {
        let name = line.split('=').next().unwrap_or_default().trim();
        let is_feature = line.contains('=') && name != "default" && !line.starts_with([' ', '#']);
        if is_feature && !before.starts_with("# ") {
            violations.push(format!("line {number}: the feature {name} has no comment"));
        }
        before = line;
    }
    violations
}

/// The lines of a section, with their numbers.
fn section<'a>(manifest: &'a str, name: &str) -> impl Iterator<Item = (usize, &'a str)> {
    let heading = format!("[{name}]");
    (1..)
        .zip(manifest.lines())
        .skip_while(move |(_, line)| *line != heading)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['))
}

#[test]
fn what_a_manifest_lacks_is_found() {
    let good = "[package]\nrust-version = \"1.88\"\n[features]\ndefault = [\"a\"]\n# Does a.\n\
                a = [\n    \"dep:b\",\n]\n[dependencies]\nb = \"1\"\n";
    assert_none(violations(good));
    assert_eq!(
        violations(&good.replace("# Does a.", "")),
        ["line 6: the feature a has no comment"]
    );
    assert_eq!(
        violations(&good.replace("rust-version", "version")),
        ["[package] has no rust-version"]
    );
    let elsewhere = good.replace("rust-version = \"1.88\"\n", "") + "rust-version = \"1.88\"\n";
    assert_eq!(violations(&elsewhere), ["[package] has no rust-version"]);
}

#[test]
fn the_manifest_lacks_nothing() {
    for path in ["Cargo.toml", "cli/Cargo.toml"] {
        let manifest = fs::read_to_string(repository::root().join(path));
        let manifest = manifest.expect("the manifest is there");
        assert!(section(&manifest, "package").any(|(_, line)| line.contains('=')));
        assert_none(violations(&manifest));
    }
}
