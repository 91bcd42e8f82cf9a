//! After healing: wait until the cluster is whole, agree on where every log ends, and read every log twice.
//!
//! Loss is judged only on this ground. The end of a log is its leader's high watermark, equal twice within one leader
//! epoch, where the leader's log ends as well; two independent readers read from the log's start to there.

use super::load::{self, Load, Shared, TOPIC};
use super::up::{MadeTopic, topics, wait_for, whole_topics};
use crate::replicas::Ended;
use admin::{Admin, OffsetSpec, Topic};
use anyhow::Result;
use clients::History;
use clients::reader::{self, ReaderTask};
use judge::Liveness;
use model::history::{Event, LogRef, TopicRef};
use plan::Plan;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

/// Readers whose passes must all be complete.
pub const FINAL_READERS: u32 = 2;

/// Waits until every replica is in sync again. What is not by then has never recovered: a finding.
pub fn settle(plan: &Plan, bootstrap: &str, interrupted: &dyn Fn() -> bool) -> Liveness {
    let mut admin = Admin::new(bootstrap, Duration::from_secs(2));
    let limit = Duration::from_millis(plan.time.settle.0);
    let settled =
        wait_for("all replicas are in sync", limit, interrupted, || whole_topics(&mut admin, plan));
    let never_recovered = match settled {
        Ok(_) => Vec::new(),
        Err(error) => not_whole(&mut admin, plan, &format!("{error:#}")),
    };
    Liveness { measured: !interrupted(), never_recovered, deadline_ms: plan.time.settle.0 }
}

/// How much longer than a stuck reader is given the readers are waited for, so that one that is stuck is known to be.
const CATCH_UP_SLACK: Duration = Duration::from_millis(500);

/// Gives the live readers the time after which one that gets nothing is stuck.
pub fn catch_up(plan: &Plan, shared: &Shared, load: &Load, interrupted: &dyn Fn() -> bool) {
    let mut admin = Admin::new(&shared.bootstrap, Duration::from_secs(2));
    let limit = Duration::from_millis(plan.time.settle.0) + CATCH_UP_SLACK;
    let mut ends = BTreeMap::new();
    // Where the readers do not get there, the history tells why: that is for the checker to say.
    let _ = wait_for("the readers have caught up", limit, interrupted, || {
        for partition in 0..shared.topic.count() {
            if let Entry::Vacant(of) = ends.entry(partition) {
                let (_, start, end) = bounds(&mut admin, &plan.topic.name, partition)?;
                // Nothing can be handed out of an empty log.
                of.insert(if start < end { end } else { 0 });
            }
        }
        if load.is_behind(&ends) { Err("some are behind".to_owned()) } else { Ok(()) }
    });
}

/// The logs that are not led by an in-sync replica now. An ISR that is only smaller than it should be is no outage.
fn not_whole(admin: &mut Admin, plan: &Plan, error: &str) -> Vec<String> {
    let Ok(topics) = topics(admin, plan) else {
        return vec![format!("{}: {error}", plan.topics().join(", "))];
    };
    let partitions = topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (&t.name, p)));
    partitions
        .filter(|(_, p)| p.isr.len() < p.replicas.len() || p.leader < 0)
        .map(|(name, p)| {
            let state =
                format!("leader {}, in-sync replicas {:?} of {:?}", p.leader, p.isr, p.replicas);
            format!("{name}-{}: {state}", p.partition)
        })
        .collect()
}

