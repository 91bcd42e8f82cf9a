//! What coordinators answered a member.

use super::assigning::{assignment, ranges, read_assignment};
use super::*;
use crate::client::connection::read;
use bytes::Bytes;
use wire::error::ErrorCode;
use wire::messages::{
    FindCoordinatorResponse, HeartbeatResponse, JoinGroupResponse, OffsetCommitResponse,
    OffsetFetchResponse, SyncGroupResponse,
};

impl Group {
    pub fn on_happened(
        &mut self,
        now_ns: u64,
        happened: Happened<reading::Ask>,
        cluster: &mut Cluster<reading::Ask>,
        reading: &mut Reading,
        effects: &mut Vec<ClientEffect>,
        out: &mut Vec<Happened<reading::Ask>>,
    ) {
        match happened {
            Happened::Down { .. } => {}
            Happened::Lost { ask: reading::Ask::Group(ask), .. } => self.lost(now_ns, &ask),
            Happened::Answered { peer, ask: reading::Ask::Group(ask), version, body } => {
                let answer = (peer, version, body);
                let taken = self.take(now_ns, &ask, answer, cluster, reading, effects);
                if let Err(complaint) = taken {
                    self.lost(now_ns, &ask);
                    cluster.refuse(now_ns, peer, complaint, effects, out);
                }
            }
            _ => unreachable!("a reader's affair"),
        }
    }

    /// No answer: the coordinator may be another by now.
    fn lost(&mut self, now_ns: u64, ask: &Ask) {
        match ask {
            Ask::Heartbeat => self.heartbeat_asked = false,
            Ask::Commit { .. } => self.commit_asked = false,
            Ask::Leave => self.state = State::Left,
            _ => self.asked = false,
        }
        self.back_off(now_ns);
        self.coordinator = None;
    }

    fn take(
        &mut self,
        now_ns: u64,
        ask: &Ask,
        (peer, version, body): (Peer, i16, Bytes),
        cluster: &mut Cluster<reading::Ask>,
        reading: &mut Reading,
        effects: &mut Vec<ClientEffect>,
    ) -> Result<(), String> {
        match ask {
            Ask::Coordinator => {
                let answer: FindCoordinatorResponse = read(peer, version, body)?;
                self.asked = false;
                if answer.error_code != 0 {
                    self.back_off(now_ns);
                    return Ok(());
                }
                let port = u16::try_from(answer.port).unwrap_or(0);
                cluster.connections.locate(answer.node_id.0, &answer.host, port);
                self.coordinator = Some(answer.node_id.0);
            }
            Ask::Join => {
                let answer: JoinGroupResponse = read(peer, version, body)?;
                self.asked = false;
                self.on_joined(now_ns, &answer, reading, effects);
            }
            Ask::Sync => {
                let answer: SyncGroupResponse = read(peer, version, body)?;
                self.asked = false;
                if !matches!(self.state, State::Sync(_))
                    || self.refused(now_ns, answer.error_code, reading, effects)
                {
                    return Ok(());
                }
                let given = read_assignment(&answer.assignment, &self.target.name);
                let given = given.ok_or("an assignment does not parse")?;
                self.ledger.began(&self.name, self.generation);
                self.state = State::Offsets(given);
                self.heartbeat_at_ns = now_ns + HEARTBEAT_NS;
            }
            Ask::Offsets(known) => {
                let answer: OffsetFetchResponse = read(peer, version, body)?;
                self.asked = false;
                self.on_offsets(now_ns, known, &answer, reading, effects);
            }
            Ask::Heartbeat => {
                let answer: HeartbeatResponse = read(peer, version, body)?;
                self.heartbeat_asked = false;
                self.heartbeat_at_ns = now_ns + HEARTBEAT_NS;
                if self.state == State::Stable {
                    self.refused(now_ns, answer.error_code, reading, effects);
                }
            }
            Ask::Commit { offsets, late } => {
                let answer: OffsetCommitResponse = read(peer, version, body)?;
                self.commit_asked = false;
                self.on_committed(now_ns, (offsets, *late), &answer, reading, effects);
            }
            Ask::Leave => self.state = State::Left,
        }
        Ok(())
    }

