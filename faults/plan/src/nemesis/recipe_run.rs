//! A recipe being carried out, step by step.

use super::{Nemesis, ROLE_WAIT_MS};
use crate::plan::Pick;
use crate::random::Stream;
use crate::recipe::{Damage, Otherwise, Recipe, Step, Wait};
use crate::target::Action;
use model::fault::FaultState;
use std::collections::{BTreeMap, BTreeSet};

/// Where a recipe stands.
#[derive(Clone, Debug)]
pub struct RecipeRun {
    recipe: Recipe,
    partition: u32,
    /// Who led the partition when it began.
    pub first_leader: Option<i32>,
    /// Nodes that its steps stalled or cut off.
    pub starved: BTreeSet<String>,
    step: usize,
    /// When the current step began.
    since_ms: u64,
    /// The fault of each `do` step, by step id.
    faults: BTreeMap<String, u32>,
    /// The fault that the current `do` step has begun.
    begun: bool,
    next_fault: u32,
    /// Sends acknowledged on the partition when a step was confirmed, or healed.
    marks: BTreeMap<String, u64>,
    stream: Stream,
    /// Time waits are drawn when they begin.
    wait_ms: Option<u64>,
    /// Only healing is left.
    stopped: bool,
}

/// What a step came to.
enum Progress {
    Next,
    Stay,
    GiveUp(String),
}

impl RecipeRun {
    pub fn new(
        recipe: Recipe,
        first_fault: u32,
        partition: u32,
        first_leader: Option<i32>,
        draw: u64,
        now_ms: u64,
    ) -> RecipeRun {
        RecipeRun {
            recipe,
            partition,
            first_leader,
            starved: BTreeSet::new(),
            step: 0,
            since_ms: now_ms,
            faults: BTreeMap::new(),
            begun: false,
            next_fault: first_fault,
            marks: BTreeMap::new(),
            stream: Stream::new(draw, "recipe"),
            wait_ms: None,
            stopped: false,
        }
    }

    /// No further step; what it broke is healed by its owner.
    pub fn stop(&mut self) {
        self.stopped = true;
    }
}

impl Nemesis {
    pub(super) fn drive_recipe(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        // The run is taken out while it is worked on: its steps need the whole nemesis.
        let Some(mut run) = self.recipe.take() else { return };
        while !run.stopped {
            let Some(step) = run.recipe.steps.get(run.step).cloned() else {
                run.stop();
                break;
            };
            match self.step(now_ms, &mut run, &step) {
                Progress::Stay => break,
                Progress::Next => {
                    run.step += 1;
                    run.since_ms = now_ms;
                    run.begun = false;
                    run.wait_ms = None;
                }
                Progress::GiveUp(why) => {
                    self.give_up(&mut run, &why);
                }
            }
            self.drive_damages(now_ms, actions);
        }
        if run.stopped {
            for id in run.faults.values() {
                if let Some(damage) = self.damages.get_mut(id) {
                    damage.heal(now_ms);
                }
            }
            self.drive_damages(now_ms, actions);
            let damaging = |id: &u32| self.damages.get(id).is_some_and(|d| d.is_damaging());
            if !run.faults.values().any(damaging) {
                // Its place is free again.
                self.quiet_since_ms = now_ms;
                return;
            }
        }
        self.recipe = Some(run);
    }

    fn step(&mut self, now_ms: u64, run: &mut RecipeRun, step: &Step) -> Progress {
        match step {
            Step::Do { id, .. } => self.do_step(now_ms, run, step, id),
            Step::Heal { step } => {
                if let Some(damage) = run.faults.get(step).and_then(|id| self.damages.get_mut(id)) {
                    damage.heal(now_ms);
                    run.marks.insert(step.clone(), self.acked_on(run.partition));
                }
                Progress::Next
            }
            Step::Wait { until, timeout, otherwise } => {
                let timeout_ms = match until {
                    Wait::Time(time) => {
                        let stream = &mut run.stream;
                        *run.wait_ms
                            .get_or_insert_with(|| stream.between(time.least.0, time.most.0))
                    }
                    _ => timeout.0,
                };
                let late = now_ms >= run.since_ms + timeout_ms;
                match (self.arrived(run, until), late, until, otherwise) {
                    (true, _, _, _) => Progress::Next,
                    (false, false, _, _) => Progress::Stay,
                    (false, true, Wait::Time(_), _) | (false, true, _, Otherwise::GoOn) => {
                        Progress::Next
                    }
                    (false, true, until, Otherwise::GiveUp) => {
                        Progress::GiveUp(format!("{} did not come within {timeout}", words(until)))
                    }
                }
            }
        }
    }

