//! Tags and threads in exports.

use serde_json::Value;
use tracemalloc::report::{Csv, Folded, Json};
use tracemalloc::{Frame, GroupBy, Snapshot, Trace};

use crate::golden::{dhat, folded, text};
use crate::profile::Profile;
use crate::sample::{block, of};

/// Three blocks of one line: one with a tag, one with a tag and a thread, one without.
fn labelled() -> Snapshot {
    let labelled = |size, label: fn(&mut Trace)| {
        let mut block = block(size, [Frame::named("app::load")]);
        label(&mut block);
        block
    };
    of([
        labelled(100, |block| {
            block.traceback = block.traceback.clone().with_tag("images")
        }),
        labelled(20, |block| {
            let stack = block.traceback.clone().with_tag("a;b\x1b 7");
            block.traceback = stack.with_thread_name("worker");
        }),
        labelled(3, |_| ()),
    ])
}

#[test]
fn labels_of_pprof_are_tags_and_threads() {
    let shown = Profile::of(&labelled()).shown();
    for expected in [
        "sample: [1, 100] tag=images\n",
        "sample: [1, 20] tag=a;b\\u{1b} 7 thread=worker\n",
        "sample: [1, 3]\n",
    ] {
        assert!(shown.contains(expected), "{expected:?}\n{shown}");
    }
}

#[test]
fn viewers_of_frames_see_labels_below_stacks() {
    assert_eq!(
        folded(Folded::new(), &labelled()),
        "[tag images];app::load 100\n\
         [thread worker];[tag a:b\\u{1b} 7];app::load 20\n\
         app::load 3\n"
    );
    let dhat: Value = serde_json::from_str(&dhat(&labelled())).unwrap();
    let frames = dhat["ftbl"].as_array().unwrap();
    assert!(frames.contains(&Value::from("[tag images]")), "{frames:?}");
}

#[test]
fn statistics_by_tag_and_thread_are_data() {
    let json = |by| text(|out| Json::new().group_by(by).write(&labelled(), out));
    let by_tag: Value = serde_json::from_str(&json(GroupBy::Tag)).unwrap();
    assert_eq!(by_tag["group_by"], "tag");
    let names = by_tag["statistics"].as_array().unwrap();
    let names: Vec<&Value> = names.iter().map(|row| &row["filename"]).collect();
    assert_eq!(names, ["images", "a;b\u{1b} 7", "<untagged>"]);
    let csv = text(|out| Csv::new().group_by(GroupBy::Thread).write(&labelled(), out));
    assert!(csv.contains("worker") && csv.contains("<unknown>"), "{csv}");
}
