//! The final reads: where every log ends, and a pass over each from its start to there.
//!
//! Promises: an end is settled when a log's leader gave the same high watermark twice, some time apart, within one leader
//! epoch, and its log ends there, too: where it does not, acknowledged records (acks=1) are still on their way to a follower
//! that is slow, and a mark that stands still says nothing of them. It is recorded as [`Event::LogBounds`], once. All readers
//! of a run read to the ends that one [`LogEnds`] found, as in a real run: what nobody waits for (acks=0, or given up) may be
//! on its way to a leader even then, and make the log longer while they read. A pass is complete when every log that it was
//! given was read to its end. Not promised: that there is an end to find; whoever waits decides for how long.

use super::connection::{Happened, Lane, Peer, read};
use super::metadata::Cluster;
use super::reading::{self, Ask, FetchSettings, Reading};
use super::{Client, ClientEffect, MS, Setup, Target, jittered_ns, sooner};
use generator::random::Random;
use model::history::{Event, LogRef, PassKind, Session};
use node::step::{Input, Now};
use std::collections::BTreeMap;
use wire::api::key;
use wire::messages::{BrokerId, ListOffsetsResponse};

/// Between the two questions for the high watermark.
const APART_NS: u64 = 20 * MS;
/// Whoever asks in this name is told the log's end, where a consumer is told the high watermark (Kafka's
/// ListOffsetsRequest.DEBUGGING_REPLICA_ID).
const DEBUGGING_REPLICA: BrokerId = BrokerId(-2);
const BACKOFF_MS: u64 = 50;
const REFRESH_MS: u64 = 500;
const REQUEST_TIMEOUT_MS: u64 = 2_000;
const FETCH: FetchSettings = FetchSettings { wait_ms: 100, bytes_max: 1 << 20, lag_every_ms: 0 };

/// What is known of one log's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bounds {
    leader_epoch: i32,
    start: Option<i64>,
    first_end: Option<i64>,
    /// The second answer was the first one again.
    is_agreed: bool,
}

struct Search {
    bounds: Bounds,
    busy: bool,
    next_ns: u64,
}

/// Which answer is awaited.
#[derive(Debug)]
struct Question {
    partition: u32,
    leader_epoch: i32,
}

/// Finds where the logs of a topic end.
pub struct LogEnds {
    target: Target,
    cluster: Cluster<Question>,
    random: Random,
    searches: BTreeMap<u32, Search>,
    found: BTreeMap<u32, i64>,
    /// The ends that stand, wherever the logs end by now.
    given: BTreeMap<u32, i64>,
    started: bool,
    done: bool,
    wake_ns: Option<u64>,
}

impl LogEnds {
    pub fn new(setup: Setup, target: Target) -> LogEnds {
        LogEnds::after(setup, target, BTreeMap::new())
    }

    /// Asks again where the logs begin, after passes to these ends.
    pub fn after(setup: Setup, target: Target, given: BTreeMap<u32, i64>) -> LogEnds {
        let search = || Search { bounds: Bounds::default(), busy: false, next_ns: 0 };
        LogEnds {
            cluster: Cluster::new(&setup, &target.name, Lane::Data, REFRESH_MS, REQUEST_TIMEOUT_MS),
            random: setup.random.clone(),
            searches: (0..target.partitions).map(|partition| (partition, search())).collect(),
            found: BTreeMap::new(),
            given,
            started: false,
            done: false,
            wake_ns: None,
            target,
        }
    }

    /// The exclusive end offset of each log, as far as they are settled: all of them, when nobody told it to stop.
    pub fn found(&self) -> &BTreeMap<u32, i64> {
        &self.found
    }

