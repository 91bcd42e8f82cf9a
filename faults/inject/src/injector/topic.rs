//! Deeds on the topic: elections, settings, replicas, deleted records, more partitions, another topic in its place.
//!
//! Promises: in effect, and over, is what the cluster says of itself afterwards: its metadata, its settings, its list of
//! reassignments, its logs' starts. What was there before is known before anything is asked for, and is what healing brings
//! back, where that can be brought back. A change that would change nothing is refused.
//!
//! Undo: none of it outlives the cluster, which is the run's own and ends with it.

use crate::topic_admin::{Partition, Setting, TopicAdmin, TopicId};
use anew::Recreation;
use plan::topic_deed::{Oldest, Replicas, TopicDeed};
use std::collections::BTreeMap;
use std::io;

mod anew;

/// What was asked of one part of the topic for one fault.
#[derive(Debug)]
enum Change {
    Election {
        partition: u32,
        from: i32,
    },
    Setting {
        key: String,
        value: String,
        former: Setting,
    },
    Replicas {
        partition: u32,
        wanted: Vec<i32>,
        former: Vec<i32>,
    },
    Unclean {
        partition: u32,
        isr: Vec<i32>,
    },
    Removal {
        partition: u32,
        start: i64,
        before: i64,
    },
    Growth {
        from: u32,
        to: u32,
    },
    Anew(Recreation),
    /// `wanted` and `former`: replicas in their order.
    Leadership {
        partition: u32,
        from: i32,
        wanted: Vec<i32>,
        former: Vec<i32>,
    },
}

/// All changes of a run.
#[derive(Debug, Default)]
pub(super) struct Changes {
    made: BTreeMap<(u32, String), Change>,
}

impl Changes {
    /// `part`: the topic by its name, or a log of it.
    pub fn inject(
        &mut self,
        fault: u32,
        part: &str,
        deed: TopicDeed,
        admin: &mut dyn TopicAdmin,
    ) -> io::Result<()> {
        let change = match deed {
            TopicDeed::ElectPreferred => {
                let partition = number(part, admin)?;
                let from = admin.partition(partition)?.leader;
                Change::Election { partition, from }
            }
            TopicDeed::ChangeConfig { key, value } => {
                let (key, value) = (key.to_string(), value.to_string());
                let missing = || io::Error::other(format!("a topic has no setting `{key}`"));
                let former = admin.setting(&key)?.ok_or_else(missing)?;
                if former.value == value {
                    return Err(io::Error::other(format!("{key} is {value} already")));
                }
                Change::Setting { key, value, former }
            }
            TopicDeed::Reassign { to } => {
                let partition = number(part, admin)?;
                let now = admin.partition(partition)?;
                let wanted = wanted(to, &now, admin)?;
                if wanted == now.replicas {
                    let replicas = words(&wanted);
                    return Err(io::Error::other(format!("its replicas are {replicas} already")));
                }
                Change::Replicas { partition, wanted, former: now.replicas }
            }
            TopicDeed::ElectUnclean => {
                let partition = number(part, admin)?;
                let now = admin.partition(partition)?;
                if now.leader >= 0 {
                    return Err(io::Error::other(format!("broker {} leads it", now.leader)));
                }
                Change::Unclean { partition, isr: now.isr }
            }
            TopicDeed::DeleteRecords { which } => {
                let partition = number(part, admin)?;
                let (start, end) = admin.bounds(partition)?;
                let before = first_kept(which, start, end);
                if before <= start {
                    let there = format!("it holds {start} to {end}: nothing of it is to go");
                    return Err(io::Error::other(there));
                }
                Change::Removal { partition, start, before }
            }
            TopicDeed::TransferLeadership => {
                let partition = number(part, admin)?;
                let now = admin.partition(partition)?;
                let wanted = led_by_another(&now)?;
                Change::Leadership { partition, from: now.leader, wanted, former: now.replicas }
            }
            TopicDeed::Recreate => Change::Anew(Recreation::of(admin)?),
            TopicDeed::AddPartitions { count } => {
                let from = admin.partitions()?.len() as u32;
                Change::Growth { from, to: from + u32::from(count) }
            }
        };
        // Known before it is asked for: an answer that is lost may be to a request that was not.
        let change = self.made.entry((fault, part.to_string())).insert_entry(change).into_mut();
        match change {
            Change::Election { partition, .. } => admin.elect_preferred(*partition),
            Change::Setting { key, value, .. } => admin.set(key, Some(value)),
            Change::Replicas { partition, wanted, .. } => admin.reassign(*partition, wanted),
            // Whoever looks whether it leads asks for what is missing: the controller may be away just now.
            Change::Leadership { .. } => Ok(()),
            Change::Unclean { partition, .. } => admin.elect_unclean(*partition),
            Change::Removal { partition, before, .. } => {
                admin.delete_records(*partition, *before).map(|_| ())
            }
            Change::Growth { to, .. } => admin.add_partitions(*to),
            Change::Anew(recreation) => {
                let refused = recreation.delete(admin);
                if refused.is_err() {
                    self.made.remove(&(fault, part.to_string()));
                }
                refused
            }
        }
    }

