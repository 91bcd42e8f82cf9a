//! Brokers that answer handshakes, metadata and producer ids by themselves, and everything else as the test says.

use super::*;
use std::collections::{BTreeSet, VecDeque};
use wire::api::{self, ApiSet, key};
use wire::frame::{self, RequestHead};
use wire::messages::api_versions_response::ApiVersion;
use wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use wire::messages::{
    ApiVersionsResponse, BrokerId, InitProducerIdResponse, MetadataResponse, ProduceRequest,
    ProduceResponse, ProducerId, TopicName,
};
use wire::{Encodable, Guarded, StrBytes, Uuid};

pub const TOPIC_ID: Uuid = Uuid::from_u128(9);

/// A request that the test has to answer.
#[derive(Clone, Debug)]
pub struct Held {
    pub conn: ConnId,
    pub broker: u16,
    pub head: RequestHead,
    pub body: Bytes,
}

impl Held {
    pub fn read<T: Guarded>(&self) -> T {
        frame::decode_request(&mut self.body.clone(), self.head.api_version).expect("it parses")
    }
}

pub struct Script<C> {
    pub client: C,
    pub now_ns: u64,
    /// Leader and its epoch, of every partition.
    pub leader: (i32, i32),
    /// Nobody listens.
    pub refusing: bool,
    pub held: VecDeque<Held>,
    pub history: Vec<Event>,
    partitions: i32,
    conns: Vec<(ConnId, u16)>,
    pub closed: BTreeSet<ConnId>,
}

impl<C: Client> Script<C> {
    pub fn new(client: C, partitions: i32) -> Script<C> {
        let mut script = Script {
            client,
            now_ns: 1_000_000,
            leader: (1, 1),
            refusing: false,
            held: VecDeque::new(),
            history: Vec::new(),
            partitions,
            conns: Vec::new(),
            closed: BTreeSet::new(),
        };
        script.step(Input::Start);
        script
    }

    pub fn step(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mono_ns = self.now_ns;
            let now = Now { mono_ns, wall_ms: WALL_MS + (mono_ns / MS) as i64 };
            let mut effects = Vec::new();
            self.client.step(now, input, &mut effects);
            for effect in effects {
                self.carry_out(effect, &mut inputs);
            }
        }
    }

    fn carry_out(&mut self, effect: ClientEffect, inputs: &mut VecDeque<Input>) {
        match effect {
            ClientEffect::Record(event) => self.history.push(event),
            ClientEffect::Shown { .. } => {}
            ClientEffect::Close { conn } => {
                self.closed.insert(conn);
            }
            ClientEffect::Dial { conn, .. } if self.refusing => {
                inputs.push_back(Input::DialFailed { conn, refused: true });
            }
            ClientEffect::Dial { conn, to } => {
                self.conns.push((conn, to.port - 9_000));
                inputs.push_back(Input::Dialed { conn });
            }
            ClientEffect::Send { conn, parts } => {
                let mut body = Bytes::from(parts.concat());
                let head = frame::read_request_head(&mut body).expect("a header");
                let broker = self.conns.iter().find(|(known, _)| *known == conn).expect("dialed").1;
                let held = Held { conn, broker, head, body };
                match self.own_answer(&held) {
                    Some(bytes) => inputs.push_back(Input::Frame { conn, bytes }),
                    None => self.held.push_back(held),
                }
            }
        }
    }

    fn own_answer(&self, held: &Held) -> Option<Bytes> {
        let encode = |body: &dyn Fn() -> Result<Bytes, frame::FrameError>| body().expect("encodes");
        match held.head.api_key {
            key::API_VERSIONS => {
                let versions = api::all(ApiSet::Broker).iter().map(|(api_key, versions)| {
                    ApiVersion::default()
                        .with_api_key(*api_key)
                        .with_min_version(versions.min)
                        .with_max_version(versions.max)
                });
                let body = ApiVersionsResponse::default().with_api_keys(versions.collect());
                Some(encode(&|| frame::encode_response(&held.head, &body)))
            }
            key::METADATA => {
                let body = self.metadata();
                Some(encode(&|| frame::encode_response(&held.head, &body)))
            }
            key::INIT_PRODUCER_ID => {
                let body = InitProducerIdResponse::default()
                    .with_producer_id(ProducerId(7))
                    .with_producer_epoch(0);
                Some(encode(&|| frame::encode_response(&held.head, &body)))
            }
            _ => None,
        }
    }

    fn metadata(&self) -> MetadataResponse {
        let brokers = (1..=2).map(|id| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(id))
                .with_host(StrBytes::from_string(format!("n{id}")))
                .with_port(9_000 + id)
        });
        let partitions = (0..self.partitions).map(|index| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(BrokerId(self.leader.0))
                .with_leader_epoch(self.leader.1)
        });
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str(TOPIC))))
            .with_topic_id(TOPIC_ID)
            .with_partitions(partitions.collect());
        MetadataResponse::default().with_brokers(brokers.collect()).with_topics(vec![topic])
    }

    /// Lets the clock go on, with ticks at the client's deadlines.
    pub fn run_for(&mut self, ms: u64) {
        let until_ns = self.now_ns + ms * MS;
        for _ in 0..100_000 {
            match self.client.deadline() {
                Some(at_ns) if at_ns <= until_ns => {
                    self.now_ns = self.now_ns.max(at_ns);
                    self.step(Input::Tick);
                }
                _ => {
                    self.now_ns = until_ns;
                    return;
                }
            }
        }
        panic!("the client never rests");
    }

    /// The next request that waits for an answer, after at most so long.
    pub fn next(&mut self, within_ms: u64) -> Held {
        for _ in 0..within_ms {
            if let Some(held) = self.held.pop_front() {
                return held;
            }
            self.run_for(1);
        }
        panic!("no request came within {within_ms} ms");
    }

    pub fn answer(&mut self, held: &Held, body: &impl Encodable) {
        let bytes = frame::encode_response(&held.head, body).expect("encodes");
        self.step(Input::Frame { conn: held.conn, bytes });
    }

    pub fn hang_up(&mut self, held: &Held) {
        self.held.retain(|other| other.conn != held.conn);
        self.step(Input::Closed { conn: held.conn });
    }

    /// Answers a Produce of one partition.
    pub fn produced(&mut self, held: &Held, error_code: i16, base_offset: i64) {
        let asked: ProduceRequest = held.read();
        let topic = &asked.topic_data[0];
        let results = topic.partition_data.iter().map(|partition| {
            PartitionProduceResponse::default()
                .with_index(partition.index)
                .with_error_code(error_code)
                .with_base_offset(base_offset)
        });
        let answer = TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partition_responses(results.collect());
        self.answer(held, &ProduceResponse::default().with_responses(vec![answer]));
    }
}
