//! Runs in a few words.

use crate::*;
use model::cluster::PartitionState;
use model::facts::{LogFacts, ProducerFacts, TopicFacts};
use model::fault::{Destroys, FaultState, Role};
use model::finding::{CheckVerdict, Evidence, Finding, Kind};
use model::history::{LogRef, RecordId, Session, TopicRef};
use model::replicas::ReplicaReport;
use model::settings::{Acks, ProducerSettings, TopicSettings};

/// A run with one log of three replicas, in which records were acknowledged from 1 s to 60 s.
pub(super) struct Run {
    pub(super) checks: Vec<Check>,
    pub(super) counts: Counts,
    pub(super) facts: HistoryFacts,
    pub(super) faults: Vec<FaultRecord>,
    pub(super) replicas: Option<ReplicaReport>,
    pub(super) cluster: Vec<Observation>,
    pub(super) brokers: BTreeMap<String, i32>,
    pub(super) baseline: Option<f64>,
    pub(super) liveness: Liveness,
    pub(super) interrupted: Option<&'static str>,
}

pub(super) const QUEUE: LogRef = LogRef { topic: TopicRef(0), partition: 0 };

pub(super) fn settings(replication_factor: u16, min_insync_replicas: u16) -> TopicSettings {
    TopicSettings {
        partitions: 1,
        replication_factor,
        min_insync_replicas,
        unclean_leader_election: false,
        cleanup_policy: "delete".into(),
        retention_ms: 604_800_000,
        retention_bytes: -1,
        message_timestamp_type: "CreateTime".into(),
        flush_messages: i64::MAX,
        flush_ms: i64::MAX,
        properties: BTreeMap::new(),
    }
}

pub(super) fn check(kind: Kind) -> Check {
    let (name, verdict) = (kind.as_str().to_string(), CheckVerdict::Valid);
    Check { name, verdict, count: 0, because: None, findings: Vec::new() }
}

impl Run {
    /// Nothing wrong: three replicas in sync, one kill of broker 3, a follower, at 20 s.
    pub(super) fn new(acks: Acks, min_insync_replicas: u16) -> Run {
        let producer = ProducerSettings {
            transactional_id: None,
            acks,
            idempotence: acks == Acks::All,
            retries: 10,
            in_flight_requests_max: 5,
            properties: BTreeMap::new(),
            library: String::new(),
        };
        let unacknowledged = acks == Acks::None;
        let producer = ProducerFacts {
            session: Session(1),
            name: "producer".into(),
            opened_ms: 500,
            settings: producer,
            ok: if unacknowledged { 0 } else { 1000 },
            fail: 0,
            info: 0,
            unacknowledged: if unacknowledged { 1000 } else { 0 },
            timed_out_ms: None,
        };
        let log = LogFacts {
            log: QUEUE,
            topic: "queue".into(),
            ok: producer.ok,
            unacknowledged: producer.unacknowledged,
            first_ok_ms: (!unacknowledged).then_some(1_000),
            last_ok_ms: (!unacknowledged).then_some(60_000),
            start: Some(0),
            end: Some(1000),
            leader_epoch: Some(1),
            finally_read: true,
            because: None,
        };
        let topic = TopicFacts {
            topic: TopicRef(0),
            name: "queue".into(),
            topic_id: [0; 16],
            settings: vec![(100, settings(3, min_insync_replicas))],
            deleted_ms: None,
        };
        let facts = HistoryFacts {
            topics: vec![topic],
            logs: vec![log],
            final_reads_complete: true,
            last_event_ms: 90_000,
            producers: vec![producer.clone()],
            ..HistoryFacts::default()
        };
        let counts = Counts {
            ok: producer.ok,
            ok_read: producer.ok,
            unacknowledged: producer.unacknowledged,
            ..Counts::default()
        };
        let run = Run {
            checks: Kind::all().map(check).collect(),
            counts,
            facts,
            faults: Vec::new(),
            replicas: None,
            cluster: Vec::new(),
            brokers: [1, 2, 3].map(|id| (format!("n{id}"), id)).into(),
            baseline: Some(1.0),
            liveness: Liveness { measured: true, never_recovered: Vec::new(), deadline_ms: 30_000 },
            interrupted: None,
        };
        run.seen(0, 1, 1, &[1, 2, 3]).fault("kill", &["n3"], 20_000, Destroys::Nothing)
    }

    /// The log's state changed.
    pub(super) fn seen(self, at_ms: u64, leader: i32, leader_epoch: i32, isr: &[i32]) -> Run {
        self.seen_with(at_ms, leader, leader_epoch, isr, &[])
    }

