//! A topic that is deleted and made again under its name.
//!
//! Promises: it is made once nobody who answers knows the deleted one any more, and seen when every broker that runs knows the new
//! one, by its id, whole: from then on nobody can take a send or a fetch for one of the old topic. It is asked for again and again
//! until it is there, also when the fault is to end: a topic that stays away would take the load with it.

use super::words;
use crate::topic_admin::{Known, Partition, TopicAdmin, TopicId};
use std::collections::BTreeSet;
use std::io;

/// What became of the topic so far.
#[derive(Debug)]
pub(super) struct Recreation {
    former: TopicId,
    /// How many partitions it had, and is to have.
    partitions: u32,
    /// The deletion was taken, as far as anybody said.
    deleted: bool,
    /// Every broker knows it.
    made: Option<TopicId>,
}

impl Recreation {
    /// As the topic is; nothing is asked for yet.
    pub fn of(admin: &mut dyn TopicAdmin) -> io::Result<Recreation> {
        let mut last = io::Error::other("no broker knows the topic");
        for broker in admin.brokers() {
            match admin.known_to(broker) {
                Ok(Some(Known { id, .. })) if id == TopicId::default() => {
                    return Err(io::Error::other(
                        "this cluster gives its topics no ids: the new one could not be told from the old one",
                    ));
                }
                Ok(Some(Known { id, partitions })) => {
                    let partitions = partitions.len() as u32;
                    return Ok(Recreation { former: id, partitions, deleted: false, made: None });
                }
                Ok(None) => {}
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Asks for the deletion. An error: it was refused, and nothing was done.
    pub fn delete(&mut self, admin: &mut dyn TopicAdmin) -> io::Result<()> {
        self.deleted = admin.delete(self.former)?;
        Ok(())
    }

    pub fn made(&self) -> Option<TopicId> {
        self.made
    }

    /// Does what is missing for the new topic, and tells whether it is there.
    pub fn look(&mut self, admin: &mut dyn TopicAdmin) -> Result<String, String> {
        let (dead, alive): (Vec<i32>, Vec<i32>) =
            admin.brokers().into_iter().partition(|broker| admin.is_dead(*broker));
        let mut known = Vec::new();
        let mut silent = None;
        for broker in alive {
            match admin.known_to(broker) {
                Ok(told) => known.push((broker, told)),
                Err(error) => silent = Some(format!("broker {broker} does not say: {error}")),
            }
        }
        self.bring_about(&known, admin)?;
        match silent {
            Some(silent) => Err(silent),
            None => self.seen(&known, &dead),
        }
    }

    /// Has the topic deleted, or made, where those who answered have not heard of that yet.
    fn bring_about(
        &mut self,
        known: &[(i32, Option<Known>)],
        admin: &mut dyn TopicAdmin,
    ) -> Result<(), String> {
        let of_former = |(_, told): &&(i32, Option<Known>)| {
            told.as_ref().is_some_and(|told| told.id == self.former)
        };
        let behind: Vec<i32> = known.iter().filter(of_former).map(|(broker, _)| *broker).collect();
        if !behind.is_empty() {
            if !self.deleted {
                self.delete(admin).map_err(|error| error.to_string())?;
            }
            return Err(format!("broker {} still knows the deleted topic", words(&behind)));
        }
        if !known.is_empty() && known.iter().all(|(_, told)| told.is_none()) {
            admin.create(self.partitions).map_err(|error| error.to_string())?;
            return Err("no broker knows the new topic yet".to_string());
        }
        Ok(())
    }

    /// Whether all of these know the same new topic, whole.
    fn seen(&mut self, known: &[(i32, Option<Known>)], dead: &[i32]) -> Result<String, String> {
        let mut ids = BTreeSet::new();
        for (broker, told) in known {
            let told = told.as_ref();
            let told =
                told.ok_or_else(|| format!("broker {broker} does not know the new topic"))?;
            self.is_whole(told, dead).map_err(|lacks| format!("on broker {broker} {lacks}"))?;
            ids.insert(told.id);
        }
        match Vec::from_iter(ids).as_slice() {
            [id] => {
                self.made = Some(*id);
                let who = match dead.is_empty() {
                    true => "every broker knows it".to_string(),
                    false => format!("every broker but {}, dead, knows it", words(dead)),
                };
                Ok(format!("{who} as {} (was {})", word(id), word(&self.former)))
            }
            [] => Err("no broker runs".to_string()),
            _ => Err("brokers know it by more than one id".to_string()),
        }
    }

    /// Every partition is there, led, and in sync as far as its brokers run.
    fn is_whole(&self, told: &Known, dead: &[i32]) -> Result<(), String> {
        if told.partitions.len() != self.partitions as usize {
            let (count, all) = (told.partitions.len(), self.partitions);
            return Err(format!("the new topic has {count} of {all} partitions"));
        }
        let lacks = |one: &&Partition| {
            let is_there = |id: &i32| one.isr.contains(id) || dead.contains(id);
            one.leader < 0 || !one.replicas.iter().all(is_there)
        };
        match told.partitions.iter().find(lacks) {
            None => Ok(()),
            Some(one) => {
                let (leader, isr) = (one.leader, words(&one.isr));
                Err(format!("a partition of the new topic has leader {leader}, in sync {isr}"))
            }
        }
    }
}

/// The beginning of an id, which is random.
fn word(id: &TopicId) -> String {
    id[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}
