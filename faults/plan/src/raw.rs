//! The plan file as it is written: everything optional, nothing unknown allowed.

use crate::deed::{Connections, DeedName, Direction, How};
use crate::files::Operation;
use crate::link::Distribution;
use crate::plan::{Controllers, Damaged, Flush, Pick, Profile, TargetKind, WorkloadName};
use crate::recipe::{Damage, Otherwise, PartitionChoice};
use crate::units::{Between, Bytes, Drift, Millis, Rate, Shift};
use model::settings::{Acks, Commits};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPlan {
    pub schema: Option<u32>,
    pub name: Option<String>,
    pub about: Option<String>,
    #[serde(default)]
    pub target: RawTarget,
    #[serde(default)]
    pub topic: RawTopic,
    #[serde(default)]
    pub workload: RawWorkload,
    #[serde(default)]
    pub time: RawTime,
    #[serde(default)]
    pub limits: RawLimits,
    #[serde(default)]
    pub fault: Vec<RawFault>,
    #[serde(default)]
    pub recipe: Vec<RawRecipe>,
    #[serde(default)]
    pub matrix: BTreeMap<String, Vec<toml::Value>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTarget {
    pub kind: Option<TargetKind>,
    pub nodes: Option<u32>,
    pub controllers: Option<Controllers>,
    pub profile: Option<Profile>,
    pub defects: Option<Vec<String>>,
    pub kafka_home: Option<String>,
    pub heap: Option<Bytes>,
    pub upgrade_to: Option<String>,
    pub log_dirs: Option<u32>,
    pub racks: Option<Vec<Vec<String>>>,
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTopic {
    pub name: Option<String>,
    pub partitions: Option<u32>,
    pub replication_factor: Option<u16>,
    pub min_insync_replicas: Option<u16>,
    pub unclean: Option<bool>,
    pub flush: Option<Flush>,
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawWorkload {
    pub name: Option<WorkloadName>,
    pub producers: Option<u32>,
    pub consumers: Option<u32>,
    pub rate: Option<Rate>,
    pub record_bytes: Option<Bytes>,
    pub acks: Option<RawAcks>,
    pub idempotence: Option<bool>,
    pub retries: Option<u32>,
    pub in_flight: Option<u32>,
    pub commits: Option<RawCommits>,
    pub transaction_records: Option<u32>,
    pub aborts: Option<f64>,
    pub churn: Option<Millis>,
    #[serde(default)]
    pub properties: BTreeMap<String, Property>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTime {
    pub setup: Option<Millis>,
    pub warm_up: Option<Millis>,
    pub baseline: Option<Millis>,
    pub run: Option<Millis>,
    pub heal: Option<Millis>,
    pub settle: Option<Millis>,
    pub check: Option<Millis>,
    pub deadline: Option<Millis>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLimits {
    pub damaged: Option<Damaged>,
    pub recovery_wait: Option<Millis>,
}

/// Declares where deeds are written: single faults and the steps of recipes. Each is a flat table of its own keys and of
/// all deeds' parameters, so that a misspelt or mistyped one is told with its place.
macro_rules! deeds_are_written_in {
    (@parameters { $($parameter:ident: $type:ty,)* }) => {
        /// The parameters of all deeds; each takes its own.
        #[derive(Default)]
        pub struct RawParameters {
            $(pub $parameter: Option<$type>,)*
        }

        impl RawParameters {
            /// A parameter that nobody took.
            pub fn stray(&self) -> Option<&'static str> {
                $(if self.$parameter.is_some() {
                    return Some(stringify!($parameter));
                })*
                None
            }
        }
    };
    (
        @place $name:ident
        { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }
        { $($parameter:ident: $parameter_type:ty,)* }
    ) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$attribute])* pub $field: $type,)*
            $($parameter: Option<$parameter_type>,)*
        }

        impl $name {
            pub fn take_parameters(&mut self) -> RawParameters {
                RawParameters { $($parameter: self.$parameter.take(),)* }
            }
        }
    };
    (parameters $parameters:tt $(struct $name:ident $own:tt)*) => {
        deeds_are_written_in!(@parameters $parameters);
        $(deeds_are_written_in!(@place $name $own $parameters);)*
    };
}

