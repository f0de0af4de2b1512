//! `profile.proto` for the tests: written apart from the exporter's own messages, and read with
//! every reference followed.

use std::fmt::Write;
use std::io::Read;

use prost::Message;
use tracemalloc::Snapshot;
use tracemalloc::report::Pprof;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub(crate) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub(crate) string_table: Vec<String>,
    #[prost(int64, tag = "7")]
    pub(crate) drop_frames: i64,
    #[prost(int64, tag = "8")]
    pub(crate) keep_frames: i64,
    #[prost(int64, tag = "9")]
    pub(crate) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(crate) duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub(crate) period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub(crate) period: i64,
    #[prost(int64, repeated, tag = "13")]
    pub(crate) comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    pub(crate) default_sample_type: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(crate) r#type: i64,
    #[prost(int64, tag = "2")]
    pub(crate) unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(crate) value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(int64, tag = "1")]
    pub(crate) key: i64,
    #[prost(int64, tag = "2")]
    pub(crate) str: i64,
    #[prost(int64, tag = "3")]
    pub(crate) num: i64,
    #[prost(int64, tag = "4")]
    pub(crate) num_unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Mapping {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) memory_start: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) memory_limit: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) file_offset: u64,
    #[prost(int64, tag = "5")]
    pub(crate) filename: i64,
    #[prost(int64, tag = "6")]
    pub(crate) build_id: i64,
    #[prost(bool, tag = "7")]
    pub(crate) has_functions: bool,
    #[prost(bool, tag = "8")]
    pub(crate) has_filenames: bool,
    #[prost(bool, tag = "9")]
    pub(crate) has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    pub(crate) has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Location {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) mapping_id: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) address: u64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) line: Vec<Line>,
    #[prost(bool, tag = "5")]
    pub(crate) is_folded: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Line {
    #[prost(uint64, tag = "1")]
    pub(crate) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) line: i64,
    #[prost(int64, tag = "3")]
    pub(crate) column: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Function {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) name: i64,
    #[prost(int64, tag = "3")]
    pub(crate) system_name: i64,
    #[prost(int64, tag = "4")]
    pub(crate) filename: i64,
    #[prost(int64, tag = "5")]
    pub(crate) start_line: i64,
}

impl Profile {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self::written_by(Pprof::new(), snapshot)
    }

    pub(crate) fn written_by(pprof: Pprof, snapshot: &Snapshot) -> Self {
        let mut bytes = Vec::new();
        pprof.write(snapshot, &mut bytes).unwrap();
        let mut message = Vec::new();
        let mut gzip = flate2::read::GzDecoder::new(&bytes[..]);
        gzip.read_to_end(&mut message).unwrap();
        Self::decode(&message[..]).unwrap()
    }

    pub(crate) fn text(&self, index: i64) -> &str {
        &self.string_table[usize::try_from(index).unwrap()]
    }

    pub(crate) fn location(&self, id: u64) -> &Location {
        let mut found = self.location.iter().filter(|location| location.id == id);
        let location = found.next().expect("the location is there");
        assert!(found.next().is_none(), "location {id} is there twice");
        location
    }

    pub(crate) fn function(&self, id: u64) -> &Function {
        let mut found = self.function.iter().filter(|function| function.id == id);
        let function = found.next().expect("the function is there");
        assert!(found.next().is_none(), "function {id} is there twice");
        function
    }

    fn type_text(&self, kind: &ValueType) -> String {
        format!("{}/{}", self.text(kind.r#type), self.text(kind.unit))
    }

    /// Everything that is in the profile, as text.
    pub(crate) fn shown(&self) -> String {
        assert_eq!(self.string_table[0], "");
        let mut out = String::new();
        let types: Vec<String> = self
            .sample_type
            .iter()
            .map(|kind| self.type_text(kind))
            .collect();
        let period_type = self.period_type.as_ref().map(|kind| self.type_text(kind));
        writeln!(out, "types: {}", types.join(" ")).unwrap();
        writeln!(out, "default: {}", self.text(self.default_sample_type)).unwrap();
        writeln!(out, "period: {} {}", self.period, period_type.unwrap()).unwrap();
        writeln!(out, "time: {} + {}", self.time_nanos, self.duration_nanos).unwrap();
        writeln!(out, "drop: {}", self.text(self.drop_frames)).unwrap();
        writeln!(out, "keep: {}", self.text(self.keep_frames)).unwrap();
        for comment in &self.comment {
            writeln!(out, "comment: {}", self.text(*comment)).unwrap();
        }
        for mapping in &self.mapping {
            let Mapping {
                id,
                memory_start,
                memory_limit,
                file_offset,
                ..
            } = mapping;
            let has = [
                mapping.has_functions,
                mapping.has_filenames,
                mapping.has_line_numbers,
                mapping.has_inline_frames,
            ];
            let (path, build_id) = (self.text(mapping.filename), self.text(mapping.build_id));
            writeln!(
                out,
                "mapping {id}: {memory_start:#x}..{memory_limit:#x} {file_offset} {path} {build_id:?} \
                 {has:?}"
            )
            .unwrap();
        }
        for sample in &self.sample {
            let labels = sample.label.iter().map(|label| {
                assert_eq!((label.num, label.num_unit), (0, 0));
                format!(" {}={}", self.text(label.key), self.text(label.str))
            });
            writeln!(
                out,
                "sample: {:?}{}",
                sample.value,
                labels.collect::<String>()
            )
            .unwrap();
            for id in &sample.location_id {
                self.show_location(self.location(*id), &mut out);
            }
        }
        out
    }

    fn show_location(&self, location: &Location, out: &mut String) {
        assert!(!location.is_folded);
        writeln!(out, "  {}:{:#x}", location.mapping_id, location.address).unwrap();
        for line in &location.line {
            let function = self.function(line.function_id);
            assert_eq!((function.system_name, function.start_line), (0, 0));
            let (name, file) = (self.text(function.name), self.text(function.filename));
            writeln!(out, "    {name} {file:?}:{}:{}", line.line, line.column).unwrap();
        }
    }
}
