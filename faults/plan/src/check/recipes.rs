//! Recipes: shipped ones with their parameters filled in, inline ones as they stand, and whether their steps make
//! sense together.

use super::Checker;
use super::deeds::Written;
use super::faults::RawWhen;
use crate::deed::DeedName;
use crate::plan::*;
use crate::problem::did_you_mean;
use crate::raw::{RawParameters, RawRecipe, RawStep};
use crate::recipe::{Damage, Step, Wait};
use crate::shipped;
use crate::units::{Between, Millis};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Value;

const TIMEOUT_DEFAULT: Millis = Millis(10_000);
const WAITS: [&str; 8] =
    ["time", "leader", "isr", "isr-full", "isr-without", "acked", "fenced", "cleared"];

/// What a step may refer to.
struct Known {
    /// Steps that did something, by id.
    steps: Vec<String>,
}

impl Checker<'_> {
    pub(super) fn recipe(&mut self, at: usize, raw: RawRecipe, plan: &Plan) -> Option<RecipeUse> {
        let path = format!("recipe.{at}");
        let before = self.problems.len();
        let (about, damage, partition, steps, inline) = match raw.step {
            Some(steps) => {
                if !raw.with.is_empty() {
                    let message = "a recipe with steps of its own takes no parameters";
                    self.wrong(&format!("{path}.with"), message, "write the values into the steps");
                }
                let damage = raw.damage.unwrap_or_default();
                let about = raw.about.unwrap_or_default();
                (about, damage, raw.partition.unwrap_or_default(), steps, true)
            }
            None => {
                let shipped = self.shipped(&path, &raw, plan)?;
                (shipped.0, shipped.1, shipped.2, shipped.3, false)
            }
        };
        let times = RawWhen {
            from: raw.from,
            every: raw.every,
            until: raw.until,
            count: raw.count,
            jitter: raw.jitter,
        };
        let when = self.when(&path, times, plan);
        let mut known = Known { steps: Vec::new() };
        let mut checked = Vec::new();
        for (step_at, step) in steps.into_iter().enumerate() {
            let step_path = match inline {
                true => format!("{path}.step.{step_at}"),
                false => format!("{path}.with"),
            };
            checked.extend(self.step(&step_path, step, &mut known, plan));
        }
        if known.steps.is_empty() && self.problems.len() == before {
            self.wrong(&path, "a recipe without a fault", "add a step with `do`");
        }
        let name = raw.name;
        let recipe = RecipeUse { name, about, damage, partition, when, steps: checked };
        (self.problems.len() == before).then_some(recipe)
    }

    #[allow(clippy::type_complexity, reason = "the parts of a recipe, for one caller")]
    fn shipped(
        &mut self,
        path: &str,
        raw: &RawRecipe,
        plan: &Plan,
    ) -> Option<(String, Damage, crate::recipe::PartitionChoice, Vec<RawStep>)> {
        let name = &raw.name;
        let Some(file) = shipped::recipe(name) else {
            let names: Vec<&str> = shipped::recipe_names().collect();
            let help = match did_you_mean(name, names.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("one of {}, or one with [[recipe.step]]s", names.join(", ")),
            };
            self.wrong(&format!("{path}.name"), format!("no recipe `{name}` is shipped"), help);
            return None;
        };
        if raw.about.is_some() || raw.damage.is_some() || raw.partition.is_some() {
            let message = "`about`, `damage` and `partition` belong to the shipped recipe";
            self.wrong(path, message, "leave them out, or give the recipe steps of its own");
        }
        let factor = plan.topic.replication_factor;
        if factor < file.needs.replication_factor {
            let needed = file.needs.replication_factor;
            let message = format!("`{name}` needs {needed} replicas, the topic has {factor}");
            self.wrong(&format!("{path}.name"), message, "raise replication_factor in [topic]");
        }
        if file.needs.dedicated_controllers && plan.target.controllers == Controllers::Combined {
            let message = format!("`{name}` would take the controllers down with the brokers");
            let help = "give the controllers nodes of their own: [target] controllers = 1";
            self.wrong(&format!("{path}.name"), message, help);
        }
        let mut parameters = file.with.clone();
        for (parameter, value) in &raw.with {
            if parameters.insert(parameter.clone(), value.clone()).is_none() {
                let names: Vec<&str> = file.with.keys().map(String::as_str).collect();
                let message = format!("`{name}` has no parameter `{parameter}`");
                let help = format!("it has {}", names.join(", "));
                self.wrong(&format!("{path}.with.{parameter}"), message, help);
            }
        }
        let mut steps = Vec::new();
        for step in file.step {
            match RawStep::deserialize(fill(step, &parameters)) {
                Ok(step) => steps.push(step),
                Err(error) => {
                    self.wrong(&format!("{path}.with"), error.message().trim(), "");
                    return None;
                }
            }
        }
        Some((file.about, file.damage, file.partition, steps))
    }

    fn step(
        &mut self,
        path: &str,
        mut raw: RawStep,
        known: &mut Known,
        plan: &Plan,
    ) -> Option<Step> {
        let kinds = [raw.deed.is_some(), raw.heal.is_some(), raw.wait.is_some()];
        if kinds.iter().filter(|kind| **kind).count() != 1 {
            self.wrong(path, "a step is one of `do`, `heal` and `wait`", "split it into steps");
            return None;
        }
        let unknown_wait = raw.wait.as_deref().is_some_and(|word| !WAITS.contains(&word));
        let parameters = raw.take_parameters();
        let stray = stray_field(&raw).or(parameters.stray().filter(|_| raw.deed.is_none()));
        if let Some(stray) = stray.filter(|_| !unknown_wait) {
            let message = format!("`{stray}` means nothing in this step");
            self.wrong(&format!("{path}.{stray}"), message, "leave it out");
            return None;
        }
        if let Some(step) = &raw.heal {
            self.refers(&format!("{path}.heal"), step, known)?;
            return Some(Step::Heal { step: step.clone() });
        }
        if let Some(name) = raw.deed {
            return self.deed_step(path, name, raw, parameters, known, plan);
        }
        self.wait_step(path, raw, known, plan)
    }

    fn deed_step(
        &mut self,
        path: &str,
        name: DeedName,
        raw: RawStep,
        parameters: RawParameters,
        known: &mut Known,
        plan: &Plan,
    ) -> Option<Step> {
        let Written { deed, on, peers } =
            self.deed(path, name, raw.on.as_deref(), parameters, plan)?;
        let pick = raw.pick.unwrap_or_default();
        self.fits(path, deed, &on, pick, peers.as_ref(), plan);
        let id = raw.id.unwrap_or_else(|| format!("step-{}", known.steps.len() + 1));
        if known.steps.contains(&id) {
            let message = format!("two steps have the id `{id}`");
            self.wrong(&format!("{path}.id"), message, "give it another one");
            return None;
        }
        known.steps.push(id.clone());
        Some(Step::Do { id, deed, on, pick, peers })
    }

    fn wait_step(&mut self, path: &str, raw: RawStep, known: &Known, plan: &Plan) -> Option<Step> {
        let word = raw.wait.as_deref()?;
        let earlier = |checker: &mut Self, field: &str, value: Option<String>| match value {
            Some(step) => {
                checker.refers(&format!("{path}.{field}"), &step, known)?;
                Some(step)
            }
            None => {
                let message = format!("which step does `wait = \"{word}\"` mean?");
                checker.wrong(path, message, format!("{field} = \"<id of an earlier step>\""));
                None
            }
        };
        let until = match word {
            "time" => match raw.hold {
                Some(time) => Wait::Time(time),
                None => {
                    self.wrong(path, "how long?", "for = \"500ms\"");
                    return None;
                }
            },
            "leader" => Wait::Leader,
            "isr" => {
                let mut roles = Vec::new();
                for role in raw.is.iter().flatten() {
                    roles.push(self.role(&format!("{path}.is"), role, plan)?);
                }
                if roles.is_empty() {
                    self.wrong(path, "which ISR?", "is = [\"previous-leader\"]");
                    return None;
                }
                Wait::Isr(roles)
            }
            "isr-full" => Wait::IsrFull,
            "acked" => {
                let count = raw.count.unwrap_or(1);
                Wait::Acked { count, since: earlier(self, "since", raw.since)? }
            }
            "fenced" => Wait::Fenced { step: earlier(self, "step", raw.step)? },
            "isr-without" => Wait::IsrWithout { step: earlier(self, "step", raw.step)? },
            "cleared" => Wait::Cleared { step: earlier(self, "step", raw.step)? },
            other => {
                let help = match did_you_mean(other, WAITS.into_iter()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("one of {}", WAITS.join(", ")),
                };
                self.wrong(&format!("{path}.wait"), format!("nothing waits for `{other}`"), help);
                return None;
            }
        };
        let timeout = match &until {
            Wait::Time(Between { most, .. }) => *most,
            _ => raw.timeout.unwrap_or(TIMEOUT_DEFAULT),
        };
        Some(Step::Wait { until, timeout, otherwise: raw.otherwise.unwrap_or_default() })
    }

    fn refers(&mut self, path: &str, step: &str, known: &Known) -> Option<()> {
        if known.steps.iter().any(|id| id == step) {
            return Some(());
        }
        let help = match known.steps.len() {
            0 => "no step before it does anything".to_string(),
            _ => format!("the steps before it are {}", known.steps.join(", ")),
        };
        self.wrong(path, format!("no earlier step has the id `{step}`"), help);
        None
    }
}