deeds_are_written_in! {
    parameters {
        grace: Millis,
        stopped: Millis,
        running: Millis,
        peers: String,
        direction: Direction,
        how: How,
        connections: Connections,
        cut: Millis,
        whole: Millis,
        shape: String,
        racks: Vec<Vec<String>>,
        operation: Operation,
        probability: u64,
        path: String,
        bits: u64,
        directory: u64,
        delay: Millis,
        spread: Millis,
        distribution: Distribution,
        bytes_per_second: Bytes,
        again: Millis,
        bytes: Bytes,
        pause: Millis,
        percent: u64,
        stop: Millis,
        api: String,
        error: String,
        key: String,
        value: Property,
        to: Vec<String>,
        replicas: u64,
        by: Shift,
        rate: Drift,
        period: Millis,
        keep: u64,
        partitions: u64,
        sockets: u64,
    }

    struct RawFault {
        name: DeedName,
        on: Option<String>,
        pick: Option<Pick>,
        #[serde(rename = "for")]
        hold: Option<Between>,
        follow: Option<bool>,
        from: Option<Millis>,
        every: Option<Millis>,
        until: Option<Millis>,
        count: Option<u32>,
        jitter: Option<Millis>,
    }

    struct RawStep {
        id: Option<String>,
        #[serde(rename = "do")]
        deed: Option<DeedName>,
        on: Option<String>,
        pick: Option<Pick>,
        heal: Option<String>,
        wait: Option<String>,
        #[serde(rename = "for")]
        hold: Option<Between>,
        is: Option<Vec<String>>,
        count: Option<u64>,
        since: Option<String>,
        step: Option<String>,
        timeout: Option<Millis>,
        otherwise: Option<Otherwise>,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRecipe {
    pub name: String,
    pub about: Option<String>,
    pub damage: Option<Damage>,
    pub partition: Option<PartitionChoice>,
    pub step: Option<Vec<RawStep>>,
    #[serde(default)]
    pub with: BTreeMap<String, toml::Value>,
    pub from: Option<Millis>,
    pub every: Option<Millis>,
    pub until: Option<Millis>,
    pub count: Option<u32>,
    pub jitter: Option<Millis>,
}

/// A recipe that comes with the program. Its steps stay untyped until the parameters are in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    pub name: String,
    pub about: String,
    pub damage: Damage,
    pub partition: PartitionChoice,
    pub needs: Needs,
    #[serde(default)]
    pub with: BTreeMap<String, toml::Value>,
    pub step: Vec<toml::Value>,
}

/// What a shipped recipe needs to make sense.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    pub replication_factor: u16,
    /// Its damage would take a combined quorum with it.
    pub dedicated_controllers: bool,
}

/// A value of Kafka's or the client library's configuration: text, number or boolean, kept as text.
pub struct Property(pub String);

/// When the members of a group commit.
pub struct RawCommits(pub Commits);

/// `acks`, written as `"all"`, `"1"`, `1`, `"0"` or `0`.
#[derive(Clone, Copy)]
pub struct RawAcks(pub Acks);

/// Reads a value that is a word or a number.
struct WordOrNumber<T> {
    expected: &'static str,
    read: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for WordOrNumber<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let wrong = || E::custom(format!("`{text}` is not {}", self.expected));
        (self.read)(text).ok_or_else(wrong)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<T, E> {
        self.visit_str(if yes { "true" } else { "false" })
    }
}

macro_rules! word_or_number {
    ($type:ty, $expected:expr, $read:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let read: fn(&str) -> Option<$type> = $read;
                from.deserialize_any(WordOrNumber { expected: $expected, read })
            }
        }
    };
}

word_or_number!(Property, "a text, a number or a boolean", |text| Some(Property(text.to_string())));
word_or_number!(RawAcks, "acks: \"all\", \"1\" or \"0\"", |text| match text {
    "0" => Some(RawAcks(Acks::None)),
    "1" => Some(RawAcks(Acks::Leader)),
    "all" => Some(RawAcks(Acks::All)),
    _ => None,
});
word_or_number!(Controllers, "\"combined\" or a number of nodes of their own", |text| {
    match text {
        "combined" => Some(Controllers::Combined),
        number => number.parse().ok().filter(|&n| n > 0).map(Controllers::Dedicated),
    }
});
word_or_number!(Damaged, "\"minority\" or a number of nodes", |text| match text {
    "minority" => Some(Damaged::Minority),
    number => number.parse().ok().map(Damaged::AtMost),
});
word_or_number!(Flush, "\"none\", \"every-batch\" or a period such as \"100ms\"", |text| {
    match text {
        "none" => Some(Flush::None),
        "every-batch" => Some(Flush::EveryBatch),
        period => period.parse().ok().filter(|&p: &Millis| p.0 > 0).map(Flush::Every),
    }
});

/// An enum by its word, with an error that lists the words.
macro_rules! one_of {
    ($type:ty, $expected:expr, $($word:literal => $value:expr),+) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let read: fn(&str) -> Option<$type> = |text| match text {
                    $($word => Some($value),)+
                    _ => None,
                };
                from.deserialize_any(WordOrNumber { expected: $expected, read })
            }
        }
    };
}

one_of!(TargetKind, "a target: \"bundled\" or \"kafka\"",
    "bundled" => TargetKind::Bundled, "kafka" => TargetKind::Kafka);
one_of!(WorkloadName, "a workload: \"queue\", \"groups\", \"transactions\" or \"exactly-once\"",
    "queue" => WorkloadName::Queue, "groups" => WorkloadName::Groups,
    "transactions" => WorkloadName::Transactions, "exactly-once" => WorkloadName::ExactlyOnce);
one_of!(RawCommits, "\"before\", \"after\" or \"automatic\"",
    "before" => RawCommits(Commits::Before), "after" => RawCommits(Commits::After),
    "automatic" => RawCommits(Commits::Automatic));
one_of!(Profile, "a timeout profile: \"fast\" or \"kafka-defaults\"",
    "fast" => Profile::Fast, "kafka-defaults" => Profile::KafkaDefaults);
