//! A plan with every default written out.
//!
//! Promises: a [`Plan`] came through [`crate::load`], so what its checks refuse does not occur in it; printed as
//! TOML ([`Plan::to_toml`]) and loaded again it is the same plan, its matrix aside.

use crate::client_deed::ClientDeed;
use crate::deed::{Deed, Needs};
pub use crate::profile::Profile;
use crate::recipe::Step;
use crate::units::{Between, Bytes, Millis, Rate};
use model::fault::Role;
use model::settings::{Acks, Commits, Isolation};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// The version of the plan format.
pub const SCHEMA: u32 = 1;

/// What one run does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    pub schema: u32,
    /// Names the directory under `store/`.
    pub name: String,
    /// The question that the plan answers, in a sentence.
    pub about: String,
    pub target: Target,
    pub topic: Topic,
    pub workload: Workload,
    pub time: Time,
    pub limits: Limits,
    #[serde(rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    #[serde(rename = "recipe", skip_serializing_if = "Vec::is_empty")]
    pub recipes: Vec<RecipeUse>,
    /// Axes for `compare`: a setting's path and the values that it takes, in turn. Not printed: each cell has a
    /// resolved plan of its own, because what is left out of a plan follows what is in it.
    #[serde(skip)]
    pub matrix: BTreeMap<String, Vec<toml::Value>>,
}

/// The cluster under test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Target {
    pub kind: TargetKind,
    /// Brokers; with combined controllers each of them is one of the controllers too.
    pub nodes: u32,
    pub controllers: Controllers,
    pub profile: Profile,
    /// Seeded defects of the bundled broker, off unless named.
    pub defects: Vec<String>,
    /// Of Apache Kafka: the directory with its `libs/*.jar`; where it is not said, the environment says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_home: Option<String>,
    /// Of Apache Kafka: the largest heap of a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heap: Option<Bytes>,
    /// What an `upgrade` starts: of Kafka another directory with `libs/*.jar`, of the bundled broker another program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_to: Option<String>,
    /// Of Apache Kafka: log directories of each broker, all on its one disk.
    #[serde(skip_serializing_if = "is_one")]
    pub log_dirs: u32,
    /// Which nodes stand together: each broker is told its rack, and a rack may fail as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub racks: Option<Vec<Vec<String>>>,
    /// Further properties of every node, by Kafka's names; they win over the profile's.
    pub properties: BTreeMap<String, String>,
}

fn is_one(count: &u32) -> bool {
    *count == 1
}

impl Target {
    /// How many nodes of what: `bundled ×3`, `Apache Kafka 4.3.1 ×3 + 3 controllers`.
    pub fn title(&self, software: &str) -> String {
        match self.controllers {
            Controllers::Combined => format!("{software} ×{}", self.nodes),
            Controllers::Dedicated(count) => {
                format!("{software} ×{} + {count} controllers", self.nodes)
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// The broker in this program, as local processes.
    Bundled,
    /// Apache Kafka, as local processes.
    Kafka,
}

impl TargetKind {
    pub const ALL: [TargetKind; 2] = [TargetKind::Bundled, TargetKind::Kafka];

    /// As it is spelt in plans.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetKind::Bundled => "bundled",
            TargetKind::Kafka => "kafka",
        }
    }

    /// In a sentence, for `highwater list targets`.
    pub fn about(self) -> &'static str {
        match self {
            TargetKind::Bundled => "this program's own broker, as processes on this machine",
            TargetKind::Kafka => {
                "Apache Kafka, as processes on this machine, from a directory with its jars (--kafka-home)"
            }
        }
    }
}

/// Where the metadata quorum lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controllers {
    /// On the brokers.
    Combined,
    /// On this many nodes of their own.
    Dedicated(u32),
}

impl Serialize for Controllers {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Controllers::Combined => to.serialize_str("combined"),
            Controllers::Dedicated(count) => to.serialize_u32(*count),
        }
    }
}

/// The topic that is written to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Topic {
    pub name: String,
    pub partitions: u32,
    pub replication_factor: u16,
    pub min_insync_replicas: u16,
    /// `unclean.leader.election.enable`
    pub unclean: bool,
    pub flush: Flush,
    /// Further topic properties, by Kafka's names.
    pub properties: BTreeMap<String, String>,
}

