//! Reading the partitions of a topic, each from a position of its own: what all readers share.
//!
//! Promises: what a broker handed out is recorded as it came, offset by offset; no record is passed over but for a reason
//! that is in the history. A new leader is asked where the epoch of the last record read ends before it is read from
//! (KIP-320); a position that has been truncated away, or is not in the log, is an event, and the reader says where it
//! goes on: at the point where the logs part, or at the nearer bound. A batch that fails its checksum is an event, and asked
//! for again.
//!
//! - [`position`]: one partition's. [`answers`]: what brokers answered.

mod answers;
mod position;

use super::connection::{Happened, Lane, Peer};
use super::metadata::Cluster;
use super::{ClientEffect, Dialect, LIBRARY, MS, Setup, Target, group, jittered_ns, sooner};
use generator::random::Random;
use model::history::{Event, LogRef, PassKind, ReaderEvent, Session};
use model::settings::{ConsumerSettings, Isolation};
use position::{Position, Stage};
use std::collections::BTreeMap;
use wire::api::key;
use wire::batch::Decompressor;
use wire::messages::fetch_request::{FetchPartition, FetchTopic};
use wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use wire::messages::{BrokerId, FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};

const FETCH_BY_NAME: i16 = 12;
const FETCH_BY_ID: i16 = 17;
const FIRST_FETCH_BY_ID: i16 = 13;
pub(super) const LIST_OFFSETS_VERSION: i16 = 7;
const OFFSET_FOR_LEADER_EPOCH_VERSION: i16 = 4;
pub(super) const EARLIEST: i64 = -2;
pub(super) const LATEST: i64 = -1;
/// `fetch.error.backoff.ms`.
const BACKOFF_MS: u64 = 50;

/// What a request of a reader was for.
#[derive(Debug)]
pub(super) enum Ask {
    Fetch(Vec<Asked>),
    /// ListOffsets for the start or the end of a log.
    Offset {
        asked: Asked,
        latest: bool,
    },
    /// ListOffsets for the end of a partition's log, whatever its position.
    End(u32),
    Epoch(Asked),
    Group(group::Ask),
}

/// A partition as it stood when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub partition: u32,
    pub offset: i64,
    /// The count of assignments: an answer to an earlier one is nobody's.
    pub assignment: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct FetchSettings {
    pub wait_ms: u64,
    pub bytes_max: u32,
    /// How often to ask how far the logs go; 0: never.
    pub lag_every_ms: u64,
}

pub(super) struct Reading {
    run: u64,
    target: Target,
    pub session: Session,
    pass: u32,
    dialect: Dialect,
    settings: FetchSettings,
    random: Random,
    positions: BTreeMap<u32, Position>,
    decompressor: Decompressor,
    assignment: u32,
    /// Brokers that have a Fetch of ours.
    fetching: Vec<i32>,
    turn: usize,
    end_asked: bool,
    end_turn: usize,
    end_at_ns: u64,
    /// Records read so far.
    pub read: u64,
    /// How often a position was moved without reading.
    pub seeks: u64,
    pub wake_ns: Option<u64>,
}

impl Reading {
    pub fn new(setup: &Setup, target: &Target, settings: FetchSettings) -> Reading {
        let mut random = setup.random.clone();
        Reading {
            run: setup.run,
            target: target.clone(),
            session: setup.sessions.open(),
            pass: 0,
            dialect: Dialect::draw(&mut random),
            settings,
            random,
            positions: BTreeMap::new(),
            decompressor: Decompressor::default(),
            assignment: 0,
            fetching: Vec::new(),
            turn: 0,
            end_asked: false,
            end_turn: 0,
            end_at_ns: 0,
            read: 0,
            seeks: 0,
            wake_ns: None,
        }
    }

    pub fn log(&self, partition: u32) -> LogRef {
        LogRef { topic: self.target.topic, partition }
    }

    pub fn tell(&self, what: ReaderEvent, effects: &mut Vec<ClientEffect>) {
        let (reader, pass) = (self.session, self.pass);
        effects.push(ClientEffect::Record(Event::Reader { reader, pass, what }));
    }

