//! The life of a run: up, load ∥ faults ∥ observer, heal, settle, final reads, collect, check, report, down.
//!
//! Promises: what is broken is healed and what was started is stopped, whatever ends the run; every step is saved
//! before the next begins, so that a failed teardown or report never loses a history.

mod calm;
mod collect;
mod faults;
mod final_reads;
mod load;
mod members;
pub mod up;

use crate::analysis::{self, Recorded};
use crate::cli::ProgressMode;
use crate::exit::{Exit, Refused};
use crate::interrupt::Interrupt;
use crate::live::Follower;
use crate::measure::Measure;
use crate::metrics::{self, Asking};
use crate::progress::Progress;
use crate::recorder::{Clock, Recorder, wall_ms};
use crate::replicas::{self, Ended};
use crate::run_record::{self, RunRecord, State};
use crate::spill::FileSpill;
use crate::store::{REPLICAS, RunDir, Store};
use crate::target::bundled::Bundled;
use crate::target::kafka::Kafka;
use crate::target::local::{Layout, Local};
use crate::target::{Software, cluster_id};
use anyhow::{Context, Result};
use checker::Checker;
use clients::TopicInUse;
use clients::producer::Sessions;
use inject::{Nodes, UndoLog, World};
pub use load::TOPIC;
use load::{Load, Shared};
use model::history::{Event, Phase, TopicRef};
use plan::deed::{Deed, Needs};
use plan::plan::Target;
use plan::{Controllers, Plan, Schedule, TargetKind};
use reports::facts::Facts;
use reports::words::grouped;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use up::MadeTopic;

/// What a run is asked to do.
pub struct Request<'a> {
    pub plan: &'a Plan,
    /// The plan's own text, kept beside the run.
    pub text: &'a str,
    pub seed: u64,
    pub store: &'a Store,
    pub progress: ProgressMode,
    pub quiet: bool,
    pub keep_data: bool,
    /// What the user would type to have the same schedule again.
    pub again: String,
    pub interrupt: &'a Interrupt,
    /// The network of the run's own ([`crate::target::world::own`]), where the plan's faults need one.
    pub world: Option<World>,
}

/// What a run came to.
pub struct Finished {
    pub facts: Facts,
    pub run: RunDir,
    pub exit: Exit,
}