/// When a replica syncs its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// When the operating system likes: Kafka's default.
    None,
    /// Before the batch counts (`flush.messages=1`).
    EveryBatch,
    /// At least this often (`flush.ms`).
    Every(Millis),
}

impl std::fmt::Display for Flush {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Flush::None => f.write_str("none"),
            Flush::EveryBatch => f.write_str("every-batch"),
            Flush::Every(period) => period.fmt(f),
        }
    }
}

impl Serialize for Flush {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Topic {
    /// The topic's properties as they are given to the cluster at its creation, by Kafka's names.
    pub fn all_properties(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            ("min.insync.replicas".to_string(), self.min_insync_replicas.to_string()),
            ("unclean.leader.election.enable".to_string(), self.unclean.to_string()),
        ]);
        match self.flush {
            Flush::None => None,
            Flush::EveryBatch => all.insert("flush.messages".to_string(), "1".to_string()),
            Flush::Every(period) => all.insert("flush.ms".to_string(), period.0.to_string()),
        };
        all.extend(self.properties.clone());
        all
    }
}

/// What the name of a copied topic ends with.
pub(crate) const COPY: &str = "-copy";

/// The load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Workload {
    pub name: WorkloadName,
    pub producers: u32,
    pub consumers: u32,
    /// Over all producers together.
    pub rate: Rate,
    /// The size of a record's value.
    pub record_bytes: Bytes,
    #[serde(serialize_with = "acks_as_text")]
    pub acks: Acks,
    pub idempotence: bool,
    /// Retries of one send inside the client library.
    pub retries: u32,
    /// `max.in.flight.requests.per.connection`
    pub in_flight: u32,
    /// Of groups: when a member commits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commits: Option<Commits>,
    /// Of transactions and of copies: sends of one transaction, from one to so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_records: Option<u32>,
    /// Of transactions and of copies: the share of transactions that is aborted on purpose, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aborts: Option<f64>,
    /// Of groups and of copies: how often a member leaves and another one comes; of transactions: how often a second session takes a
    /// transactional id while the first has a transaction open. 0: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub churn: Option<Millis>,
    /// Further properties of the producers, by the client library's names.
    pub properties: BTreeMap<String, String>,
}

fn acks_as_text<S: Serializer>(acks: &Acks, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(acks.as_str())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadName {
    /// Producers write, consumers read along, everything is read back at the end.
    Queue,
    /// Producers write, the members of a consumer group process and commit, everything is read back at the end.
    Groups,
    /// Producers write in transactions and read in them too, everything is read back at the end.
    Transactions,
    /// Producers write, a consumer group copies that into a second topic in transactions that hold its offsets, both are read
    /// back at the end.
    ExactlyOnce,
}

impl WorkloadName {
    pub const ALL: [WorkloadName; 4] = [
        WorkloadName::Queue,
        WorkloadName::Groups,
        WorkloadName::Transactions,
        WorkloadName::ExactlyOnce,
    ];

    /// In a sentence, for `highwater list workloads`.
    pub fn about(self) -> &'static str {
        match self {
            WorkloadName::Queue => {
                "plain sends at a set rate, readers reading along from assigned partitions"
            }
            WorkloadName::Groups => {
                "plain sends at a set rate, processed by a consumer group whose members come and go"
            }
            WorkloadName::Transactions => {
                "sends and polls in transactions, some aborted on purpose, some fenced; readers of committed records"
            }
            WorkloadName::ExactlyOnce => {
                "plain sends at a set rate, copied into a second topic by a group whose offsets are in the copies' transactions"
            }
        }
    }

    /// What its readers are shown.
    pub fn isolation(self) -> Isolation {
        match self {
            // What any consumer sees by default.
            WorkloadName::Queue | WorkloadName::Groups => Isolation::ReadUncommitted,
            WorkloadName::Transactions | WorkloadName::ExactlyOnce => Isolation::ReadCommitted,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            WorkloadName::Queue => "queue",
            WorkloadName::Groups => "groups",
            WorkloadName::Transactions => "transactions",
            WorkloadName::ExactlyOnce => "exactly-once",
        }
    }

    /// Its producers write in transactions.
    pub fn is_transactional(self) -> bool {
        self == WorkloadName::Transactions
    }

    /// Its consumers are members of a group.
    pub fn has_group(self) -> bool {
        matches!(self, WorkloadName::Groups | WorkloadName::ExactlyOnce)
    }

    /// Somebody in it has transactions.
    pub fn needs_transactions(self) -> bool {
        matches!(self, WorkloadName::Transactions | WorkloadName::ExactlyOnce)
    }
}

