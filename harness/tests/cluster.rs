//! A cluster to poke at, and real clients of it: librdkafka producers, a subscribed consumer group, metadata; brokers
//! that are told to stop and come back while the clients go on.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Place, Running, read, state, wait_for};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const COULD_NOT_RUN: i32 = 3;
/// One look at a consumer.
const POLL: Duration = Duration::from_millis(50);
/// For a single call of a client library.
const CALL: Duration = Duration::from_secs(60);

/// A cluster that is up until the end of its test.
struct Up {
    place: Place,
    bootstrap: String,
    nodes: BTreeMap<String, u32>,
}

fn up(args: &[&str]) -> Up {
    let place = Place::for_cluster();
    let told = place.run(["cluster", "up", "--json"].iter().chain(args)).code(0).json();
    assert_eq!(told["schema"], "highwater/cluster/1");
    let bootstrap = told["bootstrap"].as_str().expect("addresses").to_string();
    let nodes = told["nodes"].as_object().expect("nodes");
    let pid = |node: &Value| node["process"]["pid"].as_u64().expect("a pid") as u32;
    let nodes = nodes.iter().map(|(name, node)| (name.clone(), pid(node))).collect();
    Up { place, bootstrap, nodes }
}

impl Up {
    fn admin(&self) -> admin::Admin {
        admin::Admin::new(&self.bootstrap, Duration::from_secs(5))
    }

    /// Makes a topic of three replicas and waits until it is led and whole.
    fn topic(&self, name: &str, partitions: u32) {
        let new = admin::NewTopic {
            name: name.to_string(),
            partitions,
            replication_factor: 3,
            settings: BTreeMap::from([("min.insync.replicas".to_string(), "2".to_string())]),
        };
        self.admin().create_topic(&new).expect("the topic can be made");
        self.wait_until_whole(name);
    }

    fn partitions(&self, topic: &str) -> Result<Vec<admin::Partition>, String> {
        let topics = self.admin().topics(&[topic]).map_err(|error| error.to_string())?;
        let topic = topics.into_iter().next().ok_or("it is not in the metadata")?;
        Ok(topic.partitions)
    }

    fn wait_until_whole(&self, topic: &str) {
        wait_for("every replica is in sync", || {
            let partitions = self.partitions(topic)?;
            let whole = |p: &admin::Partition| p.leader > 0 && p.isr.len() == p.replicas.len();
            if !partitions.is_empty() && partitions.iter().all(whole) {
                Ok(())
            } else {
                Err(format!("{partitions:?}"))
            }
        });
    }

    fn config(&self, pairs: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("reconnect.backoff.max.ms", "200");
        pairs.iter().for_each(|(name, value)| {
            config.set(*name, *value);
        });
        config
    }

    fn producer(&self) -> Load {
        let pairs = [("acks", "all"), ("enable.idempotence", "true"), ("linger.ms", "2")];
        let acks = Acks::default();
        let producer = self.config(&pairs).create_with_context(acks.clone()).expect("a producer");
        Load { producer, acks, sent: 0 }
    }

    /// A member of a group that reads from the start where it has committed nothing.
    fn member(&self, group: &str, topic: &str) -> BaseConsumer {
        let pairs = [
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "300"),
        ];
        let member: BaseConsumer = self.config(&pairs).create().expect("a consumer");
        member.subscribe(&[topic]).expect("subscribing asks nobody");
        member
    }

    fn stop(&self, pid: u32) {
        place::signal(pid, Signal::TERM);
        wait_for("a broker that is told to stop does", || match state(pid) {
            None | Some('Z') => Ok(()),
            Some(state) => Err(format!("it is in state {state}")),
        });
    }

    /// Starts a broker again that was stopped, as a child of this test.
    fn start_again(&self, node: &str) -> Running {
        let config = self.place.path(format!("store/.cluster/{node}/server.properties"));
        self.place.start(["broker", "--config", config.to_str().expect("a path of ASCII")])
    }

    fn down(self) {
        let down = self.place.run(["cluster", "down"]).code(0);
        assert_eq!(down.err, "", "every node stopped when it was told to");
        self.place.assert_nothing_left();
    }
}