    /// Whether a fault has had the topic deleted, or may have.
    pub fn is_deleted(&self, fault: u32, part: &str) -> bool {
        matches!(self.made.get(&(fault, part.to_string())), Some(Change::Anew(_)))
    }

    /// The topic that a fault had made in the place of the deleted one, if every broker knows it.
    pub fn anew(&self, fault: u32, part: &str) -> Option<TopicId> {
        match self.made.get(&(fault, part.to_string()))? {
            Change::Anew(recreation) => recreation.made(),
            _ => None,
        }
    }

    /// The partition of which a fault has had records deleted, or may have, and below which offset.
    pub fn removed(&self, fault: u32, part: &str) -> Option<(u32, i64)> {
        match self.made.get(&(fault, part.to_string()))? {
            Change::Removal { partition, before, .. } => Some((*partition, *before)),
            _ => None,
        }
    }

    /// How many partitions a fault gave the topic in all, or may have.
    pub fn grown(&self, fault: u32, part: &str) -> Option<u32> {
        match self.made.get(&(fault, part.to_string()))? {
            Change::Growth { to, .. } => Some(*to),
            _ => None,
        }
    }

    pub fn heal(&mut self, fault: u32, part: &str, admin: &mut dyn TopicAdmin) -> io::Result<()> {
        match self.made.get(&(fault, part.to_string())) {
            None
            | Some(
                Change::Election { .. }
                | Change::Unclean { .. }
                | Change::Removal { .. }
                | Change::Growth { .. }
                | Change::Anew(_),
            ) => Ok(()),
            Some(Change::Setting { key, former, .. }) => {
                admin.set(key, former.own.then_some(former.value.as_str()))
            }
            Some(
                Change::Replicas { partition, former, .. }
                | Change::Leadership { partition, former, .. },
            ) => admin.reassign(*partition, former),
        }
    }