    pub(super) fn seen_with(
        mut self,
        at_ms: u64,
        leader: i32,
        leader_epoch: i32,
        isr: &[i32],
        elr: &[i32],
    ) -> Run {
        self.cluster.push(Observation::Partition(PartitionState {
            at_ms,
            topic: "queue".into(),
            partition: 0,
            leader,
            leader_epoch,
            replicas: vec![1, 2, 3],
            isr: isr.to_vec(),
            elr: elr.to_vec(),
            offline: Vec::new(),
            anew: None,
        }));
        self
    }

    pub(super) fn blind(mut self, at_ms: u64) -> Run {
        self.cluster.push(Observation::Blind { at_ms, error: "timed out".into() });
        self
    }

    pub(super) fn fault(
        mut self,
        name: &str,
        nodes: &[&str],
        at_ms: u64,
        destroys: Destroys,
    ) -> Run {
        self.faults.push(FaultRecord {
            id: self.faults.len() as u32 + 1,
            name: name.into(),
            recipe: None,
            role: Role::One,
            partition: None,
            nodes: nodes.iter().map(|node| node.to_string()).collect(),
            state: FaultState::Cleared,
            destroys,
            planned_ms: at_ms,
            asked_ms: Some(at_ms),
            confirmed_ms: Some(at_ms + 50),
            healed_ms: Some(at_ms + 5_000),
            cleared_ms: Some(at_ms + 6_000),
            for_ms: None,
            evidence: vec!["pid 1 is gone".into()],
            parameters: BTreeMap::new(),
            legs: Vec::new(),
        });
        self
    }

    pub(super) fn wiped(self, node: &str, at_ms: u64) -> Run {
        self.fault("wipe", &[node], at_ms, Destroys::Disk)
    }

    pub(super) fn last_fault(mut self, change: impl FnOnce(&mut FaultRecord)) -> Run {
        change(self.faults.last_mut().expect("there is a fault"));
        self
    }

    pub(super) fn topic(mut self, change: impl FnOnce(&mut TopicSettings)) -> Run {
        change(&mut self.facts.topics[0].settings[0].1);
        self
    }

    pub(super) fn producer(mut self, change: impl FnOnce(&mut ProducerSettings)) -> Run {
        change(&mut self.facts.producers[0].settings);
        self
    }

    /// The library gave up a send of the producer's for its age.
    pub(super) fn timed_out(mut self, at_ms: u64) -> Run {
        self.facts.producers[0].timed_out_ms = Some(at_ms);
        self
    }

    /// Records were found in a state that they should not be in, acknowledged within these times.
    pub(super) fn found(mut self, kind: Kind, count: u64, acknowledged: Option<(u64, u64)>) -> Run {
        let check =
            self.checks.iter_mut().find(|check| check.name == kind.as_str()).expect("all kinds");
        check.count += count;
        check.verdict =
            if kind == Kind::Unseen { CheckVerdict::Unknown } else { CheckVerdict::Invalid };
        let id = RecordId { session: Session(1), sequence: 7 };
        let (what, session) = ("polled".to_string(), 9);
        check.findings.push(Finding {
            cycle: Vec::new(),
            kind,
            log: QUEUE,
            topic: "queue".into(),
            count,
            first_offset: Some(7),
            last_offset: Some(7),
            ids: vec![id],
            outcome: acknowledged.map(|_| "ok".into()),
            first_ack_ms: acknowledged.map(|(first, _)| first),
            last_ack_ms: acknowledged.map(|(_, last)| last),
            because: "It was seen.".into(),
            evidence: vec![Evidence {
                index: None,
                at_ms: 20_000,
                what,
                session,
                id: Some(id),
                offset: Some(7),
            }],
        });
        self
    }

    pub(super) fn with_outcome(mut self, outcome: &str) -> Run {
        let findings = self.checks.iter_mut().flat_map(|check| check.findings.iter_mut());
        findings.for_each(|finding| finding.outcome = Some(outcome.into()));
        self
    }

    pub(super) fn lost(self, first_ms: u64, last_ms: u64) -> Run {
        self.found(Kind::LostWrite, 12, Some((first_ms, last_ms)))
    }

    pub(super) fn unknown(mut self, kind: Kind) -> Run {
        let check =
            self.checks.iter_mut().find(|check| check.name == kind.as_str()).expect("all kinds");
        check.verdict = CheckVerdict::Unknown;
        check.because = Some("the final reads are not complete".into());
        self
    }

    pub(super) fn judge(&self) -> Judgement {
        judge(Inputs {
            checks: &self.checks,
            counts: &self.counts,
            facts: &self.facts,
            faults: &self.faults,
            replicas: self.replicas.as_ref(),
            cluster: &self.cluster,
            brokers: &self.brokers,
            baseline: self.baseline,
            liveness: &self.liveness,
            interrupted: self.interrupted,
        })
    }
}