/// How long each part of a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Time {
    /// Until the cluster is up and the topic has leaders, at most.
    pub setup: Millis,
    /// Load that is checked and not measured, until every send is acknowledged within the deadline for two seconds,
    /// at most; 0: none.
    pub warm_up: Millis,
    /// Load without faults.
    pub baseline: Millis,
    /// Load with faults.
    pub run: Millis,
    /// Until every fault is seen to be over, at most.
    pub heal: Millis,
    /// Until every replica is in sync and every send has its outcome, at most.
    pub settle: Millis,
    /// The final reads, at most.
    pub check: Millis,
    /// A send counts as available when it is acknowledged within this time of its intended start.
    pub deadline: Millis,
}

/// What keeps the damage in bounds, whatever the faults say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Brokers (and likewise controllers) that may be damaged at one time.
    pub damaged: Damaged,
    /// How long a fault waits for full ISRs after the one before it; then it goes ahead.
    pub recovery_wait: Millis,
}

/// How many nodes may be damaged at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// Fewer than half.
    Minority,
    AtMost(u32),
}

impl Damaged {
    /// The number that it comes to among `nodes`.
    pub fn of(self, nodes: usize) -> usize {
        match self {
            Damaged::Minority => nodes.saturating_sub(1) / 2,
            Damaged::AtMost(count) => count as usize,
        }
    }
}

impl Serialize for Damaged {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Damaged::Minority => to.serialize_str("minority"),
            Damaged::AtMost(count) => to.serialize_u32(*count),
        }
    }
}

/// When something comes due within the fault phase, counted from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct When {
    /// The first time.
    pub from: Millis,
    /// Again after each such period; absent: once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Millis>,
    /// Nothing is due at or after this.
    pub until: Millis,
    /// At most this many times.
    pub count: u32,
    /// Each time is moved back by a draw up to this.
    pub jitter: Millis,
}

/// A single fault, perhaps repeated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// Its name and parameters.
    #[serde(flatten)]
    pub deed: Deed,
    #[serde(serialize_with = "role_as_text")]
    pub on: Role,
    /// Of a cut: from whom; of links: with whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<Peers>,
    /// Which of the followers, where the role leaves a choice.
    pub pick: Pick,
    /// How long it is held, from its confirmation.
    #[serde(rename = "for")]
    pub hold: Between,
    /// When another node comes to play the role, it goes there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
    #[serde(flatten)]
    pub when: When,
}

/// Whom a node is cut off from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Whoever plays it when the fault is injected, but for the node itself.
    Role(Role),
    /// Every other node, brokers and controllers.
    Nodes,
    Clients,
    /// Every other node and the clients.
    Everyone,
    /// Of links: every other broker.
    Brokers,
    /// Of links: every other broker and the clients.
    BrokersAndClients,
}

impl Peers {
    /// The words for peers of a cut that are no role, with what they mean.
    pub const WORDS: [(&str, Peers, &str); 3] = [
        ("nodes", Peers::Nodes, "every other node"),
        ("clients", Peers::Clients, "all clients"),
        ("everyone", Peers::Everyone, "every other node and all clients"),
    ];
}

impl std::fmt::Display for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peers::Role(role) => f.write_str(&role_name(role)),
            Peers::Nodes => f.write_str("nodes"),
            Peers::Clients => f.write_str("clients"),
            Peers::Everyone => f.write_str("everyone"),
            Peers::Brokers => f.write_str("brokers"),
            Peers::BrokersAndClients => f.write_str("all"),
        }
    }
}

impl Serialize for Peers {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

fn role_as_text<S: Serializer>(role: &Role, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&role_name(role))
}

/// Which node, where a role leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// A draw.
    #[default]
    Any,
    /// The in-sync follower that a clean election would choose: the first in the order of the replicas.
    Next,
    /// The in-sync follower that an election would choose last.
    Last,
}