/// A field that belongs to another kind of step or wait.
fn stray_field(raw: &RawStep) -> Option<&'static str> {
    let wait = raw.wait.as_deref();
    let timed = wait.is_some_and(|word| word != "time");
    let fields = [
        ("id", raw.id.is_some(), raw.deed.is_some()),
        ("on", raw.on.is_some(), raw.deed.is_some()),
        ("pick", raw.pick.is_some(), raw.deed.is_some()),
        ("for", raw.hold.is_some(), wait == Some("time")),
        ("is", raw.is.is_some(), wait == Some("isr")),
        ("count", raw.count.is_some(), wait == Some("acked")),
        ("since", raw.since.is_some(), wait == Some("acked")),
        ("step", raw.step.is_some(), matches!(wait, Some("fenced" | "isr-without" | "cleared"))),
        ("timeout", raw.timeout.is_some(), timed),
        ("otherwise", raw.otherwise.is_some(), timed),
    ];
    fields.into_iter().find(|(_, given, allowed)| *given && !*allowed).map(|(name, _, _)| name)
}

/// A step with `"$name"` replaced by the parameter of that name.
fn fill(value: Value, parameters: &BTreeMap<String, Value>) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('$').and_then(|name| parameters.get(name)) {
            Some(value) => value.clone(),
            None => Value::String(text),
        },
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| fill(item, parameters)).collect())
        }
        Value::Table(table) => {
            let filled = table.into_iter().map(|(key, item)| (key, fill(item, parameters)));
            Value::Table(filled.collect())
        }
        other => other,
    }
}
