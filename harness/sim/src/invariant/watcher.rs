//! What drives the invariants: it compares a node with what it was before its step, and tells what changed.

use super::committed::Advance;
use super::replay::{self, Change};
use super::state::{LogId, METADATA, Members, NodeState, PartitionState, QuorumState};
use super::{Event, Files, Glimpse, Invariant, KINDS, Kind, Violation, all};
use log::Log;
use log::io::{IoResult, Token};
use node::image::{LeaderRecoveryState, MetadataImage, NO_LEADER};
use node::inspect::{Inspection, PartitionInspection};
use node::step::Effect;
use rustc_hash::FxHashMap;

/// How often one node's metadata image is compared as a whole.
const IMAGE_NS: u64 = 100_000_000;

/// All invariants, and what they look at.
pub struct Invariants {
    list: Vec<Box<dyn Invariant>>,
    /// By kind of event: who sees it.
    watchers: [Vec<usize>; KINDS],
    pub(super) glimpse: Glimpse,
    /// How far a log must reach when it is open again.
    pub(super) floors: FxHashMap<(u16, LogId), i64>,
    /// Nodes that lost dirty pages while they ran on.
    pub(super) soft: Members,
    /// Nodes that had a bit flipped somewhere on their disk; an old state of it may have that, too.
    pub(super) rotten: Members,
    /// When a node's image is looked at again.
    image_due_ns: FxHashMap<u16, u64>,
}

impl Default for Invariants {
    fn default() -> Invariants {
        Invariants::new(all())
    }
}

impl Invariants {
    pub fn new(list: Vec<Box<dyn Invariant>>) -> Invariants {
        let mut watchers: [Vec<usize>; KINDS] = Default::default();
        for (index, invariant) in list.iter().enumerate() {
            for kind in invariant.sees() {
                watchers[*kind as usize].push(index);
            }
        }
        Invariants {
            list,
            watchers,
            glimpse: Glimpse::default(),
            floors: FxHashMap::default(),
            soft: Members(0),
            rotten: Members(0),
            image_due_ns: FxHashMap::default(),
        }
    }

    pub fn glimpse(&self) -> &Glimpse {
        &self.glimpse
    }

    /// So many copies of the metadata log are gone that committed metadata may be: a cluster without it promises nothing.
    pub fn has_lost_metadata(&self) -> bool {
        self.glimpse.losses.metadata
    }

    /// A storage operation of the node is complete, and the node is about to be told.
    pub fn completed(
        &mut self,
        now_ns: u64,
        node: u16,
        token: Token,
        result: &IoResult,
    ) -> Result<(), Violation> {
        self.glimpse.now_ns = now_ns;
        let Some(cut) = self.glimpse.ledger.completed(node, token, result) else { return Ok(()) };
        // What stands in a snapshot goes from the log.
        let kept = if cut.id == METADATA { self.glimpse.ledger.snapshot_end(node) } else { 0 };
        let log = self.glimpse.committed.log_mut(cut.id);
        let missing = log.cut(node, cut.end_offset).and_then(|_| log.missing_above(kept));
        match missing {
            Some(range) => self.tell(&Event::Gone { node, id: cut.id, range }),
            None => Ok(()),
        }
    }

