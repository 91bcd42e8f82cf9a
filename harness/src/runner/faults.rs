//! The stage in which load runs and things break: feeds the nemesis what is observed, carries out what it wants, and
//! writes every change of every fault down.

use super::Live;
use super::calm::Calm;
use super::load::{Load, Shared};
use super::up::{effective, new_topic};
use crate::live::Counters;
use crate::observer;
use anyhow::{Context, Result};
use inject::Injector;
use model::cluster::Observation;
use model::fault::{FaultRecord, FaultState, Role};
use model::finding::Kind;
use model::history::{Event as HistoryEvent, LogRef, Phase, TopicRef};
use model::settings::TopicSettings;
use plan::{Deed, Nemesis, Schedule};
use reports::words::grouped;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// The longest sleep between two looks at the clock and the counters.
const STEP_MS: u64 = 20;
/// So long every send must be acknowledged in time before the load counts as warm.
const WARM_MS: u64 = 2_000;
const OBSERVE_EVERY: Duration = Duration::from_millis(100);

pub struct Stage<'s, 'a> {
    live: &'s mut Live<'a>,
    nemesis: Nemesis,
    injector: Injector,
    shared: Shared,
    counters: Arc<Counters>,
    observer: observer::Running,
    observed: Receiver<Observation>,
    observations: Vec<Observation>,
    cluster_lines: File,
    fault_lines: File,
    note: Option<String>,
    last_ok: (u64, u64),
    /// Kinds of findings that were told.
    shown: BTreeSet<Kind>,
    rate: u64,
    /// Deletions of records, by fault and partition, that were told to the history.
    removals: BTreeSet<(u32, u32)>,
    /// Topics that were deleted, by fault, and those made in their places by their ids, that were told to the history.
    incarnations: BTreeSet<(u32, Option<[u8; 16]>)>,
    /// Of the topic, as last told to the history by a fault.
    settings: Option<TopicSettings>,
}

