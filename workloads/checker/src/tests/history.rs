//! Histories in a few words: time goes on by 10 ms with every event.

use crate::{Checker, Options, Report};
use model::finding::{Check, CheckVerdict, Kind};
use model::history::*;
use model::settings::{Acks, ProducerSettings, TopicSettings};

pub(super) const PRODUCER: u32 = 1;
pub(super) const LIVE: u32 = 50;
pub(super) const FINAL: [u32; 2] = [60, 61];

#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) events: Vec<Event>,
    pub(super) cut: bool,
}

pub(super) fn log(partition: u32) -> LogRef {
    LogRef { topic: TopicRef(0), partition }
}

pub(super) fn id(sequence: u64) -> RecordId {
    RecordId { session: Session(PRODUCER), sequence }
}

pub(super) fn settings() -> TopicSettings {
    TopicSettings {
        partitions: 2,
        replication_factor: 3,
        min_insync_replicas: 2,
        unclean_leader_election: false,
        cleanup_policy: "delete".into(),
        retention_ms: 604_800_000,
        retention_bytes: -1,
        message_timestamp_type: "CreateTime".into(),
        flush_messages: i64::MAX,
        flush_ms: i64::MAX,
        properties: Default::default(),
    }
}

pub(super) fn producer(acks: Acks) -> ProducerSettings {
    ProducerSettings {
        transactional_id: None,
        acks,
        idempotence: true,
        retries: 10,
        in_flight_requests_max: 5,
        properties: Default::default(),
        library: "test".into(),
    }
}

impl History {
    pub(super) fn new() -> History {
        History::with(settings())
    }

    pub(super) fn with(settings: TopicSettings) -> History {
        let topic = TopicRef(0);
        let name = "queue".to_string();
        let opened = |session: u32| Event::ProducerOpened {
            session: Session(session),
            name: format!("producer-{session}"),
            settings: producer(Acks::All),
        };
        let events = vec![
            Event::Run { run: 1, seed: 1, plan: "test".into() },
            Event::Topic { topic, name, topic_id: [1; 16], settings },
            opened(PRODUCER),
        ];
        History { events, cut: false }
    }

    pub(super) fn event(mut self, event: Event) -> History {
        self.events.push(event);
        self
    }

    pub(super) fn send(self, sequence: u64) -> History {
        self.send_to(0, sequence)
    }

    pub(super) fn send_to(self, partition: u32, sequence: u64) -> History {
        self.event(Event::Send { id: id(sequence), log: log(partition), intended_mono_ns: 0 })
    }

    fn outcome(self, sequence: u64, outcome: Outcome) -> History {
        self.event(Event::Sent { id: id(sequence), outcome, error: None })
    }

    pub(super) fn ok(self, sequence: u64, offset: i64) -> History {
        self.outcome(sequence, Outcome::Ok { offset: Some(offset) })
    }

    pub(super) fn ok_somewhere(self, sequence: u64) -> History {
        self.outcome(sequence, Outcome::Ok { offset: None })
    }

    pub(super) fn fail(self, sequence: u64) -> History {
        self.outcome(sequence, Outcome::Fail)
    }

    pub(super) fn info(self, sequence: u64) -> History {
        self.outcome(sequence, Outcome::Info)
    }

    pub(super) fn unacknowledged(self, sequence: u64) -> History {
        self.outcome(sequence, Outcome::Unacknowledged)
    }

    /// Sends and acknowledges sequences at the offsets of the same number.
    pub(super) fn written(mut self, sequences: std::ops::Range<u64>) -> History {
        for sequence in sequences {
            self = self.send(sequence).ok(sequence, sequence as i64);
        }
        self
    }

    pub(super) fn reader(self, reader: u32, what: ReaderEvent) -> History {
        self.event(Event::Reader { reader: Session(reader), pass: 0, what })
    }

    /// The live reader begins at the start of both logs.
    pub(super) fn live(self) -> History {
        let (reader, pass, kind) = (Session(LIVE), 0, PassKind::Live);
        self.event(Event::PassBegan { reader, pass, kind })
            .reader(LIVE, ReaderEvent::Assigned { logs: vec![(log(0), None), (log(1), None)] })
    }