    /// The node took a step.
    pub fn stepped(
        &mut self,
        now_ns: u64,
        node: u16,
        inspection: &Inspection<'_>,
        effects: &[Effect],
        files: &dyn Files,
    ) -> Result<(), Violation> {
        self.glimpse.now_ns = now_ns;
        for effect in effects {
            if let Effect::Io { token, op } = effect {
                self.glimpse.ledger.submitted(node, *token, op);
            }
        }
        // It has given up in this step: what it holds in memory is nothing that anybody will ever see. The disk may still get
        // what it submitted.
        if effects.iter().any(|effect| matches!(effect, Effect::Exit { .. })) {
            return Ok(());
        }
        self.look_at_quorum(node, inspection, files)?;
        self.look_at_image(node, inspection.image)?;
        if let Some(epoch) = inspection.broker.and_then(|broker| broker.epoch)
            && self.state(node).broker_epoch != Some(epoch)
        {
            self.state(node).broker_epoch = Some(epoch);
            self.tell(&Event::Broker { node, epoch })?;
        }
        let mut at = 0;
        for partition in inspection.partitions() {
            at = self.look_at_partition(node, at, &partition, files)?;
        }
        for acknowledged in inspection.acknowledged() {
            let copy = self.glimpse.ledger.copy(node, acknowledged.id);
            let entry = copy.and_then(|copy| copy.at(acknowledged.base_offset));
            let end_offset = entry.map(|entry| entry.next_offset);
            self.tell(&Event::Acknowledged { node, acknowledged: *acknowledged, end_offset })?;
        }
        Ok(())
    }

    /// A reader was given the records of a partition below this offset, or told that its log ends there.
    pub fn shown(&mut self, now_ns: u64, dir: &str, end_offset: i64) -> Result<(), Violation> {
        self.glimpse.now_ns = now_ns;
        match self.glimpse.ledger.id_of(dir) {
            Some(id) => self.tell(&Event::Shown { id, end_offset }),
            None => Ok(()),
        }
    }

    fn state(&mut self, node: u16) -> &mut NodeState {
        self.glimpse.nodes.entry(node).or_default()
    }

    /// Shows an event to those who want to see it.
    pub(super) fn tell(&mut self, event: &Event<'_>) -> Result<(), Violation> {
        tell(&mut self.list, &self.watchers, event, &self.glimpse)
    }

    fn look_at_quorum(
        &mut self,
        node: u16,
        inspection: &Inspection<'_>,
        files: &dyn Files,
    ) -> Result<(), Violation> {
        let Some(seen) = &inspection.quorum else { return Ok(()) };
        let state = self.state(node);
        let now = QuorumState::of(state.life, seen);
        if state.quorum == Some(now) {
            return Ok(());
        }
        let before = state.quorum.replace(now);
        if before.is_none_or(|before| before.life != now.life)
            && let Some(log) = seen.log
        {
            self.reopened(node, METADATA, now.log_end_offset, log, files)?;
        }
        self.quorum_moved(node, before.as_ref(), &now)
    }

    /// A member of the quorum is not what it was.
    pub(super) fn quorum_moved(
        &mut self,
        node: u16,
        before: Option<&QuorumState>,
        now: &QuorumState,
    ) -> Result<(), Violation> {
        self.tell(&Event::Quorum { node, before, now })?;
        let same_life = before.filter(|before| before.life == now.life);
        if same_life.is_none_or(|before| before.high_watermark < now.high_watermark) {
            self.advance_metadata(node, now)?;
        }
        Ok(())
    }

    fn advance_metadata(&mut self, node: u16, now: &QuorumState) -> Result<(), Violation> {
        let has = |quorum: &QuorumState| quorum.durable_offset >= now.high_watermark;
        let ledger = &self.glimpse.ledger;
        let epoch = |node| {
            let entry = ledger.copy(node, METADATA)?.holding(now.high_watermark - 1)?;
            Some(entry.leader_epoch)
        };
        // A log may be as long and have something older there, which its leader could not commit.
        let is_older =
            |other| epoch(other).zip(epoch(node)).is_some_and(|(theirs, ours)| theirs < ours);
        let is_holder = |node: u16, state: &NodeState| {
            state.quorum.as_ref().is_some_and(|q| q.is_voter && has(q)) && !is_older(node)
        };
        let nodes = self.glimpse.nodes.iter();
        let holders = nodes.filter(|(node, state)| is_holder(**node, state));
        let holders = holders.fold(Members(0), |members, (node, _)| members.with(*node));
        let advance = Advance {
            now_ns: self.glimpse.now_ns,
            node,
            leads: now.is_leader,
            counts: now.is_voter,
            log_start_offset: now.log_start_offset,
            high_watermark: now.high_watermark,
            leader_epoch: now.epoch,
            holders,
        };
        self.advance(METADATA, &advance)?;
        let committed = &self.glimpse.committed;
        if committed.log(METADATA).is_some_and(|log| log.majority_may_lack_last(now.voters)) {
            self.glimpse.losses.metadata = true;
        }
        Ok(())
    }

