//! Whether a plan makes sense, and every default.
//!
//! Promises: whatever is refused here does not occur in a [`Plan`]. All problems are found in one go.

mod clients;
mod clocks;
mod deeds;
mod faults;
mod files;
mod links;
mod recipes;
mod topics;

use crate::deed::Needs;
use crate::parse::Locator;
use crate::plan::*;
use crate::problem::{PlanError, Problem};
use crate::raw::*;
use crate::units::{Bytes, Millis, Rate};
use model::settings::{Acks, Commits};
use std::collections::{BTreeMap, BTreeSet};

/// What the client library retries, when nobody says otherwise.
const RETRIES_DEFAULT: u32 = 2_147_483_647;
/// Requests in flight up to which an idempotent producer keeps its order.
const IDEMPOTENT_IN_FLIGHT_MAX: u32 = 5;
/// Members of a group come and go this often.
const CHURN_DEFAULT: Millis = Millis(5_000);
/// Sends of one transaction, at most.
const TRANSACTION_RECORDS_DEFAULT: u32 = 10;
/// The share of transactions that are aborted on purpose.
const ABORTS_DEFAULT: f64 = 0.1;
/// Heap of a node of Apache Kafka: enough for a small topic, and several of them fit on a small machine.
const HEAP_DEFAULT: Bytes = Bytes(400 << 20);
/// Below this a node runs out of memory while it starts.
/// More than anybody's disks.
const LOG_DIRS_MAX: u32 = 16;
const HEAP_BYTES_MIN: u64 = 128 << 20;
/// A record's value holds at least its stamp.
const RECORD_BYTES_MIN: u64 = 64;
/// What the client library sends at most, unless its properties say otherwise.
const RECORD_BYTES_MAX: u64 = 1_000_000 - 1024;

/// Collects what is wrong.
pub(crate) struct Checker<'a> {
    locator: &'a Locator<'a>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Checker<'_> {
    fn wrong(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        self.problems.push(self.locator.problem(path, message.into(), help));
    }

    fn warn(&mut self, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        self.warnings.push(self.locator.problem(path, message.into(), help));
    }
}

pub(crate) fn resolve(
    raw: RawPlan,
    locator: &Locator<'_>,
) -> Result<(Plan, Vec<Problem>), PlanError> {
    let mut checker = Checker { locator, problems: Vec::new(), warnings: Vec::new() };
    match raw.schema {
        Some(SCHEMA) => {}
        Some(other) => checker.wrong(
            "schema",
            format!("this program reads plans of schema {SCHEMA}, this is {other}"),
            "",
        ),
        None => checker.wrong("", "`schema` is missing", "add the line: schema = 1"),
    }
    let name = checker.name(raw.name);
    let target = checker.target(raw.target);
    let topic = checker.topic(raw.topic, &target);
    let workload = checker.workload(raw.workload, target.kind);
    let time = checker.time(raw.time);
    let limits = Limits {
        damaged: raw.limits.damaged.unwrap_or(Damaged::Minority),
        recovery_wait: raw.limits.recovery_wait.unwrap_or(Millis(10_000)),
    };
    let mut plan = Plan {
        schema: SCHEMA,
        name,
        about: raw.about.unwrap_or_default(),
        target,
        topic,
        workload,
        time,
        limits,
        faults: Vec::new(),
        recipes: Vec::new(),
        matrix: raw.matrix,
    };
    let given = raw.fault.into_iter().enumerate();
    plan.faults = given.filter_map(|(at, fault)| checker.fault(at, fault, &plan)).collect();
    let given = raw.recipe.into_iter().enumerate();
    plan.recipes = given.filter_map(|(at, recipe)| checker.recipe(at, recipe, &plan)).collect();
    checker.disks_go_together(&plan);
    let needs = plan.needs();
    if needs.contains(&Needs::Proxy) && needs.contains(&Needs::Namespaces) {
        let names = |need: Needs| {
            let named: BTreeSet<&str> = plan
                .deeds()
                .map(|deed| deed.name())
                .filter(|name| name.needs() == need)
                .map(|name| name.as_str())
                .collect();
            named.into_iter().collect::<Vec<&str>>().join(", ")
        };
        let message = format!(
            "{} in one plan with {}: packets between two nodes that go through a proxy don't meet a cut between the nodes",
            names(Needs::Proxy),
            names(Needs::Namespaces)
        );
        checker.wrong(
            "",
            message,
            "make two plans of it; `half-open` and `reset` stand in for many a cut",
        );
    }
    if plan.faults.is_empty() && plan.recipes.is_empty() && checker.problems.is_empty() {
        let help = "add a [[fault]] or a [[recipe]], or expect the verdict `unknown`";
        checker.warn("", "the plan breaks nothing, so it proves nothing", help);
    }
    if checker.problems.is_empty() {
        Ok((plan, checker.warnings))
    } else {
        Err(PlanError { problems: checker.problems })
    }
}