    pub fn in_effect(
        &mut self,
        fault: u32,
        part: &str,
        admin: &mut dyn TopicAdmin,
    ) -> Result<String, String> {
        match self.made.get_mut(&(fault, part.to_string())) {
            None => Err("nothing was asked of it".to_string()),
            Some(Change::Election { partition, from }) => {
                let now = admin.partition(*partition).map_err(|error| error.to_string())?;
                let told = format!("led by broker {} (was {from})", now.leader);
                match now.replicas.first() == Some(&now.leader) {
                    true => {
                        Ok(format!("{told}, the first of its replicas {}", words(&now.replicas)))
                    }
                    false => Err(told),
                }
            }
            Some(Change::Setting { key, value, former }) => {
                let now = setting(key, admin)?;
                let told = format!("{key} is {} (was {})", now.value, former.value);
                if now.value == *value { Ok(told) } else { Err(told) }
            }
            Some(Change::Replicas { partition, wanted, former }) => {
                let told = reassigned(*partition, wanted, admin)?;
                Ok(format!("{told} (were {})", words(former)))
            }
            Some(Change::Leadership { partition, from, wanted, former }) => {
                let now = admin.partition(*partition).map_err(|error| error.to_string())?;
                // Who was to lead has fallen behind since: another fault, say. Nobody would elect it.
                if wanted.first().is_some_and(|heir| !now.isr.contains(heir)) {
                    *wanted = led_by_another(&now).map_err(|error| error.to_string())?;
                }
                if now.replicas != *wanted {
                    admin.reassign(*partition, wanted).map_err(|error| error.to_string())?;
                }
                let told = ordered(*partition, wanted, admin)?;
                let leader = admin.partition(*partition).map_err(|error| error.to_string())?.leader;
                let told =
                    format!("led by broker {leader} (was {from}), {told} (were {})", words(former));
                if wanted.first() == Some(&leader) {
                    return Ok(told);
                }
                admin.elect_preferred(*partition).map_err(|error| error.to_string())?;
                Err(told)
            }
            Some(Change::Unclean { partition, isr }) => {
                let now = admin.partition(*partition).map_err(|error| error.to_string())?;
                match now.leader {
                    leader @ 0.. => {
                        let was = if isr.is_empty() { "nobody".to_string() } else { words(isr) };
                        Ok(format!("led by broker {leader} (by nobody before; in sync was {was})"))
                    }
                    _ => Err("it has no leader".to_string()),
                }
            }
            Some(Change::Removal { partition, start, before }) => {
                let (now, _) = admin.bounds(*partition).map_err(|error| error.to_string())?;
                let told = format!("its log starts at {now} (was {start})");
                if now >= *before { Ok(told) } else { Err(format!("{told}, not at {before}")) }
            }
            Some(Change::Growth { from, to }) => grown(*from, *to, admin),
            Some(Change::Anew(recreation)) => recreation.look(admin),
        }
    }

    pub fn over(
        &mut self,
        fault: u32,
        part: &str,
        admin: &mut dyn TopicAdmin,
    ) -> Result<String, String> {
        match self.made.get_mut(&(fault, part.to_string())) {
            None => Ok("nothing was asked of it".to_string()),
            Some(Change::Election { .. } | Change::Unclean { .. }) => {
                Ok("an election has nothing to undo".to_string())
            }
            Some(Change::Removal { partition, before, .. }) => {
                // Asked once more: the answer tells whether the followers have deleted it, too.
                match admin
                    .delete_records(*partition, *before)
                    .map_err(|error| error.to_string())?
                {
                    Some(lowest) if lowest >= *before => {
                        Ok(format!("every live replica starts at {lowest} or later"))
                    }
                    Some(lowest) => Err(format!("a replica still starts at {lowest}")),
                    None => Err(format!("not every live replica starts at {before} yet")),
                }
            }
            Some(Change::Growth { from, to }) => grown(*from, *to, admin),
            Some(Change::Anew(recreation)) => recreation.look(admin),
            Some(Change::Setting { key, former, .. }) => {
                let now = setting(key, admin)?;
                let whose = if now.own { "its own" } else { "no longer its own" };
                let told = format!("{key} is {} again, {whose}", now.value);
                if now == *former { Ok(told) } else { Err(told) }
            }
            Some(Change::Replicas { partition, former, .. }) => {
                let told = reassigned(*partition, former, admin)?;
                Ok(format!("{told} again"))
            }
            Some(Change::Leadership { partition, former, .. }) => {
                let told = ordered(*partition, former, admin)?;
                Ok(format!("{told} again"))
            }
        }
    }
}

/// The partition of a log by its name.
fn number(log: &str, admin: &dyn TopicAdmin) -> io::Result<u32> {
    let number = log.strip_prefix(admin.name()).and_then(|rest| rest.strip_prefix('-'));
    let number = number.and_then(|number| number.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("{log} is no log of {}", admin.name())))
}