/// Brokers that want to stop get this long.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Runs a plan from start to end.
pub fn run(mut request: Request<'_>) -> Result<Finished> {
    let started_wall_ms = wall_ms();
    // What is not there is told before anything is made.
    let target = &request.plan.target;
    let kafka = kafka(target, target.kafka_home.as_deref())?;
    let upgrade = other_version(request.plan)?;
    let run = request.store.create_run(&request.plan.name, request.seed, started_wall_ms)?;
    let clock = Clock::start();
    let cluster_id = cluster_id(request.seed, started_wall_ms);
    let software: Box<dyn Software> = match kafka {
        Some(kafka) => Box::new(kafka.configured_in(&run.file("nodes"))?),
        None => {
            let defects = request.plan.target.defects.clone();
            Box::new(Bundled::new(defects, request.seed)?)
        }
    };
    let upgrade: Option<Box<dyn Software>> = match upgrade {
        Some(OtherVersion::Kafka(kafka)) => {
            Some(Box::new(kafka.configured_in(&run.file("nodes"))?))
        }
        Some(OtherVersion::Bundled(bundled)) => Some(Box::new(bundled)),
        None => None,
    };
    let mut record = first_record(&request, &run, software.as_ref(), started_wall_ms);
    record.versions.extend(upgrade.iter().map(|to| ("upgrade to".to_string(), to.name())));
    run.write("plan.toml", request.text.as_bytes())?;
    run.write("plan.resolved.toml", request.plan.to_toml().as_bytes())?;
    run.write_json("run.json", &record)?;
    let undo = UndoLog::create(&request.store.undo_dir()).with_context(|| {
        format!(
            "cannot write undo records in {}: nothing is broken that could not be mended",
            request.store.undo_dir().display()
        )
    })?;
    let layout = layout(request.plan, cluster_id, request.seed);
    let world = request.world.take();
    let mut cluster = Local::prepare(layout, software, world, &run.file("nodes"), undo.clone())?;
    if let Some(upgrade) = upgrade {
        cluster.may_upgrade_to(upgrade);
    }
    record.brokers = cluster.brokers();
    run.write_json("run.json", &record)?;

    let mut live = Live::start(&request, run.clone(), record, cluster, clock, undo.clone())?;
    let recorded = live.go();
    let Live { cluster: mut stopped, progress, ended, .. } = live;
    stopped.stop_all(STOP_GRACE);
    let mut recorded = match recorded {
        Ok(recorded) => recorded,
        Err(error) => {
            progress.finish();
            let _ = undo.finish();
            return Err(error);
        }
    };
    if recorded.record.interrupted.is_none() {
        let replicas = replicas::compare(&ended, |node| stopped.data_dir(node));
        run.write_json(REPLICAS, &replicas)?;
        recorded.replicas = Some(replicas);
    }
    let interrupted = recorded.record.interrupted.is_some();
    let mut facts = analysis::analyse(recorded);
    let excerpts = collect::excerpts(&run, &facts);
    facts.excerpts = excerpts;
    // From here on everything can be made again from what is stored.
    stopped.end_places(collect::keeps_data(&facts, request.keep_data));
    collect::save(&run, &mut facts, request.keep_data)?;
    progress.finish();
    undo.finish().context("cannot remove the undo records")?;
    let exit = match (Exit::of(facts.verdict.verdict), interrupted) {
        (Exit::Broken, _) => Exit::Broken,
        (_, true) => request.interrupt.exit(),
        (exit, false) => exit,
    };
    Ok(Finished { facts, run, exit })
}

/// Apache Kafka, if the plan is about it.
fn kafka(target: &Target, home: Option<&str>) -> Result<Option<Kafka>> {
    match (target.kind, target.heap) {
        (TargetKind::Kafka, Some(heap)) => Kafka::find(home, heap.0).map(Some),
        _ => Ok(None),
    }
}

/// What nodes may be upgraded to.
enum OtherVersion {
    Kafka(Kafka),
    Bundled(Bundled),
}

fn other_version(plan: &Plan) -> Result<Option<OtherVersion>> {
    let target = &plan.target;
    let Some(to) = &target.upgrade_to else {
        return match plan.deeds().any(|deed| matches!(deed, Deed::Upgrade { .. })) {
            true => Err(Refused::could_not_run(
                "upgrade to which version? Say [target] upgrade_to, or --set target.upgrade_to='\"DIR\"': of Apache Kafka a \
                 directory with its libs/*.jar, of the bundled broker another highwater",
            )
            .into()),
            false => Ok(None),
        };
    };
    match kafka(target, Some(to))? {
        Some(kafka) => Ok(Some(OtherVersion::Kafka(kafka))),
        None => Bundled::of(to).map(OtherVersion::Bundled).map(Some),
    }
}

fn layout(plan: &Plan, cluster_id: String, seed: u64) -> Layout {
    Layout {
        brokers: plan.target.nodes,
        controllers: match plan.target.controllers {
            Controllers::Combined => 0,
            Controllers::Dedicated(count) => count,
        },
        fast: plan.target.profile == plan::Profile::Fast,
        properties: plan.target.properties.clone(),
        cluster_id,
        racks: plan.target.racks.clone().unwrap_or_default(),
        log_dirs: plan.target.log_dirs,
        disks: plan.needs().contains(&Needs::Disks),
        fuse: plan.needs().contains(&Needs::Fuse),
        groups: plan.needs().contains(&Needs::Groups),
        proxies: plan.needs().contains(&Needs::Proxy).then_some(seed),
        clocks: plan.needs().contains(&Needs::Clocks),
    }
}