    fn drive(&mut self, now_ns: u64, effects: &mut Vec<ClientEffect>) {
        self.wake_ns = None;
        if self.done || !self.started {
            return;
        }
        if self.searches.is_empty() {
            self.finish(effects);
            return;
        }
        for (partition, search) in &mut self.searches {
            if search.busy {
                continue;
            }
            if search.next_ns > now_ns {
                self.wake_ns = sooner(self.wake_ns, Some(search.next_ns));
                continue;
            }
            let Some(leader) = self.cluster.leader(*partition) else {
                self.cluster.refresh_soon(now_ns);
                continue;
            };
            let peer = Peer { broker: leader.broker, lane: Lane::Data };
            if !self.cluster.connections.open(now_ns, peer, effects) {
                continue;
            }
            if search.bounds.leader_epoch != leader.epoch {
                search.bounds = Bounds { leader_epoch: leader.epoch, ..Bounds::default() };
            }
            let highest = reading::LIST_OFFSETS_VERSION;
            let connections = &self.cluster.connections;
            let Some(version) = connections.version(peer, key::LIST_OFFSETS, highest) else {
                continue;
            };
            search.busy = true;
            let latest = search.bounds.start.is_some();
            let mut body = reading::list_offsets(&self.cluster, *partition, latest, leader.epoch);
            if search.bounds.is_agreed {
                body.replica_id = DEBUGGING_REPLICA;
            }
            let timeout_ns = self.cluster.request_timeout_ns;
            let ask = Some(Question { partition: *partition, leader_epoch: leader.epoch });
            let api_key = key::LIST_OFFSETS;
            self.cluster.send(now_ns, peer, api_key, version, &body, timeout_ns, ask, effects);
        }
        self.cluster.drive(now_ns, effects);
        self.wake_ns = sooner(self.wake_ns, self.cluster.deadline());
    }

    fn finish(&mut self, effects: &mut Vec<ClientEffect>) {
        self.cluster.connections.close_all(effects);
        self.done = true;
        self.wake_ns = None;
    }

    fn on_happened(
        &mut self,
        now_ns: u64,
        happened: Happened<Question>,
        effects: &mut Vec<ClientEffect>,
        out: &mut Vec<Happened<Question>>,
    ) {
        match happened {
            Happened::Down { .. } => {}
            Happened::Lost { ask, .. } => self.again(now_ns, ask.partition),
            Happened::Answered { peer, ask, version, body } => {
                match read::<ListOffsetsResponse>(peer, version, body) {
                    Ok(answer) => {
                        let told = answer.topics.iter().flat_map(|topic| &topic.partitions).next();
                        let told = told.filter(|told| told.error_code == 0 && told.offset >= 0);
                        match told {
                            Some(told) => self.on_offset(now_ns, &ask, told.offset, effects),
                            None => self.again(now_ns, ask.partition),
                        }
                    }
                    Err(complaint) => {
                        self.again(now_ns, ask.partition);
                        self.cluster.refuse(now_ns, peer, complaint, effects, out);
                    }
                }
            }
        }
    }

    /// From the beginning, a little later, with newer metadata.
    fn again(&mut self, now_ns: u64, partition: u32) {
        self.cluster.refresh_soon(now_ns);
        let next_ns = now_ns + jittered_ns(&mut self.random, BACKOFF_MS);
        if let Some(search) = self.searches.get_mut(&partition) {
            *search = Search { bounds: Bounds::default(), busy: false, next_ns };
        }
    }

    fn on_offset(
        &mut self,
        now_ns: u64,
        question: &Question,
        offset: i64,
        effects: &mut Vec<ClientEffect>,
    ) {
        let partition = question.partition;
        let Some(search) = self.searches.get_mut(&partition) else { return };
        search.busy = false;
        // Whoever leads by now: the answers must be of one leader's epoch.
        let leader = self.cluster.leader(partition);
        if leader.is_none_or(|leader| leader.epoch != question.leader_epoch) {
            self.again(now_ns, partition);
            return;
        }
        let bounds = &mut search.bounds;
        match (bounds.start, bounds.first_end) {
            (None, _) => bounds.start = Some(offset),
            (Some(_), None) => {
                bounds.first_end = Some(offset);
                search.next_ns = now_ns + APART_NS;
            }
            (Some(_), Some(first)) if first == offset && !bounds.is_agreed => {
                bounds.is_agreed = true;
            }
            (Some(start), Some(first)) if first == offset => {
                let log = LogRef { topic: self.target.topic, partition };
                let end = self.given.get(&partition).copied().unwrap_or(offset);
                let leader_epoch = question.leader_epoch;
                let event = Event::LogBounds { log, leader_epoch, start, end, settled: true };
                effects.push(ClientEffect::Record(event));
                self.found.insert(partition, end);
                self.searches.remove(&partition);
            }
            // It still moves, or will.
            _ => self.again(now_ns, partition),
        }
    }
}

