//! What the program `frames` prints, read back.

/// One live block of a place.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) place: String,
    /// Oldest first.
    pub(crate) frames: Vec<Frame>,
}

#[derive(Debug)]
pub(crate) struct Frame {
    /// As the frame displays itself.
    pub(crate) shown: String,
    /// Empty if not known, as the crate.
    pub(crate) function: String,
    pub(crate) crate_name: String,
    #[cfg_attr(
        not(target_os = "linux"),
        expect(
            dead_code,
            reason = "no list of modules on other platforms, or no test of it"
        )
    )]
    pub(crate) code: Option<(String, u64)>,
}

impl Block {
    #[track_caller]
    pub(crate) fn oldest(&self) -> &Frame {
        self.frames.first().expect("a traceback has a frame")
    }

    #[track_caller]
    pub(crate) fn most_recent(&self) -> &Frame {
        self.frames.last().expect("a traceback has a frame")
    }
}

#[derive(Debug)]
pub(crate) struct Output {
    blocks: Vec<Block>,
    /// What is grouped by, the group's name and its bytes.
    groups: Vec<[String; 3]>,
    pub(crate) report: String,
}

impl Output {
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let (facts, report) = text.split_once("\nreport\n").expect("a report at the end");
        let mut output = Self {
            blocks: Vec::new(),
            groups: Vec::new(),
            report: report.to_owned(),
        };
        for line in facts.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            match fields[..] {
                ["block", place] => output.blocks.push(Block {
                    place: place.to_owned(),
                    frames: Vec::new(),
                }),
                ["frame", shown, function, crate_name, module, offset] => {
                    let block = output.blocks.last_mut().expect("frames follow a block");
                    block.frames.push(Frame {
                        shown: shown.to_owned(),
                        function: function.to_owned(),
                        crate_name: crate_name.to_owned(),
                        code: offset.parse().ok().map(|at| (module.to_owned(), at)),
                    });
                }
                ["group", group_by, name, size] => {
                    output
                        .groups
                        .push([group_by, name, size].map(str::to_owned));
                }
                _ => panic!("not understood: {line:?}"),
            }
        }
        output
    }

    /// The blocks of a place: at least one.
    #[track_caller]
    pub(crate) fn blocks(&self, place: &str) -> Vec<&Block> {
        let blocks = self.blocks.iter().filter(|block| block.place == place);
        let blocks: Vec<&Block> = blocks.collect();
        assert!(!blocks.is_empty(), "{place} has no block: {self:#?}");
        blocks
    }

    /// Name and bytes of the groups by file, line, function…
    pub(crate) fn groups(&self, group_by: &str) -> impl Iterator<Item = (&str, &str)> {
        let groups = self.groups.iter().filter(move |[by, ..]| by == group_by);
        groups.map(|[_, name, size]| (name.as_str(), size.as_str()))
    }
}
