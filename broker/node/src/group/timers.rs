//! When something about a group is due.
//!
//! Promises: whoever is popped is due; setting the same thing twice for one time is one timer. Timers are never taken
//! back: who is woken looks whether its time has really come, and sets another if not. So a heartbeat costs nothing here.

use std::collections::BTreeSet;

use crate::context::TopicPartitionId;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// A member's session.
    Session { member: String },
    /// Somebody was given a member id and has not come back with it.
    Pending { member: String },
    /// The rebalance of that number waited long enough for its members.
    Join { number: u64 },
    /// The members of that generation waited long enough for each other's SyncGroup.
    Sync { generation: i32 },
    /// Read on in a partition of `__consumer_offsets`.
    Load,
    /// Look for expired offsets.
    Sweep,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    at_ms: u64,
    pub shard: TopicPartitionId,
    pub group: String,
    pub what: What,
}

#[derive(Default)]
pub(super) struct Timers {
    due: BTreeSet<Due>,
}

impl Timers {
    pub fn set(&mut self, at_ms: u64, shard: TopicPartitionId, group: &str, what: What) {
        self.due.insert(Due { at_ms, shard, group: group.to_owned(), what });
    }

    pub fn next_ms(&self) -> Option<u64> {
        self.due.first().map(|due| due.at_ms)
    }

    pub fn pop(&mut self, now_ms: u64) -> Option<Due> {
        if self.next_ms()? > now_ms {
            return None;
        }
        self.due.pop_first()
    }

    /// A partition is not ours any more.
    pub fn drop_shard(&mut self, shard: TopicPartitionId) {
        self.due.retain(|due| due.shard != shard);
    }
}