impl Client for LogEnds {
    fn step(&mut self, now: Now, input: Input, effects: &mut Vec<ClientEffect>) {
        if self.done {
            return;
        }
        self.started |= matches!(input, Input::Start);
        let mut happened = Vec::new();
        self.cluster.on_input(now.mono_ns, input, effects, &mut happened);
        while !happened.is_empty() {
            for one in std::mem::take(&mut happened) {
                self.on_happened(now.mono_ns, one, effects, &mut happened);
            }
        }
        self.drive(now.mono_ns, effects);
    }

    fn deadline(&self) -> Option<u64> {
        self.wake_ns
    }

    /// Logs without a settled end stay without one.
    fn stop_sending(&mut self) {
        self.searches.clear();
        if !self.done {
            self.wake_ns = Some(0);
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn progress(&self) -> u64 {
        self.found.len() as u64
    }

    fn complaints(&self) -> &[String] {
        &self.cluster.connections.complaints
    }
}

/// Reads every log of a topic from its start to its end, once.
pub struct FinalReader {
    name: String,
    cluster: Cluster<Ask>,
    reading: Reading,
    /// The logs that are not read to their end yet.
    ends: BTreeMap<u32, i64>,
    /// Nothing can make the pass complete any more.
    given_up: bool,
    complete: bool,
    started: bool,
    done: bool,
    wake_ns: Option<u64>,
}

impl FinalReader {
    /// `ends`: what a [`LogEnds`] found. A log without an end there is not waited for, as in a real run; the checker then says
    /// that it does not know.
    pub fn new(setup: Setup, target: Target, ends: &BTreeMap<u32, i64>) -> FinalReader {
        let control = Lane::Control;
        FinalReader {
            cluster: Cluster::new(&setup, &target.name, control, REFRESH_MS, REQUEST_TIMEOUT_MS),
            reading: Reading::new(&setup, &target, FETCH),
            ends: ends.clone(),
            given_up: false,
            complete: false,
            started: false,
            done: false,
            wake_ns: None,
            name: setup.name,
        }
    }

    pub fn session(&self) -> Session {
        self.reading.session
    }

    /// Every log was read to its end.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    fn drive(&mut self, now_ns: u64, effects: &mut Vec<ClientEffect>) {
        self.wake_ns = None;
        if self.done || !self.started {
            return;
        }
        let reading = &self.reading;
        self.ends.retain(|partition, end| reading.offset(*partition).is_none_or(|at| at < *end));
        if self.ends.is_empty() || self.given_up {
            self.complete = self.ends.is_empty();
            self.cluster.connections.close_all(effects);
            self.reading.close(self.complete, effects);
            self.done = true;
            return;
        }
        self.reading.drive(now_ns, &mut self.cluster, effects);
        self.cluster.drive(now_ns, effects);
        self.wake_ns = sooner(self.reading.wake_ns, self.cluster.deadline());
    }
}

impl Client for FinalReader {
    fn step(&mut self, now: Now, input: Input, effects: &mut Vec<ClientEffect>) {
        if self.done {
            return;
        }
        if matches!(input, Input::Start) {
            self.started = true;
            self.reading.open(&self.name, PassKind::Final, None, effects);
            self.reading.assign_all(effects);
        }
        let mut happened = Vec::new();
        self.cluster.on_input(now.mono_ns, input, effects, &mut happened);
        while !happened.is_empty() {
            for one in std::mem::take(&mut happened) {
                let out = &mut happened;
                self.reading.on_happened(now.mono_ns, one, &mut self.cluster, effects, out);
            }
        }
        self.drive(now.mono_ns, effects);
    }

    fn deadline(&self) -> Option<u64> {
        self.wake_ns
    }

    fn stop_sending(&mut self) {
        self.given_up = true;
        if !self.done {
            self.wake_ns = Some(0);
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn progress(&self) -> u64 {
        self.reading.read
    }

    fn complaints(&self) -> &[String] {
        &self.cluster.connections.complaints
    }
}
