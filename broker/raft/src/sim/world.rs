//! The world: time, network, disks, a client that appends, a state machine at each member, and bad luck.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use log::LogConfig;
use log::io::{FileId, IoOp, IoQueue, IoResult, Token};
use log::memory_disk::MemoryDisk;

use super::check::{Checks, Life};
use crate::rng::Rng;
use crate::{
    CallFailed, Config, Defects, Now, Output, Quorum, Request, RequestRef, Response, Voter,
    VoterSet, directory_id_for,
};

const CLUSTER: &str = "the-cluster";
const CHAOS_MS: u64 = 1_500;
/// Long enough for elections after the healing.
const HEALING_MS: u64 = 1_000;
const WALL_MS: i64 = 1_700_000_000_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct WorldConfig {
    pub voters: i32,
    pub observers: i32,
    pub faults: bool,
    pub defects: Defects,
}

impl Default for WorldConfig {
    fn default() -> WorldConfig {
        WorldConfig { voters: 3, observers: 0, faults: true, defects: Defects::default() }
    }
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Story {
    pub steps: u64,
    pub leaders: usize,
    pub committed: usize,
    pub snapshots_loaded: u64,
    pub ended_at_ms: u64,
}

#[derive(Debug)]
pub(super) enum Event {
    Tick { node: i32, life: u64 },
    Io { node: i32, life: u64, token: Token },
    Request { to: i32, from: i32, from_life: u64, call: u64, request: Request },
    Answer { to: i32, life: u64, peer: i32, call: u64, result: Result<Response, CallFailed> },
    PeerGone { to: i32, peer: i32 },
    Append,
    Trouble,
    Start { node: i32 },
    Crash { node: i32 },
    Unplug { from: i32, to: i32, plugged: bool },
}

pub(super) struct Member {
    pub(super) quorum: Option<Quorum>,
    pub(super) life: u64,
    pub(super) io: IoQueue,
    pub(super) disk: MemoryDisk,
    pub(super) under_way: BTreeMap<Token, IoOp>,
    pub(super) file_free_at: BTreeMap<FileId, u64>,
    pub(super) tick_at: u64,
    pub(super) known: Life,
    /// The state machine: every record so far.
    pub(super) state: BTreeMap<i64, u64>,
    pub(super) applied: i64,
    pub(super) leads: Option<i32>,
}

pub(super) struct World {
    pub(super) config: WorldConfig,
    pub(super) rng: Rng,
    pub(super) now_ms: u64,
    pub(super) sequence: u64,
    pub(super) events: BTreeMap<(u64, u64), Event>,
    pub(super) members: BTreeMap<i32, Member>,
    pub(super) voters: VoterSet,
    pub(super) checks: Checks,
    pub(super) unplugged: BTreeSet<(i32, i32)>,
    pub(super) stream_free_at: BTreeMap<(i32, i32), u64>,
    /// Requests that wait for an answer: who asked, in which life, under which call, and what.
    pub(super) asked: BTreeMap<u64, (i32, i32, u64, u64, Request)>,
    pub(super) next_request: u64,
    pub(super) next_value: u64,
    pub(super) healed: bool,
    pub(super) steps: u64,
    pub(super) snapshots_loaded: u64,
}

impl World {
    pub(super) fn new(seed: u64, config: WorldConfig) -> World {
        let voter = |id| Voter {
            id,
            directory_id: directory_id_for(CLUSTER, id),
            host: "localhost".to_owned(),
            port: 9000 + id as u16,
        };
        let mut world = World {
            config,
            rng: Rng::new(seed),
            now_ms: 1_000,
            sequence: 0,
            events: BTreeMap::new(),
            members: BTreeMap::new(),
            voters: VoterSet::new((1..=config.voters).map(voter).collect()).expect("distinct ids"),
            checks: Checks::default(),
            unplugged: BTreeSet::new(),
            stream_free_at: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_request: 0,
            next_value: 0,
            healed: !config.faults,
            steps: 0,
            snapshots_loaded: 0,
        };
        for id in 1..=config.voters + config.observers {
            world.members.insert(id, Member::new());
            let at = world.rng.below(30);
            world.after(at, Event::Start { node: id });
        }
        world.after(50, Event::Append);
        world.after(200, Event::Trouble);
        world
    }

    pub(super) fn run(mut self) -> Story {
        self.run_until(self.now_ms + CHAOS_MS);
        self.heal();
        self.run_until(self.now_ms + HEALING_MS);
        self.check_agreement();
        Story {
            steps: self.steps,
            leaders: self.checks.leaders(),
            committed: self.checks.committed.len(),
            snapshots_loaded: self.snapshots_loaded,
            ended_at_ms: self.now_ms,
        }
    }

