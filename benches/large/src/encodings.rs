//! The fields of a saved file in other encodings. Only the encoding is measured: what comes before it
//! when a file is written, and after it when one is read, is the same for all.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::measure::measured;
use crate::schema;

type Body = schema::Body<'static, Vec<schema::RunRow>>;
type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Clone, Copy)]
enum Encoding {
    Json,
    Cbor,
    MessagePack,
}

#[derive(Clone, Copy)]
enum Packing {
    None,
    Gzip(u32),
    Zstd(i32),
}

const ENCODINGS: [(&str, Encoding); 3] = [
    ("JSON", Encoding::Json),
    ("CBOR", Encoding::Cbor),
    ("MessagePack", Encoding::MessagePack),
];

const PACKINGS: [(&str, Packing); 5] = [
    ("plain", Packing::None),
    ("gzip 1", Packing::Gzip(1)),
    ("gzip 2", Packing::Gzip(2)),
    ("gzip 6", Packing::Gzip(6)),
    ("zstd 3", Packing::Zstd(3)),
];

pub fn all(file: &Path) -> Outcome<()> {
    let body: Body = serde_json::from_reader(BufReader::new(GzDecoder::new(File::open(file)?)))?;
    for (encoding_name, encoding) in ENCODINGS {
        for (packing_name, packing) in PACKINGS {
            let name = format!("{encoding_name}, {packing_name}");
            let write = || write(encoding, packing, &body);
            let bytes = measured(&format!("write {name}"), write, |bytes| bytes.len() as u64)?;
            let read = || read(encoding, packing, &bytes);
            let found = measured(&format!("read {name}"), read, |_| bytes.len() as u64)?;
            if found.runs.len() != body.runs.len() || found.nodes.len() != body.nodes.len() {
                return Err(format!("{name} does not read what it wrote").into());
            }
        }
    }
    Ok(())
}

fn write(encoding: Encoding, packing: Packing, body: &Body) -> Outcome<Vec<u8>> {
    const BUFFER: usize = 1 << 16;
    Ok(match packing {
        Packing::None => encode(encoding, body, Vec::new())?,
        Packing::Gzip(level) => {
            let gzip = GzEncoder::new(Vec::new(), Compression::new(level));
            let buffer = std::io::BufWriter::with_capacity(BUFFER, gzip);
            let buffer = encode(encoding, body, buffer)?;
            buffer
                .into_inner()
                .map_err(|error| error.into_error())?
                .finish()?
        }
        Packing::Zstd(level) => {
            let zstd = zstd::Encoder::new(Vec::new(), level)?;
            let buffer = std::io::BufWriter::with_capacity(BUFFER, zstd);
            let buffer = encode(encoding, body, buffer)?;
            buffer
                .into_inner()
                .map_err(|error| error.into_error())?
                .finish()?
        }
    })
}

fn encode<W: Write>(encoding: Encoding, body: &Body, mut out: W) -> Outcome<W> {
    match encoding {
        Encoding::Json => serde_json::to_writer(&mut out, body)?,
        Encoding::Cbor => ciborium::into_writer(body, &mut out)?,
        // With names, since fields that have their usual value are left out.
        Encoding::MessagePack => rmp_serde::encode::write_named(&mut out, body)?,
    }
    Ok(out)
}

fn read(encoding: Encoding, packing: Packing, bytes: &[u8]) -> Outcome<Body> {
    match packing {
        Packing::None => decode(encoding, bytes),
        Packing::Gzip(_) => decode(encoding, BufReader::new(GzDecoder::new(bytes))),
        Packing::Zstd(_) => decode(encoding, BufReader::new(zstd::Decoder::new(bytes)?)),
    }
}

fn decode(encoding: Encoding, input: impl Read) -> Outcome<Body> {
    Ok(match encoding {
        Encoding::Json => serde_json::from_reader(input)?,
        Encoding::Cbor => ciborium::from_reader(input)?,
        Encoding::MessagePack => rmp_serde::from_read(input)?,
    })
}
