//! Where one of Kafka's frames ends and the next begins: four bytes of length, then a head.
//!
//! Promises: every byte that comes in is handed on, dropped or kept, as the fate of its frame says, in order, and wherever
//! reads cut the frames; what does not look like frames is handed on as it is from there on. Without a rule that looks at
//! frames nothing is held, not even half a head.

use kafka_protocol::messages::ApiKey;

/// Nothing of Kafka's is longer; and bytes of other protocols rarely say less.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// More is read of a request's head when it proves to be longer, so many bytes at a time.
const HEAD_STEP_BYTES: usize = 64;
/// No client names itself at greater length; and no head goes on for ever.
const HEAD_BYTES_MAX: usize = 4 + 10 + (1 << 15) + (1 << 15);

/// What a frame begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    Request(RequestHead),
    Response { correlation: i32 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    pub api: i16,
    pub version: i16,
    pub correlation: i32,
    pub client_id: Option<String>,
    /// A Produce with acks=0 is never answered.
    pub is_answered: bool,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Pass,
    Drop,
    /// Nothing of it goes on before all of it is there; see [`Sink::whole`].
    Collect,
}

/// Who decides about frames and takes what goes on.
pub trait Sink {
    /// The head of a frame is there. The fate counts only where the frame was held from its first byte.
    fn head(&mut self, head: &Head, held: bool) -> Fate;
    /// Bytes that go on.
    fn pass(&mut self, bytes: &[u8]);
    /// A frame that was to be collected, its length in front.
    fn whole(&mut self, frame: Vec<u8>);
    /// A frame is at its end.
    fn end(&mut self);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Requests,
    Responses,
}

/// Tells the frames of one direction apart.
#[derive(Debug)]
pub struct Cutter {
    kind: Kind,
    /// No frames: everything is handed on.
    opaque: bool,
    /// The beginning of a frame whose head is not complete.
    head: Vec<u8>,
    /// Bytes of it that were handed on already.
    passed: usize,
    /// Bytes that are left of the frame behind its head.
    left: usize,
    fate: Fate,
    whole: Vec<u8>,
}

enum Parsed {
    /// So many bytes of the frame are wanted.
    More(usize),
    Garbage,
    Head(Head),
}

impl Cutter {
    pub fn new(kind: Kind) -> Cutter {
        let (head, whole) = (Vec::new(), Vec::new());
        Cutter { kind, opaque: false, head, passed: 0, left: 0, fate: Fate::Pass, whole }
    }

    /// No frame is half through.
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }

    /// Bytes are kept, or will be dropped.
    pub fn is_collecting(&self) -> bool {
        self.fate != Fate::Pass || self.passed < self.head.len()
    }

    /// It never was, or is no longer, Kafka's protocol.
    pub fn is_opaque(&self) -> bool {
        self.opaque
    }

    /// Takes bytes. `hold`: heads are not handed on before the sink has decided.
    pub fn feed(&mut self, mut bytes: &[u8], hold: bool, sink: &mut impl Sink) {
        while !bytes.is_empty() {
            if self.opaque {
                sink.pass(bytes);
                return;
            }
            if self.left > 0 {
                let (part, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= part.len();
                bytes = rest;
                self.body(part, sink);
                continue;
            }
            match parse(self.kind, &self.head) {
                Parsed::More(wanted) => {
                    let missing = (wanted - self.head.len()).min(bytes.len());
                    self.head.extend_from_slice(&bytes[..missing]);
                    bytes = &bytes[missing..];
                    // It may have been the byte that was missing.
                    if !matches!(parse(self.kind, &self.head), Parsed::More(_)) {
                        self.decide(sink);
                    }
                }
                _ => self.decide(sink),
            }
        }
        if !hold && self.passed < self.head.len() {
            sink.pass(&self.head[self.passed..]);
            self.passed = self.head.len();
        }
    }

    fn decide(&mut self, sink: &mut impl Sink) {
        match parse(self.kind, &self.head) {
            Parsed::More(_) => {}
            Parsed::Garbage => {
                self.opaque = true;
                let head = std::mem::take(&mut self.head);
                sink.pass(&head[self.passed..]);
            }
            Parsed::Head(head) => {
                let held = self.passed == 0;
                let fate = sink.head(&head, held);
                self.fate = if held { fate } else { Fate::Pass };
                let bytes = std::mem::take(&mut self.head);
                self.left = 4 + length(&bytes) - bytes.len();
                let fresh = bytes[self.passed..].to_vec();
                self.passed = 0;
                self.body(&fresh, sink);
                // The allocation serves the next head.
                self.head = bytes;
                self.head.clear();
            }
        }
    }

    fn body(&mut self, part: &[u8], sink: &mut impl Sink) {
        match self.fate {
            Fate::Pass => sink.pass(part),
            Fate::Drop => {}
            Fate::Collect => self.whole.extend_from_slice(part),
        }
        if self.left == 0 {
            if std::mem::replace(&mut self.fate, Fate::Pass) == Fate::Collect {
                sink.whole(std::mem::take(&mut self.whole));
            }
            sink.end();
        }
    }
}

