//! Processes that start and end, and what faults do to their disks: which copies count from then on.

use super::committed::Excuse;
use super::state::{LogId, Loss, METADATA, Members};
use super::watcher::Invariants;
use super::{Event, Glimpse, Violation};
use node::inspect::ReplicaRole;

impl Invariants {
    /// A new process is about to take its first step.
    pub fn started(&mut self, node: u16) {
        let state = self.glimpse.nodes.entry(node).or_default();
        state.up = true;
        state.life += 1;
        state.image_offset = -1;
        state.broker_epoch = None;
        for id in self.glimpse.committed.ids() {
            self.glimpse.committed.log_mut(id).restarted(node);
        }
    }

    /// The process is gone; its disk, page cache included, is as it was.
    pub fn ended(&mut self, node: u16) {
        let Some(state) = self.glimpse.nodes.get_mut(&node) else { return };
        if !std::mem::replace(&mut state.up, false) {
            return;
        }
        let life = state.life;
        let soft = self.soft.contains(node);
        self.soft = self.soft.without(node);
        let rotten = self.rotten.contains(node);
        let mut floors: Vec<(LogId, i64)> = Vec::with_capacity(state.partitions.len() + 1);
        for partition in &mut state.partitions {
            partition.role = ReplicaRole::Offline;
            if partition.life == life {
                let end = if soft { partition.durable_offset } else { partition.log_end_offset };
                floors.push((partition.id, end));
            }
        }
        if let Some(quorum) = state.quorum.as_mut().filter(|quorum| quorum.life == life) {
            quorum.is_leader = false;
            floors.push((METADATA, quorum.log_end_offset));
        }
        // Which bit of which log flipped is not kept: nothing is known of what is on this disk.
        for (id, end) in floors.into_iter().filter(|_| !rotten) {
            let copy = self.glimpse.ledger.copy(node, id);
            // A cut within a batch takes the batch.
            self.floors.insert((node, id), copy.map_or(0, |copy| copy.boundary(end)));
        }
        self.glimpse.ledger.died(node);
    }

    /// What a fault did to the node's disk. After [`Invariants::ended`], unless the process lives through it.
    pub fn lost(&mut self, now_ns: u64, node: u16, loss: Loss) -> Result<(), Violation> {
        self.glimpse.now_ns = now_ns;
        self.glimpse.losses.count += 1;
        let Some(state) = self.glimpse.nodes.get(&node) else { return Ok(()) };
        match (loss, state.up) {
            (Loss::Unsynced, true) => self.soft = self.soft.with(node),
            (Loss::Unsynced, false) => self.glimpse.ledger.names_lost(node),
            _ => {}
        }
        if matches!(loss, Loss::Destroyed | Loss::Rotted) {
            self.glimpse.ledger.forget_snapshots(node);
        }
        if loss == Loss::Rotted {
            self.rotten = self.rotten.with(node);
        }
        let quorum = state.quorum;
        let logs: Vec<(LogId, i64, i64)> = state
            .partitions
            .iter()
            .map(|log| (log.id, log.log_end_offset, log.durable_offset))
            .collect();
        for (id, end, durable) in logs {
            let from = if loss == Loss::Unsynced { durable } else { 0 };
            self.glimpse.losses.note_log(node, id, end);
            self.lower_floor(node, id, loss, durable);
            let image = &self.glimpse.replay.image;
            let eligible = image.partition(id.topic_id, id.partition).map_or(Members(0), |p| {
                Members::from(p.isr.as_slice()).or(p.elr.as_slice().into())
            });
            let log = self.glimpse.committed.log_mut(id);
            if let Some(range) = log.destroyed(now_ns, node, from, eligible) {
                self.tell(&Event::Gone { node, id, range })?;
            }
        }
        let Some(quorum) = quorum else { return Ok(()) };
        let losses = &mut self.glimpse.losses;
        losses.note_log(node, METADATA, quorum.log_end_offset);
        if loss == Loss::Destroyed {
            losses.note_votes(node, quorum.epoch);
        }
        let from = if loss == Loss::Unsynced { quorum.durable_offset } else { 0 };
        let metadata = self.glimpse.committed.log_mut(METADATA);
        if quorum.is_voter && metadata.destroyed_at_voter(node, from, quorum.voters) {
            self.glimpse.losses.metadata = true;
        }
        self.lower_floor(node, METADATA, loss, quorum.durable_offset);
        Ok(())
    }

    /// Whether faults destroyed every copy that counted of something committed in a partition of this topic, or the metadata
    /// that says who has them.
    pub fn may_have_lost(&self, topic: &str) -> bool {
        let Glimpse { committed, ledger, losses, .. } = &self.glimpse;
        if losses.metadata {
            return true;
        }
        let is_of = |dir: &str| dir.rsplit_once('-').is_some_and(|(name, _)| name == topic);
        let mut ids = committed.ids().into_iter().filter(|id| is_of(ledger.dir(*id)));
        ids.any(|id| committed.log(id).is_some_and(|log| log.excuse().is_some()))
    }

    /// What of this partition's log faults may have destroyed, so that nobody could keep it.
    pub fn excuse(&self, dir: &str) -> Option<Excuse> {
        if self.glimpse.losses.metadata {
            // Whoever leads by metadata that begins anew need not have anything.
            return Some(Excuse { from_offset: 0, until_ns: u64::MAX });
        }
        let id = self.glimpse.ledger.id_of(dir)?;
        self.glimpse.committed.log(id)?.excuse()
    }

    /// Below this offset of the partition's log some replica knows nobody who wrote there: it began anew behind retention.
    pub fn writers_forgotten_below(&self, dir: &str) -> i64 {
        let id = self.glimpse.ledger.id_of(dir);
        let log = id.and_then(|id| self.glimpse.committed.log(id));
        log.map_or(0, |log| log.writers_forgotten_below())
    }

    fn lower_floor(&mut self, node: u16, id: LogId, loss: Loss, durable: i64) {
        match loss {
            Loss::Destroyed | Loss::Rotted => {
                self.floors.remove(&(node, id));
            }
            Loss::Unsynced => {
                let copy = self.glimpse.ledger.copy(node, id);
                let boundary = copy.map_or(0, |copy| copy.boundary(durable));
                if let Some(floor) = self.floors.get_mut(&(node, id)) {
                    *floor = (*floor).min(boundary);
                }
            }
        }
    }
}
