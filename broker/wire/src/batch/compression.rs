//! The four codecs of Kafka's batches, in the framings that its clients use.

use super::RecordError;
use flate2::bufread::GzDecoder;
use std::fmt;
use std::io::{self, BufRead, Cursor, Read, Write};
use zstd::zstd_safe::{CCtx, CParameter, DCtx, ResetDirective};

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

/// What a kept zstd context may take. A frame says how far back it looks, and one that says "far" must not be paid for until
/// the process ends.
const KEPT_ZSTD_BYTES: usize = 8 << 20;

/// Decompresses one batch after the other with the same memory: a codec's state takes some hundred kilobytes, which is
/// more work to get and to clear than most batches are. Nothing of a batch shows in the next one.
#[derive(Default)]
pub struct Decompressor {
    gzip: Option<GzDecoder<Cursor<Vec<u8>>>>,
    zstd: Option<DCtx<'static>>,
}

impl Decompressor {
    pub(super) fn decompress(
        &mut self,
        compression: Compression,
        payload: &[u8],
        max_bytes: usize,
    ) -> Result<Vec<u8>, RecordError> {
        match compression {
            Compression::None => Ok(payload.to_vec()),
            Compression::Gzip => self.gunzip(payload, max_bytes),
            Compression::Lz4 => {
                read_bounded("lz4", lz4_flex::frame::FrameDecoder::new(payload), payload, max_bytes)
            }
            Compression::Zstd => {
                let context = self.zstd.get_or_insert_with(DCtx::create);
                context
                    .reset(ResetDirective::SessionOnly)
                    .expect("a session can be ended at any time");
                let decoder = zstd::stream::read::Decoder::with_context(payload, context);
                let plain = read_bounded("zstd", decoder, payload, max_bytes);
                self.zstd.take_if(|context| context.sizeof() > KEPT_ZSTD_BYTES);
                plain
            }
            Compression::Snappy => decompress_snappy(payload, max_bytes),
        }
    }

    fn gunzip(&mut self, payload: &[u8], max_bytes: usize) -> Result<Vec<u8>, RecordError> {
        let decoder = self.gzip.get_or_insert_with(|| GzDecoder::new(Cursor::new(Vec::new())));
        let mut packed = std::mem::take(decoder.get_mut().get_mut());
        packed.clear();
        packed.extend_from_slice(payload);
        decoder.reset(Cursor::new(packed));
        let plain = read_bounded("gzip", GzMembers(decoder), payload, max_bytes);
        // The copy of a rare large batch is not kept.
        let packed = decoder.get_mut().get_mut();
        packed.clear();
        packed.shrink_to(KEPT_PACKED_BYTES);
        plain
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

/// What a kept copy of a compressed payload may take.
const KEPT_PACKED_BYTES: usize = 1 << 20;

/// All members of a gzip stream, one after the other: [`flate2::bufread::MultiGzDecoder`] can't be used again.
struct GzMembers<'a>(&'a mut GzDecoder<Cursor<Vec<u8>>>);

impl Read for GzMembers<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.0.read(into)?;
            if count > 0 || into.is_empty() || self.0.get_mut().fill_buf()?.is_empty() {
                return Ok(count);
            }
            let rest = std::mem::take(self.0.get_mut());
            self.0.reset(rest);
        }
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

const INFALLIBLE: &str = "writing into memory does not fail";

/// The level of zstd, its default.
const ZSTD_LEVEL: i32 = 3;

/// A gzip member's header that says nothing of a file: deflate, no time, no flags, no operating system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Compresses one batch after the other with the same memory, as [`Decompressor`] does the other way. A batch comes out
/// the same as from a new one.
#[derive(Default)]
pub struct Compressor {
    deflate: Option<flate2::Compress>,
    zstd: Option<CCtx<'static>>,
}

impl Compressor {
    /// Compresses into memory, which cannot fail.
    pub(super) fn compress(&mut self, compression: Compression, plain: &[u8]) -> Vec<u8> {
        match compression {
            Compression::None => plain.to_vec(),
            Compression::Gzip => self.gzip(plain),
            Compression::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(plain).expect(INFALLIBLE);
                encoder.finish().expect(INFALLIBLE)
            }
            Compression::Zstd => self.zstd(plain),
            Compression::Snappy => {
                let mut out = XERIAL_MAGIC.to_vec();
                out.extend_from_slice(&1u32.to_be_bytes());
                out.extend_from_slice(&1u32.to_be_bytes());
                let mut encoder = snap::raw::Encoder::new();
                for block in plain.chunks(XERIAL_BLOCK_BYTES) {
                    let compressed = encoder.compress_vec(block).expect(INFALLIBLE);
                    out.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
                    out.extend_from_slice(&compressed);
                }
                out
            }
        }
    }

    fn gzip(&mut self, plain: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::default();
        let deflate = self.deflate.get_or_insert_with(|| flate2::Compress::new(level, false));
        deflate.reset();
        let mut packed = Vec::with_capacity(GZIP_HEADER.len() + plain.len() / 2 + 64);
        packed.extend_from_slice(&GZIP_HEADER);
        loop {
            let rest = &plain[deflate.total_in() as usize..];
            let status = deflate.compress_vec(rest, &mut packed, flate2::FlushCompress::Finish);
            if status.expect(INFALLIBLE) == flate2::Status::StreamEnd {
                break;
            }
            packed.reserve(packed.capacity());
        }
        let mut crc = flate2::Crc::new();
        crc.update(plain);
        packed.extend_from_slice(&crc.sum().to_le_bytes());
        packed.extend_from_slice(&crc.amount().to_le_bytes());
        packed
    }

    fn zstd(&mut self, plain: &[u8]) -> Vec<u8> {
        let context = self.zstd.get_or_insert_with(|| {
            let mut context = CCtx::create();
            let level = CParameter::CompressionLevel(ZSTD_LEVEL);
            context.set_parameter(level).expect("a level that zstd has");
            context
        });
        context.reset(ResetDirective::SessionOnly).expect("a session can be ended at any time");
        let mut packed = Vec::new();
        let mut encoder = zstd::stream::read::Encoder::with_context(plain, context);
        encoder.read_to_end(&mut packed).expect(INFALLIBLE);
        packed
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}
