use super::*;
use crate::history::{Event, Outcome, PassKind, Phase, ReaderEvent, Seen, json};
use crate::settings::{Acks, ConsumerSettings, Isolation, ProducerSettings, TopicSettings};
use proptest::prelude::*;

fn settings() -> TopicSettings {
    TopicSettings {
        partitions: 10,
        replication_factor: 3,
        min_insync_replicas: 2,
        unclean_leader_election: false,
        cleanup_policy: "delete".into(),
        retention_ms: 604_800_000,
        retention_bytes: -1,
        message_timestamp_type: "CreateTime".into(),
        flush_messages: i64::MAX,
        flush_ms: i64::MAX,
        properties: [("retention.ms".to_string(), "604800000".to_string())].into(),
    }
}

fn producer() -> ProducerSettings {
    ProducerSettings {
        transactional_id: None,
        acks: Acks::All,
        idempotence: true,
        retries: u32::MAX,
        in_flight_requests_max: 5,
        properties: Default::default(),
        library: "librdkafka 2.3".into(),
    }
}

fn every_event() -> Vec<(Time, Event)> {
    let log = log_ref(0, 3);
    let id = record_id(2, 7);
    let reader = Session(9);
    let topic = TopicRef(0);
    let events = vec![
        Event::Run { run: u64::MAX, seed: 8412, plan: "plan".into() },
        Event::Topic { topic, name: "queue".into(), topic_id: [7; 16], settings: settings() },
        Event::Settings { topic, settings: settings() },
        Event::TopicDeleted { topic },
        Event::Phase { phase: Phase::FinalReads },
        Event::ProducerOpened { session: Session(2), name: "p".into(), settings: producer() },
        Event::ConsumerOpened {
            session: reader,
            name: "c".into(),
            settings: ConsumerSettings {
                group: None,
                isolation: Isolation::ReadCommitted,
                properties: Default::default(),
                library: "librdkafka".into(),
            },
        },
        Event::SessionClosed { session: reader },
        Event::Send { id, log, intended_mono_ns: 5 },
        Event::Sent { id, outcome: Outcome::Ok { offset: Some(i64::MAX) }, error: None },
        Event::Sent { id, outcome: Outcome::Ok { offset: None }, error: None },
        Event::Sent { id, outcome: Outcome::Fail, error: Some("MSG_SIZE_TOO_LARGE".into()) },
        Event::Sent { id, outcome: Outcome::Info, error: Some("zeitüberschreitung".into()) },
        Event::Sent { id, outcome: Outcome::Unacknowledged, error: None },
        Event::PassBegan { reader, pass: 1, kind: PassKind::Final },
        Event::PassEnded { reader, pass: 1, complete: true },
        Event::Polled {
            reader,
            pass: 1,
            log,
            records: vec![
                (i64::MAX, Seen::Record(id)),
                (i64::MIN, Seen::Corrupted(record_id(u32::MAX, u64::MAX))),
                (0, Seen::Misplaced { id, sent_to: log_ref(1, 1) }),
                (1, Seen::Foreign),
            ],
        },
        Event::Polled { reader, pass: 1, log, records: vec![] },
        Event::Reader {
            reader,
            pass: 1,
            what: ReaderEvent::Assigned { logs: vec![(log, Some(4)), (log, None)] },
        },
        Event::Reader { reader, pass: 1, what: ReaderEvent::Revoked { logs: vec![log] } },
        Event::Reader { reader, pass: 1, what: ReaderEvent::Seek { log, offset: 4 } },
        Event::Reader {
            reader,
            pass: 1,
            what: ReaderEvent::OutOfRange { log, offset: 4, reset_to: None },
        },
        Event::Reader { reader, pass: 1, what: ReaderEvent::EndOfLog { log, offset: 4 } },
        Event::Reader {
            reader,
            pass: 1,
            what: ReaderEvent::Error { code: "X".into(), fatal: true },
        },
        Event::LogBounds { log, leader_epoch: 4, start: 0, end: 10, settled: true },
        Event::RecordsDeleted { log, before: 4 },
        Event::Operation { edn: "{:f :send, :error \"x\"}".into() },
    ];
    events
        .into_iter()
        .enumerate()
        .map(|(index, event)| {
            let mono_ns = 1_000_000_000 + index as u64 * 333_333;
            (Time { mono_ns, wall_ms: 1_700_000_000_000 + (mono_ns / 1_000_000) as i64 }, event)
        })
        .collect()
}

fn encode(events: &[(Time, Event)], per_block: usize) -> (Vec<u8>, Vec<usize>) {
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    let mut ends = Vec::new();
    for (index, (time, event)) in events.iter().enumerate() {
        encoder.append(time, event, &mut out);
        if (index + 1) % per_block == 0 {
            encoder.flush_block(&mut out);
            ends.push(out.len());
        }
    }
    encoder.flush_block(&mut out);
    ends.push(out.len());
    (out, ends)
}

fn decode(bytes: &[u8]) -> (Vec<(Time, Event)>, Result<Ending, NotAHistory>) {
    let mut events = Vec::new();
    let ending = read(bytes, |time, event| events.push((time, event))).expect("memory reads");
    (events, ending)
}