/// What was acknowledged, and what was not.
#[derive(Clone, Default)]
struct Acks(Arc<Mutex<Outcomes>>);

#[derive(Default)]
struct Outcomes {
    /// Partition and offset of each record that was acknowledged, by its key.
    ok: BTreeMap<u64, (i32, i64)>,
    failed: Vec<String>,
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, key: Box<u64>) {
        let mut outcomes = self.0.lock().expect("no panic in a callback");
        match result {
            Ok(message) => {
                outcomes.ok.insert(*key, (message.partition(), message.offset()));
            }
            Err((error, _)) => outcomes.failed.push(format!("{key}: {error}")),
        }
    }
}

/// A producer of numbered records over the partitions in turn.
struct Load {
    producer: ThreadedProducer<Acks>,
    acks: Acks,
    sent: u64,
}

impl Load {
    fn send(&mut self, topic: &str, partitions: u64) {
        let (key, payload) = (self.sent.to_string(), [b'x'; 100]);
        let record = BaseRecord::with_opaque_to(topic, Box::new(self.sent))
            .partition((self.sent % partitions) as i32)
            .key(&key)
            .payload(&payload);
        self.producer.send(record).map_err(|(error, _)| error).expect("the queue has room");
        self.sent += 1;
    }

    /// As many sends as keep a few hundred under way.
    fn keep_busy(&mut self, topic: &str, partitions: u64) {
        while self.producer.in_flight_count() < 200 {
            self.send(topic, partitions);
        }
    }

    fn acknowledged(&self) -> usize {
        self.acks.0.lock().expect("no panic in a callback").ok.len()
    }

    /// Everything is acknowledged, nothing failed.
    fn finish(self) -> BTreeMap<u64, (i32, i64)> {
        self.producer.flush(CALL).expect("everything is answered");
        let mut outcomes = self.acks.0.lock().expect("no panic in a callback");
        assert!(outcomes.failed.is_empty(), "{:?}", outcomes.failed);
        let ok = std::mem::take(&mut outcomes.ok);
        assert_eq!(ok.len() as u64, self.sent);
        ok
    }
}

fn key_of(message: &BorrowedMessage<'_>) -> u64 {
    let key = std::str::from_utf8(message.key().expect("a key")).expect("text");
    key.parse().expect("a number")
}

/// Partitions that a member has now.
fn assigned(member: &BaseConsumer) -> BTreeSet<i32> {
    let assignment = member.assignment().expect("an answer of the library itself");
    assignment.elements().iter().map(|element| element.partition()).collect()
}

/// Where the group of a member goes on, by partition. (The library's own list must not outlive the member.)
fn committed(member: &BaseConsumer) -> Vec<i64> {
    let list = member.committed(CALL).expect("committed offsets");
    list.elements().iter().filter_map(|element| element.offset().to_raw()).collect()
}

/// Polls all members in turn until `done`; everything read goes into `read`, and nothing may be read twice.
fn poll_until(
    what: &str,
    members: &[&BaseConsumer],
    read: &mut BTreeMap<u64, (i32, i64)>,
    done: impl Fn(&BTreeMap<u64, (i32, i64)>) -> bool,
) {
    wait_for(what, || {
        let mut problem = String::new();
        for member in members {
            // Until it has nothing at hand. A broker that is gone is none of its concern for long.
            while let Some(polled) = member.poll(POLL) {
                match polled {
                    Ok(message) => {
                        let place = (message.partition(), message.offset());
                        let before = read.insert(key_of(&message), place);
                        assert_eq!(before, None, "record {} was read twice", key_of(&message));
                    }
                    Err(error) => problem = error.to_string(),
                }
            }
        }
        if done(read) { Ok(()) } else { Err(format!("{} records read; {problem}", read.len())) }
    });
}

