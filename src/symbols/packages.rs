//! The packages that a program was built from, read from its compile units.
//!
//! A unit of Rust code is called `ROOT/@/CRATE.HASH-cgu.N`, where `ROOT` is the root source file as
//! the compiler was given it: relative for the members of a workspace and for a lone package, and
//! absolute for others. So it tells where a package lies, which crate it is, and how `file!()`
//! spells its files, none of which depends on where the package was checked out:
//!
//! | unit, its directory | package | crate | in the package |
//! | --- | --- | --- | --- |
//! | `src/main.rs/@/svc.1f…`, `/w/svc` | `/w/svc` | `svc` | `src/main.rs` |
//! | `svc/src/main.rs/@/svc.1f…`, `/w` | `/w/svc` | `svc` | `src/main.rs` |
//! | `/home/a/net/src/lib.rs/@/net.1f…`, `/home/a/net` | `/home/a/net` | `net` | `src/lib.rs` |

use super::paths::{code_directory, components, is_absolute};

/// What the name of a compile unit tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CompileUnit {
    /// `None` where the name has a hash alone, as in incremental builds.
    pub(super) crate_name: Option<String>,
    /// The directory that the compiler was started in.
    directory: String,
    /// The crate's root source file, as the compiler was given it.
    root: String,
}

impl CompileUnit {
    /// The unit called `name` and compiled in `directory`; `None` if it is not of Rust code.
    pub(super) fn of(name: &str, directory: &str) -> Option<Self> {
        let name = name.replace('\\', "/");
        let (root, unit) = name.split_once("/@/")?;
        let crate_name = unit.split_once('.').map(|(name, _)| name.to_owned());
        Some(Self {
            crate_name,
            directory: directory.replace('\\', "/"),
            root: root.to_owned(),
        })
    }

    pub(super) fn is_library(&self) -> bool {
        self.root.ends_with("/lib.rs") || self.root == "lib.rs"
    }

    /// The directory of the unit's package, component by component, and the root file in it.
    fn package(&self) -> (Vec<String>, Vec<String>) {
        let root = components(&self.root);
        let code = code_directory(&root).unwrap_or(root.len().saturating_sub(1));
        let mut package = Vec::new();
        if !is_absolute(&self.root) {
            package.extend(components(&self.directory));
        }
        package.extend(&root[..code]);
        let owned = |parts: &[&str]| parts.iter().copied().map(str::to_owned).collect();
        (owned(&package), owned(&root[code..]))
    }
}

/// One package.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    directory: Vec<String>,
    /// How many components of the directory are that of the workspace, which `file!()` leaves out.
    /// `None` where it has whole paths.
    workspace: Option<usize>,
    /// The directory begins at the root of the file system.
    is_absolute: bool,
    /// The root files of its crates in the package, and the crates' names.
    crates: Vec<(Vec<String>, Option<String>)>,
    /// Its crate is the program.
    pub(super) is_main: bool,
}

/// The packages of one module, the innermost directory first.
#[derive(Debug, Default)]
pub(super) struct Packages {
    list: Vec<Package>,
}

impl Packages {
    /// `main`: the unit with the program's `main`, where that is known. Otherwise the program is
    /// the one package that has a crate which is not a library.
    pub(super) fn new(
        units: impl IntoIterator<Item = CompileUnit>,
        main: Option<CompileUnit>,
        is_program: bool,
    ) -> Self {
        let mut list: Vec<Package> = Vec::new();
        for unit in units {
            let (directory, root) = unit.package();
            let is_relative = !is_absolute(&unit.root);
            let workspace = is_relative.then(|| components(&unit.directory).len());
            let known = list
                .iter_mut()
                .find(|package| package.directory == directory);
            let package = match known {
                Some(known) => known,
                None => {
                    list.push(Package {
                        directory,
                        workspace,
                        is_absolute: is_absolute(&unit.root) || is_absolute(&unit.directory),
                        crates: Vec::new(),
                        is_main: false,
                    });
                    let last = list.len() - 1;
                    &mut list[last]
                }
            };
            let named = (root, unit.crate_name);
            if !package.crates.contains(&named) {
                package.crates.push(named);
            }
        }
        for package in &mut list {
            // Units come in the order that they were linked in.
            package.crates.sort();
        }
        list.sort_by_key(|package| std::cmp::Reverse(package.directory.len()));
        let mut packages = Self { list };
        if is_program {
            packages.find_main(main);
        }
        packages
    }

    fn find_main(&mut self, main: Option<CompileUnit>) {
        if let Some(main) = main {
            let (directory, root) = main.package();
            for package in &mut self.list {
                package.is_main = package.directory == directory;
                // The units of incremental builds have no crate in their names.
                let unnamed = package.crates.iter_mut().filter(|(_, name)| name.is_none());
                for (_, name) in unnamed.filter(|(file, _)| package.is_main && *file == root) {
                    name.clone_from(&main.crate_name);
                }
            }
            return;
        }
        let mut programs = self.list.iter_mut().filter(|package| package.has_program());
        if let (Some(only), None) = (programs.next(), programs.next()) {
            only.is_main = true;
        }
    }