#[test]
fn every_kind_of_event_comes_back_in_both_forms() {
    let events = every_event();
    let (bytes, _) = encode(&events, usize::MAX);
    assert_eq!(decode(&bytes), (events.clone(), Ok(Ending::Whole)));
    for (time, event) in &events {
        let line = json::to_line(time, event);
        assert!(!line.contains('\n'));
        assert_eq!(json::from_line(&line), Ok((*time, event.clone())), "{line}");
    }
}

#[test]
fn bytes_may_come_one_by_one() {
    let events = every_event();
    let (bytes, _) = encode(&events, 4);
    let mut decoder = Decoder::new();
    let mut decoded = Vec::new();
    for byte in &bytes {
        decoder.feed(std::slice::from_ref(byte));
        while let Some(event) = decoder.next().expect("a history") {
            decoded.push(event);
        }
    }
    assert_eq!(decoded, events);
    assert_eq!(decoder.finish(), Ok(Ending::Whole));
}

#[test]
fn a_cut_at_every_byte_gives_the_whole_blocks_before_it() {
    let events = every_event();
    let (bytes, ends) = encode(&events, 3);
    for cut in 0..bytes.len() {
        let (decoded, ending) = decode(&bytes[..cut]);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let expected = (whole * 3).min(events.len());
        assert_eq!(decoded, events[..expected], "cut at {cut}");
        let at_an_end = ends.contains(&cut) || cut == FILE_HEADER_BYTES;
        match ending {
            Ok(Ending::Whole) => assert!(at_an_end, "cut at {cut} was taken for whole"),
            Ok(Ending::Cut { .. }) => assert!(!at_an_end, "cut at {cut} was taken for damage"),
            Err(not) => panic!("cut at {cut}: {not}"),
        }
    }
}

#[test]
fn a_changed_byte_never_changes_an_event() {
    let events = every_event();
    let (bytes, ends) = encode(&events, 3);
    for at in FILE_HEADER_BYTES..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let (decoded, ending) = decode(&damaged);
        let whole = ends.iter().filter(|end| **end <= at).count();
        assert_eq!(decoded, events[..whole * 3], "damage at {at}");
        assert!(matches!(ending, Ok(Ending::Cut { .. })), "damage at {at}");
    }
}

#[test]
fn a_damaged_line_is_an_event_or_says_what_is_wrong() {
    for (time, event) in every_event() {
        let line = json::to_line(&time, &event);
        for at in (0..line.len()).filter(|at| line.is_char_boundary(*at)) {
            let whole = line[at..].chars().next().map_or(at, |char| at + char.len_utf8());
            for other in ["", "0", "9999999999", "-", "\"", "{", "]", ",", "\u{e9}"] {
                let damaged = format!("{}{other}{}", &line[..at], &line[whole..]);
                match json::from_line(&damaged) {
                    Ok((time, event)) => {
                        let again = json::from_line(&json::to_line(&time, &event));
                        assert_eq!(again, Ok((time, event)), "{damaged}");
                    }
                    Err(because) => assert!(!because.is_empty(), "{damaged}"),
                }
            }
        }
    }
}

#[test]
fn foreign_and_newer_files_are_refused_with_a_reason() {
    assert_eq!(decode(b"{\"event\":\"run\"}").1, Err(NotAHistory::Magic));
    let (mut bytes, _) = encode(&every_event(), 3);
    bytes[8] = VERSION as u8 + 1;
    assert_eq!(decode(&bytes).1, Err(NotAHistory::Header));
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(decode(&bytes).1, Err(NotAHistory::Version(VERSION + 1)));
}

/// Version 1 wrote the end of a log as it writes rare events; everything else is as it was.
#[test]
fn a_file_of_version_1_is_read() {
    let log = log_ref(0, 3);
    let (reader, pass, offset) = (Session(9), 1, 400);
    let before = vec![(offset - 1, Seen::Record(record_id(2, 7)))];
    let polled = Event::Polled { reader, pass, log, records: before };
    let end = Event::Reader { reader, pass, what: ReaderEvent::EndOfLog { log, offset } };
    let time = Time { mono_ns: 5_000_000, wall_ms: 1_700_000_000_000 };
    let mut encoder = Encoder::new();
    let mut bytes = Vec::new();
    encoder.append(&time, &polled, &mut bytes);
    encoder.append_as_rare(&time, &end);
    encoder.flush_block(&mut bytes);
    bytes[8] = 1;
    let crc = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(decode(&bytes), (vec![(time, polled), (time, end)], Ok(Ending::Whole)));
}