fn length(frame: &[u8]) -> usize {
    frame.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize)
}

fn parse(kind: Kind, bytes: &[u8]) -> Parsed {
    // The first byte of a plausible length tells much already: TLS and words of text begin with greater ones.
    if bytes.first().is_some_and(|first| usize::from(*first) > FRAME_BYTES_MAX >> 24) {
        return Parsed::Garbage;
    }
    if bytes.len() < 4 {
        return Parsed::More(4);
    }
    let least = if kind == Kind::Requests { 8 } else { 4 };
    let total = 4 + length(bytes);
    if !(4 + least..=FRAME_BYTES_MAX).contains(&total) {
        return Parsed::Garbage;
    }
    if bytes.len() < 4 + least {
        return Parsed::More(4 + least);
    }
    let mut reader = Reader { bytes: &bytes[4..] };
    let parsed = match kind {
        Kind::Responses => reader.int32().map(|correlation| Some(Head::Response { correlation })),
        Kind::Requests => request(&mut reader),
    };
    match parsed {
        Some(Some(head)) => Parsed::Head(head),
        Some(None) => Parsed::Garbage,
        // The whole frame is there and its head is not at its end, or it has no end.
        None if bytes.len() == total || bytes.len() > HEAD_BYTES_MAX => Parsed::Garbage,
        None => Parsed::More(total.min(bytes.len() + HEAD_STEP_BYTES)),
    }
}

/// `None`: there is more of it; `Some(None)`: it is none of Kafka's.
fn request(reader: &mut Reader<'_>) -> Option<Option<Head>> {
    let (api, version, correlation) = (reader.int16()?, reader.int16()?, reader.int32()?);
    // Newer ones than we know pass, too.
    if !(0..=255).contains(&api) || !(0..=100).contains(&version) {
        return Some(None);
    }
    let plain = RequestHead { api, version, correlation, client_id: None, is_answered: true };
    let header = ApiKey::try_from(api).map_or(1, |key| key.request_header_version(version));
    if header == 0 {
        return Some(Some(Head::Request(plain)));
    }
    let client_id = match reader.int16()? {
        -1 => None,
        length => {
            let Ok(length) = usize::try_from(length) else { return Some(None) };
            let name = reader.take(length)?;
            let Ok(name) = std::str::from_utf8(name) else { return Some(None) };
            Some(name.to_string())
        }
    };
    let is_answered = api != ApiKey::Produce as i16 || acks(reader, version, header)? != 0;
    Some(Some(Head::Request(RequestHead { client_id, is_answered, ..plain })))
}

/// The acks of a Produce whose header is read but for its tagged fields.
fn acks(reader: &mut Reader<'_>, version: i16, header: i16) -> Option<i16> {
    if header >= 2 {
        for _ in 0..reader.varint()? {
            let _tag = reader.varint()?;
            let length = reader.varint()?;
            reader.take(length)?;
        }
    }
    let transactional_id = match version {
        ..3 => 0,
        3..9 => usize::try_from(reader.int16()?).unwrap_or(0),
        _ => reader.varint()?.saturating_sub(1),
    };
    reader.take(transactional_id)?;
    reader.int16()
}

