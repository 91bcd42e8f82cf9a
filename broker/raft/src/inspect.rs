//! A look at one member from inside its process: what a simulation's invariants need and no protocol tells.
//!
//! Promises: reads only, borrows what is large. Not promised: that what it shows is on disk, but for what it says of
//! the vote.

use log::Log;

use crate::quorum::{Phase, Quorum};

/// One member as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Inspection<'a> {
    pub epoch: i32,
    /// Of `epoch`, as this member believes.
    pub leader: Option<i32>,
    /// Whom it voted for in `epoch`.
    pub voted: Option<i32>,
    /// Epoch, leader and vote are on disk as far as the member knows: others may have been told of them.
    pub told: bool,
    pub role: &'static str,
    pub is_leader: bool,
    pub is_voter: bool,
    pub voters: usize,
    pub high_watermark: Option<i64>,
    /// The offset after the last record delivered to the owner.
    pub applied_offset: i64,
    /// `None` before it is opened.
    pub log: Option<&'a Log>,
}

impl Quorum {
    /// `None` before the member has read what it has on disk.
    pub fn inspect(&self) -> Option<Inspection<'_>> {
        if matches!(self.phase, Phase::New | Phase::Opening(_)) {
            return None;
        }
        let election = self.election();
        Some(Inspection {
            epoch: election.epoch,
            leader: election.leader,
            voted: election.voted.map(|key| key.id),
            told: self.is_durable(),
            role: self.role.name(),
            is_leader: self.is_leader(),
            is_voter: self.is_voter(),
            voters: self.voters.len(),
            high_watermark: self.high_watermark,
            applied_offset: self.applied,
            log: self.log.as_ref(),
        })
    }
}