#[test]
fn up_status_down() {
    let cluster = up(&["--nodes", "3"]);
    assert_eq!(cluster.bootstrap.split(',').count(), 3, "{}", cluster.bootstrap);
    assert_eq!(cluster.nodes.len(), 3);
    let place = &cluster.place;
    assert_eq!(place.processes().len(), 3, "{:?}", place.processes());

    let second = place.run(["cluster", "up"]).code(COULD_NOT_RUN);
    second.says(&["a cluster is up", "highwater cluster status", "highwater cluster down"]);
    assert_eq!(place.processes().len(), 3, "nothing more was started");
    // It was left running on purpose: nothing for doctor to end.
    assert!(place.run(["doctor", "--clean"]).code(0).out.contains("nothing was left behind"));

    cluster.topic("events", 4);
    let status = place.run(["cluster", "status"]).code(0).out;
    assert!(status.contains(&cluster.bootstrap) && status.contains("quorum leader"), "{status}");
    for (node, pid) in &cluster.nodes {
        let line = status.lines().find(|line| line.starts_with(node.as_str()));
        let line = line.unwrap_or_else(|| panic!("{node} is not in\n{status}"));
        assert!(line.contains("up") && line.contains(&pid.to_string()), "{line}");
    }
    for partition in 0..4 {
        assert!(status.contains(&format!("events-{partition} leader ")), "{status}");
    }
    let told = place.run(["cluster", "status", "--json"]).code(0).json();
    assert_eq!(told["topics"][0]["name"], "events");
    assert_eq!(told["quorum"]["voters"].as_array().map(Vec::len), Some(3));

    let store = place.path("store/.cluster");
    place.run(["cluster", "down"]).code(0);
    assert!(!store.exists(), "its data is deleted");
    place.assert_nothing_left();
    place.run(["cluster", "status"]).code(COULD_NOT_RUN).says(&["no cluster is up"]);
}

#[test]
fn controllers_of_their_own_and_properties() {
    let property = ["--property", "num.partitions=5"];
    let cluster = up(&[&["--nodes", "1", "--controllers", "1"][..], &property].concat());
    let names: Vec<&str> = cluster.nodes.keys().map(String::as_str).collect();
    assert_eq!(names, ["c1", "n1"]);
    let written = read(&cluster.place.path("store/.cluster/n1/server.properties"));
    assert!(written.contains("process.roles=broker\n") && written.contains("num.partitions=5\n"));
    cluster.down();
}

#[test]
fn a_client_lists_what_there_is() {
    let cluster = up(&["--nodes", "3"]);
    cluster.topic("events", 6);
    let client: BaseConsumer = cluster.config(&[]).create().expect("a client");
    let metadata = client.fetch_metadata(None, CALL).expect("metadata");
    assert_eq!(metadata.brokers().len(), 3);
    let addresses: BTreeSet<String> =
        metadata.brokers().iter().map(|b| format!("{}:{}", b.host(), b.port())).collect();
    assert_eq!(addresses, cluster.bootstrap.split(',').map(String::from).collect());
    let topic = metadata.topics().iter().find(|topic| topic.name() == "events");
    let topic = topic.expect("the topic is listed");
    assert_eq!(topic.partitions().len(), 6);
    for partition in topic.partitions() {
        assert!(partition.error().is_none());
        assert_eq!((partition.replicas().len(), partition.isr().len()), (3, 3));
        assert!(partition.isr().contains(&partition.leader()));
    }
    let leaders: BTreeSet<i32> = topic.partitions().iter().map(|p| p.leader()).collect();
    assert_eq!(leaders.len(), 3, "leadership is spread");
    // Its leader may hear last that it leads.
    let bounds = wait_for("the leader tells its offsets", || {
        client.fetch_watermarks("events", 0, CALL).map_err(|error| error.to_string())
    });
    assert_eq!(bounds, (0, 0), "nothing is in it");
    cluster.down();
}

