//! Reading.

use super::super::varint::{Cursor, Malformed};
use super::super::{Event, LogRef, Outcome, ReaderEvent, RecordId, Seen, Session, Time};
use super::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, Context, FILE_HEADER_BYTES, MAGIC, VERSION, apply,
    log_ref, outcome, record_id, seen, tag,
};

/// The file is none of ours, or a newer highwater wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAHistory {
    #[error("this is not a highwater history: it does not begin with {MAGIC:?}")]
    Magic,
    #[error("the header of this history is damaged (its checksum does not match)")]
    Header,
    #[error(
        "this history has format version {0}, and this highwater reads up to {VERSION}: use a newer highwater"
    )]
    Version(u16),
}

/// How a history ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Behind a whole block.
    Whole,
    /// Everything before `byte` was given; what follows it could not be read.
    Cut { byte: u64, because: String },
}

/// Turns bytes into events, in whatever pieces they come.
///
/// `feed` bytes and take events with `next` until it has none; after the last bytes, `finish` says how it ended.
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were taken already.
    taken: usize,
    /// Position in the file of `buffer[taken]`.
    position: u64,
    header_read: bool,
    cut: Option<Ending>,
    /// Events of the block under way.
    ready: std::vec::IntoIter<(Time, Event)>,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder {
            buffer: Vec::new(),
            taken: 0,
            position: 0,
            header_read: false,
            cut: None,
            ready: Vec::new().into_iter(),
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        if self.cut.is_some() {
            return;
        }
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event, or nothing until more is fed.
    #[allow(clippy::should_implement_trait, reason = "it may have more after a `None`")]
    pub fn next(&mut self) -> Result<Option<(Time, Event)>, NotAHistory> {
        loop {
            if let Some(event) = self.ready.next() {
                return Ok(Some(event));
            }
            if self.cut.is_some() || !self.read_header()? || !self.read_block() {
                return Ok(None);
            }
        }
    }

    /// To be asked once no more bytes will come and `next` has no event left.
    pub fn finish(&self) -> Result<Ending, NotAHistory> {
        if let Some(cut) = &self.cut {
            return Ok(cut.clone());
        }
        let left = self.buffer.len() - self.taken;
        if !self.header_read {
            let begun = &self.buffer[self.taken..];
            if !begun.is_empty() && !MAGIC.starts_with(&begun[..left.min(MAGIC.len())]) {
                return Err(NotAHistory::Magic);
            }
            let because = format!("it ends within its header, after {left} bytes");
            return Ok(Ending::Cut { byte: 0, because });
        }
        if left > 0 {
            let because =
                format!("its last block was not written to the end: {left} bytes are left over");
            return Ok(Ending::Cut { byte: self.position, because });
        }
        Ok(Ending::Whole)
    }

    fn take(&mut self, bytes: usize) {
        self.taken += bytes;
        self.position += bytes as u64;
    }

    fn read_header(&mut self) -> Result<bool, NotAHistory> {
        if self.header_read {
            return Ok(true);
        }
        let bytes = &self.buffer[self.taken..];
        let known = bytes.len().min(MAGIC.len());
        if bytes[..known] != MAGIC[..known] {
            return Err(NotAHistory::Magic);
        }
        if bytes.len() < FILE_HEADER_BYTES {
            return Ok(false);
        }
        let crc = u32_at(bytes, 12);
        if crc32c::crc32c(&bytes[..12]) != crc {
            return Err(NotAHistory::Header);
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version > VERSION {
            return Err(NotAHistory::Version(version));
        }
        self.header_read = true;
        self.take(FILE_HEADER_BYTES);
        Ok(true)
    }

    /// Whether a block was read or damage met: `next` should look again.
    fn read_block(&mut self) -> bool {
        let bytes = &self.buffer[self.taken..];
        if bytes.len() < BLOCK_HEADER_BYTES {
            return false;
        }
        let length = u32_at(bytes, 0) as usize;
        let events = u32_at(bytes, 4);
        if length > BLOCK_BYTES_MAX {
            let because = format!("a block claims {length} bytes: this is not a block of ours");
            self.cut = Some(Ending::Cut { byte: self.position, because });
            return true;
        }
        if bytes.len() < BLOCK_HEADER_BYTES + length {
            return false;
        }
        let payload = &bytes[BLOCK_HEADER_BYTES..BLOCK_HEADER_BYTES + length];
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..8]), payload);
        let decoded = if crc == u32_at(bytes, 8) {
            decode_block(payload, events).map_err(|malformed| malformed.0)
        } else {
            Err("its checksum does not match: it was damaged")
        };
        match decoded {
            Ok(decoded) => {
                self.ready = decoded.into_iter();
                self.take(BLOCK_HEADER_BYTES + length);
            }
            Err(reason) => {
                let because = format!("a block cannot be read: {reason}");
                self.cut = Some(Ending::Cut { byte: self.position, because });
            }
        }
        true
    }
}

