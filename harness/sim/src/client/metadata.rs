//! What a client knows of the cluster: where brokers are, and who leads the partitions of its topic.
//!
//! Promises: knowledge of a leader only moves on to higher leader epochs (KIP-320), whether it comes from Metadata or from
//! beside an error (KIP-951). It is asked for when it grows old, and at once, with a growing backoff, when something
//! showed that it is wrong. Not promised: that it is right.

use super::connection::{Connections, Happened, Lane, Peer, read};
use super::{ClientEffect, MS, Setup, jittered_ns, sooner};
use generator::random::Random;
use node::step::Input;
use wire::api::key;
use wire::messages::metadata_request::MetadataRequestTopic;
use wire::messages::{MetadataRequest, MetadataResponse, TopicName};
use wire::{StrBytes, Uuid};

const METADATA_VERSION: i16 = 12;
/// Between two urgent requests: at first, and at most.
const URGENT_MS: u64 = 20;
const URGENT_MS_MAX: u64 = 200;

/// A client's request: metadata, or its own.
#[derive(Debug)]
pub(super) enum Ask<Q> {
    Metadata,
    Own(Q),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leader {
    /// -1: none.
    pub broker: i32,
    pub epoch: i32,
}

pub(super) struct Cluster<Q> {
    pub connections: Connections<Ask<Q>>,
    pub request_timeout_ns: u64,
    topic: String,
    topic_id: Uuid,
    partitions: Vec<Leader>,
    /// The lane that metadata is asked on.
    lane: Lane,
    refresh_ns: u64,
    random: Random,
    /// When to ask next.
    due_ns: u64,
    /// Urgent requests in a row that brought nothing new.
    fruitless: u32,
    urgent: bool,
    asked: bool,
    /// It is due, and no broker is connected: connections decide when it goes on.
    unconnected: bool,
    /// The last one that was asked, or dialed to be asked.
    cursor: usize,
}

impl<Q> Cluster<Q> {
    pub fn new(
        setup: &Setup,
        topic: &str,
        lane: Lane,
        refresh_ms: u64,
        request_timeout_ms: u64,
    ) -> Cluster<Q> {
        let mut random = setup.random.clone();
        let of_connections = Random::new(random.next(), "connections");
        let cursor = random.below(64) as usize;
        Cluster {
            connections: Connections::new(&setup.name, &setup.brokers, setup.life, of_connections),
            request_timeout_ns: request_timeout_ms * MS,
            topic: topic.to_owned(),
            topic_id: Uuid::nil(),
            partitions: Vec::new(),
            lane,
            refresh_ns: refresh_ms * MS,
            random,
            due_ns: 0,
            fruitless: 0,
            urgent: true,
            asked: false,
            unconnected: false,
            cursor,
        }
    }

    /// Who leads a partition, if anybody is known to.
    pub fn leader(&self, partition: u32) -> Option<Leader> {
        self.partitions.get(partition as usize).copied().filter(|leader| leader.broker >= 0)
    }

    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    pub fn topic_name(&self) -> TopicName {
        TopicName(StrBytes::from_string(self.topic.clone()))
    }

    /// Something showed that what is known is wrong.
    pub fn refresh_soon(&mut self, now_ns: u64) {
        if self.urgent {
            return;
        }
        self.urgent = true;
        let wait_ms = (URGENT_MS << self.fruitless.min(4)).min(URGENT_MS_MAX);
        self.due_ns = self.due_ns.min(now_ns + jittered_ns(&mut self.random, wait_ms));
    }

    /// A broker told of a newer leader, beside an error.
    pub fn hint(&mut self, partition: i32, broker: i32, epoch: i32) {
        let known = usize::try_from(partition).ok().and_then(|at| self.partitions.get_mut(at));
        if let Some(known) = known
            && broker >= 0
            && epoch > known.epoch
        {
            *known = Leader { broker, epoch };
        }
    }

    /// Takes an input; what concerns the client itself goes into `out`.
    pub fn on_input(
        &mut self,
        now_ns: u64,
        input: Input,
        effects: &mut Vec<ClientEffect>,
        out: &mut Vec<Happened<Q>>,
    ) {
        let mut happened = Vec::new();
        self.connections.on_input(now_ns, input, effects, &mut happened);
        self.sort(now_ns, happened, effects, out);
    }

    fn sort(
        &mut self,
        now_ns: u64,
        happened: Vec<Happened<Ask<Q>>>,
        effects: &mut Vec<ClientEffect>,
        out: &mut Vec<Happened<Q>>,
    ) {
        for one in happened {
            match one {
                Happened::Answered { peer, ask: Ask::Own(ask), version, body } => {
                    out.push(Happened::Answered { peer, ask, version, body });
                }
                Happened::Lost { peer, ask: Ask::Own(ask), why } => {
                    out.push(Happened::Lost { peer, ask, why });
                }
                Happened::Down { peer } => {
                    self.refresh_soon(now_ns);
                    out.push(Happened::Down { peer });
                }
                Happened::Answered { peer, ask: Ask::Metadata, version, body } => {
                    self.asked = false;
                    match read::<MetadataResponse>(peer, version, body) {
                        Ok(answer) => self.on_metadata(now_ns, &answer),
                        Err(complaint) => self.refuse(now_ns, peer, complaint, effects, out),
                    }
                }
                Happened::Lost { ask: Ask::Metadata, .. } => {
                    self.asked = false;
                    self.urgent = false;
                    self.refresh_soon(now_ns);
                }
            }
        }
    }

