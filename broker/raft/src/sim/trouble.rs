//! Bad luck: crashes, power cuts, cables pulled, false alarms.

use super::world::{Event, Member, World};
use crate::rng::Rng;
use crate::rpc::Request;

impl World {
    /// The worst moment to lose power is that after a vote.
    pub(super) fn maybe_crash_after(&mut self, id: i32, request: &Request) {
        let Request::Vote { body, .. } = request else { return };
        let binding = !body.topics[0].partitions[0].pre_vote;
        if binding && !self.healed && self.rng.below(8) == 0 {
            self.after(0, Event::Crash { node: id });
        }
    }

    pub(super) fn trouble(&mut self) {
        if self.healed {
            return;
        }
        let ids: Vec<i32> = self.members.keys().copied().collect();
        let node = ids[self.rng.below(ids.len() as u64) as usize];
        match self.rng.below(6) {
            0 | 1 => {
                let power_cut = self.rng.below(2) == 0;
                self.crash(node, power_cut);
                for other in self.others(node) {
                    if self.rng.below(3) > 0 {
                        let delay = 1 + self.rng.below(20);
                        self.after(delay, Event::PeerGone { to: other, peer: node });
                    }
                }
                let back = self.rng.below(400);
                self.after(back, Event::Start { node });
            }
            2 => self.cut_off(node),
            3 => {
                // Everybody at once.
                for id in ids {
                    let power_cut = self.rng.below(2) == 0;
                    self.crash(id, power_cut);
                    let back = self.rng.below(100);
                    self.after(back, Event::Start { node: id });
                }
            }
            4 => self.step(node, |quorum, now, io, out| quorum.resign(now, io, out)),
            _ => {
                // A false alarm.
                let peer = ids[self.rng.below(ids.len() as u64) as usize];
                if peer != node {
                    self.after(1, Event::PeerGone { to: node, peer });
                }
            }
        }
        let delay = 20 + self.rng.below(300);
        self.after(delay, Event::Trouble);
    }

    pub(super) fn cut_off(&mut self, node: i32) {
        let (inbound, outbound) = (self.rng.below(3) > 0, self.rng.below(3) > 0);
        let length = 50 + self.rng.below(800);
        for other in self.others(node) {
            for (from, to, cut) in [(other, node, inbound), (node, other, outbound)] {
                if cut {
                    self.unplugged.insert((from, to));
                    self.after(length, Event::Unplug { from, to, plugged: true });
                }
            }
        }
    }

    pub(super) fn crash(&mut self, node: i32, power_cut: bool) {
        let done = self.rng.below(4);
        let chance = self.rng.next_u64();
        let member = self.member(node);
        if member.quorum.take().is_none() {
            return;
        }
        // What was under way may have got to the disk: the oldest first, as far as chance goes.
        let mut chance = Rng::new(chance);
        for op in std::mem::take(&mut member.under_way).into_values() {
            if chance.below(4) < done {
                member.disk.execute(&op);
            } else {
                break;
            }
        }
        if power_cut {
            member.disk.power_cut();
        } else {
            member.disk.kill();
        }
        let disk = std::mem::take(&mut member.disk);
        let life = member.life + 1;
        *member = Member { disk, life, ..Member::new() };
        let ours: Vec<u64> =
            self.asked.iter().filter(|(_, asked)| asked.0 == node).map(|(id, _)| *id).collect();
        for id in ours {
            if let Some((_, from, life, call, _)) = self.asked.remove(&id) {
                self.fail_call(from, life, node, call, 1, false);
            }
        }
    }
}