impl<'s, 'a> Stage<'s, 'a> {
    pub fn new(
        live: &'s mut Live<'a>,
        schedule: Schedule,
        shared: &Shared,
        counters: Arc<Counters>,
    ) -> Result<Self> {
        let make = |name: &str| {
            let path = live.run.file(name);
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))
        };
        let (cluster_lines, fault_lines) = (make("cluster.jsonl")?, make("faults.jsonl")?);
        let (sender, observed) = channel();
        let observer = observer::start(
            &shared.bootstrap,
            live.plan.topics(),
            live.clock,
            OBSERVE_EVERY,
            move |seen| {
                // The stage is over when nobody listens.
                let _ = sender.send(seen);
            },
        );
        live.cluster.administer(new_topic(live.plan, live.plan.topic.name.clone()));
        let nemesis = Nemesis::new(live.plan, schedule, live.cluster.topology());
        let injector = Injector::new(live.undo.clone(), shared.seed);
        Ok(Stage {
            live,
            nemesis,
            injector,
            shared: shared.clone(),
            counters,
            observer,
            observed,
            observations: Vec::new(),
            cluster_lines,
            fault_lines,
            note: None,
            last_ok: (0, 0),
            shown: BTreeSet::new(),
            rate: 0,
            removals: BTreeSet::new(),
            incarnations: BTreeSet::new(),
            settings: None,
        })
    }

    /// Baseline, then faults for the plan's time, then healing until nothing is broken any more.
    pub fn run(&mut self, load: &Load) -> Result<()> {
        let (run_ms, heal_ms) = (self.live.plan.time.run.0, self.live.plan.time.heal.0);
        let what = format!(
            "{} of {} bytes",
            self.live.plan.workload.rate, self.live.plan.workload.record_bytes.0
        );
        self.baseline(&what, load)?;

        let begun = self.now_ms();
        self.phase(Phase::Faults);
        self.live.progress.phase(
            begun,
            "faults",
            &format!("{} planned", self.nemesis.records().len()),
        );
        self.feed(plan::Event::Begin)?;
        self.until(begun + run_ms, |_| false)?;
        // A recipe in its middle, or a fault that waited for its turn, is not cut off by the clock: the load goes on
        // until the schedule is behind us, as long as healing may take.
        let patience_ms = self.now_ms() + heal_ms;
        self.until(patience_ms, Nemesis::is_finished)?;

        let now = self.now_ms();
        self.phase(Phase::Heal);
        load.stop_producers();
        self.live.progress.phase(now, "heal", "the load has stopped; everything broken is mended");
        let actions = self.nemesis.heal_all(now);
        self.act(actions)?;
        self.until_healed(now + heal_ms)?;
        self.nemesis.close(self.now_ms());
        self.save_faults()
    }

    /// Load that nothing disturbs. It begins again when a send was late, or about to be, for at most as long as the plan
    /// gives the load to warm up: the last baseline then says what it was like.
    fn baseline(&mut self, what: &str, load: &Load) -> Result<()> {
        let patience_ms = self.now_ms() + self.live.plan.time.warm_up.0;
        let deadline_ms = self.live.plan.time.deadline.0;
        let baseline_ms = self.live.plan.time.baseline.0;
        loop {
            let begun = self.now_ms();
            let so_far = self.counters.sent_and_acknowledged();
            self.phase(Phase::Baseline);
            self.live.progress.phase(begun, "baseline", what);
            let calm = Calm::since(begun, deadline_ms);
            let end_ms = begun + baseline_ms;
            while self.goes_on() && self.now_ms() < end_ms {
                self.step(end_ms)?;
                let now = self.now_ms();
                if !calm.holds(now, &self.counters) && now < patience_ms {
                    break;
                }
            }
            let now = self.now_ms();
            let (sent, acknowledged) = self.counters.sent_and_acknowledged();
            let is_good = sent > so_far.0
                && acknowledged > so_far.1
                && calm.holds(now, &self.counters)
                && self.counters.acknowledged_everywhere();
            if is_good || baseline_ms == 0 || now >= patience_ms || !self.goes_on() {
                return Ok(());
            }
            self.warm_up(what, patience_ms)?;
            load.start_again();
        }
    }

    /// Load that nobody measures, until sends are acknowledged in time for long enough, or patience is at its end.
    fn warm_up(&mut self, what: &str, patience_ms: u64) -> Result<()> {
        let deadline_ms = self.live.plan.time.deadline.0;
        let mut calm = Calm::since(self.now_ms(), deadline_ms);
        self.live.progress.phase(calm.since_ms, "warm up", what);
        while self.goes_on() && self.now_ms() < patience_ms {
            self.step(patience_ms)?;
            let now = self.now_ms();
            if !calm.holds(now, &self.counters) {
                calm = Calm::since(now, deadline_ms);
            }
            let is_long = now > calm.since_ms + WARM_MS;
            if is_long && self.counters.acknowledged_everywhere() {
                break;
            }
        }
        Ok(())
    }

    fn goes_on(&self) -> bool {
        self.note.is_none() && !self.live.interrupt.is_set()
    }

    /// What was done and seen.
    pub fn finish(mut self) -> Result<(Vec<FaultRecord>, Vec<Observation>, Option<String>)> {
        self.nemesis.close(self.now_ms());
        self.save_faults()?;
        self.observer.stop();
        while let Ok(observation) = self.observed.try_recv() {
            write_line(&mut self.cluster_lines, &observation)?;
            self.observations.push(observation);
        }
        Ok((self.nemesis.records(), self.observations, self.note))
    }

    fn now_ms(&self) -> u64 {
        self.live.clock.ms()
    }

    fn phase(&self, phase: Phase) {
        self.shared.recorder.note(HistoryEvent::Phase { phase });
    }

    /// Goes on until `end_ms`, an interruption, or `done`.
    fn until(&mut self, end_ms: u64, done: impl Fn(&Nemesis) -> bool) -> Result<()> {
        while self.note.is_none() && self.now_ms() < end_ms && !done(&self.nemesis) {
            if self.live.interrupt.is_set() {
                self.note = Some("it was interrupted by a signal".to_string());
                self.live.progress.say(
                    self.now_ms(),
                    "interrupted: healing, then reading what there is; once more to stop at once",
                );
                return Ok(());
            }
            self.step(end_ms)?;
        }
        Ok(())
    }

    /// Healing is not cut short by a first interruption: whatever is broken is mended.
    fn until_healed(&mut self, end_ms: u64) -> Result<()> {
        while self.now_ms() < end_ms && !self.nemesis.is_idle() && !self.live.interrupt.is_urgent()
        {
            self.step(end_ms)?;
        }
        Ok(())
    }

    fn step(&mut self, end_ms: u64) -> Result<()> {
        let now = self.now_ms();
        let tick_ms =
            self.nemesis.next_tick_ms(now).unwrap_or(u64::MAX).min(end_ms).min(now + STEP_MS);
        match self.observed.recv_timeout(Duration::from_millis(tick_ms.saturating_sub(now).max(1)))
        {
            Ok(observation) => {
                write_line(&mut self.cluster_lines, &observation)?;
                self.observations.push(observation.clone());
                self.feed(plan::Event::Observed(observation))?;
            }
            Err(RecvTimeoutError::Timeout) => {
                self.feed(plan::Event::Acked { counts: self.counters.acknowledged() })?;
                self.feed(plan::Event::Tick)?;
            }
            Err(RecvTimeoutError::Disconnected) => {
                anyhow::bail!("the observer ended early: a bug in highwater")
            }
        }
        for (node, how) in self.live.cluster.ended() {
            self.node_ended(node, how)?;
        }
        if let Some(error) = self.shared.recorder.error() {
            anyhow::bail!(
                "the history can't be written any more ({error}): is the disk full? The run ends here"
            );
        }
        self.show();
        Ok(())
    }

    /// A node that ended by itself is seen by everyone: it is a fact of the cluster, and nobody's fault of ours.
    fn node_ended(&mut self, node: String, how: String) -> Result<()> {
        let at_ms = self.now_ms();
        let ours = self.nemesis.downed().contains(&node);
        if !ours {
            self.live.progress.say(at_ms, &format!("{node} ended by itself: {how}"));
            self.live.record.warnings.push(format!(
                "{node} ended by itself at {at_ms} ms: {how}; see nodes/{node}/broker.log"
            ));
        }
        let observation = Observation::Node { at_ms, node, pid: 0, state: how };
        write_line(&mut self.cluster_lines, &observation)?;
        self.observations.push(observation);
        Ok(())
    }

    fn feed(&mut self, event: plan::Event) -> Result<()> {
        let actions = self.nemesis.on_event(self.live.clock.ms(), event);
        self.act(actions)
    }

    fn act(&mut self, actions: Vec<plan::Action>) -> Result<()> {
        let mut waiting = actions;
        while !waiting.is_empty() {
            let mut next = Vec::new();
            for action in waiting {
                let answer = self.injector.act(&action, &mut self.live.cluster);
                self.note_changes(&answer);
                next.extend(self.nemesis.on_event(self.live.clock.ms(), answer));
            }
            waiting = next;
            self.save_faults()?;
        }
        self.save_faults()
    }

    /// The history hears of what a fault may just have changed of the topic, or put back, and the load of partitions to use.
    fn note_changes(&mut self, answer: &plan::Event) {
        let (fault, part) = match answer {
            plan::Event::Done { fault, node }
            | plan::Event::Failed { fault, node, .. }
            | plan::Event::Confirmed { fault, node, .. }
            | plan::Event::Cleared { fault, node, .. } => (*fault, node),
            _ => return,
        };
        if let plan::Event::Confirmed { .. } = answer
            && let Some(count) = self.injector.grown(fault, part)
        {
            self.shared.topic.grow(count);
        }
        // An answer that failed may be to a request that did not.
        if let plan::Event::Done { .. } | plan::Event::Failed { .. } = answer
            && let Some((partition, before)) = self.injector.removed(fault, part)
            && self.removals.insert((fault, partition))
        {
            let log = LogRef { topic: self.shared.topic.now().topic, partition };
            self.shared.recorder.note(HistoryEvent::RecordsDeleted { log, before });
        }
        self.note_incarnation(fault, part, answer);
        self.note_settings(fault);
    }

    /// A topic that is deleted is told of before another one can be asked for, and that one when every broker knows it: what is
    /// sent in between may come to either.
    fn note_incarnation(&mut self, fault: u32, part: &str, answer: &plan::Event) {
        let now = self.shared.topic.now();
        if let plan::Event::Done { .. } = answer
            && self.injector.is_deleted(fault, part)
            && self.incarnations.insert((fault, None))
        {
            self.shared.recorder.note(HistoryEvent::TopicDeleted { topic: now.topic });
            self.shared.topic.give_up();
        }
        let Some(topic_id) = self.injector.anew(fault, part) else { return };
        if !self.incarnations.insert((fault, Some(topic_id))) {
            return;
        }
        // It was made with the settings of the first one, whether they can be asked for just now or not.
        let told = self.live.cluster.administrator().and_then(|admin| admin.settings().ok());
        let properties = told.unwrap_or_else(|| self.live.plan.topic.all_properties());
        let (mut settings, _) = effective(self.live.plan, properties);
        settings.partitions = self.shared.topic.count();
        let (topic, name) = (TopicRef(now.topic.0 + 1), self.live.plan.topic.name.clone());
        self.settings = Some(settings.clone());
        self.shared.recorder.note(HistoryEvent::Topic { topic, name, topic_id, settings });
        self.shared.topic.go_on_with(topic);
    }

    /// The first answer to a fault comes right after the request, and a broker may tell what was there before; what its probe
    /// has seen comes last.
    fn note_settings(&mut self, fault: u32) {
        let Some(Deed::Topic(deed)) = self.injector.deed(fault) else { return };
        let Some(admin) = self.live.cluster.administrator().filter(|_| deed.changes_settings())
        else {
            return;
        };
        // The next answer to this fault brings them otherwise.
        let Ok(properties) = admin.settings() else { return };
        let (mut settings, _) = effective(self.live.plan, properties);
        settings.partitions = self.shared.topic.count();
        let topic = self.shared.topic.now().topic;
        if self.settings.as_ref() != Some(&settings) {
            self.shared.recorder.note(HistoryEvent::Settings { topic, settings: settings.clone() });
            self.settings = Some(settings);
        }
    }

    fn save_faults(&mut self) -> Result<()> {
        for record in self.nemesis.take_changes() {
            write_line(&mut self.fault_lines, &record)?;
            if let Some(line) = told(&record) {
                self.live.progress.say(self.live.clock.ms(), &line);
            }
        }
        Ok(())
    }

    fn show(&mut self) {
        let now = self.live.clock.ms();
        self.show_found(now);
        let ok = self.counters.ok.load(Ordering::Relaxed);
        if now >= self.last_ok.0 + 1000 {
            self.rate = (ok - self.last_ok.1) * 1000 / (now - self.last_ok.0);
            self.last_ok = (now, ok);
        }
        let open = self.counters.sent.load(Ordering::Relaxed)
            - (ok
                + self.counters.fail.load(Ordering::Relaxed)
                + self.counters.info.load(Ordering::Relaxed))
            .min(self.counters.sent.load(Ordering::Relaxed));
        let state = format!("{} ok, {}/s, {} open", grouped(ok), grouped(self.rate), grouped(open));
        self.live.progress.tick(now, &state);
    }

    /// The first of each kind is news; how many they are is told at the end.
    fn show_found(&mut self, now: u64) {
        for (kind, count) in self.counters.found() {
            if self.shown.insert(kind) {
                let text = format!("  FOUND {} ({count} so far): {}", kind.as_str(), kind.about());
                self.live.progress.say(now, &text);
            }
        }
    }
}

