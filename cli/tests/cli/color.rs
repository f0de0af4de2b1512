//! When there is color.

use crate::folder::{folder, line};
use crate::tool::{command, finish, succeed};

#[track_caller]
fn check(text: &str, variables: &[(&str, &str)], colored: bool) {
    let folder = folder();
    let mut command = command(folder.path());
    command.args(line(text).split_whitespace());
    command.envs(variables.iter().copied());
    let out = finish(command).text();
    assert!(!out.is_empty());
    assert_eq!(
        out.contains('\x1b'),
        colored,
        "{text} {variables:?}: {out:?}"
    );
}

/// Output into a pipe is colored only if that is asked for. `CLICOLOR_FORCE` stands for a terminal
/// here.
#[test]
fn color_is_there_when_it_is_welcome() {
    for text in [
        "top @new",
        "diff @old @new",
        "tree @new",
        "stats @new",
        "check @new --max-live 1",
    ] {
        let (always, never) = (
            format!("{text} --color always"),
            format!("{text} --color never"),
        );
        check(text, &[], false);
        check(text, &[("CLICOLOR_FORCE", "1")], true);
        check(text, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false);
        check(&always, &[], true);
        check(&always, &[("NO_COLOR", "1")], true);
        check(&never, &[("CLICOLOR_FORCE", "1")], false);
    }
    check("top @new --color always", &[], true);
}

#[test]
fn only_texts_are_colored() {
    for text in [
        "top @new --format json",
        "top @new --format csv",
        "tree @new --format json",
        "check @new --max-live 1 --format markdown",
        "export @new --format folded",
    ] {
        check(&format!("{text} --color always"), &[], false);
    }
}

#[test]
fn color_changes_nothing_else() {
    let folder = folder();
    for text in ["top @new", "tree @new", "stats @new", "diff @old @new"] {
        let plain = succeed(folder.path(), &line(text)).text();
        let colored = succeed(folder.path(), &line(&format!("{text} --color always"))).text();
        let mut stripped = colored;
        for code in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"] {
            stripped = stripped.replace(code, "");
        }
        assert_eq!(stripped, plain, "{text}");
    }
}