/// Finds every log's bounds, writes them down, and reads everything with independent readers. Answers the logs that have an
/// agreed end.
pub fn read(
    plan: &Plan,
    topics: &[MadeTopic],
    brokers: &BTreeMap<String, i32>,
    shared: &Shared,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<Ended>> {
    let mut admin = Admin::new(&shared.bootstrap, Duration::from_secs(2));
    let limit = Duration::from_millis(plan.time.settle.0);
    let (mut readers, mut ended) = (Vec::new(), Vec::new());
    for (topic_ref, topic) in (0..).map(TopicRef).zip(topics) {
        // A fault may have had another one made in its place.
        let topic_ref = if topic_ref == TOPIC { shared.topic.now().topic } else { topic_ref };
        let mut ends = BTreeMap::new();
        for partition in 0..shared.topic.count() {
            let what = format!("the end of {}-{partition} is settled", topic.name);
            // A log without an agreed end stays without bounds in the history: the checker then says unknown, and why.
            let Ok((leader_epoch, start, end)) =
                wait_for(&what, limit, interrupted, || bounds(&mut admin, &topic.name, partition))
            else {
                continue;
            };
            let log = LogRef { topic: topic_ref, partition };
            shared.recorder.note(Event::LogBounds { log, leader_epoch, start, end, settled: true });
            ends.insert(partition, end);
            // Each replica compacts its log when it likes.
            if !topic.settings.cleanup_policy.contains("compact") {
                ended.push(Ended { log, topic: topic.name.clone(), end, nodes: Ok(Vec::new()) });
            }
        }
        for _ in 0..FINAL_READERS {
            let name = format!("final{}", readers.len() + 1);
            let task = load::reader_task(plan, topic_ref, topic, shared, name);
            readers.push((task, ends.clone()));
        }
    }
    let deadline = Duration::from_millis(plan.time.check.0);
    let read = |(task, ends): (ReaderTask, BTreeMap<u32, i64>)| {
        let history: Arc<dyn History> = shared.recorder.clone();
        std::thread::spawn(move || reader::final_pass(task, 0, &ends, deadline, history))
    };
    let threads: Vec<_> = readers.into_iter().map(read).collect();
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a final reader panicked: a bug in highwater"))??;
    }
    let asked = wait_for("it is known which replicas are in sync", limit, interrupted, || {
        self::topics(&mut admin, plan)
    });
    in_sync(asked.map_err(|error| format!("{error:#}")), brokers, &mut ended);
    Ok(ended)
}

/// Who has a replica in sync of each log now, after its end was settled: whoever has holds everything below it.
fn in_sync(
    topics: Result<Vec<Topic>, String>,
    brokers: &BTreeMap<String, i32>,
    ended: &mut [Ended],
) {
    for log in ended {
        log.nodes = topics.as_ref().map_err(String::clone).map(|topics| {
            let partitions = topics.iter().filter(|topic| topic.name == log.topic);
            let mut partitions = partitions.flat_map(|topic| &topic.partitions);
            let found = partitions.find(|found| found.partition == log.log.partition);
            let mut nodes: Vec<(bool, String)> = brokers
                .iter()
                .filter(|(_, id)| found.is_some_and(|found| found.isr.contains(id)))
                .map(|(name, id)| (found.is_none_or(|found| found.leader != *id), name.clone()))
                .collect();
            nodes.sort();
            nodes.into_iter().map(|(_, name)| name).collect()
        });
    }
}

/// Start and end of a log, asked for twice within one leader epoch.
fn bounds(admin: &mut Admin, topic: &str, partition: u32) -> Result<(i32, i64, i64), String> {
    let text = |error: admin::AdminError| error.to_string();
    let leader = |admin: &mut Admin| -> Result<(i32, i32), String> {
        let topics = admin.cluster(Some(&[topic])).map_err(text)?.topics;
        let found = topics
            .iter()
            .flat_map(|t| &t.partitions)
            .find(|p| p.partition == partition && p.leader >= 0);
        found.map(|p| (p.leader, p.leader_epoch)).ok_or_else(|| "it has no leader".to_string())
    };
    let (id, epoch) = leader(admin)?;
    let (start, _) = admin.offset(id, topic, partition, OffsetSpec::Earliest).map_err(text)?;
    let (first, _) = admin.offset(id, topic, partition, OffsetSpec::Latest).map_err(text)?;
    std::thread::park_timeout(Duration::from_millis(20));
    let (second, _) = admin.offset(id, topic, partition, OffsetSpec::Latest).map_err(text)?;
    if first != second {
        return Err(format!("its high watermark still moves: {first}, then {second}"));
    }
    // Records above it, acknowledged with acks=1, may be on their way to a follower that is slow: the mark stands still then.
    let (log_end, _) = admin.offset(id, topic, partition, OffsetSpec::LogEnd).map_err(text)?;
    if log_end != second {
        return Err(format!(
            "its high watermark is {second}, and its leader's log ends at {log_end}"
        ));
    }
    if leader(admin)? != (id, epoch) {
        return Err("its leader changed meanwhile".to_string());
    }
    Ok((epoch, start, second))
}