    /// An answer that cannot be.
    pub fn refuse(
        &mut self,
        now_ns: u64,
        peer: Peer,
        complaint: String,
        effects: &mut Vec<ClientEffect>,
        out: &mut Vec<Happened<Q>>,
    ) {
        let mut happened = Vec::new();
        self.connections.refuse(now_ns, peer, complaint, effects, &mut happened);
        self.sort(now_ns, happened, effects, out);
    }

    fn on_metadata(&mut self, now_ns: u64, answer: &MetadataResponse) {
        for broker in &answer.brokers {
            let port = u16::try_from(broker.port).unwrap_or(0);
            self.connections.locate(broker.node_id.0, &broker.host, port);
        }
        let was_urgent = std::mem::take(&mut self.urgent);
        let mut news = false;
        if let Some(topic) = answer.topics.iter().find(|topic| topic.error_code == 0) {
            if topic.topic_id != self.topic_id {
                self.topic_id = topic.topic_id;
                self.partitions.clear();
                news = true;
            }
            for partition in &topic.partitions {
                let Ok(index) = usize::try_from(partition.partition_index) else { continue };
                while self.partitions.len() <= index {
                    self.partitions.push(Leader { broker: -1, epoch: -1 });
                }
                let known = &mut self.partitions[index];
                let told = Leader { broker: partition.leader_id.0, epoch: partition.leader_epoch };
                // Of one epoch, one answer may know the leader to be away and another not yet.
                if told.epoch >= known.epoch && told != *known {
                    *known = told;
                    news = true;
                }
            }
        }
        self.due_ns = now_ns + jittered_ns(&mut self.random, self.refresh_ns / MS);
        self.fruitless = if news { 0 } else { self.fruitless + u32::from(was_urgent) };
        if self.partitions.is_empty() || self.partitions.iter().any(|leader| leader.broker < 0) {
            self.refresh_soon(now_ns);
        }
    }

    /// Sends a request to a peer that is ready. `ask`: as which its end is told; none for what has no answer.
    pub fn send<B: wire::Encodable>(
        &mut self,
        now_ns: u64,
        peer: Peer,
        api_key: i16,
        version: i16,
        body: &B,
        timeout_ns: u64,
        ask: Option<Q>,
        effects: &mut Vec<ClientEffect>,
    ) {
        let ask = ask.map(Ask::Own);
        self.connections.send(now_ns, peer, api_key, version, body, timeout_ns, ask, effects);
    }

    /// Asks for metadata where it is due.
    pub fn drive(&mut self, now_ns: u64, effects: &mut Vec<ClientEffect>) {
        self.unconnected = false;
        if self.asked || now_ns < self.due_ns {
            return;
        }
        let Some(peer) = self.any_ready(now_ns, self.lane, effects) else {
            self.unconnected = true;
            return;
        };
        let Some(version) = self.connections.version(peer, key::METADATA, METADATA_VERSION) else {
            self.connections.complain(format!("broker {} serves no Metadata", peer.broker));
            self.due_ns = now_ns + self.refresh_ns;
            return;
        };
        let topic = MetadataRequestTopic::default().with_name(Some(self.topic_name()));
        let body = MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(false);
        self.asked = true;
        let (timeout_ns, ask) = (self.request_timeout_ns, Some(Ask::Metadata));
        self.connections.send(
            now_ns,
            peer,
            key::METADATA,
            version,
            &body,
            timeout_ns,
            ask,
            effects,
        );
    }

    /// The broker with the least to do of those that are connected. Without any, one after the other is dialed.
    pub fn any_ready(
        &mut self,
        now_ns: u64,
        lane: Lane,
        effects: &mut Vec<ClientEffect>,
    ) -> Option<Peer> {
        let connections = &self.connections;
        let peers = connections.brokers().map(|broker| Peer { broker, lane });
        let mut peers: Vec<Peer> = peers.collect();
        let count = peers.len();
        if count == 0 {
            return None;
        }
        peers.rotate_left(self.cursor % count);
        let ready = peers.iter().filter(|peer| connections.is_ready(**peer));
        if let Some(peer) = ready.min_by_key(|peer| connections.in_flight(**peer)) {
            self.cursor += 1;
            return Some(*peer);
        }
        if !peers.iter().any(|peer| connections.is_dialing(*peer)) {
            self.cursor += 1;
            self.connections.open(now_ns, peers[0], effects);
        }
        None
    }

    pub fn deadline(&self) -> Option<u64> {
        let due_ns = (!self.asked && !self.unconnected).then_some(self.due_ns);
        sooner(self.connections.deadline(), due_ns)
    }
}
