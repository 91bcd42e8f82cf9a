//! Writing.

use super::super::varint::{put_bytes, put_i64, put_u64};
use super::super::{Event, LogRef, Outcome, ReaderEvent, RecordId, Seen, Session, Time};
use super::{
    BLOCK_BYTES_MAX, BLOCK_BYTES_TARGET, Context, MAGIC, VERSION, delta, outcome, seen, tag,
};

/// Turns events into bytes. Every call hands finished bytes to `out`; the caller writes them, in order.
pub struct Encoder {
    payload: Vec<u8>,
    events: u32,
    context: Context,
    header_due: bool,
}

impl Default for Encoder {
    fn default() -> Self {
        Encoder::new()
    }
}

impl Encoder {
    /// For a new file: the first bytes given are the file's header.
    pub fn new() -> Encoder {
        Encoder { payload: Vec::new(), events: 0, context: Context::default(), header_due: true }
    }

    /// For a file of this version that ends with a whole block: goes on with another block.
    pub fn resume() -> Encoder {
        Encoder { header_due: false, ..Encoder::new() }
    }

    /// Bytes of the block under way. They are in nobody's hands until it is flushed.
    pub fn pending_bytes(&self) -> usize {
        self.payload.len()
    }

    /// Adds an event to the block under way, and hands the block to `out` once it is full.
    pub fn append(&mut self, time: &Time, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Send { id, log, intended_mono_ns } => {
                self.begin(tag::SEND, time);
                self.send(*id, *log, time.mono_ns, *intended_mono_ns);
            }
            Event::Sent { id, outcome, error } => {
                self.begin(tag::SENT, time);
                self.sent(*id, *outcome, error.as_deref());
            }
            Event::Polled { reader, pass, log, records } => {
                self.begin(tag::POLLED, time);
                self.polled(*reader, *pass, *log, records);
            }
            Event::Reader { reader, pass, what: ReaderEvent::EndOfLog { log, offset } } => {
                self.begin(tag::END_OF_LOG, time);
                self.end_of_log(*reader, *pass, *log, *offset);
            }
            rare => self.rare(time, rare),
        }
        self.events += 1;
        if self.payload.len() >= BLOCK_BYTES_TARGET {
            self.flush_block(out);
        }
    }

    fn rare(&mut self, time: &Time, event: &Event) {
        self.begin(tag::JSON, time);
        let text = serde_json::to_vec(event)
            .expect("an event has only text keys, and writing to memory does not fail");
        put_bytes(&mut self.payload, &text);
    }

    /// Adds an event to the block under way as rare ones are written, whatever it is.
    #[cfg(test)]
    pub(super) fn append_as_rare(&mut self, time: &Time, event: &Event) {
        self.rare(time, event);
        self.events += 1;
    }

    /// Ends the block under way and hands it to `out`. Nothing happens if it is empty, but for the file's header.
    pub fn flush_block(&mut self, out: &mut Vec<u8>) {
        if self.header_due {
            self.header_due = false;
            let mut header = Vec::with_capacity(super::FILE_HEADER_BYTES);
            header.extend_from_slice(&MAGIC);
            header.extend_from_slice(&VERSION.to_le_bytes());
            header.extend_from_slice(&[0, 0]);
            let crc = crc32c::crc32c(&header);
            header.extend_from_slice(&crc.to_le_bytes());
            out.extend_from_slice(&header);
        }
        if self.events == 0 {
            return;
        }
        assert!(
            self.payload.len() <= BLOCK_BYTES_MAX,
            "an event of {} bytes does not fit a block",
            self.payload.len()
        );
        let mut head = [0u8; 8];
        head[..4].copy_from_slice(&(self.payload.len() as u32).to_le_bytes());
        head[4..].copy_from_slice(&self.events.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), &self.payload);
        out.extend_from_slice(&head);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&self.payload);
        self.payload.clear();
        self.events = 0;
        self.context = Context::default();
    }

    fn begin(&mut self, tag: u8, time: &Time) {
        let predicted = self.context.predicted_wall_ms(time.mono_ns);
        let as_predicted = predicted == time.wall_ms;
        self.payload.push(tag | if as_predicted { tag::WALL_AS_PREDICTED } else { 0 });
        put_i64(&mut self.payload, delta(time.mono_ns, self.context.mono_ns));
        if !as_predicted {
            put_i64(&mut self.payload, time.wall_ms.wrapping_sub(predicted));
        }
        self.context.advance(time);
    }

    fn put_log(&mut self, log: LogRef) {
        put_u64(&mut self.payload, u64::from(log.topic.0));
        put_u64(&mut self.payload, u64::from(log.partition));
    }

    fn send(&mut self, id: RecordId, log: LogRef, mono_ns: u64, intended_mono_ns: u64) {
        put_u64(&mut self.payload, u64::from(id.session.0));
        let producer = self.context.producer(id.session);
        let sequence = delta(id.sequence, producer.sent);
        producer.sent = id.sequence;
        put_i64(&mut self.payload, sequence);
        self.put_log(log);
        put_i64(&mut self.payload, delta(mono_ns, intended_mono_ns));
    }

    fn sent(&mut self, id: RecordId, what: Outcome, error: Option<&str>) {
        put_u64(&mut self.payload, u64::from(id.session.0));
        let producer = self.context.producer(id.session);
        let sequence = delta(id.sequence, producer.completed);
        producer.completed = id.sequence;
        let (code, offset) = match what {
            Outcome::Ok { offset: Some(offset) } => {
                let before = producer.offset;
                producer.offset = offset;
                (outcome::OK, Some(offset.wrapping_sub(before)))
            }
            Outcome::Ok { offset: None } => (outcome::OK_WITHOUT_OFFSET, None),
            Outcome::Fail => (outcome::FAIL, None),
            Outcome::Info => (outcome::INFO, None),
            Outcome::Unacknowledged => (outcome::UNACKNOWLEDGED, None),
        };
        put_i64(&mut self.payload, sequence);
        self.payload.push(code | if error.is_some() { outcome::HAS_ERROR } else { 0 });
        if let Some(offset) = offset {
            put_i64(&mut self.payload, offset);
        }
        if let Some(error) = error {
            put_bytes(&mut self.payload, error.as_bytes());
        }
    }

    fn polled(&mut self, reader: Session, pass: u32, log: LogRef, records: &[(i64, Seen)]) {
        put_u64(&mut self.payload, u64::from(reader.0));
        put_u64(&mut self.payload, u64::from(pass));
        self.put_log(log);
        put_u64(&mut self.payload, records.len() as u64);
        for (offset, what) in records {
            let before = self.context.polled.insert(log, *offset).unwrap_or(0);
            let (code, id) = match what {
                Seen::Record(id) => (seen::RECORD, Some(*id)),
                Seen::Corrupted(id) => (seen::CORRUPTED, Some(*id)),
                Seen::Misplaced { id, .. } => (seen::MISPLACED, Some(*id)),
                Seen::Foreign => (seen::FOREIGN, None),
            };
            // Two bits are taken for the code, so a delta beyond 62 bits is written on its own.
            let step = offset.wrapping_sub(before);
            let zigzag = ((step << 1) ^ (step >> 63)) as u64;
            let far = zigzag >= (1 << 61) - 1;
            let short = if far { (1 << 61) - 1 } else { zigzag };
            put_u64(&mut self.payload, (short << 2) | code);
            if far {
                put_u64(&mut self.payload, zigzag);
            }
            if let Some(id) = id {
                self.put_polled_id(id);
            }
            if let Seen::Misplaced { sent_to, .. } = what {
                self.put_log(*sent_to);
            }
        }
    }

    /// A reader that keeps up is at the end after every other poll.
    fn end_of_log(&mut self, reader: Session, pass: u32, log: LogRef, offset: i64) {
        put_u64(&mut self.payload, u64::from(reader.0));
        put_u64(&mut self.payload, u64::from(pass));
        self.put_log(log);
        let before = self.context.polled.get(&log).copied().unwrap_or(0);
        put_i64(&mut self.payload, offset.wrapping_sub(before));
    }

    fn put_polled_id(&mut self, id: RecordId) {
        let session = i64::from(id.session.0) - i64::from(self.context.polled_session);
        put_i64(&mut self.payload, session);
        self.context.polled_session = id.session.0;
        let before = self.context.polled_sequence.insert(id.session.0, id.sequence).unwrap_or(0);
        put_i64(&mut self.payload, delta(id.sequence, before));
    }
}