    /// The session and its pass begin.
    pub fn open(
        &self,
        name: &str,
        kind: PassKind,
        group: Option<&str>,
        effects: &mut Vec<ClientEffect>,
    ) {
        let pairs = [
            ("auto.offset.reset", "error".to_owned()),
            ("check.crcs", "true".to_owned()),
            ("client.id", name.to_owned()),
            ("enable.auto.commit", group.is_some().to_string()),
            ("fetch.max.bytes", self.settings.bytes_max.to_string()),
            ("fetch.wait.max.ms", self.settings.wait_ms.to_string()),
            ("group.id", group.unwrap_or("highwater-readers").to_owned()),
            ("isolation.level", "read_uncommitted".to_owned()),
        ];
        let settings = ConsumerSettings {
            group: None,
            isolation: Isolation::ReadUncommitted,
            properties: pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            library: LIBRARY.to_owned(),
        };
        let (session, pass) = (self.session, self.pass);
        let opened = Event::ConsumerOpened { session, name: name.to_owned(), settings };
        effects.push(ClientEffect::Record(opened));
        effects.push(ClientEffect::Record(Event::PassBegan { reader: session, pass, kind }));
    }

    pub fn close(&self, complete: bool, effects: &mut Vec<ClientEffect>) {
        let (session, pass) = (self.session, self.pass);
        let ended = Event::PassEnded { reader: session, pass, complete };
        effects.push(ClientEffect::Record(ended));
        effects.push(ClientEffect::Record(Event::SessionClosed { session }));
    }

    /// Reads these partitions from now on and no others: from an offset (and the epoch of the record before it, or -1), or
    /// from the start.
    pub fn assign(
        &mut self,
        partitions: &BTreeMap<u32, Option<(i64, i32)>>,
        effects: &mut Vec<ClientEffect>,
    ) {
        self.assignment += 1;
        let position = |from: &Option<(i64, i32)>| match from {
            None => Position::new(Stage::Start, 0, -1),
            Some((offset, epoch)) => Position::new(Stage::Fetch, *offset, *epoch),
        };
        self.positions = partitions.iter().map(|(p, from)| (*p, position(from))).collect();
        let log = |(partition, from): (&u32, &Option<(i64, i32)>)| {
            (self.log(*partition), from.map(|(offset, _)| offset))
        };
        let logs = partitions.iter().map(log).collect();
        self.tell(ReaderEvent::Assigned { logs }, effects);
    }

    pub fn assign_all(&mut self, effects: &mut Vec<ClientEffect>) {
        let all = (0..self.target.partitions).map(|partition| (partition, None)).collect();
        self.assign(&all, effects);
    }

    pub fn revoke(&mut self, effects: &mut Vec<ClientEffect>) {
        if self.positions.is_empty() {
            return;
        }
        self.assignment += 1;
        let logs = self.positions.keys().map(|partition| self.log(*partition)).collect();
        self.positions.clear();
        self.tell(ReaderEvent::Revoked { logs }, effects);
    }

    /// Where every partition stands that has a position: the next offset, and the epoch of the record before it.
    pub fn positions(&self) -> impl Iterator<Item = (u32, i64, i32)> {
        let known = self.positions.iter().filter(|(_, position)| position.stage != Stage::Start);
        known.map(|(partition, position)| (*partition, position.offset, position.last_epoch))
    }

    /// The next offset, once the start of the log is known.
    pub fn offset(&self, partition: u32) -> Option<i64> {
        let position = self.positions.get(&partition)?;
        (position.stage != Stage::Start).then_some(position.offset)
    }

