//! The fields of the file. They are not the domain types: those may change, these may only grow.
//!
//! One set of types serves both directions. Texts are borrowed when written and owned when read;
//! the runs, which can be many millions, are written straight from the snapshot.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::snapshot::origin::FrameOrigin;
use crate::snapshot::unread::Unread;

pub(super) const FORMAT: &str = "tracemalloc-snapshot";

/// The version that is written. Raised when a field changes its meaning or its form. New fields do
/// not raise it: readers skip what they do not know.
///
/// Version 2 has fields that version 1 lacks, which may all be left out, and frames without a name.
/// So one set of types reads both.
pub(super) const VERSION: u64 = 2;

pub(super) const OLDEST_VERSION: u64 = 1;

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
    // What follows adds to the tables above: lists beside them, of the same length, and tables of
    // their own. Each is left out if nothing of it is known.
    /// Of each stack the type that it allocates, a string.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) stack_types: Vec<Option<u32>>,
    /// Of each stack how many frames at its oldest and at its most recent end are the runtime's, and
    /// not shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) stack_trims: Vec<(u32, u32)>,
    /// Of each stack the tag that its blocks have, a string.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) stack_tags: Vec<Option<u32>>,
    /// Of each stack the name of the thread that allocated there, a string.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) stack_threads: Vec<Option<u32>>,
    /// Stacks whose oldest caller could not be found, in a snapshot whose names were not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) incomplete_stacks: Vec<u32>,
    /// The history: sums beside the live blocks, by the name of the view.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) views: BTreeMap<Cow<'a, str>, ViewRows>,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct ViewRows {
    pub(super) sums: Vec<SumRow>,
    /// Of each sum the microseconds that its blocks have lived, added up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lifetimes: Vec<u64>,
    /// Of each sum the number of its reallocations, and the bytes that they copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) reallocations: Vec<(u64, u64)>,
    /// Of each sum the highest number of bytes live at one time, and the blocks that held them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) highest: Vec<(u64, u64)>,
}

/// Blocks of one stack and domain: those two, bytes, count.
#[derive(Serialize, Deserialize)]
pub(super) struct SumRow(
    pub(super) u32,
    pub(super) u32,
    pub(super) u64,
    pub(super) u64,
);

#[derive(Serialize, Deserialize)]
pub(super) struct Meta<'a> {
    /// Name and version of the program that wrote the file. For people; nothing depends on it.
    #[serde(default)]
    pub(super) writer: Cow<'a, str>,
    pub(super) traceback_limit: u16,
    /// Bytes allocated per record, on average. Without it every block was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sample_every: Option<NonZeroU64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) taken_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) process_id: Option<u32>,
    /// The name of the program's executable file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) program: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resident_memory: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) allocator_memory: Option<u64>,
    #[serde(default)]
    pub(super) current: u64,
    #[serde(default)]
    pub(super) peak: u64,
    #[serde(default)]
    pub(super) tracer_memory: u64,
    #[serde(default)]
    pub(super) runtime_frames: bool,
    /// Why no names were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unnamed: Option<UnreadRow>,
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
    /// Version 1 calls it `ended`.
    #[serde(alias = "ended")]
    pub(super) incomplete_stacks: u64,
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub(super) history_events: u64,
    #[serde(skip_serializing_if = "is_zero_u64")]
    pub(super) labels: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ModuleRow<'a> {
    pub(super) path: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) build_id: Option<Cow<'a, str>>,
    /// Why the module's names could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unread: Option<UnreadRow>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum UnreadRow {
    Later,
    NoMemory,
    OtherBuild,
    NoFile,
    NoBuildId,
    Stripped,
    /// A reason that only a later version knows.
    #[serde(other)]
    Other,
}

impl From<Unread> for UnreadRow {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Later => Self::Later,
            Unread::NoMemory => Self::NoMemory,
            Unread::NoFile => Self::NoFile,
            Unread::OtherBuild => Self::OtherBuild,
            Unread::NoBuildId => Self::NoBuildId,
            Unread::Stripped => Self::Stripped,
        }
    }
}

impl From<UnreadRow> for Unread {
    fn from(unread: UnreadRow) -> Self {
        match unread {
            UnreadRow::Later => Self::Later,
            UnreadRow::NoMemory => Self::NoMemory,
            UnreadRow::NoFile | UnreadRow::Other => Self::NoFile,
            UnreadRow::OtherBuild => Self::OtherBuild,
            UnreadRow::NoBuildId => Self::NoBuildId,
            UnreadRow::Stripped => Self::Stripped,
        }
    }
}

/// Texts are indices into `strings`. A frame without a file has not been named yet: it is a place in
/// machine code and nothing else.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct FrameRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u32>,
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
    /// Bytes of `path` before the part that the compiler wrote, as `file!()` has it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) written: u32,
    /// Index into `modules`, and the offset there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<(u32, Offset)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<OriginRow>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OriginRow {
    Own,
    Dependency,
    Standard,
}

impl From<FrameOrigin> for OriginRow {
    fn from(origin: FrameOrigin) -> Self {
        match origin {
            FrameOrigin::Own => Self::Own,
            FrameOrigin::Dependency => Self::Dependency,
            FrameOrigin::Standard => Self::Standard,
        }
    }
}

impl From<OriginRow> for FrameOrigin {
    fn from(origin: OriginRow) -> Self {
        match origin {
            OriginRow::Own => Self::Own,
            OriginRow::Dependency => Self::Dependency,
            OriginRow::Standard => Self::Standard,
        }
    }
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
fn is_zero_u64(number: &u64) -> bool {
    *number == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde calls"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}