    /// The package that the file with these components is in, and how many of them lead to it.
    pub(super) fn of(&self, file: &[&str]) -> Option<(&Package, usize)> {
        let found = self.list.iter().find(|package| {
            let len = package.directory.len();
            file.len() > len && package.directory.iter().zip(file).all(|(a, b)| a == b)
        })?;
        Some((found, found.directory.len()))
    }

    /// How many components of the file's path are the directory of a workspace that it is in.
    pub(super) fn workspace_of(&self, file: &[&str], is_absolute: bool) -> Option<usize> {
        let alike = self.list.iter().filter(|of| of.is_absolute == is_absolute);
        let holds = |package: &Package| {
            let len = package.workspace.filter(|&len| len < file.len())?;
            let directory = package.directory.get(..len)?;
            directory
                .iter()
                .zip(file)
                .all(|(a, b)| a == b)
                .then_some(len)
        };
        alike.filter_map(holds).max()
    }
}

impl Package {
    /// How many components of its directory are that of the workspace whose member it is; `None` for other
    /// packages, which are compiled in directories of their own.
    pub(super) fn workspace(&self) -> Option<usize> {
        self.workspace
    }

    /// True if the root file of one of its crates is in the same directory as this file, or above.
    pub(super) fn has_root_of(&self, inside: &[&str]) -> bool {
        self.crates.iter().any(|(root, _)| {
            let folder = &root[..root.len().saturating_sub(1)];
            !folder.is_empty()
                && inside.len() > folder.len()
                && folder.iter().zip(inside).all(|(a, b)| a == b)
        })
    }

    /// True if one of its crates is a program. The sources of dependencies tell nothing of them.
    fn has_program(&self) -> bool {
        let is_own = !super::paths::is_foreign(&self.directory);
        let mut roots = self.crates.iter().map(|(root, _)| root);
        is_own && roots.any(|root| root.last().is_some_and(|file| file != "lib.rs"))
    }

    /// The part of a file's path that `file!()` has, if it does not have all.
    pub(super) fn written<'p>(&self, file: &'p [&'p str]) -> Option<&'p [&'p str]> {
        file.get(self.workspace?..)
    }

    /// The crate that a file of the package belongs to, if that is one of `crates` for sure: the
    /// file is that of a further binary, example, test or bench, or there is one crate only.
    pub(super) fn crate_of(&self, inside: &[&str], unit_crate: Option<&str>) -> Option<&str> {
        let root_len = |root: &[String]| match root {
            // `src/bin/tool/main.rs` has all below `src/bin/tool`.
            [folder @ .., file] if file == "main.rs" || file == "lib.rs" => folder.len(),
            _ => root.len(),
        };
        let holds = |root: &[String]| {
            let len = root_len(root);
            inside.len() >= len && root[..len].iter().zip(inside).all(|(a, b)| a == b)
        };
        let held = self.crates.iter().filter(|(root, _)| holds(root));
        let deepest = held.clone().map(|(root, _)| root_len(root)).max();
        let named = |(root, name): &'_ &(Vec<String>, Option<String>)| {
            Some(root_len(root)) == deepest && name.as_deref() == unit_crate
        };
        let best = match deepest {
            Some(deepest) => held
                .clone()
                .find(named)
                .or_else(|| held.clone().find(|(root, _)| root_len(root) == deepest)),
            // `tests/common/mod.rs` belongs to whatever test includes it.
            None => self
                .crates
                .iter()
                .find(|(_, name)| name.as_deref() == unit_crate)
                .or_else(|| self.crates.first()),
        };
        best.and_then(|(_, name)| name.as_deref())
    }

