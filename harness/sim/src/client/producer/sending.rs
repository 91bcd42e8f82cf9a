//! Produce requests and their answers, and the producer id.

use super::outcome::{self, Meaning};
use super::*;
use crate::client::connection::{Peer, read};
use crate::client::jittered_ns;
use wire::StrBytes;
use wire::api::key;
use wire::error::{ErrorCode, name_of};
use wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use wire::messages::produce_response::PartitionProduceResponse;
use wire::messages::{
    InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse, ProducerId,
    TopicName,
};

const PRODUCE_BY_NAME: i16 = 12;
const PRODUCE_BY_ID: i16 = 13;
const INIT_PRODUCER_ID_VERSION: i16 = 4;
const BACKOFF_MS_MAX: u64 = 1_000;

impl Producer {
    pub(super) fn ask_identity(&mut self, now_ns: u64, effects: &mut Vec<ClientEffect>) {
        if self.identity.is_some() || self.identity_asked {
            return;
        }
        if now_ns < self.identity_retry_ns {
            self.wake_ns = sooner(self.wake_ns, Some(self.identity_retry_ns));
            return;
        }
        let Some(peer) = self.cluster.any_ready(now_ns, Lane::Data, effects) else { return };
        let api_key = key::INIT_PRODUCER_ID;
        let connections = &mut self.cluster.connections;
        let Some(version) = connections.version(peer, api_key, INIT_PRODUCER_ID_VERSION) else {
            return;
        };
        let body = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        self.identity_asked = true;
        let timeout_ns = self.cluster.request_timeout_ns;
        let ask = Some(Ask::Identity);
        self.cluster.send(now_ns, peer, api_key, version, &body, timeout_ns, ask, effects);
    }

    /// Sends what may be sent, as far as requests may be in flight.
    pub(super) fn send_batches(&mut self, now_ns: u64, effects: &mut Vec<ClientEffect>) {
        if self.rules.idempotent && self.identity.is_none() {
            return;
        }
        loop {
            // Of each broker that takes another request: the partitions that have a batch for it.
            let mut requests: Vec<(Peer, Vec<u32>)> = Vec::new();
            for turn in 0..self.target.partitions {
                let partition = (self.next_partition + turn) % self.target.partitions;
                let queue = &self.queues[partition as usize];
                match queue.next(now_ns, &self.rules, self.identity) {
                    Next::Nothing => continue,
                    Next::At(at_ns) => {
                        self.wake_ns = sooner(self.wake_ns, Some(at_ns));
                        continue;
                    }
                    Next::Now(_) => {}
                }
                let Some(leader) = self.cluster.leader(partition) else {
                    self.cluster.refresh_soon(now_ns);
                    continue;
                };
                let peer = Peer { broker: leader.broker, lane: Lane::Data };
                let known = requests.iter_mut().find(|(known, _)| *known == peer);
                match known {
                    Some((_, partitions)) if self.dialect == Dialect::Ids => {
                        partitions.push(partition);
                    }
                    Some(_) => requests.push((peer, vec![partition])),
                    None => {
                        if self.takes_another(now_ns, peer, effects) {
                            requests.push((peer, vec![partition]));
                        }
                    }
                }
            }
            if requests.is_empty() {
                return;
            }
            for (peer, partitions) in requests {
                if self.takes_another(now_ns, peer, effects) {
                    self.send_request(now_ns, peer, &partitions, effects);
                    self.next_partition = partitions.last().map_or(0, |partition| partition + 1);
                }
            }
        }
    }

    fn takes_another(&mut self, now_ns: u64, peer: Peer, effects: &mut Vec<ClientEffect>) -> bool {
        let highest = self.highest_version();
        let connections = &mut self.cluster.connections;
        connections.open(now_ns, peer, effects)
            && connections.in_flight(peer) < self.settings.in_flight_requests_max as usize
            && connections.version(peer, key::PRODUCE, highest).is_some()
    }

    fn highest_version(&self) -> i16 {
        if self.dialect == Dialect::Names { PRODUCE_BY_NAME } else { PRODUCE_BY_ID }
    }

