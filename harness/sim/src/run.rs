//! One schedule from start to verdict: up, disasters, heal, liveness, final reads, judge.
//!
//! Promises: every phase ends, by its goal or by its bound, and a bound that is passed is a failure that says what was
//! missing; a panic anywhere in the broker is a failure like any other. The verdict is the judge's: what was promised
//! and not kept fails, what was lost outside of any promise does not; where the schedule exceeds what can be promised, what
//! follows from that is no failure ([`excuse`]). A quorum whose committed metadata was destroyed by
//! faults promises nothing any more: where it does not get on, the schedule ends without a verdict.

pub mod cast;
mod excuse;

use crate::hazard::{Calm, Hazard};
use crate::history::History;
use crate::of_plan;
use crate::planned::{Planned, refusal};
use crate::scenario::Scenario;
use crate::strike::Strikes;
use crate::world::{Failure, Line, World};
use cast::Cast;
use judge::{Inputs, Judgement, Liveness};
use model::cluster::{Observation, PartitionState};
use model::finding::Check;
use model::history::{Event, Phase, Time};
use model::verdict::Word;
use plan::Plan;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Simulated time for a cluster to start, with its topics and clients.
const UP_NS: u64 = 60_000_000_000;
/// For what is under way to end when no more is sent, and for the final reads.
const DRAIN_NS: u64 = 60_000_000_000;
/// How often a phase looks whether it has reached its goal.
const LOOK_NS: u64 = 5_000_000;

/// What came of a schedule.
#[derive(Debug)]
pub struct Outcome {
    pub failure: Option<Failure>,
    pub states: BTreeMap<&'static str, u64>,
    pub trace_hash: u64,
    /// Inputs and effects in the trace.
    pub steps: u64,
    pub simulated_ns: u64,
    pub acknowledged: u64,
    /// What the judge said; absent where the schedule failed before the final reads, or lost what all promises rest on.
    pub judgement: Option<Judgement>,
    pub checks: Vec<Check>,
    pub lines: Vec<Line>,
    pub observations: Vec<Observation>,
    pub events: Vec<(Time, Event)>,
}

/// Runs a schedule. With `story`, what happened is kept to be told.
pub fn run(scenario: &Scenario, story: bool) -> Outcome {
    play(scenario, None, story)
}

/// Runs a plan: its cluster, its load and its faults, with the seed's schedule of them.
pub fn run_plan(plan: &Plan, seed: u64, insiders: bool, story: bool) -> Outcome {
    play(&Scenario { insiders, ..of_plan::scenario(plan, seed) }, Some(plan), story)
}

fn play(scenario: &Scenario, plan: Option<&Plan>, story: bool) -> Outcome {
    let mut world = World::new(scenario);
    if story {
        world.lines = Some(Vec::new());
        world.history.events = Some(Vec::new());
    }
    let hazard: Box<dyn Hazard> = Box::new(Calm);
    if let Some(why) = plan.and_then(refusal) {
        world.fail("plan", why);
    }
    let mut play = Play { scenario, plan, cast: Cast::new(scenario), hazard, forfeited: false };
    // The broker asserts what it rests on, also in release: an assertion that fails is a finding.
    let played = catch_unwind(AssertUnwindSafe(|| play.all(&mut world)));
    if let Err(panic) = played {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.fail("panic", text.unwrap_or_else(|| "without a message".to_owned()));
    }
    play.verdict(world)
}

/// What a goal looks at.
struct View<'a> {
    world: &'a World,
    cast: &'a Cast,
    hazard: &'a dyn Hazard,
}

struct Play<'a> {
    scenario: &'a Scenario,
    plan: Option<&'a Plan>,
    cast: Cast,
    hazard: Box<dyn Hazard>,
    /// A goal was missed that nothing promises.
    forfeited: bool,
}

