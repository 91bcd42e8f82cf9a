//! Recipes: ordered steps that refer to earlier ones and wait for states of the cluster.
//!
//! Promises: a step is exactly one of *do*, *heal* and *wait*; every wait ends; steps that another step names exist
//! before it. Random single faults miss the bugs that matter: an ordered pair finds them.

use crate::plan::{Pick, role_name};
use crate::raw::RawStep;
use crate::target::Deed;
use crate::units::{Between, Millis};
use model::fault::Role;
use serde::{Deserialize, Serialize, Serializer};

/// How much a recipe may break at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// What the plan's limits allow.
    #[default]
    Limited,
    /// Whatever its steps say.
    Any,
}

/// Which partition a recipe is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionChoice {
    /// A draw.
    #[default]
    Any,
    /// A draw among those whose leader is the first of its replicas, so that leadership would come back to it.
    PreferredLeader,
}

/// A sequence of steps on one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    pub name: String,
    pub about: String,
    pub damage: Damage,
    pub partition: PartitionChoice,
    pub steps: Vec<Step>,
}

/// One step of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Inject a fault; the next step follows when the probe has confirmed it, and it is held until it is healed.
    Do { id: String, deed: Deed, on: Role, pick: Pick },
    /// Heal what an earlier step did; the next step follows at once.
    Heal { step: String },
    /// Go on when the cluster is as described.
    Wait { until: Wait, timeout: Millis, otherwise: Otherwise },
}

/// What a step waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// A time.
    Time(Between),
    /// The partition is led by a node that no step of this recipe has damaged and not healed.
    Leader,
    /// The partition's ISR is exactly these roles.
    Isr(Vec<Role>),
    /// Every replica of every partition of the topic is in sync.
    IsrFull,
    /// So many sends on the partition were acknowledged since an earlier step was confirmed (or healed).
    Acked { count: u64, since: String },
    /// The nodes of an earlier step are fenced: their sessions have expired.
    Fenced { step: String },
    /// What an earlier step did is seen to be over.
    Cleared { step: String },
}

/// What happens when a wait's time is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Otherwise {
    /// Heal what the recipe broke; its remaining faults count as not injected.
    #[default]
    GiveUp,
    /// The next step.
    GoOn,
}

impl Recipe {
    /// How many faults it injects.
    pub fn fault_count(&self) -> u32 {
        self.deeds().count() as u32
    }

    /// Its faults in order: step id, deed, role, and the choice within the role.
    pub fn deeds(&self) -> impl Iterator<Item = (&str, Deed, &Role, Pick)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Do { id, deed, on, pick } => Some((id.as_str(), *deed, on, *pick)),
            Step::Heal { .. } | Step::Wait { .. } => None,
        })
    }
}

impl Step {
    fn to_raw(&self) -> RawStep {
        let mut raw = RawStep::default();
        match self {
            Step::Do { id, deed, on, pick } => {
                raw.id = Some(id.clone());
                raw.deed = Some(*deed);
                raw.on = Some(role_name(on));
                raw.pick = Some(*pick).filter(|pick| *pick != Pick::Any);
            }
            Step::Heal { step } => raw.heal = Some(step.clone()),
            Step::Wait { until, timeout, otherwise } => {
                let word = match until {
                    Wait::Time(time) => {
                        raw.hold = Some(*time);
                        "time"
                    }
                    Wait::Leader => "leader",
                    Wait::Isr(roles) => {
                        raw.is = Some(roles.iter().map(role_name).collect());
                        "isr"
                    }
                    Wait::IsrFull => "isr-full",
                    Wait::Acked { count, since } => {
                        raw.count = Some(*count);
                        raw.since = Some(since.clone());
                        "acked"
                    }
                    Wait::Fenced { step } => {
                        raw.step = Some(step.clone());
                        "fenced"
                    }
                    Wait::Cleared { step } => {
                        raw.step = Some(step.clone());
                        "cleared"
                    }
                };
                raw.wait = Some(word.to_string());
                if !matches!(until, Wait::Time(_)) {
                    raw.timeout = Some(*timeout);
                    raw.otherwise = Some(*otherwise);
                }
            }
        }
        raw
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.to_raw().serialize(to)
    }
}
