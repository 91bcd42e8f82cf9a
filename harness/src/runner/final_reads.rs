//! After healing: wait until the cluster is whole, agree on where every log ends, and read every log twice.
//!
//! Loss is judged only on this ground. The end of a log is its leader's high watermark, equal twice within one leader
//! epoch, where the leader's log ends as well; two independent readers read from the log's start to there.

use super::load::{self, Load, Shared, TOPIC};
use super::up::{full_topic, wait_for};
use admin::{Admin, OffsetSpec};
use anyhow::Result;
use clients::{History, reader};
use judge::Liveness;
use model::history::{Event, LogRef};
use model::settings::TopicSettings;
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
        wait_for("all replicas are in sync", limit, interrupted, || full_topic(&mut admin, plan));
    let never_recovered = match settled {
        Ok(_) => Vec::new(),
        Err(error) => not_whole(&mut admin, plan, &format!("{error:#}")),
    };
    Liveness { measured: !interrupted(), never_recovered, deadline_ms: plan.time.settle.0 }
}

/// How much longer than a stuck reader is given the readers are waited for, so that one that is stuck is known to be.
const CATCH_UP_SLACK: Duration = Duration::from_millis(500);

/// Gives the live readers the time after which one that gets nothing is stuck.
pub fn catch_up(plan: &Plan, bootstrap: &str, load: &Load, interrupted: &dyn Fn() -> bool) {
    let mut admin = Admin::new(bootstrap, Duration::from_secs(2));
    let limit = Duration::from_millis(plan.time.settle.0) + CATCH_UP_SLACK;
    let mut ends = BTreeMap::new();
    // Where the readers do not get there, the history tells why: that is for the checker to say.
    let _ = wait_for("the readers have caught up", limit, interrupted, || {
        for partition in 0..plan.topic.partitions {
            if let Entry::Vacant(of) = ends.entry(partition) {
                let (_, start, end) = bounds(&mut admin, plan, partition)?;
                // Nothing can be handed out of an empty log.
                of.insert(if start < end { end } else { 0 });
            }
        }
        if load.is_behind(&ends) { Err("some are behind".to_owned()) } else { Ok(()) }
    });
}

/// The logs that are not led by an in-sync replica now. An ISR that is only smaller than it should be is no outage.
fn not_whole(admin: &mut Admin, plan: &Plan, error: &str) -> Vec<String> {
    let Ok(topics) = admin.topics(&[&plan.topic.name]) else {
        return vec![format!("{}: {error}", plan.topic.name)];
    };
    let partitions = topics.iter().flat_map(|t| t.partitions.iter());
    partitions
        .filter(|p| p.isr.len() < p.replicas.len() || p.leader < 0)
        .map(|p| {
            let state =
                format!("leader {}, in-sync replicas {:?} of {:?}", p.leader, p.isr, p.replicas);
            format!("{}-{}: {state}", plan.topic.name, p.partition)
        })
        .collect()
}

/// Finds every log's bounds, writes them down, and reads everything with independent readers.
pub fn read(
    plan: &Plan,
    topic: &TopicSettings,
    shared: &Shared,
    interrupted: &dyn Fn() -> bool,
) -> Result<()> {
    let mut admin = Admin::new(&shared.bootstrap, Duration::from_secs(2));
    let limit = Duration::from_millis(plan.time.settle.0);
    let mut ends = BTreeMap::new();
    for partition in 0..plan.topic.partitions {
        let what = format!("the end of {}-{partition} is settled", plan.topic.name);
        // A log without an agreed end stays without bounds in the history: the checker then says unknown, and why.
        let Ok((leader_epoch, start, end)) =
            wait_for(&what, limit, interrupted, || bounds(&mut admin, plan, partition))
        else {
            continue;
        };
        let log = LogRef { topic: TOPIC, partition };
        shared.recorder.note(Event::LogBounds { log, leader_epoch, start, end, settled: true });
        ends.insert(partition, end);
    }
    let deadline = Duration::from_millis(plan.time.check.0);
    let threads: Vec<_> = (1..=FINAL_READERS)
        .map(|number| {
            let task = load::reader_task(plan, topic, shared, format!("final{number}"));
            let (ends, history): (_, Arc<dyn History>) = (ends.clone(), shared.recorder.clone());
            std::thread::spawn(move || reader::final_pass(task, 0, &ends, deadline, history))
        })
        .collect();
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a final reader panicked: a bug in highwater"))??;
    }
    Ok(())
}

/// Start and end of a log, asked for twice within one leader epoch.
fn bounds(admin: &mut Admin, plan: &Plan, partition: u32) -> Result<(i32, i64, i64), String> {
    let text = |error: admin::AdminError| error.to_string();
    let leader = |admin: &mut Admin| -> Result<(i32, i32), String> {
        let topics = admin.cluster(Some(&[&plan.topic.name])).map_err(text)?.topics;
        let found = topics
            .iter()
            .flat_map(|t| &t.partitions)
            .find(|p| p.partition == partition && p.leader >= 0);
        found.map(|p| (p.leader, p.leader_epoch)).ok_or_else(|| "it has no leader".to_string())
    };
    let (id, epoch) = leader(admin)?;
    let (start, _) =
        admin.offset(id, &plan.topic.name, partition, OffsetSpec::Earliest).map_err(text)?;
    let (first, _) =
        admin.offset(id, &plan.topic.name, partition, OffsetSpec::Latest).map_err(text)?;
    std::thread::park_timeout(Duration::from_millis(20));
    let (second, _) =
        admin.offset(id, &plan.topic.name, partition, OffsetSpec::Latest).map_err(text)?;
    if first != second {
        return Err(format!("its high watermark still moves: {first}, then {second}"));
    }
    // Records above it, acknowledged with acks=1, may be on their way to a follower that is slow: the mark stands still then.
    let (log_end, _) =
        admin.offset(id, &plan.topic.name, partition, OffsetSpec::LogEnd).map_err(text)?;
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
