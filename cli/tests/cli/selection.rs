//! Which blocks and frames a command looks at, and how it warns.

use std::fs::{self, File};
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use tracemalloc::{Domain, Frame, FrameOrigin, Snapshot, Trace, Traceback};

use crate::folder::{folder, line};
use crate::tool::{command, finish, run, succeed};

fn blocks(flags: &str) -> u64 {
    let folder = folder();
    let text = line(&format!("stats @new --format json {flags}"));
    let found: Value = serde_json::from_slice(&run(folder.path(), &text).out).unwrap();
    found["count"].as_u64().unwrap()
}

/// Whatever the pattern, a block is on one side or the other.
#[test]
fn focus_and_ignore_part_the_blocks() {
    let all = blocks("");
    for pattern in ["serde_json", r"^src/main\.rs:", "DESERIALIZE_ANY$"] {
        let focused = blocks(&format!("--focus {pattern}"));
        let others = blocks(&format!("--ignore {pattern}"));
        assert_eq!(focused + others, all, "{pattern}");
        assert!(focused > 0, "{pattern}");
    }
}

#[test]
fn frames_are_hidden_and_no_block_is_lost() {
    let all = blocks("");
    assert_eq!(blocks("--hide serde_json"), all);
    assert_eq!(blocks("--show serde_json"), all);
    assert_eq!(blocks("--own-code"), all);
    let folder = folder();
    let text = line("top @new --by crate --hide serde_json");
    let text = succeed(folder.path(), &text).text();
    assert!(!text.contains("serde_json"), "{text}");
    // The file is of version 1, which does not say whose code frames are.
    let text = succeed(folder.path(), &line("top @new --own-code")).text();
    assert!(text.contains("<no own code>"), "{text}");
    let text = succeed(folder.path(), &line("top @new")).text();
    assert!(!text.contains("own code"), "{text}");
}

/// A snapshot whose memory a dependency allocates for own code.
fn write_service(path: &std::path::Path, bytes: u64) {
    let frames = [
        Frame::new("src/main.rs", 12)
            .with_crate("service")
            .with_origin(FrameOrigin::Own),
        Frame::new("hyper-1.6.0/src/io.rs", 90)
            .with_crate("hyper")
            .with_origin(FrameOrigin::Dependency),
    ];
    let stack = Traceback::from_oldest_first(frames).unwrap();
    let block = Trace::new(Domain::HEAP, bytes, stack);
    Snapshot::from_traces([block], 25).dump(path).unwrap();
}

#[test]
fn own_code_is_shown_to_people_where_dependencies_allocate() {
    let folder = folder();
    write_service(&folder.path().join("a"), 64);
    write_service(&folder.path().join("b"), 640);
    #[track_caller]
    fn check(folder: &std::path::Path, flags: &str, is_own: bool) {
        let commands = ["top b", "diff a b", "trend a b"];
        // A trend has no CSV.
        let shown = if flags.contains("csv") { 2 } else { 3 };
        for command in &commands[..shown] {
            let text = succeed(folder, &format!("{command} {flags}")).text();
            assert_eq!(text.contains("src/main.rs"), is_own, "{command}: {text}");
            assert_eq!(text.contains("hyper"), !is_own, "{command}: {text}");
        }
    }
    let check = |flags: &str, is_own| check(folder.path(), flags, is_own);
    check("", true);
    check("--own-code", true);
    check("--own-code=always", true);
    check("--own-code=never", false);
    check("--crate hyper", false);
    check("--crate hyper --own-code", true);
    check("--hide nothing", false);
    check("--focus hyper --exclude nothing", true);
    // What programs read does not change with what is allocated.
    for format in ["--format json", "--format csv"] {
        check(format, false);
        check(&format!("{format} --own-code"), true);
    }
    for (flags, is_own) in [("", true), ("--own-code=never", false), ("--show .", false)] {
        let page = succeed(folder.path(), &format!("report b -o - {flags}")).text();
        assert!(page.contains(&format!("\"own_code\":{is_own}")), "{flags}");
        assert!(page.contains("hyper"), "{flags}");
    }
}

#[test]
fn a_text_is_as_wide_as_asked() {
    let folder = folder();
    let widest = |flags: &str| {
        let text = line(&format!("top @new --by function {flags}"));
        let text = succeed(folder.path(), &text).text();
        text.lines().map(|line| line.chars().count()).max().unwrap()
    };
    assert!(widest("") <= 80);
    assert!(widest("--width 60") <= 60);
    assert!(widest("--width 160") > 80);
}

#[test]
fn a_snapshot_is_read_from_standard_input() {
    let folder = folder();
    for text in ["top -", "info -", "export - --format json"] {
        let mut piped = command(folder.path());
        piped.args(text.split_whitespace());
        piped.stdin(File::open(folder.path().join("new.tmsnap.json.gz")).unwrap());
        let ran = finish(piped);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{text}");
        assert!(!ran.out.is_empty());
    }
    let ran = run(folder.path(), "diff - -");
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("one of two snapshots"), "{}", ran.err);
}

#[test]
fn a_filter_that_hides_everything_says_so() {
    let folder = folder();
    let ran = run(folder.path(), &line("top @new --filter main.rs"));
    assert_eq!(ran.code, Some(0));
    let warning = "warning: new.tmsnap.json.gz: no block matches; the snapshot has 451\n";
    assert_eq!(ran.err, warning);
    for broken in ["--filter [abc", "--crate src/[", "--focus (", "--hide *"] {
        let ran = run(folder.path(), &line(&format!("top @new {broken}")));
        assert_eq!(ran.code, Some(2), "{broken}");
        assert!(ran.err.contains("invalid value"), "{}", ran.err);
    }
}