    /// Whether an error keeps the member from going on, and what it does then.
    fn refused(
        &mut self,
        now_ns: u64,
        error_code: i16,
        reading: &mut Reading,
        effects: &mut Vec<ClientEffect>,
    ) -> bool {
        if error_code == 0 {
            return false;
        }
        if matches!(self.state, State::Leave | State::Left) {
            return true;
        }
        match ErrorCode::from_code(error_code) {
            Some(ErrorCode::RebalanceInProgress) if self.state == State::Stable => {
                // A last commit, so that whoever gets the partitions next begins where this one ends.
                self.state = State::Return;
                self.commit_before_return = true;
            }
            Some(ErrorCode::RebalanceInProgress) => self.state = State::Join,
            Some(ErrorCode::UnknownMemberId) => self.lost_membership(true, reading, effects),
            Some(ErrorCode::IllegalGeneration | ErrorCode::FencedInstanceId) => {
                self.lost_membership(false, reading, effects);
            }
            Some(
                ErrorCode::NotCoordinator
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::RequestTimedOut,
            ) => {
                self.coordinator = None;
                self.back_off(now_ns);
            }
            _ => self.back_off(now_ns),
        }
        true
    }

    fn on_joined(
        &mut self,
        now_ns: u64,
        answer: &JoinGroupResponse,
        reading: &mut Reading,
        effects: &mut Vec<ClientEffect>,
    ) {
        if self.state != State::Join {
            return;
        }
        if answer.error_code == ErrorCode::MemberIdRequired.code() {
            self.member_id = answer.member_id.to_string();
            return;
        }
        if self.refused(now_ns, answer.error_code, reading, effects) {
            return;
        }
        self.member_id = answer.member_id.to_string();
        self.generation = answer.generation_id;
        let mut given = Vec::new();
        if answer.leader == answer.member_id && !answer.skip_assignment {
            let members: Vec<String> =
                answer.members.iter().map(|member| member.member_id.to_string()).collect();
            // Partitions that were added since get nothing from producers: nobody is to get only such ones.
            let topic = &self.target.name;
            given = ranges(&members, self.target.partitions)
                .into_iter()
                .map(|(member, range)| (member, assignment(topic, &range)))
                .collect();
        }
        self.state = State::Sync(given);
    }

    fn on_offsets(
        &mut self,
        now_ns: u64,
        known: &BTreeMap<u32, Option<i64>>,
        answer: &OffsetFetchResponse,
        reading: &mut Reading,
        effects: &mut Vec<ClientEffect>,
    ) {
        if !matches!(self.state, State::Offsets(_)) {
            return;
        }
        let told: Vec<_> = answer.topics.iter().flat_map(|topic| &topic.partitions).collect();
        let errors = told.iter().map(|partition| partition.error_code);
        let error = std::iter::once(answer.error_code).chain(errors).find(|code| *code != 0);
        if self.refused(now_ns, error.unwrap_or(0), reading, effects) {
            return;
        }
        let mut from = BTreeMap::new();
        self.committed.clear();
        for (partition, at_least) in known {
            let found = told.iter().find(|told| told.partition_index == *partition as i32);
            let found = found.filter(|told| told.committed_offset >= 0);
            let committed = found.map(|told| (told.committed_offset, told.committed_leader_epoch));
            self.compare(*partition, *at_least, committed.map(|(offset, _)| offset));
            self.committed.extend(committed.map(|(offset, _)| (*partition, offset)));
            from.insert(*partition, committed);
        }
        reading.assign(&from, effects);
        self.assignments += 1;
        self.state = State::Stable;
        self.commit_at_ns = now_ns + COMMIT_NS;
    }

    fn compare(&mut self, partition: u32, at_least: Option<i64>, told: Option<i64>) {
        let is_less = at_least.is_some_and(|at_least| told.is_none_or(|told| told < at_least));
        if is_less
            && !self.ledger.is_void(&self.name, partition)
            && self.lost_commits.len() < LOST_COMMITS_MAX
        {
            self.lost_commits.push(format!(
                "group {}: partition {partition} was committed up to {}, and is told to be at {}",
                self.name,
                at_least.unwrap_or(-1),
                told.unwrap_or(-1)
            ));
        }
    }

    fn on_committed(
        &mut self,
        now_ns: u64,
        (offsets, late): (&[(u32, i64, i32)], bool),
        answer: &OffsetCommitResponse,
        reading: &mut Reading,
        effects: &mut Vec<ClientEffect>,
    ) {
        let told: Vec<_> = answer.topics.iter().flat_map(|topic| &topic.partitions).collect();
        for (partition, offset, _) in offsets {
            let found = told.iter().find(|told| told.partition_index == *partition as i32);
            if found.is_some_and(|told| told.error_code == 0) {
                self.ledger.committed(&self.name, *partition, *offset);
                self.committed.insert(*partition, *offset);
                if late && self.late_commits.len() < LOST_COMMITS_MAX {
                    self.late_commits.push(format!(
                        "group {}: {offset} was committed for partition {partition} by a member of a generation that was over",
                        self.name
                    ));
                }
            }
        }
        let error = told.iter().map(|told| told.error_code).find(|code| *code != 0);
        if self.state == State::Stable {
            self.refused(now_ns, error.unwrap_or(0), reading, effects);
        }
    }
}