/// Reads a whole history and hands each event on. Errors of `source` are given back as they are.
pub fn read(
    mut source: impl std::io::Read,
    mut each: impl FnMut(Time, Event),
) -> std::io::Result<Result<Ending, NotAHistory>> {
    let mut decoder = Decoder::new();
    let mut piece = vec![0u8; 256 * 1024];
    loop {
        let bytes = match source.read(&mut piece) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        decoder.feed(&piece[..bytes]);
        loop {
            match decoder.next() {
                Ok(Some((time, event))) => each(time, event),
                Ok(None) => break,
                Err(not) => return Ok(Err(not)),
            }
        }
        if bytes == 0 {
            return Ok(decoder.finish());
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// All events or none: a block whose checksum matches was written whole.
fn decode_block(payload: &[u8], events: u32) -> Result<Vec<(Time, Event)>, Malformed> {
    let mut context = Context::default();
    let mut cursor = Cursor { rest: payload };
    let mut decoded = Vec::with_capacity((events as usize).min(payload.len() / 2 + 1));
    while !cursor.rest.is_empty() {
        decoded.push(decode_event(&mut cursor, &mut context)?);
    }
    if decoded.len() != events as usize {
        return Err(Malformed("it holds another number of events than its header says"));
    }
    Ok(decoded)
}

fn decode_event(cursor: &mut Cursor, context: &mut Context) -> Result<(Time, Event), Malformed> {
    let first = cursor.u8()?;
    let mono_ns = apply(context.mono_ns, cursor.i64()?);
    let mut wall_ms = context.predicted_wall_ms(mono_ns);
    if first & tag::WALL_AS_PREDICTED == 0 {
        wall_ms = wall_ms.wrapping_add(cursor.i64()?);
    }
    let time = Time { mono_ns, wall_ms };
    context.advance(&time);
    let event = match first & tag::MASK {
        tag::JSON => serde_json::from_slice(cursor.bytes()?)
            .map_err(|_| Malformed("it holds an event that this highwater does not know"))?,
        tag::SEND => {
            let session = cursor.u32()?;
            let producer = context.producer(Session(session));
            producer.sent = apply(producer.sent, cursor.i64()?);
            let id = record_id(session, producer.sent);
            let log = decode_log(cursor)?;
            let intended_mono_ns = mono_ns.wrapping_sub(cursor.i64()? as u64);
            Event::Send { id, log, intended_mono_ns }
        }
        tag::SENT => decode_sent(cursor, context)?,
        tag::POLLED => decode_polled(cursor, context)?,
        tag::END_OF_LOG => decode_end_of_log(cursor, context)?,
        _ => return Err(Malformed("it holds a kind of event that this highwater does not know")),
    };
    Ok((time, event))
}

fn decode_log(cursor: &mut Cursor) -> Result<LogRef, Malformed> {
    Ok(log_ref(cursor.u32()?, cursor.u32()?))
}

fn decode_sent(cursor: &mut Cursor, context: &mut Context) -> Result<Event, Malformed> {
    let session = cursor.u32()?;
    let producer = context.producer(Session(session));
    producer.completed = apply(producer.completed, cursor.i64()?);
    let id = record_id(session, producer.completed);
    let code = cursor.u8()?;
    let what = match code & outcome::MASK {
        outcome::OK => {
            producer.offset = producer.offset.wrapping_add(cursor.i64()?);
            Outcome::Ok { offset: Some(producer.offset) }
        }
        outcome::OK_WITHOUT_OFFSET => Outcome::Ok { offset: None },
        outcome::FAIL => Outcome::Fail,
        outcome::INFO => Outcome::Info,
        outcome::UNACKNOWLEDGED => Outcome::Unacknowledged,
        _ => return Err(Malformed("it holds an outcome that this highwater does not know")),
    };
    let error = if code & outcome::HAS_ERROR == 0 {
        None
    } else {
        let text = std::str::from_utf8(cursor.bytes()?);
        Some(text.map_err(|_| Malformed("an error's text is not UTF-8"))?.to_owned())
    };
    Ok(Event::Sent { id, outcome: what, error })
}

fn decode_polled(cursor: &mut Cursor, context: &mut Context) -> Result<Event, Malformed> {
    let reader = Session(cursor.u32()?);
    let pass = cursor.u32()?;
    let log = decode_log(cursor)?;
    let count = cursor.u64()?;
    // Every record takes a byte at least: a count beyond the payload is damage, not a reason to allocate.
    if count > cursor.rest.len() as u64 {
        return Err(Malformed("a poll claims more records than its block can hold"));
    }
    let mut records = Vec::with_capacity(count as usize);
    let mut offset = context.polled.get(&log).copied().unwrap_or(0);
    for _ in 0..count {
        let number = cursor.u64()?;
        let mut zigzag = number >> 2;
        if zigzag == (1 << 61) - 1 {
            zigzag = cursor.u64()?;
        }
        offset = offset.wrapping_add(((zigzag >> 1) as i64) ^ -((zigzag & 1) as i64));
        let what = match number & 3 {
            seen::RECORD => Seen::Record(decode_polled_id(cursor, context)?),
            seen::CORRUPTED => Seen::Corrupted(decode_polled_id(cursor, context)?),
            seen::MISPLACED => {
                let id = decode_polled_id(cursor, context)?;
                Seen::Misplaced { id, sent_to: decode_log(cursor)? }
            }
            _ => Seen::Foreign,
        };
        records.push((offset, what));
    }
    if count > 0 {
        context.polled.insert(log, offset);
    }
    Ok(Event::Polled { reader, pass, log, records })
}

fn decode_end_of_log(cursor: &mut Cursor, context: &Context) -> Result<Event, Malformed> {
    let reader = Session(cursor.u32()?);
    let pass = cursor.u32()?;
    let log = decode_log(cursor)?;
    let before = context.polled.get(&log).copied().unwrap_or(0);
    let offset = before.wrapping_add(cursor.i64()?);
    Ok(Event::Reader { reader, pass, what: ReaderEvent::EndOfLog { log, offset } })
}

fn decode_polled_id(cursor: &mut Cursor, context: &mut Context) -> Result<RecordId, Malformed> {
    let session = i64::from(context.polled_session).wrapping_add(cursor.i64()?);
    let session = u32::try_from(session).map_err(|_| Malformed("a session is out of range"))?;
    context.polled_session = session;
    let before = context.polled_sequence.entry(session).or_insert(0);
    *before = apply(*before, cursor.i64()?);
    Ok(record_id(session, *before))
}