/// The first offset that is to stay of what is there.
fn first_kept(which: Oldest, start: i64, end: i64) -> i64 {
    let there = (end - start).max(0);
    match which {
        Oldest::Percent(percent) => start + there * i64::from(percent) / 100,
        Oldest::AllBut(keep) => end - i64::try_from(keep).unwrap_or(i64::MAX).min(there),
    }
}

/// Whether there are so many partitions, and each that is new has a leader and all its replicas in sync.
fn grown(from: u32, to: u32, admin: &mut dyn TopicAdmin) -> Result<String, String> {
    let now = admin.partitions().map_err(|error| error.to_string())?;
    let told = format!("it has {} partitions (had {from})", now.len());
    let new = now.get(from as usize..to as usize).ok_or_else(|| told.clone())?;
    let is_whole = |one: &Partition| one.leader >= 0 && one.isr.len() == one.replicas.len();
    match new.iter().zip(from..).find(|(one, _)| !is_whole(one)) {
        None => Ok(format!("{told}, the new ones led and in sync")),
        Some((one, number)) => {
            let (leader, isr) = (one.leader, words(&one.isr));
            Err(format!("{told}, and partition {number} has leader {leader}, in sync {isr}"))
        }
    }
}

fn setting(key: &str, admin: &mut dyn TopicAdmin) -> Result<Setting, String> {
    let now = admin.setting(key).map_err(|error| error.to_string())?;
    now.ok_or_else(|| format!("nobody tells {key}"))
}

/// Which replicas it comes to, where the partition is as it is now.
fn wanted(to: Replicas, now: &Partition, admin: &dyn TopicAdmin) -> io::Result<Vec<i32>> {
    match to {
        Replicas::Nodes(list) => {
            let id = |name: &String| {
                admin.id(name).ok_or_else(|| io::Error::other(format!("there is no broker {name}")))
            };
            list.names().iter().map(id).collect()
        }
        Replicas::Count(count) => {
            let mut order: Vec<i32> = Vec::new();
            let leader = Some(now.leader).filter(|leader| now.replicas.contains(leader));
            for id in leader.into_iter().chain(now.replicas.iter().copied()).chain(admin.brokers())
            {
                if !order.contains(&id) {
                    order.push(id);
                }
            }
            order.truncate(count.into());
            Ok(order)
        }
    }
}

/// The replicas with another one first that is in sync.
fn led_by_another(now: &Partition) -> io::Result<Vec<i32>> {
    if now.leader < 0 {
        return Err(io::Error::other("it has no leader"));
    }
    let is_heir = |id: &&i32| **id != now.leader && now.isr.contains(id);
    let heir = now.replicas.iter().find(is_heir).copied();
    let heir = heir.ok_or_else(|| io::Error::other("no other replica of it is in sync"))?;
    let others = now.replicas.iter().copied().filter(|id| *id != heir);
    Ok([heir].into_iter().chain(others).collect())
}

/// Whether the partition has these replicas in this order, in sync or not, and no reassignment goes on.
fn ordered(partition: u32, wanted: &[i32], admin: &mut dyn TopicAdmin) -> Result<String, String> {
    let now = admin.partition(partition).map_err(|error| error.to_string())?;
    let told = format!("its replicas are {}", words(&now.replicas));
    if now.replicas != wanted {
        return Err(told);
    }
    match admin.is_reassigned(partition).map_err(|error| error.to_string())? {
        true => Err(format!("{told}, and the reassignment goes on")),
        false => Ok(told),
    }
}

/// Whether the partition has these replicas, all in sync, and no reassignment goes on.
fn reassigned(
    partition: u32,
    wanted: &[i32],
    admin: &mut dyn TopicAdmin,
) -> Result<String, String> {
    let now = admin.partition(partition).map_err(|error| error.to_string())?;
    if !wanted.iter().all(|id| now.isr.contains(id)) {
        let (replicas, isr) = (words(&now.replicas), words(&now.isr));
        return Err(format!("its replicas are {replicas}, in sync {isr}"));
    }
    ordered(partition, wanted, admin)
}

fn words(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