#[test]
fn the_end_of_a_log_takes_few_bytes() {
    let log = log_ref(0, 3);
    let (reader, pass) = (Session(9), 0);
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    for index in 0..1000i64 {
        let time = Time { mono_ns: 5_000_000_000 + index as u64 * 1_000_000, wall_ms: 0 };
        let offset = 1_000_000_000_000 + index;
        let records = vec![(offset, Seen::Record(record_id(2, index as u64)))];
        encoder.append(&time, &Event::Polled { reader, pass, log, records }, &mut out);
        let what = ReaderEvent::EndOfLog { log, offset: offset + 1 };
        encoder.append(&time, &Event::Reader { reader, pass, what }, &mut out);
    }
    encoder.flush_block(&mut out);
    let bytes_per_poll = out.len() / 1000;
    assert!(bytes_per_poll <= 28, "{bytes_per_poll} bytes a poll and an end");
}

#[test]
fn a_resumed_file_goes_on() {
    let events = every_event();
    let (mut bytes, _) = encode(&events[..5], usize::MAX);
    let mut encoder = Encoder::resume();
    for (time, event) in &events[5..] {
        encoder.append(time, event, &mut bytes);
    }
    encoder.flush_block(&mut bytes);
    assert_eq!(decode(&bytes), (events, Ok(Ending::Whole)));
}

/// Send, Sent and one read of a plain record.
#[test]
fn a_plain_record_takes_few_bytes() {
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    let records = 30_000u64;
    let time = |ns: u64| Time { mono_ns: ns, wall_ms: 1_700_000_000_000 + (ns / 1_000_000) as i64 };
    let mut polled = Vec::new();
    for index in 0..records {
        let ns = 60_000_000_000 + index * 100_000;
        let id = record_id(1 + (index % 4) as u32, 100_000 + index / 4);
        let log = log_ref(0, (index % 10) as u32);
        let event = Event::Send { id, log, intended_mono_ns: ns - 40_123 };
        encoder.append(&time(ns), &event, &mut out);
        let offset = Some(500_000 + index / 10);
        let event = Event::Sent {
            id,
            outcome: Outcome::Ok { offset: offset.map(|o| o as i64) },
            error: None,
        };
        encoder.append(&time(ns + 31_777), &event, &mut out);
        polled.push((500_000 + index as i64, Seen::Record(id)));
        if polled.len() == 20 {
            let event = Event::Polled {
                reader: Session(30),
                pass: 0,
                log,
                records: std::mem::take(&mut polled),
            };
            encoder.append(&time(ns + 77_777), &event, &mut out);
        }
    }
    encoder.flush_block(&mut out);
    let bytes_per_record = out.len() as u64 / records;
    assert!(bytes_per_record <= 36, "{bytes_per_record} bytes a record");
}

fn any_event() -> impl Strategy<Value = (Time, Event)> {
    let id =
        || (0..5u32, any::<u64>()).prop_map(|(session, sequence)| record_id(session, sequence));
    let log = || (0..3u32, 0..4u32).prop_map(|(topic, partition)| log_ref(topic, partition));
    let outcome = prop_oneof![
        any::<Option<i64>>().prop_map(|offset| Outcome::Ok { offset }),
        Just(Outcome::Fail),
        Just(Outcome::Info),
        Just(Outcome::Unacknowledged),
    ];
    let what = prop_oneof![
        id().prop_map(Seen::Record),
        id().prop_map(Seen::Corrupted),
        (id(), log()).prop_map(|(id, sent_to)| Seen::Misplaced { id, sent_to }),
        Just(Seen::Foreign),
    ];
    let event = prop_oneof![
        (id(), log(), any::<u64>()).prop_map(|(id, log, intended_mono_ns)| Event::Send {
            id,
            log,
            intended_mono_ns
        }),
        (id(), outcome, any::<Option<String>>()).prop_map(|(id, outcome, error)| Event::Sent {
            id,
            outcome,
            error
        }),
        (any::<u32>(), any::<u32>(), log(), prop::collection::vec((any::<i64>(), what), 0..6))
            .prop_map(|(reader, pass, log, records)| Event::Polled {
                reader: Session(reader),
                pass,
                log,
                records
            }),
        (any::<u32>(), any::<u32>(), log(), any::<i64>()).prop_map(
            |(reader, pass, log, offset)| {
                let what = ReaderEvent::EndOfLog { log, offset };
                Event::Reader { reader: Session(reader), pass, what }
            }
        ),
        any::<String>().prop_map(|plan| Event::Run { run: 0, seed: 1, plan }),
    ];
    (any::<u64>(), any::<i64>(), event)
        .prop_map(|(mono_ns, wall_ms, event)| (Time { mono_ns, wall_ms }, event))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_events_come_back(events in prop::collection::vec(any_event(), 0..40), per_block in 1..10usize) {
        let (bytes, _) = encode(&events, per_block);
        prop_assert_eq!(decode(&bytes), (events, Ok(Ending::Whole)));
    }

    #[test]
    fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut block = Vec::new();
        Encoder::new().flush_block(&mut block);
        let mut head = Vec::new();
        head.extend_from_slice(&(garbage.len() as u32).to_le_bytes());
        head.extend_from_slice(&3u32.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), &garbage);
        block.extend_from_slice(&head);
        block.extend_from_slice(&crc.to_le_bytes());
        block.extend_from_slice(&garbage);
        decode(&block).1.expect("its header is sound");
        let _ = decode(&garbage);
    }
}