/// `None`: not enough bytes.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn int16(&mut self) -> Option<i16> {
        self.take(2)?.first_chunk().map(|bytes| i16::from_be_bytes(*bytes))
    }

    fn int32(&mut self) -> Option<i32> {
        self.take(4)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Some(value)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen {
        heads: Vec<Head>,
        passed: Vec<u8>,
        wholes: Vec<Vec<u8>>,
        ends: usize,
        fates: Vec<Fate>,
    }

    impl Sink for Seen {
        fn head(&mut self, head: &Head, _: bool) -> Fate {
            self.heads.push(head.clone());
            self.fates.get(self.heads.len() - 1).copied().unwrap_or(Fate::Pass)
        }
        fn pass(&mut self, bytes: &[u8]) {
            self.passed.extend_from_slice(bytes);
        }
        fn whole(&mut self, frame: Vec<u8>) {
            self.wholes.push(frame);
        }
        fn end(&mut self) {
            self.ends += 1;
        }
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes(), body].concat()
    }

    /// A request as clients send it.
    pub fn request(api: i16, version: i16, correlation: i32, client: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = [api.to_be_bytes(), version.to_be_bytes()].concat();
        bytes.extend(correlation.to_be_bytes());
        bytes.extend((client.len() as i16).to_be_bytes());
        bytes.extend(client.as_bytes());
        bytes.extend(body);
        framed(&bytes)
    }

    fn stream() -> Vec<Vec<u8>> {
        vec![
            request(18, 3, 1, "somebody", &[0, 9, 9, 9]),
            // Version 9: tagged fields, no transactional id, acks=0.
            request(0, 9, 2, "somebody", &[0, 0, 0, 0, 7, 7, 7, 7, 7]),
            // Version 3: a transactional id of two characters, acks=-1.
            request(0, 3, 3, "", &[0, 2, b't', b'x', 0xff, 0xff, 1, 2, 3]),
            request(250, 1, 4, "of the future", &[1; 100]),
        ]
    }

    #[test]
    fn frames_are_told_apart_wherever_they_are_cut() {
        let frames = stream();
        let bytes = frames.concat();
        for hold in [false, true] {
            for cut in 0..=bytes.len() {
                for step in [1, 3, bytes.len()] {
                    let mut cutter = Cutter::new(Kind::Requests);
                    let mut seen = Seen::default();
                    let (first, second) = bytes.split_at(cut);
                    for part in first.chunks(step).chain(second.chunks(step)) {
                        cutter.feed(part, hold, &mut seen);
                    }
                    assert_eq!(seen.passed, bytes);
                    assert_eq!((seen.heads.len(), seen.ends), (4, 4));
                    assert!(cutter.is_between() && !cutter.is_opaque());
                    let Head::Request(second) = &seen.heads[1] else { panic!() };
                    let client_id = Some("somebody".to_string());
                    let (api, version, correlation) = (0, 9, 2);
                    let unanswered =
                        RequestHead { api, version, correlation, client_id, is_answered: false };
                    assert_eq!(*second, unanswered);
                    let Head::Request(third) = &seen.heads[2] else { panic!() };
                    assert!(third.is_answered && third.correlation == 3);
                }
            }
        }
    }

    #[test]
    fn frames_are_dropped_and_collected_whole_and_no_byte_of_them_goes_on() {
        let frames = stream();
        for step in [1, 2, 5, 11, 1000] {
            let mut cutter = Cutter::new(Kind::Requests);
            let fates = vec![Fate::Pass, Fate::Drop, Fate::Collect, Fate::Pass];
            let mut seen = Seen { fates, ..Seen::default() };
            for part in frames.concat().chunks(step) {
                cutter.feed(part, true, &mut seen);
            }
            assert_eq!(seen.passed, [&frames[0][..], &frames[3]].concat());
            assert_eq!(seen.wholes, [frames[2].clone()]);
        }
    }

    #[test]
    fn a_frame_that_is_half_through_can_no_longer_be_dropped() {
        let frames = stream();
        let mut cutter = Cutter::new(Kind::Requests);
        let mut seen = Seen { fates: vec![Fate::Drop, Fate::Drop], ..Seen::default() };
        cutter.feed(&frames[0][..6], false, &mut seen);
        cutter.feed(&frames[0][6..], true, &mut seen);
        cutter.feed(&frames[1], true, &mut seen);
        assert_eq!(seen.passed, frames[0]);
    }

    #[test]
    fn what_is_no_frame_is_handed_on_and_nothing_is_held() {
        let tls = [0x16, 3, 1, 0, 200, 1, 0, 0];
        let lengths: [&[u8]; 3] = [&[0, 0, 0, 3, 1, 2, 3, 4], &[0; 64], &[0xff; 64]];
        for garbage in [&tls[..], b"GET / HTTP/1.1\r\n"].iter().chain(&lengths) {
            for step in [1, 64] {
                let mut cutter = Cutter::new(Kind::Requests);
                let mut seen = Seen::default();
                for part in garbage.chunks(step) {
                    cutter.feed(part, true, &mut seen);
                }
                assert_eq!(seen.passed, **garbage);
                assert!(cutter.is_opaque());
            }
        }
    }

    #[test]
    fn a_huge_frame_is_carried_without_being_kept() {
        let huge = FRAME_BYTES_MAX - 100;
        let mut head = request(0, 9, 1, "x", &[0, 0, 0xff, 0xff]);
        let rest = huge - head.len();
        head[..4].copy_from_slice(&((huge - 4) as u32).to_be_bytes());
        let mut cutter = Cutter::new(Kind::Requests);
        let mut seen = Seen::default();
        cutter.feed(&head, true, &mut seen);
        let block = vec![1; 1 << 20];
        let mut left = rest;
        while left > 0 {
            let part = left.min(block.len());
            cutter.feed(&block[..part], true, &mut seen);
            left -= part;
            assert!(cutter.whole.is_empty() && cutter.head.is_empty());
            seen.passed.clear();
        }
        assert_eq!((seen.ends, cutter.is_between()), (1, true));
    }

    #[test]
    fn responses_have_their_correlation() {
        let mut cutter = Cutter::new(Kind::Responses);
        let mut seen = Seen::default();
        let bytes = [framed(&[0, 0, 0, 9, 1, 2]), framed(&[0, 0, 0, 10])].concat();
        bytes.chunks(1).for_each(|byte| cutter.feed(byte, true, &mut seen));
        let correlation = |correlation| Head::Response { correlation };
        assert_eq!(seen.heads, [correlation(9), correlation(10)]);
        assert_eq!(seen.passed, bytes);
    }
}