    /// What the package is called where it is not the program's: its library's crate.
    pub(super) fn name(&self) -> Option<&str> {
        let library = |(root, _): &&(Vec<String>, Option<String>)| {
            root.last().is_some_and(|file| file == "lib.rs")
        };
        let crates = &self.crates;
        let best = crates.iter().find(library).or_else(|| crates.first());
        let known = best.and_then(|(_, name)| name.as_deref());
        // Below the workspace's directory, names of directories are the same everywhere.
        known.or_else(|| {
            let below = self.directory.get(self.workspace?..)?;
            below.last().map(String::as_str)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str, directory: &str) -> CompileUnit {
        CompileUnit::of(name, directory).expect("a unit of Rust code")
    }

    #[track_caller]
    fn check(packages: &Packages, path: &str, expect: Option<(&str, Option<&str>, bool)>) {
        let parts = components(path);
        let found = packages.of(&parts);
        let found = found.map(|(package, len)| {
            let inside = parts[len..].join("/");
            (
                inside,
                package.crate_of(&parts[len..], None),
                package.is_main,
            )
        });
        let found = found
            .as_ref()
            .map(|(inside, name, main)| (inside.as_str(), *name, *main));
        assert_eq!(found, expect, "{path}");
    }

    #[test]
    fn a_unit_tells_its_crate_and_root() {
        let found = unit("src/main.rs/@/svc.4c2faf61c2d5dfd7-cgu.0", "/w/svc");
        assert_eq!(found.crate_name.as_deref(), Some("svc"));
        assert_eq!(found.package().0.join("/"), "w/svc");
        let incremental = unit("src/main.rs/@/2q1ziy4j5hgmrmdk", "/w/svc");
        assert_eq!(incremental.crate_name, None);
        assert_eq!(CompileUnit::of("/w/a.c", "/w"), None);
    }

    #[test]
    fn a_lone_package_and_a_member_are_alike() {
        for (name, directory) in [
            ("src/main.rs/@/svc.1-cgu.0", "/w/svc"),
            ("svc/src/main.rs/@/svc.1-cgu.0", "/w"),
            ("/w/svc/src/main.rs/@/svc.1-cgu.0", "/w/svc"),
        ] {
            let packages = Packages::new([unit(name, directory)], None, true);
            check(
                &packages,
                "/w/svc/src/main.rs",
                Some(("src/main.rs", Some("svc"), true)),
            );
            check(
                &packages,
                "/w/svc/src/a/b.rs",
                Some(("src/a/b.rs", Some("svc"), true)),
            );
            check(&packages, "/w/net/src/lib.rs", None);
        }
    }

    #[test]
    fn each_file_is_of_the_innermost_package() {
        let units = [
            unit("src/main.rs/@/app.1-cgu.0", "/w"),
            unit("crates/net/src/lib.rs/@/net_io.2-cgu.0", "/w"),
            unit("/home/a/log/src/lib.rs/@/log.3-cgu.0", "/home/a/log"),
        ];
        let packages = Packages::new(units, None, true);
        check(
            &packages,
            "/w/src/main.rs",
            Some(("src/main.rs", Some("app"), true)),
        );
        check(
            &packages,
            "/w/crates/net/src/a.rs",
            Some(("src/a.rs", Some("net_io"), false)),
        );
        check(
            &packages,
            "/home/a/log/src/lib.rs",
            Some(("src/lib.rs", Some("log"), false)),
        );
    }

    #[test]
    fn the_program_is_where_its_main_is() {
        let units = [
            unit("a/src/main.rs/@/a.1-cgu.0", "/w"),
            unit("b/src/main.rs/@/b.2-cgu.0", "/w"),
        ];
        let main = Some(units[1].clone());
        let packages = Packages::new(units.clone(), main, true);
        check(
            &packages,
            "/w/a/src/main.rs",
            Some(("src/main.rs", Some("a"), false)),
        );
        check(
            &packages,
            "/w/b/src/main.rs",
            Some(("src/main.rs", Some("b"), true)),
        );
        let unknown = Packages::new(units.clone(), None, true);
        check(
            &unknown,
            "/w/b/src/main.rs",
            Some(("src/main.rs", Some("b"), false)),
        );
        let library = Packages::new(units, None, false);
        check(
            &library,
            "/w/a/src/main.rs",
            Some(("src/main.rs", Some("a"), false)),
        );
    }

    #[test]
    fn an_incremental_build_has_the_crate_of_its_main() {
        let units = [unit("src/main.rs/@/2q1ziy4j5hgmrmdk", "/w")];
        let mut main = units[0].clone();
        main.crate_name = Some("app".to_owned());
        let packages = Packages::new(units, Some(main), true);
        check(
            &packages,
            "/w/src/main.rs",
            Some(("src/main.rs", Some("app"), true)),
        );
    }

    #[test]
    fn targets_of_one_package_are_crates_of_their_own() {
        let units = [
            unit("src/lib.rs/@/shop.1-cgu.0", "/w"),
            unit("src/bin/tool.rs/@/tool.2-cgu.0", "/w"),
            unit("tests/api/main.rs/@/api.3-cgu.0", "/w"),
        ];
        let packages = Packages::new(units, None, false);
        for (path, name) in [
            ("/w/src/cart.rs", "shop"),
            ("/w/src/bin/tool.rs", "tool"),
            ("/w/tests/api/orders.rs", "api"),
        ] {
            let parts = components(path);
            let (package, len) = packages.of(&parts).expect("a file of the package");
            assert_eq!(package.crate_of(&parts[len..], None), Some(name), "{path}");
            assert_eq!(package.name(), Some("shop"));
        }
        let parts = components("/w/tests/common/mod.rs");
        let (package, len) = packages.of(&parts).expect("a file of the package");
        assert_eq!(package.crate_of(&parts[len..], Some("api")), Some("api"));
    }
}