    pub(super) fn advance(&mut self, id: LogId, advance: &Advance) -> Result<(), Violation> {
        let node = advance.node;
        // A process with the rest in its memory goes on as if nothing were; the next one cuts its log at the flipped bit.
        let advance = &Advance {
            counts: advance.counts && !self.rotten.contains(node),
            holders: advance.holders.minus(self.rotten),
            ..*advance
        };
        let Glimpse { ledger, committed, .. } = &mut self.glimpse;
        let Some(copy) = ledger.copy(node, id) else { return Ok(()) };
        let advanced = committed.log_mut(id).advance(copy, advance);
        if let Some(difference) = &advanced.difference {
            self.tell(&Event::Differs { node, id, difference })?;
        }
        for index in advanced.fresh {
            self.committed(id, index)?;
        }
        Ok(())
    }

    fn committed(&mut self, id: LogId, index: usize) -> Result<(), Violation> {
        let entries = self.glimpse.committed.log(id).map_or(&[][..], |log| log.entries());
        let Some(entry) = entries.get(index) else { return Ok(()) };
        if id != METADATA {
            let event = Event::Committed { id, entry };
            return tell(&mut self.list, &self.watchers, &event, &self.glimpse);
        }
        let entry = entry.clone();
        let Glimpse { now_ns, committed, replay, losses, .. } = &mut self.glimpse;
        if losses.metadata {
            return Ok(());
        }
        let batch = replay.apply(&entry).map_err(|error| Violation {
            invariant: "metadata-kept",
            message: format!("the committed records at {} don't apply: {error}", entry.base_offset),
        })?;
        for change in &batch.changes {
            let log = committed.log_mut(change.id);
            if is_unclean(change) {
                log.excuse_all(*now_ns);
            }
            let eligible = Members::from(&*change.after.isr).or((&*change.after.elr).into());
            log.eligible(*now_ns, eligible);
        }
        self.tell(&Event::Metadata { batch: &batch })
    }

    fn look_at_image(&mut self, node: u16, image: &MetadataImage) -> Result<(), Violation> {
        let now_ns = self.glimpse.now_ns;
        let state = self.state(node);
        if state.image_offset == image.offset {
            return Ok(());
        }
        let due_ns = self.image_due_ns.entry(node).or_insert(0);
        if now_ns < *due_ns {
            return Ok(());
        }
        *due_ns = now_ns + IMAGE_NS;
        self.state(node).image_offset = image.offset;
        let expected = self.glimpse.replay.digest_at(image.offset);
        let digest = replay::digest(image);
        self.tell(&Event::Image { node, offset: image.offset, digest, expected })
    }

    /// Looks at the next partition, which is at or after `at` in what is remembered. Answers where to go on.
    fn look_at_partition(
        &mut self,
        node: u16,
        at: usize,
        seen: &PartitionInspection<'_>,
        files: &dyn Files,
    ) -> Result<usize, Violation> {
        let state = self.glimpse.nodes.entry(node).or_default();
        let mut index = at;
        while state.partitions.get(index).is_some_and(|partition| partition.id < seen.id) {
            index += 1;
        }
        let is_new = state.partitions.get(index).is_none_or(|partition| partition.id != seen.id);
        if is_new {
            state.partitions.insert(index, PartitionState::new(seen.id));
            self.glimpse.ledger.name(seen.id, seen.dir);
        }
        let Some(known) = state.partitions.get_mut(index) else { return Ok(index) };
        let before = *known;
        known.update(state.life, seen);
        let now = *known;
        if now == before {
            return Ok(index + 1);
        }
        if now.is_open()
            && now.life != before.life
            && let Some(log) = seen.log
        {
            self.reopened(node, seen.id, now.log_end_offset, log, files)?;
        }
        self.moved(node, (!is_new).then_some(&before), &now)?;
        Ok(index + 1)
    }

