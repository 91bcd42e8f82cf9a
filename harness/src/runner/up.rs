//! From nothing to a cluster with a topic: start, wait until it serves, make the topic, read back what is in force.

use crate::exit::Refused;
use crate::recorder::Clock;
use crate::target::clocks;
use crate::target::local::Local;
use admin::{Admin, AdminError, NewTopic, Topic};
use anyhow::{Result, anyhow};
use model::settings::TopicSettings;
use plan::Plan;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a state that is waited for is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Why a state that is waited for is not there.
pub enum Not {
    /// It may still come.
    Yet(String),
    /// It won't: waiting longer would only hide why.
    Ever(String),
}

impl From<String> for Not {
    fn from(reason: String) -> Not {
        Not::Yet(reason)
    }
}

/// Calls `look` until it answers, the time is over or `interrupted` says so. The error is the last reason not to.
pub fn wait_for<T, E: Into<Not>>(
    what: &str,
    limit: Duration,
    interrupted: &dyn Fn() -> bool,
    mut look: impl FnMut() -> Result<T, E>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let reason = match look().map_err(Into::into) {
            Ok(found) => return Ok(found),
            Err(Not::Ever(reason)) => return Err(anyhow!(reason)),
            Err(Not::Yet(reason)) => reason,
        };
        if interrupted() {
            return Err(anyhow!("interrupted while waiting until {what}"));
        }
        if Instant::now() >= deadline {
            return Err(anyhow!(
                "waited {:.0} s until {what}, in vain: {reason}",
                limit.as_secs_f64()
            ));
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// A topic that exists, with what the cluster says of it.
#[derive(Clone)]
pub struct MadeTopic {
    pub name: String,
    pub id: [u8; 16],
    pub settings: TopicSettings,
}

/// What there is once the cluster is up.
pub struct Made {
    /// In the order of the plan's.
    pub topics: Vec<MadeTopic>,
    pub warnings: Vec<String>,
    /// Milliseconds from the first process to the topics.
    pub up_ms: u64,
}

/// Starts every node and waits until the plan's topics are there, led and fully replicated.
pub fn start(
    plan: &Plan,
    cluster: &mut Local,
    clock: Clock,
    interrupted: &dyn Fn() -> bool,
) -> Result<Made> {
    cluster.format().map_err(|error| Refused::could_not_run(format!("{error:#}")))?;
    let names: Vec<String> = cluster.names().map(String::from).collect();
    for name in &names {
        cluster.start(name)?;
    }
    let limit = Duration::from_millis(plan.time.setup.0);
    let mut admin = Admin::new(&cluster.bootstrap(), Duration::from_secs(2));
    registered(cluster, &mut admin, plan.target.nodes as usize, limit, interrupted)?;
    let stampers = cluster.stampers();
    if !stampers.is_empty() {
        wait_for("the topic of the clocks is made", limit, interrupted, || {
            clocks::make_topic(&mut admin, &stampers).map_err(|error| error.to_string())
        })?;
    }
    make_topics(plan, &mut admin, limit, clock, interrupted)
}

/// Waits until `wanted` brokers are registered and unfenced. A node that ends meanwhile ends the wait.
pub fn registered(
    cluster: &mut Local,
    admin: &mut Admin,
    wanted: usize,
    limit: Duration,
    interrupted: &dyn Fn() -> bool,
) -> Result<()> {
    wait_for("every broker is registered", limit, interrupted, || {
        if let Some((name, how)) = cluster.ended().into_iter().next() {
            let log = cluster.log_path(&name).map(|path| last_lines(&path, 5)).unwrap_or_default();
            return Err(Not::Ever(format!("{name} ended ({how}); its log ends with:\n{log}")));
        }
        let alive = admin.registered_brokers().map_err(|error| Not::Yet(error.to_string()))?;
        let ready = alive.iter().filter(|broker| !broker.fenced).count();
        let reason =
            || Not::Yet(format!("{ready} of {wanted} brokers are registered and unfenced"));
        if ready == wanted { Ok(()) } else { Err(reason()) }
    })
    .map_err(|error| {
        Refused::could_not_run(format!("the cluster did not come up: {error:#}")).into()
    })
}

/// Makes the plan's topics and waits until each partition has its leader and a full ISR.
fn make_topics(
    plan: &Plan,
    admin: &mut Admin,
    limit: Duration,
    clock: Clock,
    interrupted: &dyn Fn() -> bool,
) -> Result<Made> {
    for name in plan.topics() {
        let new = new_topic(plan, name);
        wait_for("the topic is made", limit, interrupted, || match admin.create_topic(&new) {
            Ok(_) => Ok(()),
            // A first attempt whose answer was lost.
            Err(AdminError::Broker { code, .. }) if code == "TOPIC_ALREADY_EXISTS" => Ok(()),
            Err(error) => Err(error.to_string()),
        })?;
    }
    let whole = wait_for(
        "every partition has a leader and all its replicas in sync",
        limit,
        interrupted,
        || whole_topics(admin, plan),
    )?;
    let up_ms = clock.ms();
    let (mut topics, mut warnings) = (Vec::new(), Vec::new());
    for topic in whole {
        let properties = wait_for("the topic's settings can be read", limit, interrupted, || {
            admin.topic_settings(&topic.name).map_err(|e| e.to_string())
        })?;
        let (settings, told) = effective(plan, properties);
        warnings.extend(told);
        topics.push(MadeTopic { name: topic.name, id: *topic.id.as_bytes(), settings });
    }
    warnings.dedup();
    Ok(Made { topics, warnings, up_ms })
}

/// A topic as the plan has its topics made.
pub fn new_topic(plan: &Plan, name: String) -> NewTopic {
    NewTopic {
        name,
        partitions: plan.topic.partitions,
        replication_factor: plan.topic.replication_factor,
        settings: plan.topic.all_properties(),
    }
}

/// The plan's topics as the metadata has them, in any order.
pub fn topics(admin: &mut Admin, plan: &Plan) -> Result<Vec<Topic>, String> {
    let names = plan.topics();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    admin.topics(&names).map_err(|error| error.to_string())
}

/// The plan's topics, if every partition is led and every replica in sync.
pub fn whole_topics(admin: &mut Admin, plan: &Plan) -> Result<Vec<Topic>, String> {
    let mut topics = topics(admin, plan)?;
    let mut whole = Vec::new();
    for name in plan.topics() {
        let at = topics.iter().position(|topic| topic.name == name);
        let at = at.ok_or_else(|| format!("the topic {name} is not in the metadata"))?;
        let topic = topics.swap_remove(at);
        lacks_nothing(&topic, plan.topic.partitions as usize)?;
        whole.push(topic);
    }
    Ok(whole)
}

fn lacks_nothing(topic: &Topic, partitions: usize) -> Result<(), String> {
    // A fault may have added some.
    if topic.partitions.len() < partitions {
        return Err(format!("{} of {partitions} partitions are there", topic.partitions.len()));
    }
    for partition in &topic.partitions {
        if partition.leader < 0 || partition.isr.len() < partition.replicas.len() {
            return Err(format!(
                "partition {} has leader {} and in-sync replicas {:?} of {:?}",
                partition.partition, partition.leader, partition.isr, partition.replicas
            ));
        }
    }
    Ok(())
}

/// Pulls out what decides durability, and tells what differs from what the plan asked for.
pub fn effective(
    plan: &Plan,
    properties: BTreeMap<String, String>,
) -> (TopicSettings, Vec<String>) {
    fn number<T: std::str::FromStr>(
        properties: &BTreeMap<String, String>,
        name: &str,
        absent: T,
    ) -> T {
        properties.get(name).and_then(|value| value.parse().ok()).unwrap_or(absent)
    }
    let mut warnings = Vec::new();
    for (name, asked) in plan.topic.all_properties() {
        match properties.get(&name) {
            Some(got) if *got == asked => {}
            Some(got) => warnings
                .push(format!("the plan asked for {name}={asked}, the cluster has {name}={got}")),
            None => warnings
                .push(format!("the plan asked for {name}={asked}, the cluster does not tell it")),
        }
    }
    let text = |name: &str, absent: &str| {
        properties.get(name).cloned().unwrap_or_else(|| absent.to_string())
    };
    let settings = TopicSettings {
        partitions: plan.topic.partitions,
        replication_factor: plan.topic.replication_factor,
        min_insync_replicas: number(&properties, "min.insync.replicas", 1),
        unclean_leader_election: text("unclean.leader.election.enable", "false") == "true",
        cleanup_policy: text("cleanup.policy", "delete"),
        retention_ms: number(&properties, "retention.ms", 604_800_000),
        retention_bytes: number(&properties, "retention.bytes", -1),
        message_timestamp_type: text("message.timestamp.type", "CreateTime"),
        flush_messages: number(&properties, "flush.messages", i64::MAX),
        flush_ms: number(&properties, "flush.ms", i64::MAX),
        properties,
    };
    (settings, warnings)
}

/// The end of a log file, for an error message.
pub fn last_lines(path: &std::path::Path, count: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return format!("nothing at all in {}: is the disk full?", path.display());
    }
    lines[lines.len().saturating_sub(count)..].join("\n")
}