    /// Asks brokers for what every partition is in need of.
    pub fn drive(
        &mut self,
        now_ns: u64,
        cluster: &mut Cluster<Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        self.wake_ns = None;
        self.ask_for_end(now_ns, cluster, effects);
        let mut fetches: Vec<(i32, Vec<(u32, i32)>)> = Vec::new();
        for (partition, position) in &mut self.positions {
            if position.busy {
                continue;
            }
            let Some(leader) = cluster.leader(*partition) else {
                cluster.refresh_soon(now_ns);
                continue;
            };
            position.led_in(leader.epoch);
            if position.retry_at_ns > now_ns {
                self.wake_ns = sooner(self.wake_ns, Some(position.retry_at_ns));
                continue;
            }
            let peer = Peer { broker: leader.broker, lane: Lane::Data };
            if position.stage == Stage::Fetch {
                if self.fetching.contains(&leader.broker) {
                    continue;
                }
                match fetches.iter_mut().find(|(broker, _)| *broker == leader.broker) {
                    Some((_, partitions)) => partitions.push((*partition, leader.epoch)),
                    None if cluster.connections.open(now_ns, peer, effects) => {
                        fetches.push((leader.broker, vec![(*partition, leader.epoch)]));
                    }
                    None => {}
                }
                continue;
            }
            if !cluster.connections.open(now_ns, peer, effects) {
                continue;
            }
            position.busy = true;
            let (partition, offset, assignment) = (*partition, position.offset, self.assignment);
            let asked = Asked { partition, offset, assignment };
            match position.stage {
                Stage::Start | Stage::Bounds { start: None } => {
                    ask_offset(now_ns, peer, asked, false, leader.epoch, cluster, effects);
                }
                Stage::Bounds { start: Some(_) } => {
                    ask_offset(now_ns, peer, asked, true, leader.epoch, cluster, effects);
                }
                Stage::Validate => {
                    let epochs = (leader.epoch, position.last_epoch);
                    ask_epoch(now_ns, peer, asked, epochs, cluster, effects);
                }
                Stage::Fetch => unreachable!("fetches go together"),
            }
        }
        for (broker, partitions) in fetches {
            self.fetch(now_ns, broker, partitions, cluster, effects);
        }
    }

    fn fetch(
        &mut self,
        now_ns: u64,
        broker: i32,
        mut partitions: Vec<(u32, i32)>,
        cluster: &mut Cluster<Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        let peer = Peer { broker, lane: Lane::Data };
        let highest = if self.dialect == Dialect::Names { FETCH_BY_NAME } else { FETCH_BY_ID };
        let Some(version) = cluster.connections.version(peer, key::FETCH, highest) else { return };
        // Each comes first in its turn: a small limit must not starve the last.
        let turn = self.turn % partitions.len();
        self.turn += 1;
        partitions.rotate_left(turn);
        let bytes_max = i32::try_from(self.settings.bytes_max).unwrap_or(i32::MAX);
        let mut asked = Vec::with_capacity(partitions.len());
        let mut wanted = Vec::with_capacity(partitions.len());
        for (partition, leader_epoch) in partitions {
            let position = self.positions.get_mut(&partition).expect("it was just looked at");
            position.busy = true;
            let (offset, assignment) = (position.offset, self.assignment);
            asked.push(Asked { partition, offset, assignment });
            wanted.push(
                FetchPartition::default()
                    .with_partition(partition as i32)
                    .with_current_leader_epoch(leader_epoch)
                    .with_fetch_offset(offset)
                    .with_partition_max_bytes(bytes_max),
            );
        }
        let topic = FetchTopic::default().with_partitions(wanted);
        let topic = if version >= FIRST_FETCH_BY_ID {
            topic.with_topic_id(cluster.topic_id())
        } else {
            topic.with_topic(cluster.topic_name())
        };
        let body = FetchRequest::default()
            .with_max_wait_ms(i32::try_from(self.settings.wait_ms).unwrap_or(i32::MAX))
            .with_min_bytes(1)
            .with_max_bytes(bytes_max)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        self.fetching.push(broker);
        let timeout_ns = cluster.request_timeout_ns + self.settings.wait_ms * MS;
        let ask = Some(Ask::Fetch(asked));
        cluster.send(now_ns, peer, key::FETCH, version, &body, timeout_ns, ask, effects);
    }