/// A snapshot of one block, by a program at a time.
fn taken(seconds: u64, program: &str) -> Vec<u8> {
    let line = Traceback::of(Frame::new("src/main.rs", 1));
    let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 8, line)], 1);
    let mut file = Vec::new();
    snapshot.write_to(&mut file).unwrap();
    let mut json = String::new();
    GzDecoder::new(&file[..]).read_to_string(&mut json).unwrap();
    let meta = "\"meta\":{";
    let at = json.find(meta).unwrap() + meta.len();
    json.insert_str(
        at,
        &format!("\"taken_at\":{seconds},\"program\":\"{program}\","),
    );
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(json.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// Of another program, and in the wrong order: both are said, and the difference is shown.
#[test]
fn doubtful_comparisons_are_warned_of() {
    let folder = folder();
    for (name, seconds, program) in [("a", 100, "shop"), ("b", 200, "shop"), ("c", 300, "bank")] {
        fs::write(folder.path().join(name), taken(seconds, program)).unwrap();
    }
    assert_eq!(run(folder.path(), "diff a b").err, "");
    let swapped = run(folder.path(), "diff b a");
    assert!(swapped.err.contains("are they swapped?"), "{}", swapped.err);
    assert_eq!(swapped.code, Some(0));
    let foreign = run(folder.path(), "diff a c");
    let warning = "warning: the snapshots are of two programs: shop and bank\n";
    assert_eq!(foreign.err, warning);
}

#[test]
fn differences_are_exported_where_a_format_has_them() {
    let folder = folder();
    for format in ["folded", "json", "csv"] {
        let text = format!("export @new --format {format} --diff @old");
        assert!(!succeed(folder.path(), &line(&text)).out.is_empty());
    }
    let text = line("export @new --format pprof --diff @old");
    let ran = run(folder.path(), &text);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("-diff_base"), "{}", ran.err);
}

#[test]
fn a_pprof_profile_may_have_full_paths() {
    let folder = folder();
    let frame = Frame::new("src/main.rs", 1).with_path("/build/shop/src/main.rs");
    let block = Trace::new(Domain::HEAP, 8, Traceback::of(frame));
    let snapshot = Snapshot::from_traces([block], 1);
    snapshot.dump(folder.path().join("paths.gz")).unwrap();
    let has_path = |flag: &str| {
        let text = format!("export paths.gz --format pprof -o - {flag}");
        let mut profile = Vec::new();
        GzDecoder::new(&succeed(folder.path(), &text).out[..])
            .read_to_end(&mut profile)
            .unwrap();
        String::from_utf8_lossy(&profile).contains("/build/shop")
    };
    assert!(!has_path("") && has_path("--full-paths"));
    let ran = run(folder.path(), "export paths.gz --format json --full-paths");
    assert_eq!(ran.code, Some(2));
}

#[test]
fn a_picture_of_very_deep_stacks_is_cut_and_says_so() {
    let folder = folder();
    let path = folder.path().join("deep.tmsnap.json.gz");
    let frames = (0..1200).map(|depth| Frame::named(format!("app::level_{depth}")));
    let stack = Traceback::from_oldest_first(frames).unwrap();
    let snapshot = Snapshot::from_traces([Trace::new(Domain::HEAP, 64, stack)], 2000);
    snapshot.dump(&path).unwrap();
    for (flag, kept, cut) in [
        ("", "app::level_999 ", "app::level_1000 "),
        ("--inverted", "app::level_200 ", "app::level_199 "),
    ] {
        let command = format!("flamegraph deep.tmsnap.json.gz {flag}");
        let ran = run(folder.path(), &command);
        let picture = ran.text();
        assert!(picture.contains(kept) && !picture.contains(cut), "{flag}");
        let warning = "1000 frames of each stack; the deepest has 1200";
        assert!(ran.err.contains(warning), "{}", ran.err);
    }
}

/// No view is shown for another one.
#[test]
fn every_command_shows_every_view() {
    const COMMANDS: [&str; 14] = [
        "top @history",
        "top @history --by crate --format json",
        "top @history --format csv",
        "diff @history @busier",
        "tree @history --by function",
        "list . @history",
        "stats @history --format json",
        "trend @history @busier --format json",
        "flamegraph @history -o -",
        "report @history -o -",
        "export @history --format folded -o -",
        "export @history --format dhat -o -",
        "export @history --format pprof -o -",
        "check @history --max-live 1B",
    ];
    const VIEWS: [&str; 4] = ["", " --at-peak", " --allocated", " --temporary"];
    let folder = folder();
    for command in COMMANDS {
        let shown = VIEWS.map(|view| {
            let ran = run(folder.path(), &line(&format!("{command}{view}")));
            let is_check = command.starts_with("check");
            assert_eq!(
                ran.code,
                Some(i32::from(is_check)),
                "{command}{view}: {}",
                ran.err
            );
            ran.out
        });
        for (number, one) in shown.iter().enumerate() {
            assert!(!one.is_empty(), "{command}");
            let others = &shown[number + 1..];
            assert!(!others.contains(one), "{command}: {}", VIEWS[number]);
        }
    }
}
