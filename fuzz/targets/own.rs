//! Our own form: whatever the bytes, they are read to some end, in pieces as at once; what was read is written and read
//! again the same; and the checker answers.
//!
//! A checksum would stop nearly every mutation, so inputs hold no header and no checksums: two bytes of a count of events and
//! a block's payload, again and again, each after its length. With 255 first, the rest is a file as it stands.
#![no_main]

use checker::{Checker, Options};
use libfuzzer_sys::fuzz_target;
use model::history::codec::{BLOCK_BYTES_TARGET, Decoder, Encoder, Ending, NotAHistory};
use model::history::{Event, Time};

type Read = (Vec<(Time, Event)>, Result<Ending, NotAHistory>);

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Read {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(not) => return (events, Err(not)),
            }
        }
    }
    let ending = decoder.finish();
    (events, ending)
}

/// The file that an input stands for.
fn file(input: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    Encoder::new().flush_block(&mut file);
    let mut rest = input;
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([head[2], head[3]])).min(after.len());
        let (payload, after) = after.split_at(length);
        let mut header = [0; 8];
        header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        header[4..6].copy_from_slice(&head[..2]);
        let checksum = crc32c(&[&header, payload]);
        file.extend_from_slice(&header);
        file.extend_from_slice(&checksum.to_le_bytes());
        file.extend_from_slice(payload);
        rest = after;
    }
    file
}

/// Bit by bit: so that no other crate is needed.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1))
        })
    })
}

fuzz_target!(|input: &[u8]| {
    let file = match input.split_first() {
        Some((255, rest)) => rest.to_vec(),
        _ => file(input),
    };
    let (events, ending) = read([file.as_slice()].into_iter());
    assert_eq!(read(file.chunks(7)), (events.clone(), ending.clone()), "in pieces");

    let (mut encoder, mut again) = (Encoder::new(), Vec::new());
    for (time, event) in &events {
        encoder.append(time, event, &mut again);
    }
    encoder.flush_block(&mut again);
    assert!(again.len() < file.len() * 8 + 2 * BLOCK_BYTES_TARGET);
    assert_eq!(read([again.as_slice()].into_iter()), (events.clone(), Ok(Ending::Whole)));

    let mut checker = Checker::new(Options::default());
    for (time, event) in &events {
        checker.feed(time, event);
    }
    if ending != Ok(Ending::Whole) {
        checker.history_was_cut("cut");
    }
    let certain = checker.certain();
    let report = checker.finish();
    for (kind, count) in certain {
        let check = report.checks.iter().find(|check| check.name == kind.as_str());
        assert!(check.is_some_and(|check| check.count >= count), "{kind:?} {count}");
    }
});
