//! Watches leaders, ISR and the quorum through the cluster's public APIs, and writes down every change.
//!
//! Promises: one observation for each change, with the time at which it was seen; when it cannot see, it says so.
//! Not promised: that nothing happened between two looks.

use crate::recorder::Clock;
use admin::Admin;
use model::cluster::{Observation, PartitionState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What was last seen, and what has changed since.
struct Observer {
    admin: Admin,
    topics: Vec<String>,
    clock: Clock,
    /// By topic, as its place among those watched: the ids that it was seen to have, the newest last.
    ids: BTreeMap<usize, Vec<[u8; 16]>>,
    /// By topic and partition.
    partitions: BTreeMap<(usize, u32), PartitionState>,
    quorum: Option<Observation>,
    brokers: Option<Observation>,
    blind: bool,
}

/// A running observer.
pub struct Running {
    stop: Sender<()>,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Running {
    pub fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// Looks every `interval` and hands changes to `see`, from its own thread.
pub fn start(
    bootstrap: &str,
    topics: Vec<String>,
    clock: Clock,
    interval: Duration,
    mut see: impl FnMut(Observation) + Send + 'static,
) -> Running {
    let mut observer = Observer {
        // A stalled broker must not blind us for long: others answer.
        admin: Admin::new(bootstrap, Duration::from_millis(400)),
        topics,
        clock,
        ids: BTreeMap::new(),
        partitions: BTreeMap::new(),
        quorum: None,
        brokers: None,
        blind: false,
    };
    let (stop, stops): (Sender<()>, Receiver<()>) = channel();
    let stopped = Arc::new(AtomicBool::new(false));
    let thread = {
        let stopped = stopped.clone();
        std::thread::Builder::new()
            .name("observer".into())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    observer.look(&mut see);
                    if stops.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
            })
            .expect("the operating system refused a thread")
    };
    Running { stop, stopped, thread }
}

impl Observer {
    fn look(&mut self, see: &mut dyn FnMut(Observation)) {
        let names: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        let topics = match self.admin.topics(&names) {
            Ok(topics) => topics,
            Err(error) => {
                if !self.blind {
                    see(Observation::Blind { at_ms: self.clock.ms(), error: error.to_string() });
                }
                self.blind = true;
                return;
            }
        };
        self.blind = false;
        let at_ms = self.clock.ms();
        for topic in topics {
            let Some(place) = self.topics.iter().position(|name| *name == topic.name) else {
                continue;
            };
            let Some(anew) = self.met(place, *topic.id.as_bytes()) else { continue };
            for partition in topic.partitions {
                let state = PartitionState {
                    at_ms,
                    topic: topic.name.clone(),
                    partition: partition.partition,
                    leader: partition.leader,
                    leader_epoch: partition.leader_epoch,
                    replicas: partition.replicas,
                    isr: partition.isr,
                    elr: partition.elr,
                    offline: partition.offline,
                    anew,
                };
                self.partition(place, state, see);
            }
        }
        if let Ok(quorum) = self.admin.quorum() {
            let leader = Some(quorum.leader).filter(|&id| id >= 0);
            let seen = |at_ms| Observation::Quorum {
                at_ms,
                leader,
                epoch: quorum.epoch,
                voters: quorum.voters.clone(),
                observers: quorum.observers.clone(),
            };
            changed(&mut self.quorum, seen, at_ms, see);
        }
        if let Ok(brokers) = self.admin.registered_brokers() {
            let ids = |fenced: bool| {
                brokers.iter().filter(|b| b.fenced == fenced).map(|b| b.id).collect::<Vec<_>>()
            };
            let seen = |at_ms| Observation::Brokers { at_ms, alive: ids(false), fenced: ids(true) };
            changed(&mut self.brokers, seen, at_ms, see);
        }
    }

    /// Takes a topic's id. Answers it where the topic was made anew since it was first seen; `None`: the broker that answered
    /// has older metadata than one before, and tells of a topic that is gone.
    fn met(&mut self, place: usize, id: [u8; 16]) -> Option<Option<[u8; 16]>> {
        let ids = self.ids.entry(place).or_default();
        if !ids.contains(&id) {
            ids.push(id);
            self.partitions.retain(|(of, _), _| *of != place);
        }
        let is_newest = ids.last() == Some(&id);
        is_newest.then_some((ids.len() > 1).then_some(id))
    }

    /// Another broker may answer with older metadata than the one before: an epoch never goes back in what we tell.
    fn partition(&mut self, place: usize, state: PartitionState, see: &mut dyn FnMut(Observation)) {
        if let Some(before) = self.partitions.get(&(place, state.partition)) {
            if state.leader_epoch < before.leader_epoch {
                return;
            }
            let same = PartitionState { at_ms: before.at_ms, ..state.clone() };
            if same == *before {
                return;
            }
        }
        self.partitions.insert((place, state.partition), state.clone());
        see(Observation::Partition(state));
    }
}

/// Tells an observation whose content, its time aside, is not the one before.
fn changed(
    before: &mut Option<Observation>,
    seen: impl Fn(u64) -> Observation,
    at_ms: u64,
    see: &mut dyn FnMut(Observation),
) {
    let content = seen(0);
    if before.as_ref() != Some(&content) {
        *before = Some(content);
        see(seen(at_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_was_made_anew_is_told_by_its_id_and_the_one_before_it_never_again() {
        let mut observer = Observer {
            admin: Admin::new("", Duration::ZERO),
            topics: vec!["queue".to_string()],
            clock: Clock::start(),
            ids: BTreeMap::new(),
            partitions: BTreeMap::new(),
            quorum: None,
            brokers: None,
            blind: false,
        };
        let state = |leader_epoch| PartitionState {
            at_ms: 0,
            topic: "queue".to_string(),
            partition: 0,
            leader: 1,
            leader_epoch,
            replicas: vec![1],
            isr: vec![1],
            elr: Vec::new(),
            offline: Vec::new(),
            anew: None,
        };
        let mut epochs = Vec::new();
        let mut see = |seen| match seen {
            Observation::Partition(state) => epochs.push(state.leader_epoch),
            other => panic!("{other:?}"),
        };
        assert_eq!(observer.met(0, [1; 16]), Some(None));
        observer.partition(0, state(4), &mut see);
        assert_eq!(observer.met(0, [2; 16]), Some(Some([2; 16])));
        // Its epochs begin again.
        observer.partition(0, state(0), &mut see);
        assert_eq!(observer.met(0, [1; 16]), None);
        assert_eq!(observer.met(0, [2; 16]), Some(Some([2; 16])));
        assert_eq!(epochs, [4, 0]);
    }
}
