//! What a viewer sees of a profile: as much of `profile.proto` as the examples check, with messages
//! of their own.
//!
//! The field numbers are those of
//! <https://github.com/google/pprof/blob/main/proto/profile.proto>.

use std::error::Error;
use std::io::Read;

use flate2::read::GzDecoder;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    /// The most recent call first.
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
}

/// A heap profile as it was received.
#[derive(Debug)]
pub struct HeapProfile(Profile);

impl HeapProfile {
    /// Decompresses and decodes a profile with the values of Go's heap profiles.
    pub fn read(bytes: &[u8]) -> Result<Self, Box<dyn Error>> {
        let mut decoded = Vec::new();
        GzDecoder::new(bytes).read_to_end(&mut decoded)?;
        let profile = Self(Profile::decode(&decoded[..])?);
        let kinds: Vec<&str> = profile
            .0
            .sample_type
            .iter()
            .map(|kind| profile.text(kind.kind))
            .collect();
        if kinds != ["inuse_objects", "inuse_space"] {
            return Err(format!("not a heap profile: {kinds:?}").into());
        }
        Ok(profile)
    }

    /// Blocks and bytes that were allocated in `line` of a function whose name ends in `function`.
    pub fn allocated_at(&self, function: &str, line: u32) -> (i64, i64) {
        let here = |sample: &&Sample| {
            let most_recent = sample.location_id.first();
            let location =
                most_recent.and_then(|id| self.0.location.iter().find(|one| one.id == *id));
            let calls = location.map_or(&[][..], |location| &location.line);
            calls.iter().any(|call| {
                call.line == i64::from(line) && self.function(call.function_id).ends_with(function)
            })
        };
        self.0
            .sample
            .iter()
            .filter(here)
            .fold((0, 0), |(blocks, bytes), sample| {
                (blocks + sample.value[0], bytes + sample.value[1])
            })
    }

    fn function(&self, id: u64) -> &str {
        let function = self.0.function.iter().find(|function| function.id == id);
        function.map_or("", |function| self.text(function.name))
    }

    fn text(&self, index: i64) -> &str {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.0.string_table.get(index).map_or("", String::as_str)
    }
}