impl Play<'_> {
    fn all(&mut self, world: &mut World) {
        if world.failure.is_some() {
            return;
        }
        self.phase(world, Phase::Baseline);
        self.bring_up(world);
        self.phase(world, Phase::Faults);
        self.disasters(world);
        self.phase(world, Phase::Heal);
        self.heal(world);
        if self.goes_on(world) {
            self.final_reads(world);
        }
        self.phase(world, Phase::Done);
    }

    fn final_reads(&mut self, world: &mut World) {
        self.phase(world, Phase::FinalReads);
        self.cast.stop_sending(world);
        let until_ns = world.now_ns + DRAIN_NS;
        if !self.until(world, until_ns, |view| view.cast.is_drained(view.world)) {
            let missing = self.cast.missing(world);
            self.missed(world, "drain", "sends are neither acknowledged nor given up", &missing);
        }
        self.cast.read_finally(world);
        let until_ns = world.now_ns + DRAIN_NS;
        if !self.until(world, until_ns, |view| view.cast.has_read_finally(view.world)) {
            let missing = self.cast.missing(world);
            let what = "the final readers do not come to the end of every log";
            self.missed(world, "final-reads", what, &missing);
        }
    }

    fn phase(&self, world: &mut World, phase: Phase) {
        world.tell(0, || format!("phase: {phase:?}"));
        let now = world.client_now();
        world.history.phase(now, phase);
    }

    fn bring_up(&mut self, world: &mut World) {
        for id in self.scenario.node_ids() {
            world.start_at(id, u64::from(id) * 1_000_000);
        }
        self.cast.open(world);
        let until_ns = world.now_ns + UP_NS;
        if !self.until(world, until_ns, |view| view.cast.is_up(view.world)) {
            let missing = self.cast.missing(world);
            let what = "the cluster with its topics and clients did not come up";
            self.missed(world, "start", what, &missing);
        }
    }

    fn disasters(&mut self, world: &mut World) {
        let until_ns = world.now_ns + self.scenario.phases.disasters_ms * 1_000_000;
        self.hazard = match self.plan {
            Some(plan) => Box::new(Planned::new(plan, self.scenario.seed, world)),
            None => Box::new(Strikes::new(self.scenario, world.now_ns)),
        };
        self.until(world, until_ns, |_| false);
        if let Some(plan) = self.plan {
            // A recipe in its middle is not cut off by the clock, as in a real run.
            let until_ns = world.now_ns + plan.time.heal.0 * 1_000_000;
            self.until(world, until_ns, |view| view.hazard.is_over());
        }
    }

    /// A quorum first, then everybody: both have to become of use within the bound.
    fn heal(&mut self, world: &mut World) {
        let bound_ns = self.scenario.phases.liveness_ms * 1_000_000;
        let left_out = self.scenario.phases.left_out.clone();
        let damaged = world.observer.partitions().any(|p| p.isr.len() < p.replicas.len());
        if !left_out.is_empty() && self.hazard.may_leave_out(world, &left_out) {
            self.hazard.heal(world, &left_out);
            let until_ns = world.now_ns + bound_ns;
            if !self.until(world, until_ns, |view| {
                view.cast.core_missing(view.world, &left_out).is_empty()
            }) {
                let missing = self.cast.core_missing(world, &left_out);
                let what = format!("a healed quorum without {left_out:?} is of no use");
                self.missed(world, "liveness", &what, &missing);
            }
        }
        self.hazard.heal(world, &[]);
        self.cast.mark_progress(world);
        let until_ns = world.now_ns + bound_ns;
        if !self.until(world, until_ns, |view| {
            view.hazard.is_idle() && view.cast.missing(view.world).is_empty()
        }) {
            let missing = self.cast.missing(world);
            self.missed(world, "liveness", "a healed cluster is of no use", &missing);
        }
        if damaged && self.goes_on(world) {
            world.coverage.reached("liveness: healed");
        }
    }

    fn missed(&mut self, world: &mut World, check: &str, what: &str, missing: &[String]) {
        let text = format!("{what} ({})", missing.join("; "));
        if world.failure.is_none() && world.watch().has_lost_metadata() {
            world.tell(0, || format!("not promised without its metadata: {text}"));
            self.forfeited = true;
        } else {
            world.fail(check, text);
        }
    }

    fn goes_on(&self, world: &World) -> bool {
        world.failure.is_none() && !self.forfeited
    }

    /// Lets things happen until the goal is reached or the time is over. Answers whether it was reached.
    fn until(
        &mut self,
        world: &mut World,
        until_ns: u64,
        goal: impl Fn(&View<'_>) -> bool,
    ) -> bool {
        let mut look_ns = world.now_ns;
        while self.goes_on(world) {
            self.cast.drive(world);
            if world.now_ns >= look_ns.min(until_ns) {
                if goal(&View { world, cast: &self.cast, hazard: &*self.hazard }) {
                    return true;
                }
                if world.now_ns >= until_ns {
                    return false;
                }
                look_ns = world.now_ns + LOOK_NS;
            }
            let strike_ns = self.hazard.next_ns().unwrap_or(u64::MAX);
            world.advance(until_ns.min(strike_ns).min(look_ns));
            self.hazard.due(world, &mut self.cast);
        }
        false
    }

    fn verdict(self, mut world: World) -> Outcome {
        world.count_coverage();
        let history = std::mem::replace(&mut world.history, History::new(0));
        let acknowledged = history.acknowledged;
        let (report, events) = history.finish();
        let mut judgement = None;
        if self.goes_on(&world) {
            let brokers = 1..=self.scenario.cluster.brokers;
            let brokers = brokers.map(|id| (format!("n{id}"), i32::from(id))).collect();
            let liveness = Liveness {
                measured: true,
                never_recovered: Vec::new(),
                deadline_ms: self.scenario.phases.liveness_ms,
            };
            let faults = self.hazard.records();
            let lost = |dir: &str| world.watch().excuse(dir);
            let forgotten = |dir: &str| world.watch().writers_forgotten_below(dir);
            let mut held = excuse::not_taken_for_new(&report.checks, forgotten);
            if self.hazard.was_excessive() {
                held = excuse::unexplained(&held, lost);
            }
            let inputs = |checks| Inputs {
                checks,
                counts: &report.counts,
                facts: &report.facts,
                faults: &faults,
                replicas: None,
                cluster: &world.observer.seen,
                brokers: &brokers,
                baseline: None,
                liveness: &liveness,
                interrupted: None,
            };
            let judged = judge::judge(inputs(report.checks.as_slice()));
            let held = judge::judge(inputs(held.as_slice()));
            let broken = held.promises.into_iter().find(|promise| promise.verdict == Word::Broken);
            if let Some(promise) = broken {
                world.fail(&promise.name, promise.because);
            }
            judgement = Some(judged);
        }
        Outcome {
            failure: world.failure,
            states: world.coverage.counts().clone(),
            trace_hash: world.trace.hash(),
            steps: world.trace.steps(),
            simulated_ns: world.now_ns,
            acknowledged,
            judgement,
            checks: report.checks,
            observations: world.observer.seen,
            lines: world.lines.unwrap_or_default(),
            events: events.unwrap_or_default(),
        }
    }
}

/// What a partition lacks; `None`: nothing.
fn lacks(state: &PartitionState) -> Option<String> {
    let name = || format!("{}-{}", state.topic, state.partition);
    if state.leader < 0 {
        return Some(format!(
            "{} has no leader (isr {:?}, elr {:?})",
            name(),
            state.isr,
            state.elr
        ));
    }
    if state.isr.len() < state.replicas.len() {
        return Some(format!("{}'s ISR is {:?} of {:?}", name(), state.isr, state.replicas));
    }
    None
}

/// What the topics of the scenario lack.
fn topics_lack(world: &World, scenario: &Scenario) -> Vec<String> {
    let mut missing = Vec::new();
    for topic in &scenario.topics {
        for partition in 0..topic.partitions {
            match world.observer.partition(&topic.name, partition) {
                Some(state) => missing.extend(lacks(state)),
                None => missing.push(format!("{}-{partition} was never seen", &topic.name)),
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests;