fn as_text(properties: BTreeMap<String, Property>) -> BTreeMap<String, String> {
    properties.into_iter().map(|(name, value)| (name, value.0)).collect()
}

impl Checker<'_> {
    fn name(&mut self, name: Option<String>) -> String {
        let name = name.unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() {
            self.wrong("name", "`name` is missing", "name = \"…\" names the directory in store/");
        } else if !name.chars().all(allowed) || name.starts_with('.') || name.len() > 100 {
            let message = format!("`{name}` can't name a directory");
            self.wrong("name", message, "letters, digits, `-`, `_` and `.`, up to 100 of them");
        }
        name
    }

    /// Refuses properties that have a field of their own, so that nothing is said twice.
    fn no_field(
        &mut self,
        section: &str,
        given: &BTreeMap<String, String>,
        fields: &[(&str, &str)],
    ) {
        for (property, field) in fields {
            if given.contains_key(*property) {
                let path = format!("{section}.properties");
                let message = format!("`{property}` has a field of its own");
                self.wrong(&path, message, format!("say it with `{field}` in [{section}]"));
            }
        }
    }

    fn target(&mut self, raw: RawTarget) -> Target {
        let nodes = raw.nodes.unwrap_or(3);
        if !(1..=31).contains(&nodes) {
            self.wrong("target.nodes", format!("{nodes} nodes"), "from 1 to 31");
        }
        let controllers = raw.controllers.unwrap_or(Controllers::Combined);
        let count = match controllers {
            Controllers::Combined => nodes,
            Controllers::Dedicated(count) => count,
        };
        if count > 9 {
            let help = "1, 3 or 5 are usual: controllers = 3";
            self.wrong("target.controllers", format!("a quorum of {count} controllers"), help);
        } else if count > 0 && count % 2 == 0 {
            let message = format!(
                "a quorum of {count} controllers survives no more failures than one of {}",
                count.saturating_sub(1)
            );
            self.warn("target.controllers", message, "");
        }
        let properties = as_text(raw.properties);
        const FIELDS: [(&str, &str); 3] = [
            ("highwater.defects", "defects"),
            ("process.roles", "controllers"),
            ("broker.rack", "racks"),
        ];
        self.no_field("target", &properties, &FIELDS);
        let kind = raw.kind.unwrap_or(TargetKind::Bundled);
        let defects = raw.defects.unwrap_or_default();
        let is_kafka = kind == TargetKind::Kafka;
        if is_kafka && !defects.is_empty() {
            let message = "only the bundled broker can be wrong on demand";
            self.wrong("target.defects", message, "leave `defects` out, or kind = \"bundled\"");
        }
        for (key, given) in [("kafka_home", raw.kafka_home.is_some()), ("heap", raw.heap.is_some())]
        {
            if given && !is_kafka {
                let message = format!("`{key}` is for Apache Kafka");
                self.wrong(
                    &format!("target.{key}"),
                    message,
                    "set kind = \"kafka\", or leave it out",
                );
            }
        }
        if raw.heap.is_some_and(|heap| heap.0 < HEAP_BYTES_MIN) {
            let help = format!("{} or more", Bytes(HEAP_BYTES_MIN));
            self.wrong("target.heap", "Kafka does not start in so little", help);
        }
        let log_dirs = raw.log_dirs.unwrap_or(1);
        if !(1..=LOG_DIRS_MAX).contains(&log_dirs) {
            let help = format!("from 1 to {LOG_DIRS_MAX}");
            self.wrong("target.log_dirs", format!("{log_dirs} log directories"), help);
        } else if log_dirs > 1 && !is_kafka {
            let message = "the bundled broker has one log directory";
            self.wrong("target.log_dirs", message, "set kind = \"kafka\", or leave it out");
        }
        let profile = if is_kafka { Profile::KafkaDefaults } else { Profile::Fast };
        let mut target = Target {
            kind,
            nodes,
            controllers,
            profile: raw.profile.unwrap_or(profile),
            defects,
            kafka_home: raw.kafka_home,
            heap: is_kafka.then(|| raw.heap.unwrap_or(HEAP_DEFAULT)),
            upgrade_to: raw.upgrade_to,
            log_dirs,
            racks: None,
            properties,
        };
        if let Some(lists) = raw.racks {
            let nodes = deeds::node_names(&target);
            target.racks = self.racks("target.racks", &lists, &nodes).map(|_| lists);
        }
        target
    }

    fn topic(&mut self, raw: RawTopic, target: &Target) -> Topic {
        let name = raw.name.unwrap_or_else(|| "highwater".to_string());
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty()
            || name.len() > 249
            || !name.chars().all(allowed)
            || name == "."
            || name == ".."
        {
            let message = format!("`{name}` is no topic name");
            self.wrong(
                "topic.name",
                message,
                "letters, digits, `-`, `_` and `.`, up to 249 of them",
            );
        }
        let partitions = raw.partitions.unwrap_or(10);
        if !(1..=10_000).contains(&partitions) {
            self.wrong("topic.partitions", format!("{partitions} partitions"), "from 1 to 10000");
        }
        let nodes = target.nodes;
        let factor = raw.replication_factor.unwrap_or(nodes.min(3) as u16);
        if factor == 0 {
            self.wrong("topic.replication_factor", "no replica holds nothing", "at least 1");
        } else if u32::from(factor) > nodes {
            let message = format!(
                "{factor} replicas need {factor} brokers, and [target] has nodes = {nodes}"
            );
            let help = format!("raise nodes to {factor}, or lower replication_factor to {nodes}");
            self.wrong("topic.replication_factor", message, help);
        }
        let min_insync = raw.min_insync_replicas.unwrap_or(factor.saturating_sub(1).max(1));
        if min_insync == 0 {
            self.wrong("topic.min_insync_replicas", "0 replicas can't be in sync", "at least 1");
        } else if min_insync > factor {
            let message = format!(
                "min_insync_replicas is {min_insync}, above the replication factor {factor}"
            );
            let help = "every send with acks=all will be refused";
            self.warn("topic.min_insync_replicas", message, help);
        }
        let properties = as_text(raw.properties);
        const FIELDS: [(&str, &str); 4] = [
            ("min.insync.replicas", "min_insync_replicas"),
            ("unclean.leader.election.enable", "unclean"),
            ("flush.messages", "flush"),
            ("flush.ms", "flush"),
        ];
        self.no_field("topic", &properties, &FIELDS);
        Topic {
            name,
            partitions,
            replication_factor: factor,
            min_insync_replicas: min_insync,
            unclean: raw.unclean.unwrap_or(false),
            flush: raw.flush.unwrap_or(Flush::None),
            properties,
        }
    }

    fn workload(&mut self, raw: RawWorkload, target: TargetKind) -> Workload {
        let acks = raw.acks.map_or(Acks::All, |acks| acks.0);
        let idempotence = raw.idempotence.unwrap_or(acks == Acks::All);
        let retries = raw.retries.unwrap_or(RETRIES_DEFAULT);
        let in_flight = raw.in_flight.unwrap_or(IDEMPOTENT_IN_FLIGHT_MAX);
        if idempotence && acks != Acks::All {
            let message =
                format!("idempotence needs acks = \"all\", this is acks = \"{}\"", acks.as_str());
            self.wrong("workload.idempotence", message, "leave `idempotence` out: it follows acks");
        }
        if idempotence && retries == 0 {
            self.wrong("workload.retries", "idempotence needs retries", "leave `retries` out");
        }
        if idempotence && in_flight > IDEMPOTENT_IN_FLIGHT_MAX {
            let message = format!(
                "idempotence keeps order up to {IDEMPOTENT_IN_FLIGHT_MAX} requests in flight"
            );
            self.wrong("workload.in_flight", message, "lower it, or set idempotence = false");
        }
        if !(1..=1_000_000).contains(&in_flight) {
            self.wrong("workload.in_flight", format!("{in_flight} requests"), "from 1 to 1000000");
        }
        let producers = raw.producers.unwrap_or(2);
        if !(1..=1000).contains(&producers) {
            self.wrong("workload.producers", format!("{producers} producers"), "from 1 to 1000");
        }
        let consumers = raw.consumers.unwrap_or(2);
        if consumers > 1000 {
            self.wrong("workload.consumers", format!("{consumers} consumers"), "from 0 to 1000");
        }
        let name = raw.name.unwrap_or(WorkloadName::Queue);
        let is_group = name.has_group();
        let commits_by_itself = name == WorkloadName::Groups;
        let is_transactional = name.is_transactional();
        let has_transactions = name.needs_transactions();
        let given = [
            ("commits", raw.commits.is_some(), commits_by_itself, "groups"),
            ("churn", raw.churn.is_some(), is_group || is_transactional, "groups"),
            (
                "transaction_records",
                raw.transaction_records.is_some(),
                has_transactions,
                "transactions",
            ),
            ("aborts", raw.aborts.is_some(), has_transactions, "transactions"),
        ];
        for (key, _, _, workload) in
            given.iter().filter(|(_, is_given, fits, _)| *is_given && !fits)
        {
            let message = format!("`{key}` means nothing to the workload {}", name.as_str());
            let help = format!("set name = \"{workload}\", or leave it out");
            self.wrong(&format!("workload.{key}"), message, help);
        }
        if has_transactions {
            self.transactions(&raw, name, idempotence, target);
        }
        if is_group && consumers == 0 {
            self.wrong("workload.consumers", "a group without members", "1 or more");
        }
        let commits =
            commits_by_itself.then(|| raw.commits.map_or(Commits::After, |commits| commits.0));
        let churn = (is_group || is_transactional).then(|| raw.churn.unwrap_or(CHURN_DEFAULT));
        let properties = as_text(raw.properties);
        const FIELDS: [(&str, &str); 8] = [
            ("acks", "acks"),
            ("request.required.acks", "acks"),
            ("enable.idempotence", "idempotence"),
            ("retries", "retries"),
            ("message.send.max.retries", "retries"),
            ("max.in.flight", "in_flight"),
            ("max.in.flight.requests.per.connection", "in_flight"),
            ("bootstrap.servers", "[target]"),
        ];
        self.no_field("workload", &properties, &FIELDS);
        let record_bytes = raw.record_bytes.unwrap_or(Bytes(1024));
        let larger = properties.contains_key("message.max.bytes");
        if record_bytes.0 < RECORD_BYTES_MIN || (record_bytes.0 > RECORD_BYTES_MAX && !larger) {
            let message = format!("records of {} bytes", record_bytes.0);
            let help = format!(
                "from {RECORD_BYTES_MIN} (the stamp) to {RECORD_BYTES_MAX} bytes; above that, set message.max.bytes in the properties of workload and topic"
            );
            self.wrong("workload.record_bytes", message, help);
        }
        Workload {
            name,
            producers,
            consumers,
            rate: raw.rate.unwrap_or(Rate { per_second: Some(1000) }),
            record_bytes,
            acks,
            idempotence,
            retries,
            in_flight,
            commits,
            transaction_records: has_transactions
                .then(|| raw.transaction_records.unwrap_or(TRANSACTION_RECORDS_DEFAULT)),
            aborts: has_transactions.then(|| raw.aborts.unwrap_or(ABORTS_DEFAULT)),
            churn,
            properties,
        }
    }

    fn transactions(
        &mut self,
        raw: &RawWorkload,
        name: WorkloadName,
        idempotence: bool,
        target: TargetKind,
    ) {
        if target == TargetKind::Bundled {
            let message = "the bundled broker has no transactions yet";
            self.wrong("workload.name", message, "test Apache Kafka: kind = \"kafka\" in [target]");
        }
        if name.is_transactional() && !idempotence {
            let message = "transactions need idempotence, and so acks = \"all\"";
            self.wrong("workload.idempotence", message, "leave `acks` and `idempotence` out");
        }
        if raw.transaction_records.is_some_and(|count| !(1..=10_000).contains(&count)) {
            let message = "sends of one transaction";
            self.wrong("workload.transaction_records", message, "from 1 to 10000");
        }
        if raw.aborts.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            self.wrong("workload.aborts", "a share of all transactions", "from 0.0 to 1.0");
        }
    }

    fn time(&mut self, raw: RawTime) -> Time {
        let time = Time {
            setup: raw.setup.unwrap_or(Millis(60_000)),
            warm_up: raw.warm_up.unwrap_or(Millis(60_000)),
            baseline: raw.baseline.unwrap_or(Millis(5_000)),
            run: raw.run.unwrap_or(Millis(60_000)),
            heal: raw.heal.unwrap_or(Millis(30_000)),
            settle: raw.settle.unwrap_or(Millis(60_000)),
            check: raw.check.unwrap_or(Millis(120_000)),
            deadline: raw.deadline.unwrap_or(Millis(1_000)),
        };
        let parts = [
            ("setup", time.setup),
            ("run", time.run),
            ("heal", time.heal),
            ("settle", time.settle),
            ("check", time.check),
            ("deadline", time.deadline),
        ];
        for (part, value) in parts {
            if value.0 == 0 {
                self.wrong(
                    &format!("time.{part}"),
                    format!("no time for `{part}`"),
                    "a longer one",
                );
            }
        }
        time
    }
}