fn first_record(
    request: &Request<'_>,
    run: &RunDir,
    software: &dyn Software,
    started_wall_ms: i64,
) -> RunRecord {
    let plan = request.plan;
    let mut versions = run_record::versions();
    versions.extend(software.versions());
    RunRecord {
        schema: run_record::SCHEMA.to_string(),
        state: State::Running,
        plan: plan.name.clone(),
        seed: request.seed,
        run: request.seed ^ (started_wall_ms as u64).rotate_left(24),
        started_wall_ms,
        target: plan.target.title(&software.name()),
        defects: plan.target.defects.clone(),
        brokers: BTreeMap::new(),
        deadline_ms: plan.time.deadline.0,
        partitions: plan.topic.partitions,
        up_ms: None,
        workload: plan.workload.name.as_str().to_string(),
        profile: format!(
            "timeouts: {} profile, deadline {} ms",
            plan.target.profile.as_str(),
            plan.time.deadline.0
        ),
        again: request.again.clone(),
        directory: run.path().display().to_string(),
        versions,
        machine: run_record::machine(),
        broker_settings: BTreeMap::new(),
        consumers: Vec::new(),
        warnings: Vec::new(),
        metrics_missing: None,
        never_recovered: None,
        settle_ms: plan.time.settle.0,
        interrupted: None,
        cut: None,
    }
}

/// A run whose cluster may be up.
struct Live<'a> {
    plan: &'a Plan,
    request_seed: u64,
    interrupt: &'a Interrupt,
    run: RunDir,
    record: RunRecord,
    cluster: Local,
    clock: Clock,
    undo: UndoLog,
    progress: Progress,
    /// The logs as the final reads left them.
    ended: Vec<Ended>,
}

