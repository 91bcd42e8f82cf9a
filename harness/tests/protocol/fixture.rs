//! The cluster that the tests share, and topics of their own on it.

use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::requests::{self, World};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use wire::Uuid;
use wire::api::key;
use wire::messages as m;

/// Sessions long enough that a busy machine fences nobody: leadership stays where the tests found it.
const PATIENT: [&str; 4] = [
    "broker.session.timeout.ms=30000",
    "controller.quorum.fetch.timeout.ms=30000",
    "replica.lag.time.max.ms=30000",
    "replica.socket.timeout.ms=30000",
];

/// A bound for what takes milliseconds on an idle machine.
const WITHIN: Duration = Duration::from_secs(60);

/// As the shared one, for tests whose requests may well move the quorum to another leader: it has one again soon.
pub fn cluster_of_its_own() -> Cluster {
    let properties = PATIENT.map(|property| match property.split_once('=') {
        Some(("controller.quorum.fetch.timeout.ms", _)) => {
            "controller.quorum.fetch.timeout.ms=1000"
        }
        _ => property,
    });
    Cluster::up(&properties)
}

fn patient_cluster() -> Cluster {
    Cluster::up(&PATIENT)
}

/// The cluster of all tests that run at this time: up with the first, down with the last.
pub fn shared_cluster() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let cluster = Arc::new(patient_cluster());
        *shared = Arc::downgrade(&cluster);
        cluster
    })
}

/// A topic of a test's own, with one partition and three replicas.
pub struct Topic {
    pub world: World,
    /// The broker port of the partition's leader.
    pub leader_port: u16,
}

impl Topic {
    pub fn create(cluster: &Cluster, name: &str) -> Topic {
        Topic::create_at(cluster.nodes["n1"].broker_port, name, 3)
    }

    /// Asks the broker at this port for it.
    pub fn create_at(any_port: u16, name: &str, replicas: i16) -> Topic {
        let mut connection = Connection::to(any_port);
        let created: m::CreateTopicsResponse =
            connection.ask(key::CREATE_TOPICS, 7, &requests::create_topic(name, replicas));
        assert_eq!(created.topics[0].error_code, 0, "{created:?}");
        let topic_id = created.topics[0].topic_id;
        let leader = |port: u16| {
            let body = requests::metadata(name);
            let answer: m::MetadataResponse = Connection::to(port).ask(key::METADATA, 12, &body);
            let topic = answer.topics.iter().find(|topic| topic.topic_id == topic_id)?;
            let leader = topic.partitions.first()?.leader_id;
            let broker = answer.brokers.iter().find(|broker| broker.node_id == leader)?;
            u16::try_from(broker.port).ok()
        };
        let leader_port = eventually("the topic has a leader", || leader(any_port));
        let topic = Topic { world: world(any_port, name, topic_id), leader_port };
        eventually("the leader takes writes", || topic.end_offset());
        topic
    }

    /// `None` where the broker does not lead the partition, or not yet.
    fn end_offset(&self) -> Option<i64> {
        let frame = requests::example(&self.world, key::LIST_OFFSETS, 7);
        let mut connection = self.connect();
        connection.send_frame(&frame);
        let answer: m::ListOffsetsResponse = connection.answer(key::LIST_OFFSETS, 7, 7);
        let partition = &answer.topics[0].partitions[0];
        (partition.error_code == 0).then_some(partition.offset)
    }

    pub fn connect(&self) -> Connection {
        Connection::to(self.leader_port)
    }
}

fn world(port: u16, topic: &str, topic_id: Uuid) -> World {
    let cluster: m::DescribeClusterResponse =
        Connection::to(port).ask(key::DESCRIBE_CLUSTER, 1, &m::DescribeClusterRequest::default());
    World {
        cluster_id: cluster.cluster_id.to_string(),
        topic: topic.to_string(),
        topic_id,
        doomed: format!("{topic}-doomed"),
        group: format!("{topic}-group"),
    }
}

/// Asks until there is an answer.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WITHIN;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {WITHIN:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// The same processes as at the start, and each of them still answers; together they still take a write.
pub fn assert_still_serving(cluster: &Cluster, topic: &Topic) {
    cluster.assert_alive();
    for node in cluster.nodes.values() {
        for port in [node.broker_port, node.controller_port] {
            let body = m::ApiVersionsRequest::default();
            let answer: m::ApiVersionsResponse =
                Connection::to(port).ask(key::API_VERSIONS, 0, &body);
            assert_eq!(answer.error_code, 0);
        }
    }
    let records = requests::batch(&[b"still"], wire::batch::Compression::None);
    let produce = requests::produce(&topic.world, 12, -1, records);
    let answer: m::ProduceResponse = topic.connect().ask(key::PRODUCE, 12, &produce);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{answer:?}");
}