    /// As a tool that shows how far consumers lag behind: asks one leader after the other where its log ends.
    fn ask_for_end(
        &mut self,
        now_ns: u64,
        cluster: &mut Cluster<Ask>,
        effects: &mut Vec<ClientEffect>,
    ) {
        if self.settings.lag_every_ms == 0 || self.end_asked || self.positions.is_empty() {
            return;
        }
        if now_ns >= self.end_at_ns {
            self.end_at_ns = now_ns + self.settings.lag_every_ms * MS;
            self.end_turn += 1;
            let partition = self.positions.keys().nth(self.end_turn % self.positions.len());
            let partition = partition.copied().unwrap_or(0);
            if let Some(leader) = cluster.leader(partition) {
                let peer = Peer { broker: leader.broker, lane: Lane::Control };
                if cluster.connections.open(now_ns, peer, effects) {
                    let version =
                        cluster.connections.version(peer, key::LIST_OFFSETS, LIST_OFFSETS_VERSION);
                    let version = version.unwrap_or(LIST_OFFSETS_VERSION);
                    let body = list_offsets(cluster, partition, true, leader.epoch);
                    let (timeout_ns, ask) = (cluster.request_timeout_ns, Some(Ask::End(partition)));
                    self.end_asked = true;
                    let api_key = key::LIST_OFFSETS;
                    cluster.send(now_ns, peer, api_key, version, &body, timeout_ns, ask, effects);
                    return;
                }
            }
        }
        self.wake_ns = sooner(self.wake_ns, Some(self.end_at_ns));
    }

    fn backoff_ns(&mut self, now_ns: u64) -> u64 {
        now_ns + jittered_ns(&mut self.random, BACKOFF_MS)
    }
}

/// ListOffsets to a leader, for one end of one log.
fn ask_offset(
    now_ns: u64,
    peer: Peer,
    asked: Asked,
    latest: bool,
    leader_epoch: i32,
    cluster: &mut Cluster<Ask>,
    effects: &mut Vec<ClientEffect>,
) {
    let api_key = key::LIST_OFFSETS;
    let version = cluster.connections.version(peer, api_key, LIST_OFFSETS_VERSION);
    let body = list_offsets(cluster, asked.partition, latest, leader_epoch);
    let timeout_ns = cluster.request_timeout_ns;
    let ask = Some(Ask::Offset { asked, latest });
    let version = version.unwrap_or(LIST_OFFSETS_VERSION);
    cluster.send(now_ns, peer, api_key, version, &body, timeout_ns, ask, effects);
}

pub(super) fn list_offsets<Q>(
    cluster: &Cluster<Q>,
    partition: u32,
    latest: bool,
    leader_epoch: i32,
) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(partition as i32)
        .with_current_leader_epoch(leader_epoch)
        .with_timestamp(if latest { LATEST } else { EARLIEST });
    let topic = ListOffsetsTopic::default()
        .with_name(cluster.topic_name())
        .with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic])
}

/// OffsetForLeaderEpoch: where does the epoch of our last record end in the leader's log?
fn ask_epoch(
    now_ns: u64,
    peer: Peer,
    asked: Asked,
    (leader_epoch, last_epoch): (i32, i32),
    cluster: &mut Cluster<Ask>,
    effects: &mut Vec<ClientEffect>,
) {
    let api_key = key::OFFSET_FOR_LEADER_EPOCH;
    let version = cluster.connections.version(peer, api_key, OFFSET_FOR_LEADER_EPOCH_VERSION);
    let partition = OffsetForLeaderPartition::default()
        .with_partition(asked.partition as i32)
        .with_current_leader_epoch(leader_epoch)
        .with_leader_epoch(last_epoch);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(cluster.topic_name())
        .with_partitions(vec![partition]);
    let body = OffsetForLeaderEpochRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(vec![topic]);
    let timeout_ns = cluster.request_timeout_ns;
    let ask = Some(Ask::Epoch(asked));
    let version = version.unwrap_or(OFFSET_FOR_LEADER_EPOCH_VERSION);
    cluster.send(now_ns, peer, api_key, version, &body, timeout_ns, ask, effects);
}