impl<'a> Live<'a> {
    fn start(
        request: &Request<'a>,
        run: RunDir,
        record: RunRecord,
        cluster: Local,
        clock: Clock,
        undo: UndoLog,
    ) -> Result<Live<'a>> {
        let time = &request.plan.time;
        let expected_ms = 2_000 + time.baseline.0 + time.run.0 + 12_000;
        let progress = Progress::start(request.progress, request.quiet, expected_ms);
        let (plan, interrupt, request_seed) = (request.plan, request.interrupt, request.seed);
        let ended = Vec::new();
        Ok(Live {
            plan,
            request_seed,
            interrupt,
            run,
            record,
            cluster,
            clock,
            undo,
            progress,
            ended,
        })
    }

    /// Everything between an empty cluster and a complete record of what happened.
    fn go(&mut self) -> Result<Recorded> {
        let target = self.record.target.clone();
        self.progress.phase(
            self.clock.ms(),
            "up",
            &format!("{target}, seed {}", self.request_seed),
        );
        let interrupt = self.interrupt;
        let made = up::start(self.plan, &mut self.cluster, self.clock, &|| interrupt.is_set())?;
        self.record.up_ms = Some(made.up_ms);
        self.record.warnings = made.warnings.clone();
        self.record.broker_settings = collect::broker_settings(&self.cluster);

        let (portions, followed) = channel();
        let recorder =
            Arc::new(Recorder::create(&self.run.file("history.hwh"), self.clock, portions)?);
        let spill = Box::new(FileSpill::new(self.run.path()));
        let options = analysis::checker_options(self.record.settle_ms);
        let checker = Checker::with_spill(options, spill);
        let measure = Measure::new(self.plan.time.deadline.0);
        let follower = Follower::start(followed, self.plan.topic.partitions, checker, measure);
        let shared = Shared {
            run: self.record.run,
            seed: self.request_seed,
            bootstrap: self.cluster.bootstrap(),
            recorder: recorder.clone(),
            sessions: Arc::new(Sessions::default()),
            topic: Arc::new(TopicInUse::new(TOPIC, self.plan.topic.partitions)),
        };
        let (run, seed, plan) = (self.record.run, self.request_seed, self.plan.name.clone());
        recorder.note(Event::Run { run, seed, plan });
        for (topic, made) in (0..).map(TopicRef).zip(&made.topics) {
            let (name, topic_id, settings) = (made.name.clone(), made.id, made.settings.clone());
            recorder.note(Event::Topic { topic, name, topic_id, settings });
        }
        let mut load = load::start(self.plan, &made.topics, &shared)?;
        self.record.consumers = vec![load.reader_settings(self.plan)];
        self.cluster.serves(Box::new(load.mortals()));
        self.run.write_json("run.json", &self.record)?;

        let stages = self.measured_stages(&mut load, &made.topics, &shared, &follower);
        // A stage that failed left clients running, and the history has no end as long as one writes into it.
        let ended = load.finish_producers().and(load.finish_readers());
        recorder.note(Event::Phase { phase: Phase::Done });
        let history = recorder.finish();
        // The follower ends when nobody can write any more.
        drop(load);
        drop(shared);
        drop(recorder);
        let (checker, measure) = follower.join();
        let (faults, observations) = stages?;
        ended?;
        history?;
        self.record.state = State::Recorded;
        self.run.write_json("run.json", &self.record)?;
        let (record, replicas) = (self.record.clone(), None);
        let metrics = metrics::series::of(&self.run);
        Ok(Recorded { record, checker, measure, faults, observations, replicas, metrics })
    }

    /// All stages, while the nodes are asked for their metrics.
    fn measured_stages(
        &mut self,
        load: &mut Load,
        topics: &[MadeTopic],
        shared: &Shared,
        follower: &Follower,
    ) -> Result<(Vec<model::fault::FaultRecord>, Vec<model::cluster::Observation>)> {
        let asking = match self.cluster.metrics() {
            Ok(nodes) => Some(metrics::start(nodes, self.clock, &self.run.file(metrics::FILE))?),
            Err(why) => {
                self.record.metrics_missing = Some(why);
                None
            }
        };
        let stages = self.stages(load, topics, shared, follower);
        // Also after one that failed: what was told until then is part of what happened.
        if let Some(why) = asking.and_then(Asking::stop) {
            let file = metrics::FILE;
            self.record.warnings.push(format!("{file} could not be written any more: {why}"));
        }
        stages
    }

    /// Baseline and faults, heal, settle, final reads.
    fn stages(
        &mut self,
        load: &mut Load,
        topics: &[MadeTopic],
        shared: &Shared,
        follower: &Follower,
    ) -> Result<(Vec<model::fault::FaultRecord>, Vec<model::cluster::Observation>)> {
        let schedule = Schedule::new(self.plan, self.request_seed);
        let mut stage = faults::Stage::new(self, schedule, shared, follower.counters.clone())?;
        let held = stage.run(load);
        let (faults, observations, note) = stage.finish()?;
        if let Some(note) = note {
            self.record.interrupted = Some(note);
        }
        held?;
        self.progress.phase(self.clock.ms(), "settle", "all nodes are back; waiting for full ISRs");
        shared.recorder.note(Event::Phase { phase: Phase::Settle });
        load.finish_producers()?;
        let interrupt = self.interrupt;
        let twice = || interrupt.is_urgent();
        let liveness = final_reads::settle(self.plan, &shared.bootstrap, &twice);
        self.record.never_recovered = liveness.measured.then(|| liveness.never_recovered.clone());
        for log in &liveness.never_recovered {
            self.progress.say(self.clock.ms(), &format!("never recovered: {log}"));
        }
        final_reads::catch_up(self.plan, shared, load, &twice);
        self.progress.phase(
            self.clock.ms(),
            "read",
            "two readers read every log from its start to its end",
        );
        shared.recorder.note(Event::Phase { phase: Phase::FinalReads });
        load.finish_readers()?;
        let brokers = &self.record.brokers;
        self.ended = final_reads::read(self.plan, topics, brokers, shared, &twice)?;
        let counters = &follower.counters;
        let polled = counters.polled.load(std::sync::atomic::Ordering::Relaxed);
        self.progress.phase(
            self.clock.ms(),
            "judge",
            &format!("{} records were read in all", grouped(polled)),
        );
        Ok((faults, observations))
    }
}