    /// A replica is not what it was.
    pub(super) fn moved(
        &mut self,
        node: u16,
        before: Option<&PartitionState>,
        now: &PartitionState,
    ) -> Result<(), Violation> {
        self.tell(&Event::Partition { node, before, now })?;
        if !now.is_open() {
            return Ok(());
        }
        let id = now.id;
        if before.is_some_and(|before| before.log_end_offset < now.log_start_offset) {
            self.glimpse.committed.log_mut(id).began_anew(now.log_start_offset);
        }
        let same_life = before.filter(|before| before.life == now.life);
        if same_life.is_none_or(|before| before.high_watermark < now.high_watermark) {
            let holders = if now.is_leader() { now.maximal_isr() } else { Members(0) };
            let advance = Advance {
                now_ns: self.glimpse.now_ns,
                node,
                leads: now.is_leader(),
                counts: true,
                log_start_offset: now.log_start_offset,
                high_watermark: now.high_watermark,
                leader_epoch: now.leader_epoch,
                holders: holders.with(node),
            };
            self.advance(id, &advance)?;
        }
        if now.is_leader() {
            let taken = same_life.is_none_or(|before| {
                !before.is_leader() || before.leader_epoch != now.leader_epoch
            });
            if same_life.is_some_and(|before| before.log_start_offset < now.log_start_offset) {
                self.glimpse.committed.log_mut(id).trim(now.log_start_offset);
            }
            if taken {
                let Glimpse { ledger, committed, .. } = &self.glimpse;
                let lacks = committed.lacks(node, now, ledger);
                self.tell(&Event::Leads { node, now, lacks: lacks.as_ref() })?;
            }
        }
        Ok(())
    }

    fn reopened(
        &mut self,
        node: u16,
        id: LogId,
        log_end_offset: i64,
        log: &Log,
        files: &dyn Files,
    ) -> Result<(), Violation> {
        let floor = self.floors.remove(&(node, id));
        let strange = self.glimpse.ledger.reopen(node, id, log.segments(), files);
        // Where nothing is known of what should be there, nothing is strange.
        let strange = strange.filter(|_| floor.is_some());
        let strange = strange.as_deref();
        self.tell(&Event::Reopened { node, id, log_end_offset, floor, strange })
    }
}

fn tell(
    list: &mut [Box<dyn Invariant>],
    watchers: &[Vec<usize>; KINDS],
    event: &Event<'_>,
    glimpse: &Glimpse,
) -> Result<(), Violation> {
    // With its metadata a cluster may forget who led in which epoch, and all that follows from that.
    let is_local =
        matches!(event.kind(), Kind::Partition | Kind::Committed | Kind::Reopened | Kind::Shown);
    if glimpse.losses.metadata && !is_local {
        return Ok(());
    }
    for index in &watchers[event.kind() as usize] {
        let invariant = &mut list[*index];
        invariant
            .on_event(event, glimpse)
            .map_err(|message| Violation { invariant: invariant.name(), message })?;
    }
    Ok(())
}

/// Whether somebody was elected who need not have everything.
fn is_unclean(change: &Change) -> bool {
    let Change { before, after, .. } = change;
    let elected = before.as_ref().is_some_and(|before| before.leader != after.leader);
    let recovering = after.leader_recovery_state == LeaderRecoveryState::Recovering;
    elected && after.leader != NO_LEADER && recovering
}
