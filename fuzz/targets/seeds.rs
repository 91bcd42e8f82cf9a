//! Writes the seeds from which the targets start: `seeds DIRECTORY` makes DIRECTORY/own, /json_lines and /edn.

use model::history::codec::{BLOCK_HEADER_BYTES, Encoder, FILE_HEADER_BYTES};
use model::history::operations::ToOperations;
use model::history::*;
use model::operation::Names;
use model::settings::*;
use std::fs;
use std::path::Path;

const LOG: LogRef = LogRef { topic: TopicRef(0), partition: 0 };

fn id(session: u32, sequence: u64) -> RecordId {
    RecordId { session: Session(session), sequence }
}

fn opened() -> Vec<Event> {
    let settings = TopicSettings {
        partitions: 1,
        replication_factor: 3,
        min_insync_replicas: 2,
        unclean_leader_election: false,
        cleanup_policy: "delete".into(),
        retention_ms: -1,
        retention_bytes: -1,
        message_timestamp_type: "CreateTime".into(),
        flush_messages: i64::MAX,
        flush_ms: i64::MAX,
        properties: Default::default(),
    };
    let producer = ProducerSettings {
        acks: Acks::All,
        idempotence: true,
        retries: 10,
        in_flight_requests_max: 5,
        transactional_id: Some("t".into()),
        properties: Default::default(),
        library: "seed".into(),
    };
    let group = GroupSettings { name: "g".into(), commits: Commits::ALL[0] };
    let consumer = ConsumerSettings {
        isolation: Isolation::ReadCommitted,
        group: Some(group),
        properties: Default::default(),
        library: "seed".into(),
    };
    vec![
        Event::Run { run: 1, seed: 1, plan: "seed".into() },
        Event::Topic { topic: TopicRef(0), name: "queue".into(), topic_id: [1; 16], settings },
        Event::ProducerOpened { session: Session(1), name: "p".into(), settings: producer },
        Event::ConsumerOpened { session: Session(7), name: "c".into(), settings: consumer },
    ]
}

fn sends() -> Vec<Event> {
    let outcomes =
        [Outcome::Ok { offset: Some(0) }, Outcome::Fail, Outcome::Info, Outcome::Unacknowledged];
    let mut events = Vec::new();
    for (sequence, outcome) in outcomes.into_iter().enumerate() {
        let id = id(1, sequence as u64);
        let error = (outcome == Outcome::Fail).then(|| "MessageTimedOut".to_owned());
        events.push(Event::Send { id, log: LOG, intended_mono_ns: 5 });
        events.push(Event::Sent { id, outcome, error });
    }
    events
}

fn reads() -> Vec<Event> {
    let (reader, pass) = (Session(7), 0);
    let misplaced = Seen::Misplaced { id: id(1, 3), sent_to: LogRef { partition: 1, ..LOG } };
    let seen = [Seen::Record(id(1, 0)), Seen::Corrupted(id(1, 2)), misplaced, Seen::Foreign];
    let records = seen.into_iter().enumerate().map(|(at, seen)| (at as i64 * 2, seen)).collect();
    let assigned = ReaderEvent::Assigned { logs: vec![(LOG, None)] };
    vec![
        Event::PassBegan { reader, pass, kind: PassKind::Final },
        Event::Reader { reader, pass, what: assigned },
        Event::Polled { reader, pass, log: LOG, records },
        Event::Reader { reader, pass, what: ReaderEvent::EndOfLog { log: LOG, offset: 7 } },
        Event::LogBounds { log: LOG, leader_epoch: 0, start: 0, end: 7, settled: true },
        Event::PassEnded { reader, pass, complete: true },
    ]
}

fn transaction() -> Vec<Event> {
    let (session, transaction, reader) = (Session(1), 0, Session(7));
    let (send, outcome) = (id(1, 9), Outcome::Ok { offset: Some(9) });
    let records = vec![(9, Seen::Record(send))];
    vec![
        Event::TransactionBegan { session, transaction, reader: Some(reader) },
        Event::Send { id: send, log: LOG, intended_mono_ns: 5 },
        Event::Copied { id: send, log: LOG, offset: 0 },
        Event::OffsetsInTransaction { session, transaction, reader, offsets: vec![(LOG, 1)] },
        Event::Sent { id: send, outcome, error: None },
        Event::Polled { reader, pass: 1, log: LOG, records },
        Event::TransactionEnding { session, transaction, commit: true },
        Event::TransactionEnded { session, transaction, ending: Ending::Committed, error: None },
    ]
}

fn group() -> Vec<Event> {
    let reader = Session(7);
    vec![
        Event::Joined { reader, generation: 1, logs: vec![LOG] },
        Event::Processed { reader, log: LOG, from: 0, to: 2 },
        Event::CommitBegan { reader, commit: 0, offsets: vec![(LOG, 2)] },
        Event::CommitEnded { reader, commit: 0, ending: Ending::Committed, error: None },
        Event::CommittedSeen { group: "g".into(), log: LOG, offset: Some(2), asked_mono_ns: 99 },
        Event::GroupReset { group: "g".into(), log: LOG, offset: None },
        Event::Phase { phase: Phase::Settle },
        Event::Phase { phase: Phase::FinalReads },
    ]
}

/// An input of the target `own`: a count of events, a length, a payload, without what only guards them.
fn own(events: &[(Time, Event)]) -> Vec<u8> {
    let (mut encoder, mut file) = (Encoder::new(), Vec::new());
    events.iter().for_each(|(time, event)| encoder.append(time, event, &mut file));
    encoder.flush_block(&mut file);
    let block = &file[FILE_HEADER_BYTES..];
    let payload = &block[BLOCK_HEADER_BYTES..];
    let mut input = block[4..6].to_vec();
    input.extend_from_slice(&(payload.len() as u16).to_le_bytes());
    input.extend_from_slice(payload);
    input
}

fn edn(events: &[(Time, Event)]) -> String {
    let (mut converter, mut text) = (ToOperations::new(), String::new());
    for (time, event) in events {
        converter.feed(time, event, |operation| {
            text += &model::history::edn::to_line(operation, &Names::default());
            text.push('\n');
        });
    }
    text
}

fn main() -> std::io::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "corpus".to_owned());
    let carried = "{:index 0, :time 5, :process 0, :type :ok, :f :txn, :value [[:send 5 [0 1]] [:poll {5 [[0 1]]}]]}";
    let histories = [
        ("sends", sends()),
        ("reads", reads()),
        ("transaction", transaction()),
        ("group", group()),
        ("carried", vec![Event::Operation { edn: carried.to_owned() }]),
    ];
    for (name, events) in histories {
        let all = opened().into_iter().chain(events).enumerate();
        let stamped: Vec<(Time, Event)> = all
            .map(|(at, event)| (Time { mono_ns: at as u64 * 10_000_000, wall_ms: 5 }, event))
            .collect();
        let lines: String =
            stamped.iter().map(|(time, event)| json::to_line(time, event) + "\n").collect();
        let seeds =
            [("own", own(&stamped)), ("json_lines", lines.into()), ("edn", edn(&stamped).into())];
        for (target, seed) in seeds {
            let place = Path::new(&directory).join(target);
            fs::create_dir_all(&place)?;
            fs::write(place.join(name), seed)?;
        }
    }
    Ok(())
}