impl Pick {
    pub fn as_str(self) -> &'static str {
        match self {
            Pick::Any => "any",
            Pick::Next => "next",
            Pick::Last => "last",
        }
    }
}

/// A recipe, and when it is run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecipeUse {
    pub name: String,
    pub about: String,
    pub damage: crate::recipe::Damage,
    pub partition: crate::recipe::PartitionChoice,
    #[serde(flatten)]
    pub when: When,
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// Every role by its name in plans; node names aside.
pub const ROLES: [(&str, Role, &str); 14] = [
    ("leader", Role::Leader, "the leader of a partition, drawn"),
    ("follower", Role::Follower, "a follower of a partition"),
    ("followers", Role::Followers, "all followers of a partition"),
    ("controller", Role::Controller, "the active controller"),
    ("controller-follower", Role::ControllerFollower, "a controller that is not active"),
    ("one", Role::One, "any one broker"),
    ("minority", Role::Minority, "fewer than half of the brokers"),
    ("majority", Role::Majority, "more than half of the brokers"),
    ("all", Role::All, "every broker"),
    ("rack", Role::Rack, "every node of one of the target's racks"),
    ("successor", Role::Successor, "in a recipe: who leads now, after its first leader was hit"),
    ("previous-leader", Role::PreviousLeader, "in a recipe: who led when it began"),
    ("last-in-sync", Role::LastInSync, "the only member of the partition's ISR"),
    ("starved", Role::Starved, "in a recipe: those that earlier steps hold back"),
];

/// A role as plans spell it.
pub fn role_name(role: &Role) -> String {
    match role {
        Role::Node(name) => name.clone(),
        Role::Partition => "partition".to_string(),
        Role::Topic => "topic".to_string(),
        Role::Producer => "producer".to_string(),
        Role::Producers => "producers".to_string(),
        Role::Member => "member".to_string(),
        role => {
            let entry = ROLES.iter().find(|(_, known, _)| known == role);
            entry.map(|(name, _, _)| name.to_string()).unwrap_or_default()
        }
    }
}

impl Plan {
    /// The plan as TOML, every default written out: `plan.resolved.toml`.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a plan is tables, arrays, strings, numbers and booleans")
    }

    /// How long the run takes if every wait is as long as it may be.
    pub fn duration_ms_max(&self) -> u64 {
        let time = &self.time;
        [time.setup, time.warm_up, time.baseline, time.run, time.heal, time.settle, time.check]
            .iter()
            .map(|part| part.0)
            .sum()
    }

    /// Every deed that it may do.
    pub fn deeds(&self) -> impl Iterator<Item = Deed> {
        let in_recipes = self.recipes.iter().flat_map(|recipe| &recipe.steps);
        let of_steps = in_recipes.filter_map(|step| match step {
            Step::Do { deed, .. } => Some(*deed),
            Step::Heal { .. } | Step::Wait { .. } => None,
        });
        self.faults.iter().map(|fault| fault.deed).chain(of_steps)
    }

    /// How long members of a group may go without polling, where a deed is about that: the shortest time that any says.
    pub fn poll_grace(&self) -> Option<Millis> {
        let grace = |deed| match deed {
            Deed::Client(ClientDeed::StallConsumer { grace }) => Some(grace),
            _ => None,
        };
        self.deeds().filter_map(grace).min()
    }

    /// What its deeds need of the machine and the target, to be looked for before anything is touched.
    pub fn needs(&self) -> std::collections::BTreeSet<Needs> {
        self.deeds().map(|deed| deed.name().needs()).collect()
    }

    /// The topics that the workload is about: the plan's own, and where it is copied to.
    pub fn topics(&self) -> Vec<String> {
        let mut topics = vec![self.topic.name.clone()];
        if self.workload.name == WorkloadName::ExactlyOnce {
            topics.push(format!("{}{COPY}", self.topic.name));
        }
        topics
    }

    /// The controllers that the plan asks for.
    pub fn controller_count(&self) -> u32 {
        match self.target.controllers {
            Controllers::Combined => self.target.nodes,
            Controllers::Dedicated(count) => count,
        }
    }
}
