//! Names from files of others.

use crate::folder::{HOSTILE, folder, line};
use crate::tool::run;

/// What a terminal would obey, or show in another order than it is written.
fn steers(c: char) -> bool {
    (c.is_control() && c != '\n') || c == '\u{202e}'
}

#[test]
fn names_cannot_steer_the_terminal() {
    let folder = folder();
    for text in [
        "top @hostile",
        "top @hostile --by traceback",
        "diff @empty @hostile",
        "tree @hostile",
        "tree @hostile --by crate --inverted",
        "list . @hostile",
        "stats @hostile",
        "info @hostile",
        "check @hostile --max-live 1",
        "check @hostile --base @empty --per-site 1",
        "check @hostile --max-live 1 --format markdown",
        "export @hostile --format folded",
        "export @hostile --format csv",
    ] {
        let ran = run(folder.path(), &line(text));
        assert_eq!(ran.err, "", "{text}");
        let out = ran.text();
        // A part of the name, which may be shortened.
        assert!(out.contains(r"\u{202e}"), "{text}: {out}");
        assert!(!out.contains(steers), "{text}: {out:?}");
    }
}

/// Programs want the name as it is.
#[test]
fn json_keeps_every_character() {
    let folder = folder();
    for text in [
        "info @hostile",
        "tree @hostile",
        "stats @hostile",
        "top @hostile",
    ] {
        let ran = run(folder.path(), &line(&format!("{text} --format json")));
        let shown = serde_json::to_string(HOSTILE).unwrap();
        let shown = shown.trim_matches('"');
        assert!(ran.text().contains(shown), "{text}: {}", ran.text());
    }
}