    fn do_step(
        &mut self,
        now_ms: u64,
        run: &mut RecipeRun,
        step: &Step,
        step_id: &str,
    ) -> Progress {
        let Step::Do { deed, on, pick, peers, .. } = step else { return Progress::Next };
        let deed = *deed;
        let id = run.next_fault;
        if run.begun {
            let fault = run.faults[step_id];
            return match self.damages.get(&fault) {
                Some(damage) if damage.is_held() => {
                    run.marks.insert(step_id.to_string(), self.acked_on(run.partition));
                    Progress::Next
                }
                Some(damage) if damage.is_healed() => {
                    Progress::GiveUp(format!("step `{step_id}` was not seen in effect"))
                }
                _ => Progress::Stay,
            };
        }
        let draw = run.stream.clone().next_u64();
        let partition = run.partition;
        let found = self.victims(deed, on, *pick, peers.as_ref(), partition, draw, Some(run));
        let victims = match found {
            Ok(victims) => victims,
            Err(why) if now_ms >= run.since_ms + ROLE_WAIT_MS => {
                return Progress::GiveUp(format!("step `{step_id}`: {why}"));
            }
            Err(_) => return Progress::Stay,
        };
        if let Some(node) = self.meets_its_like(deed, &victims) {
            return Progress::GiveUp(format!("step `{step_id}`: {node} is damaged already"));
        }
        if run.recipe.damage == Damage::Limited && !self.within_limits(&victims) {
            return Progress::GiveUp(format!(
                "step `{step_id}` would damage more than the limits allow"
            ));
        }
        if deed.holds_back() {
            run.starved.extend(victims.keys().cloned());
        }
        run.stream.next_u64();
        run.faults.insert(step_id.to_string(), id);
        run.next_fault += 1;
        run.begun = true;
        self.inject(now_ms, id, deed, victims, None);
        Progress::Stay
    }

    fn arrived(&self, run: &RecipeRun, until: &Wait) -> bool {
        let nodes_of = |step: &String| -> Vec<&str> {
            let damage = run.faults.get(step).and_then(|id| self.damages.get(id));
            damage.map(|damage| damage.nodes().collect()).unwrap_or_default()
        };
        match until {
            Wait::Time(_) => false,
            Wait::Leader => {
                let leader = self.view.leader(run.partition);
                let name = leader.and_then(|leader| self.topology.name(leader));
                name.is_some_and(|name| !self.hurt_by(run).contains(name))
            }
            Wait::Isr(roles) => {
                let Some(state) = self.view.partition(run.partition) else { return false };
                let mut wanted = BTreeSet::new();
                for role in roles {
                    match self.resolve_ids(role, Pick::Any, run.partition, 0, Some(run)) {
                        Ok(ids) => wanted.extend(ids),
                        Err(_) => return false,
                    }
                }
                wanted == state.isr.iter().copied().collect()
            }
            Wait::IsrFull => self.view.isr_full(),
            Wait::Acked { count, since } => {
                let mark = run.marks.get(since).copied().unwrap_or(0);
                self.acked_on(run.partition).saturating_sub(mark) >= *count
            }
            Wait::Fenced { step } => {
                let fenced = |name: &str| {
                    let id = self.topology.id(name);
                    id.is_some_and(|id| self.view.is_alive(id) == Some(false))
                };
                nodes_of(step).into_iter().all(fenced)
            }
            Wait::IsrWithout { step } => {
                let Some(state) = self.view.partition(run.partition) else { return false };
                let in_sync =
                    |name: &str| self.topology.id(name).is_some_and(|id| state.isr.contains(&id));
                !nodes_of(step).into_iter().any(in_sync)
            }
            Wait::Cleared { step } => {
                let damage = run.faults.get(step).and_then(|id| self.damages.get(id));
                damage.is_none_or(|damage| !damage.is_damaging())
            }
        }
    }

    /// Nodes that the recipe damaged and has not begun to heal.
    pub(super) fn hurt_by(&self, run: &RecipeRun) -> BTreeSet<&str> {
        let damages = run.faults.values().filter_map(|id| self.damages.get(id));
        damages.filter(|damage| !damage.is_healed()).flat_map(|damage| damage.nodes()).collect()
    }

    fn acked_on(&self, partition: u32) -> u64 {
        self.acked.get(partition as usize).copied().unwrap_or(0)
    }

    /// Ends a recipe early: its remaining faults will not be.
    fn give_up(&mut self, run: &mut RecipeRun, why: &str) {
        run.stop();
        let last = run.next_fault + remaining(run);
        for id in run.next_fault..last {
            if self.records.get(&id).is_some_and(|record| record.state == FaultState::Planned) {
                self.not_injected(id, &format!("the recipe gave up: {why}"));
            }
        }
        for id in run.faults.values() {
            if let Some(record) = self.records.get_mut(id) {
                record.evidence.push(format!("the recipe gave up: {why}"));
                self.changed.insert(*id);
            }
        }
    }
}

/// `do` steps that have not begun.
fn remaining(run: &RecipeRun) -> u32 {
    run.recipe.fault_count() - run.faults.len() as u32
}

fn words(wait: &Wait) -> String {
    match wait {
        Wait::Time(time) => format!("{time}"),
        Wait::Leader => "a leader".to_string(),
        Wait::Isr(roles) => {
            let roles: Vec<String> = roles.iter().map(crate::plan::role_name).collect();
            format!("the ISR [{}]", roles.join(", "))
        }
        Wait::IsrFull => "full ISRs".to_string(),
        Wait::Acked { count, .. } => format!("{count} acknowledged sends"),
        Wait::Fenced { step } => format!("the fencing of what `{step}` hit"),
        Wait::IsrWithout { step } => format!("an ISR without what `{step}` hit"),
        Wait::Cleared { step } => format!("the end of `{step}`"),
    }
}
