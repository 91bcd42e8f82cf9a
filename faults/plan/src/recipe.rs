//! Recipes: ordered steps that refer to earlier ones and wait for states of the cluster.
//!
//! Promises: a step is exactly one of *do*, *heal* and *wait*; every wait ends; steps that another step names exist
//! before it. Random single faults miss the bugs that matter: an ordered pair finds them.

use crate::deed::{Deed, Value};
use crate::plan::{Peers, Pick, role_name};
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
    Do { id: String, deed: Deed, on: Role, pick: Pick, peers: Option<Peers> },
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
    /// None of an earlier step's nodes is in the partition's ISR.
    IsrWithout { step: String },
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

impl Otherwise {
    fn as_str(self) -> &'static str {
        match self {
            Otherwise::GiveUp => "give-up",
            Otherwise::GoOn => "go-on",
        }
    }
}

impl Recipe {
    /// How many faults it injects.
    pub fn fault_count(&self) -> u32 {
        self.deeds().count() as u32
    }

    /// Its faults in order: the `do` steps.
    pub fn deeds(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| matches!(step, Step::Do { .. }))
    }
}

impl Wait {
    /// The word for it, and its own keys.
    fn keys(&self) -> (&'static str, Vec<(&'static str, Value)>) {
        let step = |step: &String| vec![("step", Value::Text(step.clone()))];
        match self {
            Wait::Time(time) => ("time", vec![("for", Value::Text(time.to_string()))]),
            Wait::Leader => ("leader", Vec::new()),
            Wait::Isr(roles) => {
                ("isr", vec![("is", Value::List(roles.iter().map(role_name).collect()))])
            }
            Wait::IsrFull => ("isr-full", Vec::new()),
            Wait::Acked { count, since } => {
                let since = Value::Text(since.clone());
                ("acked", vec![("count", Value::Number(*count)), ("since", since)])
            }
            Wait::Fenced { step: of } => ("fenced", step(of)),
            Wait::IsrWithout { step: of } => ("isr-without", step(of)),
            Wait::Cleared { step: of } => ("cleared", step(of)),
        }
    }
}

impl Step {
    /// As it is written in a plan.
    fn keys(&self) -> Vec<(&'static str, Value)> {
        let text = |text: &dyn ToString| Value::Text(text.to_string());
        match self {
            Step::Do { id, deed, on, pick, peers } => {
                let mut keys =
                    vec![("id", text(id)), ("do", text(deed)), ("on", text(&role_name(on)))];
                if *pick != Pick::Any {
                    keys.push(("pick", text(&pick.as_str())));
                }
                keys.extend(peers.iter().map(|peers| ("peers", text(peers))));
                keys.extend(deed.parameters());
                keys
            }
            Step::Heal { step } => vec![("heal", text(step))],
            Step::Wait { until, timeout, otherwise } => {
                let (word, more) = until.keys();
                let mut keys = vec![("wait", text(&word))];
                keys.extend(more);
                if !matches!(until, Wait::Time(_)) {
                    keys.push(("timeout", text(timeout)));
                    keys.push(("otherwise", text(&otherwise.as_str())));
                }
                keys
            }
        }
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.keys())
    }
}