    fn send_request(
        &mut self,
        now_ns: u64,
        peer: Peer,
        partitions: &[u32],
        effects: &mut Vec<ClientEffect>,
    ) {
        let highest = self.highest_version();
        let connections = &self.cluster.connections;
        let Some(version) = connections.version(peer, key::PRODUCE, highest) else { return };
        let mut asked = Vec::with_capacity(partitions.len());
        let mut data = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let queue = &mut self.queues[*partition as usize];
            let Next::Now(index) = queue.next(now_ns, &self.rules, self.identity) else { continue };
            let batch = queue.sent(index, self.identity);
            asked.push((*partition, batch.number));
            let index = *partition as i32;
            let records = Some(batch.bytes(&mut self.compressor));
            data.push(PartitionProduceData::default().with_index(index).with_records(records));
        }
        let topic = TopicProduceData::default().with_partition_data(data);
        let topic = if version >= PRODUCE_BY_ID {
            topic.with_topic_id(self.cluster.topic_id())
        } else {
            topic.with_name(TopicName(StrBytes::from_string(self.target.name.clone())))
        };
        let acks = match self.settings.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let timeout_ms = i32::try_from(self.settings.request_timeout_ms).unwrap_or(i32::MAX);
        let body = ProduceRequest::default()
            .with_acks(acks)
            .with_timeout_ms(timeout_ms)
            .with_topic_data(vec![topic]);
        let timeout_ns = self.cluster.request_timeout_ns;
        if acks != 0 {
            let ask = Some(Ask::Produce(asked));
            self.cluster.send(now_ns, peer, key::PRODUCE, version, &body, timeout_ns, ask, effects);
            return;
        }
        self.cluster.send(now_ns, peer, key::PRODUCE, version, &body, timeout_ns, None, effects);
        // Nobody will answer: sent is all that it can be.
        for (partition, number) in asked {
            let queue = &mut self.queues[partition as usize];
            let index = queue.find(number).expect("it was just sent");
            let batch = queue.acknowledged(index);
            self.progress += batch.records.len() as u64;
            record(self.session, &batch, |_| Outcome::Unacknowledged, None, effects);
        }
    }

    pub(super) fn on_happened(
        &mut self,
        now_ns: u64,
        happened: Happened<Ask>,
        effects: &mut Vec<ClientEffect>,
        out: &mut Vec<Happened<Ask>>,
    ) {
        match happened {
            Happened::Answered { peer, ask: Ask::Identity, version, body } => {
                self.identity_asked = false;
                match read::<InitProducerIdResponse>(peer, version, body) {
                    Ok(answer) => self.on_identity(now_ns, &answer),
                    Err(complaint) => self.cluster.refuse(now_ns, peer, complaint, effects, out),
                }
            }
            Happened::Lost { ask: Ask::Identity, .. } => {
                self.identity_asked = false;
                self.retry_identity(now_ns);
            }
            Happened::Answered { peer, ask: Ask::Produce(asked), version, body } => {
                match read::<ProduceResponse>(peer, version, body) {
                    Ok(answer) => self.on_produced(now_ns, peer, &asked, &answer, effects),
                    Err(complaint) => {
                        self.unanswered(now_ns, &asked, "BadMessage", effects);
                        self.cluster.refuse(now_ns, peer, complaint, effects, out);
                    }
                }
            }
            Happened::Lost { ask: Ask::Produce(asked), why, .. } => {
                let error = match why {
                    Lost::TimedOut => "OperationTimedOut",
                    Lost::Closed => "BrokerTransportFailure",
                };
                self.unanswered(now_ns, &asked, error, effects);
            }
            Happened::Down { .. } => {}
        }
    }

    fn on_identity(&mut self, now_ns: u64, answer: &InitProducerIdResponse) {
        if answer.error_code != 0 || answer.producer_id.0 < 0 {
            self.retry_identity(now_ns);
            return;
        }
        self.identity = Some(Identity { id: answer.producer_id.0, epoch: answer.producer_epoch });
    }

    fn retry_identity(&mut self, now_ns: u64) {
        let backoff_ms = self.settings.retry_backoff_ms.max(10);
        self.identity_retry_ns = now_ns + jittered_ns(&mut self.random, backoff_ms);
    }

    fn on_produced(
        &mut self,
        now_ns: u64,
        peer: Peer,
        asked: &[(u32, u64)],
        answer: &ProduceResponse,
        effects: &mut Vec<ClientEffect>,
    ) {
        for (partition, number) in asked {
            let results = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
            let found = results.into_iter().find(|result| result.index == *partition as i32);
            match found {
                Some(result) => self.on_result(now_ns, *partition, *number, result, effects),
                None => {
                    let complaint = format!(
                        "broker {} was sent records for partition {partition} and says nothing of it",
                        peer.broker
                    );
                    self.cluster.connections.complain(complaint);
                    self.unanswered(now_ns, &[(*partition, *number)], "BadMessage", effects);
                }
            }
        }
    }

    fn on_result(
        &mut self,
        now_ns: u64,
        partition: u32,
        number: u64,
        result: &PartitionProduceResponse,
        effects: &mut Vec<ClientEffect>,
    ) {
        let duplicate = result.error_code == ErrorCode::DuplicateSequenceNumber.code();
        let queue = &mut self.queues[partition as usize];
        let Some(index) = queue.find(number) else {
            // It was given up meanwhile: too late for the producer, which wants more than the weather allows, but the
            // cluster does take what it is sent.
            self.progress += u64::from(result.error_code == 0 || duplicate);
            return;
        };
        if result.error_code == 0 || duplicate {
            let base_offset = (!duplicate).then_some(result.base_offset).filter(|at| *at >= 0);
            let batch = queue.acknowledged(index);
            self.progress += batch.records.len() as u64;
            let outcome = |index| Outcome::Ok { offset: base_offset.map(|at| at + index as i64) };
            record(self.session, &batch, outcome, None, effects);
            return;
        }
        let meaning = outcome::meaning(result.error_code);
        if meaning.leader_moved {
            let leader = &result.current_leader;
            self.cluster.hint(result.index, leader.leader_id.0, leader.leader_epoch);
            self.cluster.refresh_soon(now_ns);
        }
        if meaning.out_of_order {
            self.queues[partition as usize].out_of_order(index);
        }
        self.failed(now_ns, partition, index, meaning, name_of(result.error_code), effects);
    }

    /// No answer came, or none that can be read: nobody knows.
    fn unanswered(
        &mut self,
        now_ns: u64,
        asked: &[(u32, u64)],
        error: &str,
        effects: &mut Vec<ClientEffect>,
    ) {
        let meaning =
            Meaning { doubtful: true, retriable: true, leader_moved: true, out_of_order: false };
        self.cluster.refresh_soon(now_ns);
        for (partition, number) in asked {
            if let Some(index) = self.queues[*partition as usize].find(*number) {
                self.failed(now_ns, *partition, index, meaning, error.to_owned(), effects);
            }
        }
    }

    fn failed(
        &mut self,
        now_ns: u64,
        partition: u32,
        index: usize,
        meaning: Meaning,
        error: String,
        effects: &mut Vec<ClientEffect>,
    ) {
        let queue = &mut self.queues[partition as usize];
        let batch = queue.back(index);
        batch.doubtful |= meaning.doubtful;
        batch.error = error;
        if meaning.retriable && batch.attempts <= self.settings.retries {
            let doublings = (batch.attempts - 1).min(5);
            let backoff_ms = (self.settings.retry_backoff_ms << doublings).min(BACKOFF_MS_MAX);
            batch.retry_at_ns = now_ns + jittered_ns(&mut self.random, backoff_ms);
            return;
        }
        let batch = queue.give_up(index);
        let outcome = outcome::given_up(batch.doubtful, self.settings.acks);
        record(self.session, &batch, |_| outcome, Some(&batch.error), effects);
    }
}