    /// Pairs of offset and sequence.
    pub(super) fn polled(self, reader: u32, records: &[(i64, u64)]) -> History {
        let records: Vec<(i64, Seen)> = records
            .iter()
            .map(|(offset, sequence)| (*offset, Seen::Record(id(*sequence))))
            .collect();
        self.polled_as(reader, 0, &records)
    }

    pub(super) fn polled_as(self, reader: u32, partition: u32, records: &[(i64, Seen)]) -> History {
        let (reader, log, records) = (Session(reader), log(partition), records.to_vec());
        self.event(Event::Polled { reader, pass: 0, log, records })
    }

    pub(super) fn bounds(self, partition: u32, start: i64, end: i64) -> History {
        let log = log(partition);
        self.event(Event::LogBounds { log, leader_epoch: 3, start, end, settled: true })
    }

    pub(super) fn begin_final(self, reader: u32) -> History {
        let (session, pass, kind) = (Session(reader), 0, PassKind::Final);
        self.event(Event::PassBegan { reader: session, pass, kind })
            .reader(reader, ReaderEvent::Assigned { logs: vec![(log(0), None), (log(1), None)] })
    }

    pub(super) fn end_final(self, reader: u32, complete: bool) -> History {
        self.event(Event::PassEnded { reader: Session(reader), pass: 0, complete })
    }

    /// Both final readers read these from log 0, whose end is `end`.
    pub(super) fn finally(self, end: i64, records: &[(i64, u64)]) -> History {
        let mut history = self.bounds(0, 0, end).bounds(1, 0, 0);
        for reader in FINAL {
            history = history.begin_final(reader).polled(reader, records).end_final(reader, true);
        }
        history
    }

    pub(super) fn check(&self) -> Report {
        self.check_by(Checker::new(Options::default()))
    }

    pub(super) fn fed_to(&self, mut checker: Checker) -> Checker {
        for (index, event) in self.events.iter().enumerate() {
            let mono_ns = (index as u64 + 1) * 10_000_000;
            checker.feed(&Time { mono_ns, wall_ms: 0 }, event);
        }
        checker
    }

    pub(super) fn check_by(&self, checker: Checker) -> Report {
        let mut checker = self.fed_to(checker);
        if self.cut {
            checker.history_was_cut("its last block was not written to the end");
        }
        let certain = checker.certain();
        let report = checker.finish();
        for (kind, count) in certain {
            let told = check(&report, kind);
            // A spill that failed takes every answer with it.
            let is_lost = told.because.as_ref().is_some_and(|because| because.contains("spilled"));
            assert!(told.count >= count || is_lost, "{kind:?}: {count} were certain: {told:?}");
        }
        report
    }
}

pub(super) fn check(report: &Report, kind: Kind) -> &Check {
    report.checks.iter().find(|check| check.name == kind.as_str()).expect("every kind is checked")
}

/// The kinds found, with their counts.
pub(super) fn found(report: &Report) -> Vec<(Kind, u64)> {
    let looked_for = || report.checks.iter().filter_map(|check| Kind::of(&check.name));
    let count = |kind: Kind| (kind, check(report, kind).count);
    let found: Vec<(Kind, u64)> = looked_for().map(count).filter(|(_, n)| *n > 0).collect();
    for kind in looked_for() {
        let check = check(report, kind);
        let of_findings: u64 = check.findings.iter().map(|finding| finding.count).sum();
        assert_eq!(of_findings, check.count, "{kind:?}: findings and count differ");
        if kind.is_cycle() && check.verdict == CheckVerdict::Valid {
            // Which cycles Kafka allows is told with them.
            assert_eq!(check.because.is_some(), check.count > 0, "{kind:?}");
            continue;
        }
        let invalid = check.count > 0 && kind != Kind::Unseen;
        assert_eq!(check.verdict == CheckVerdict::Invalid, invalid, "{kind:?}");
        assert_eq!(check.because.is_some(), check.verdict == CheckVerdict::Unknown, "{kind:?}");
    }
    found
}

pub(super) fn all_valid(report: &Report) {
    for check in &report.checks {
        assert_eq!(check.verdict, CheckVerdict::Valid, "{check:?}");
    }
}
