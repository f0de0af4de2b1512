//! The fields of the file. They are not the domain types: those may change, these may only grow.
//!
//! One set of types serves both directions. Texts are borrowed when written and owned when read;
//! the runs, which can be many millions, are written straight from the snapshot.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

pub(super) const FORMAT: &str = "tracemalloc-snapshot";

/// Raised when a field changes its meaning. New fields do not raise it: readers skip what they do
/// not know.
pub(super) const VERSION: u64 = 1;

/// The whole file. Must start with `format` and `version`, so that a reader knows them before it
/// meets a field whose form a newer version has changed.
#[derive(Serialize)]
pub(super) struct Document<'a, Runs> {
    pub(super) format: &'a str,
    pub(super) version: u64,
    #[serde(flatten)]
    pub(super) body: Body<'a, Runs>,
}

/// Everything after `format` and `version`.
#[derive(Serialize, Deserialize)]
pub(super) struct Body<'a, Runs> {
    pub(super) meta: Meta<'a>,
    pub(super) modules: Vec<ModuleRow<'a>>,
    pub(super) strings: Vec<Cow<'a, str>>,
    pub(super) frames: Vec<FrameRow>,
    pub(super) nodes: Vec<NodeRow>,
    pub(super) stacks: Vec<StackRow>,
    pub(super) runs: Runs,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Meta<'a> {
    /// Name and version of the program that wrote the file. For people; nothing depends on it.
    #[serde(default)]
    pub(super) writer: Cow<'a, str>,
    pub(super) traceback_limit: u16,
    /// The runs are a sample of one record per so many bytes; every block if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sample_every: Option<NonZeroU64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) taken_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) process_id: Option<u32>,
    #[serde(default)]
    pub(super) current: u64,
    #[serde(default)]
    pub(super) peak: u64,
    #[serde(default)]
    pub(super) tracer_memory: u64,
    #[serde(default)]
    pub(super) runtime_frames: bool,
    #[serde(default)]
    pub(super) losses: LossesRow,
    #[serde(default)]
    pub(super) attributes: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LossesRow {
    pub(super) blocks: u64,
    pub(super) stacks: u64,
    pub(super) replaced: u64,
    pub(super) ended: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ModuleRow<'a> {
    pub(super) path: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) build_id: Option<Cow<'a, str>>,
}

/// Texts are indices into `strings`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct FrameRow {
    pub(super) file: u32,
    pub(super) line: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) column: u32,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) named: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) function: Option<u32>,
    #[serde(rename = "crate", default, skip_serializing_if = "Option::is_none")]
    pub(super) crate_name: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<u32>,
    /// Index into `modules`, and the offset there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<(u32, Offset)>,
}

/// A call: the node of its caller, if there is one, and its frame. Callers come before what they
/// call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct NodeRow(pub(super) Option<u32>, pub(super) u32);

/// A stack: the node of its most recent frame, its true depth if known, and whether it was cut.
#[derive(Serialize, Deserialize)]
pub(super) struct StackRow(pub(super) u32, pub(super) Option<u32>, pub(super) bool);

/// Blocks that follow each other and are alike: stack, domain, size in bytes, count.
#[derive(Serialize, Deserialize)]
pub(super) struct RunRow(
    pub(super) u32,
    pub(super) u32,
    pub(super) u64,
    pub(super) u64,
);

/// An offset in machine code, written as a hexadecimal text: many readers of JSON keep numbers as
/// doubles, which are exact up to 2^53 only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Offset(pub(super) u64);

impl From<Offset> for String {
    fn from(offset: Offset) -> Self {
        format!("{:#x}", offset.0)
    }
}

impl TryFrom<String> for Offset {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.strip_prefix("0x")
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| {
                let shown: String = text.chars().take(40).collect();
                format!("{shown:?} is not an offset: 0x and 1 to 16 hexadecimal digits")
            })
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}
