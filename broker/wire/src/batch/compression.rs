//! The four codecs of Kafka's batches, in the framings that its clients use.

use super::RecordError;
use std::io::{Read, Write};

/// What one batch may grow to when decompressed, unless the caller asks for less: a batch of zeros would otherwise be a
/// cheap way to take a broker's memory.
pub const MAX_UNCOMPRESSED_BYTES: usize = 128 << 20;

/// How the records after a batch's header are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    pub fn id(self) -> u8 {
        self as u8
    }

    pub fn from_id(id: u8) -> Option<Compression> {
        Some(match id {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            _ => return None,
        })
    }

    /// As in the property `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    pub fn from_name(name: &str) -> Option<Compression> {
        (0..=4).filter_map(Compression::from_id).find(|one| one.name() == name)
    }
}

/// The framing of Java's snappy streams, which Kafka's Java clients write: this magic, two versions, then blocks.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_BYTES: usize = 16;
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;

pub(super) fn decompress(
    compression: Compression,
    payload: &[u8],
    max_bytes: usize,
) -> Result<Vec<u8>, RecordError> {
    match compression {
        Compression::None => Ok(payload.to_vec()),
        Compression::Gzip => {
            read_bounded("gzip", flate2::read::MultiGzDecoder::new(payload), payload, max_bytes)
        }
        Compression::Lz4 => {
            read_bounded("lz4", lz4_flex::frame::FrameDecoder::new(payload), payload, max_bytes)
        }
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(payload)
                .map_err(|error| RecordError::Decompress("zstd", error.to_string()))?;
            read_bounded("zstd", decoder, payload, max_bytes)
        }
        Compression::Snappy => decompress_snappy(payload, max_bytes),
    }
}

fn read_bounded(
    name: &'static str,
    decoder: impl Read,
    payload: &[u8],
    max_bytes: usize,
) -> Result<Vec<u8>, RecordError> {
    let mut plain = Vec::with_capacity(payload.len().saturating_mul(2).min(max_bytes));
    decoder
        .take(max_bytes as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| RecordError::Decompress(name, error.to_string()))?;
    if plain.len() > max_bytes {
        return Err(RecordError::TooLarge(max_bytes));
    }
    Ok(plain)
}

fn decompress_snappy(payload: &[u8], max_bytes: usize) -> Result<Vec<u8>, RecordError> {
    let mut plain = Vec::new();
    if !payload.starts_with(&XERIAL_MAGIC) {
        append_snappy_block(payload, &mut plain, max_bytes)?;
        return Ok(plain);
    }
    let short = || RecordError::Decompress("snappy", "a block ends too early".to_owned());
    let mut rest = payload.get(XERIAL_HEADER_BYTES..).ok_or_else(short)?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (block, after) = after.split_at_checked(length).ok_or_else(short)?;
        append_snappy_block(block, &mut plain, max_bytes)?;
        rest = after;
    }
    Ok(plain)
}

fn append_snappy_block(
    block: &[u8],
    plain: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<(), RecordError> {
    let failed = |error: snap::Error| RecordError::Decompress("snappy", error.to_string());
    let length = snap::raw::decompress_len(block).map_err(failed)?;
    let start = plain.len();
    if length > max_bytes.saturating_sub(start) {
        return Err(RecordError::TooLarge(max_bytes));
    }
    // Snappy cannot grow a byte to more than some 64: a block that claims more lies, and gets no memory.
    if length > block.len().saturating_mul(64) {
        return Err(RecordError::Decompress("snappy", "a block claims too much".to_owned()));
    }
    plain.resize(start + length, 0);
    let written =
        snap::raw::Decoder::new().decompress(block, &mut plain[start..]).map_err(failed)?;
    plain.truncate(start + written);
    Ok(())
}

/// Compresses into memory, which cannot fail.
pub(super) fn compress(compression: Compression, plain: &[u8]) -> Vec<u8> {
    const INFALLIBLE: &str = "writing into memory does not fail";
    match compression {
        Compression::None => plain.to_vec(),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).expect(INFALLIBLE);
            encoder.finish().expect(INFALLIBLE)
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain).expect(INFALLIBLE);
            encoder.finish().expect(INFALLIBLE)
        }
        Compression::Zstd => zstd::stream::encode_all(plain, 3).expect(INFALLIBLE),
        Compression::Snappy => {
            let mut out = XERIAL_MAGIC.to_vec();
            out.extend_from_slice(&1u32.to_be_bytes());
            out.extend_from_slice(&1u32.to_be_bytes());
            for block in plain.chunks(XERIAL_BLOCK_BYTES) {
                let compressed = snap::raw::Encoder::new().compress_vec(block).expect(INFALLIBLE);
                out.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
                out.extend_from_slice(&compressed);
            }
            out
        }
    }
}