/// The states of a fault that a person wants to see.
fn told(record: &FaultRecord) -> Option<String> {
    let on = record.partition.as_ref().map(|p| format!(" of {p}")).unwrap_or_default();
    let who = format!(
        "{} {} ({}{on})",
        record.name,
        record.nodes.join(" "),
        reports::words::role(&record.role)
    );
    let who = match record.role {
        // The topic, its logs, or clients are what it is about: no node plays a part.
        Role::Partition | Role::Topic | Role::Producer | Role::Producers | Role::Member => {
            format!("{} {}", record.name, record.nodes.join(" "))
        }
        _ => who,
    };
    let last = record.evidence.last().map(String::as_str).unwrap_or_default();
    Some(match record.state {
        FaultState::Confirmed if record.healed_ms.is_none() => format!("  {who}: {last}"),
        FaultState::Cleared => format!("  {who}: over, {last}"),
        FaultState::NotInjected => format!(
            "  {} on {} was not injected: {last}",
            record.name,
            reports::words::role(&record.role)
        ),
        FaultState::NotConfirmed => format!("  {who}: NOT confirmed, {last}"),
        FaultState::NotCleared => format!("  {who}: NOT over, {last}"),
        _ => return None,
    })
}

fn write_line<T: serde::Serialize>(file: &mut File, value: &T) -> Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    file.write_all(&line).context("cannot write into the run directory: is the disk full?")
}