#[test]
fn a_group_shares_rebalances_and_resumes() {
    const PARTITIONS: u64 = 6;
    let cluster = up(&["--nodes", "3"]);
    cluster.topic("events", PARTITIONS as u32);
    let mut load = cluster.producer();
    let mut read = BTreeMap::new();

    let first = cluster.member("shared", "events");
    poll_until("one member has everything", &[&first], &mut read, |_| assigned(&first).len() == 6);
    let second = cluster.member("shared", "events");
    poll_until("two members have half each", &[&first, &second], &mut read, |_| {
        let (one, two) = (assigned(&first), assigned(&second));
        one.len() == 3 && two.len() == 3 && one.is_disjoint(&two)
    });
    (0..600).for_each(|_| load.send("events", PARTITIONS));
    poll_until("all is read", &[&first, &second], &mut read, |read| read.len() == 600);
    for member in [&first, &second] {
        member.commit_consumer_state(CommitMode::Sync).expect("positions are committed");
    }

    // One leaves: the other one has all again, and goes on behind what both have committed.
    drop(second);
    poll_until("one member has everything again", &[&first], &mut read, |_| {
        assigned(&first).len() == 6
    });
    (0..60).for_each(|_| load.send("events", PARTITIONS));
    poll_until("what is new is read", &[&first], &mut read, |read| read.len() == 660);
    first.commit_consumer_state(CommitMode::Sync).expect("positions are committed");
    drop(first);

    // The coordinator is another one afterwards, for the group or for some other: all of them restart, one by one.
    let mut restarted = Vec::new();
    for (node, pid) in &cluster.nodes {
        cluster.stop(*pid);
        restarted.push(cluster.start_again(node));
        cluster.wait_until_whole("events");
        cluster.wait_until_whole("__consumer_offsets");
    }
    (0..60).for_each(|_| load.send("events", PARTITIONS));
    let third = cluster.member("shared", "events");
    poll_until("what is new is read, and only that", &[&third], &mut read, |read| {
        read.len() == 720
    });
    assert_eq!(committed(&third), [110; PARTITIONS as usize], "behind what was read before");
    drop(third);
    assert_eq!(load.finish(), read, "everything was read once, where it was acknowledged");
    for mut broker in restarted {
        broker.signal(Signal::TERM);
        broker.wait().code(0);
    }
    cluster.down();
}

#[test]
fn a_broker_that_is_told_to_stop_gives_its_leadership_away_first() {
    const PARTITIONS: u64 = 6;
    let cluster = up(&["--nodes", "3"]);
    cluster.topic("events", PARTITIONS as u32);
    let mut load = cluster.producer();
    let leader = cluster.partitions("events").expect("metadata")[0].leader;
    let node = format!("n{leader}");
    let progress = |load: &mut Load, what: &str| {
        let goal = load.acknowledged() + 1000;
        wait_for(what, || {
            load.keep_busy("events", PARTITIONS);
            let acknowledged = load.acknowledged();
            if acknowledged >= goal { Ok(()) } else { Err(format!("{acknowledged} of {goal}")) }
        });
    };
    progress(&mut load, "the load is under way");

    let pid = cluster.nodes[&node];
    place::signal(pid, Signal::TERM);
    wait_for("it stops while the load goes on", || {
        load.keep_busy("events", PARTITIONS);
        match state(pid) {
            None | Some('Z') => Ok(()),
            Some(state) => Err(format!("it is in state {state}")),
        }
    });
    for partition in cluster.partitions("events").expect("metadata") {
        assert_ne!(partition.leader, leader, "{partition:?}");
        assert!(partition.leader > 0, "nothing is without a leader: {partition:?}");
    }
    progress(&mut load, "the load goes on without it");

    let mut again = cluster.start_again(&node);
    wait_for("it is in sync again while the load goes on", || {
        again.assert_runs();
        load.keep_busy("events", PARTITIONS);
        let partitions = cluster.partitions("events")?;
        let whole = |p: &admin::Partition| p.isr.len() == 3;
        if partitions.iter().all(whole) { Ok(()) } else { Err(format!("{partitions:?}")) }
    });
    progress(&mut load, "the load goes on with it");

    let acknowledged = load.finish();
    let mut read = BTreeMap::new();
    let reader = cluster.member("reader", "events");
    poll_until("everything is read", &[&reader], &mut read, |read| {
        read.len() >= acknowledged.len()
    });
    assert_eq!(read, acknowledged, "each record is where it was acknowledged, once");
    drop(reader);
    again.signal(Signal::TERM);
    again.wait().code(0);
    cluster.down();
}