    /// How long after a leader's death another one is at work, in milliseconds.
    pub(super) fn fail_over(&mut self) -> u64 {
        self.run_until(self.now_ms + 1_000);
        let leader = self.leader().expect("a quiet world has a leader");
        let died_at = self.now_ms;
        self.crash(leader, false);
        for other in self.others(leader) {
            let delay = 1 + self.rng.below(10);
            self.after(delay, Event::PeerGone { to: other, peer: leader });
        }
        while self.leader().is_none_or(|id| id == leader) {
            self.run_until(self.now_ms + 5);
            assert!(self.now_ms < died_at + 5_000, "no leader after five seconds");
        }
        self.now_ms - died_at
    }

    fn leader(&self) -> Option<i32> {
        let leads = |m: &Member| m.leads.is_some() && m.quorum.is_some();
        self.members.iter().find(|(_, m)| leads(m)).map(|(id, _)| *id)
    }

    pub(super) fn others(&self, id: i32) -> Vec<i32> {
        self.members.keys().copied().filter(|other| *other != id).collect()
    }

    pub(super) fn after(&mut self, delay_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now_ms + delay_ms, self.sequence), event);
    }

    fn run_until(&mut self, end_ms: u64) {
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > end_ms {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now_ms = at;
            self.happen(event);
        }
        self.now_ms = end_ms;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start { node } => self.start(node),
            Event::Crash { node } => {
                self.crash(node, true);
                let back = self.rng.below(60);
                self.after(back, Event::Start { node });
            }
            Event::Tick { node, life } => {
                let now_ms = self.now_ms;
                let member = self.member(node);
                if member.life == life && member.tick_at <= now_ms {
                    member.tick_at = u64::MAX;
                    self.step(node, |quorum, now, io, out| quorum.on_tick(now, io, out));
                }
            }
            Event::Io { node, life, token } => self.complete_io(node, life, token),
            Event::Request { to, from, from_life, call, request } => {
                self.arrive(to, from, from_life, call, request);
            }
            Event::Answer { to, life, peer, call, result } => {
                if self.member(to).life == life {
                    self.step(to, |quorum, now, io, out| {
                        quorum.on_response(now, peer, call, result, io, out);
                    });
                }
            }
            Event::PeerGone { to, peer } => {
                self.step(to, |quorum, now, io, out| quorum.on_peer_gone(now, peer, io, out));
            }
            Event::Append => self.client_append(),
            Event::Trouble => self.trouble(),
            Event::Unplug { from, to, plugged } => {
                if plugged {
                    self.unplugged.remove(&(from, to));
                } else {
                    self.unplugged.insert((from, to));
                }
            }
        }
    }

    pub(super) fn member(&mut self, id: i32) -> &mut Member {
        self.members.get_mut(&id).expect("events name members")
    }

    fn start(&mut self, id: i32) {
        let seed = self.rng.next_u64();
        let config = self.quorum_config(id, seed);
        let member = self.member(id);
        if member.quorum.is_some() {
            return;
        }
        member.quorum = Some(Quorum::new(config));
        self.step(id, |quorum, now, io, out| quorum.start(now, io, out));
    }

    fn quorum_config(&self, id: i32, seed: u64) -> Config {
        Config {
            fetch_timeout_ms: 200,
            election_timeout_ms: 100,
            election_backoff_max_ms: 100,
            request_timeout_ms: 150,
            fetch_max_wait_ms: 50,
            fetch_max_bytes: 700,
            snapshot_max_new_record_bytes: 2_500,
            seed,
            log: LogConfig { segment_bytes: 1_500, ..LogConfig::default() },
            defects: self.config.defects,
            ..Config::new(id, CLUSTER, self.voters.iter().cloned().collect())
        }
    }

    pub(super) fn step(
        &mut self,
        id: i32,
        act: impl FnOnce(&mut Quorum, Now, &mut IoQueue, &mut Vec<Output>),
    ) {
        self.steps += 1;
        let now = Now { mono_ms: self.now_ms, wall_ms: WALL_MS + self.now_ms as i64 };
        let member = self.member(id);
        let Some(mut quorum) = member.quorum.take() else { return };
        let mut io = std::mem::take(&mut member.io);
        let mut out = Vec::new();
        act(&mut quorum, now, &mut io, &mut out);
        let mut known = std::mem::take(&mut self.member(id).known);
        self.checks.after_step(id, &quorum, &mut known, &self.voters);
        let deadline = quorum.deadline();
        let member = self.member(id);
        member.known = known;
        member.quorum = Some(quorum);
        member.io = io;
        self.submit_io(id);
        for output in out {
            self.carry_out(id, output);
        }
        self.schedule_tick(id, deadline);
    }

    fn schedule_tick(&mut self, id: i32, deadline: Option<u64>) {
        let Some(at) = deadline else { return };
        let now_ms = self.now_ms;
        let member = self.member(id);
        // Late by nature: never in the same instant.
        let at = at.max(now_ms + 1);
        if at < member.tick_at {
            member.tick_at = at;
            let life = member.life;
            self.after(at - now_ms, Event::Tick { node: id, life });
        }
    }

    fn submit_io(&mut self, id: i32) {
        let submitted: Vec<(Token, IoOp)> = self.member(id).io.drain().collect();
        for (token, op) in submitted {
            let slow = self.rng.below(20) == 0;
            let delay = self.rng.below(if slow { 40 } else { 4 });
            let mut at = self.now_ms + delay;
            let member = self.member(id);
            if let Some(file) = op.file() {
                at = at.max(member.file_free_at.get(&file).copied().unwrap_or(0));
                member.file_free_at.insert(file, at);
            }
            member.under_way.insert(token, op);
            let life = member.life;
            let delay = at - self.now_ms;
            self.after(delay, Event::Io { node: id, life, token });
        }
    }

    fn complete_io(&mut self, id: i32, life: u64, token: Token) {
        let member = self.member(id);
        if member.life != life {
            return;
        }
        let Some(op) = member.under_way.remove(&token) else { return };
        let result: IoResult = member.disk.execute(&op);
        self.step(id, |quorum, now, io, out| quorum.on_io(now, token, result, io, out));
    }

    // ---- outputs

    fn carry_out(&mut self, id: i32, output: Output) {
        match output {
            Output::Call { peer, call, request } => self.send(id, peer, call, request),
            Output::Respond { to, response } => self.send_back(id, to, response),
            Output::Committed { records, last_offset, .. } => self.apply(id, records, last_offset),
            Output::LoadSnapshot { offset, records, .. } => {
                assert_eq!(self.member(id).leads, None, "LeaderNeverLoadSnapshot");
                self.snapshots_loaded += 1;
                let state: BTreeMap<i64, u64> = records.iter().map(decode).collect();
                for (at, value) in &state {
                    self.checks.delivered(id, *at, *value);
                }
                let below = self.checks.committed.range(..offset).count();
                assert_eq!(state.len(), below, "a snapshot at {offset} lacks records");
                let member = self.member(id);
                assert!(offset >= member.applied);
                member.state = state;
                member.applied = offset;
            }
            Output::SnapshotWanted { offset, epoch } => {
                let member = self.member(id);
                assert_eq!(offset, member.applied);
                let records = member.state.iter().map(|(at, value)| encode(*at, *value)).collect();
                self.step(id, |quorum, now, io, out| {
                    quorum.write_snapshot(now, offset, epoch, records, io, out);
                });
            }
            Output::BecameLeader { epoch, .. } => self.member(id).leads = Some(epoch),
            Output::LostLeadership { epoch } => {
                assert_eq!(self.member(id).leads.take(), Some(epoch));
            }
            Output::Failed(reason) => panic!("member {id}: {reason}"),
            Output::LeaderChanged { .. } | Output::Ready => {}
            Output::Closed => unreachable!("nobody closes"),
        }
    }

    fn apply(&mut self, id: i32, records: Vec<(i64, Bytes)>, last_offset: i64) {
        for (offset, bytes) in records {
            let value = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
            self.checks.delivered(id, offset, value);
            let member = self.member(id);
            assert!(offset >= member.applied, "delivered twice, or out of order");
            member.applied = offset + 1;
            member.state.insert(offset, value);
        }
        let member = self.member(id);
        assert!(last_offset + 1 >= member.applied);
        member.applied = last_offset + 1;
    }

    fn send(&mut self, from: i32, peer: i32, call: u64, request: Request) {
        self.checks.asked(from, &request);
        self.maybe_crash_after(from, &request);
        let life = self.member(from).life;
        let at = self.now_ms + self.network_delay();
        let free_at = self.stream_free_at.entry((from, peer)).or_default();
        *free_at = at.max(*free_at);
        let delay = *free_at - self.now_ms;
        if self.is_lost(from, peer) {
            return self.fail_call(from, life, peer, call, delay, false);
        }
        self.after(delay, Event::Request { to: peer, from, from_life: life, call, request });
    }

    /// Some losses are noticed, others only time tells.
    pub(super) fn fail_call(
        &mut self,
        to: i32,
        life: u64,
        peer: i32,
        call: u64,
        delay: u64,
        refused: bool,
    ) {
        if refused || self.rng.below(2) == 0 {
            let result = Err(CallFailed { refused });
            self.after(delay, Event::Answer { to, life, peer, call, result });
        }
    }

    fn network_delay(&mut self) -> u64 {
        let slow = !self.healed && self.rng.below(50) == 0;
        1 + self.rng.below(if slow { 120 } else { 5 })
    }

    fn is_lost(&mut self, from: i32, to: i32) -> bool {
        self.unplugged.contains(&(from, to)) || (!self.healed && self.rng.below(40) == 0)
    }

    fn arrive(&mut self, to: i32, from: i32, from_life: u64, call: u64, request: Request) {
        if self.member(to).quorum.is_none() {
            return self.fail_call(from, from_life, to, call, 1, true);
        }
        self.next_request += 1;
        let reference = RequestRef(self.next_request);
        self.asked.insert(reference.0, (to, from, from_life, call, request.clone()));
        self.step(to, |quorum, now, io, out| quorum.on_request(now, reference, request, io, out));
    }

    fn send_back(&mut self, by: i32, to: RequestRef, response: Response) {
        let asked = self.asked.remove(&to.0);
        let (asked_of, from, life, call, request) = asked.expect("a request is answered once");
        assert_eq!(asked_of, by);
        self.checks.answered(by, &request, &response);
        self.maybe_crash_after(by, &request);
        let delay = self.network_delay();
        if self.is_lost(by, from) {
            return self.fail_call(from, life, by, call, delay, false);
        }
        self.after(delay, Event::Answer { to: from, life, peer: by, call, result: Ok(response) });
    }

    // ---- the client

    fn client_append(&mut self) {
        let delay = 5 + self.rng.below(30);
        self.after(delay, Event::Append);
        let leaders: Vec<i32> =
            self.members.iter().filter(|(_, m)| m.leads.is_some()).map(|(id, _)| *id).collect();
        for id in leaders {
            let count = 1 + self.rng.below(3);
            let first = self.next_value;
            self.next_value += count;
            let padding = self.rng.below(80) as usize;
            let records = (first..first + count).map(|value| {
                let mut record = value.to_be_bytes().to_vec();
                record.resize(8 + padding, 0);
                Bytes::from(record)
            });
            let records = records.collect();
            // It may have lost leadership, and not have said so yet.
            self.step(id, |quorum, now, io, out| {
                let _ = quorum.append(now, records, io, out);
            });
        }
    }

    // ---- the end

    fn heal(&mut self) {
        self.healed = true;
        self.unplugged.clear();
        let ids: Vec<i32> = self.members.keys().copied().collect();
        for id in ids {
            self.after(0, Event::Start { node: id });
        }
    }

    fn check_agreement(&mut self) {
        // No more records: everybody gets to know of the last.
        let appends = |event: &Event| matches!(event, Event::Append);
        self.events.retain(|_, event| !appends(event));
        self.run_until(self.now_ms + 400);
        let leading: Vec<i32> =
            self.members.iter().filter(|(_, m)| m.leads.is_some()).map(|(id, _)| *id).collect();
        assert_eq!(leading.len(), 1, "healed, and yet the leaders are {leading:?}");
        let leader = self.members[&leading[0]].quorum.as_ref().expect("it leads").describe();
        assert_eq!(leader.high_watermark, Some(leader.log_end_offset), "the leader is not done");
        for (id, member) in &self.members {
            let quorum = member.quorum.as_ref().expect("all are up");
            let (has, all) = (member.state.len(), self.checks.committed.len());
            let status = quorum.describe();
            assert!(member.state == self.checks.committed, "{id} has {has} of {all}: {status:?}");
            assert_eq!(quorum.high_watermark(), leader.high_watermark, "at {id}");
            assert_eq!(quorum.leader(), leader.leader, "at {id}");
        }
    }
}

impl Member {
    pub(super) fn new() -> Member {
        Member {
            quorum: None,
            life: 0,
            io: IoQueue::default(),
            disk: MemoryDisk::new(),
            under_way: BTreeMap::new(),
            file_free_at: BTreeMap::new(),
            tick_at: u64::MAX,
            known: Life::default(),
            state: BTreeMap::new(),
            applied: 0,
            leads: None,
        }
    }
}

fn encode(offset: i64, value: u64) -> Bytes {
    Bytes::from([offset.to_be_bytes(), value.to_be_bytes()].concat())
}

fn decode(record: &Bytes) -> (i64, u64) {
    let number = |at: usize| record[at..at + 8].try_into().expect("eight bytes");
    (i64::from_be_bytes(number(0)), u64::from_be_bytes(number(8)))
}
