//! The consumer group of the workloads `groups` and `exactly-once`: its members, and how they come and go.
//!
//! Every second one that leaves does so without a last commit, as a process that dies between its work and its commit.

use super::load::{self, COPY, Shared, TOPIC, client_profile};
use super::up::MadeTopic;
use anyhow::{Context, Result};
use clients::History;
use clients::copier::{self, CopierTask};
use clients::fencing::TransactionalId;
use clients::member::{self, MemberTask, RunningMember};
use clients::profile::{self, ProducerChoice};
use clients::seat::Seat;
use generator::random::Random;
use generator::stamp::Filler;
use model::settings::{Acks, Commits, GroupSettings};
use plan::{Plan, WorkloadName};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a member may go without polling before the library has it leave its group.
const POLL_GRACE: &str = "max.poll.interval.ms";
/// How long the group's coordinator is asked for its last word.
const LAST_WORD_WAIT: Duration = Duration::from_secs(10);

/// A member and its place in the group; whoever takes its place takes its seat, and its transactional id where it has one.
type Placed = (u32, RunningMember);

pub struct Members {
    running: Arc<Mutex<Vec<Placed>>>,
    /// The places, in their order.
    seats: Vec<Seat>,
    ids: Vec<TransactionalId>,
    /// Dropped, it ends the coming and going.
    stop: Option<Sender<()>>,
    churn: Option<JoinHandle<()>>,
    /// A task to ask the coordinator with.
    task: MemberTask,
    history: Arc<dyn History>,
}

/// What members are started from.
struct Recipe {
    plan: Plan,
    source: MadeTopic,
    /// Where its records are copied to, by a group that does that.
    copy: Option<MadeTopic>,
    shared: Shared,
    filler: Arc<Filler>,
    seats: Vec<Seat>,
    /// Of the places, in a group that copies.
    ids: Vec<TransactionalId>,
}

impl Recipe {
    /// The seat of a place, which count from 1.
    fn seat(&self, place: u32) -> &Seat {
        &self.seats[place as usize - 1]
    }

    /// What a member is started with, under a session of its own.
    fn member(&self, name: String, seat: Seat) -> MemberTask {
        let (plan, shared) = (&self.plan, &self.shared);
        let commits = match plan.workload.name {
            WorkloadName::ExactlyOnce => Commits::InTransaction,
            _ => plan.workload.commits.unwrap_or(Commits::After),
        };
        let group = format!("highwater-{}", shared.run);
        let mut reader = load::reader_task(plan, TOPIC, &self.source, shared, name);
        // A fault that has a member not poll is about who bears that for how long.
        let chosen = plan.poll_grace().map(|grace| (POLL_GRACE.to_string(), grace.0.to_string()));
        reader.settings = profile::member(
            client_profile(plan),
            &reader.name,
            plan.workload.name.isolation(),
            GroupSettings { name: group.clone(), commits },
            &chosen.into_iter().collect(),
        );
        MemberTask { reader, group, commits, seat }
    }

    /// The `number`th member, in a place of the group.
    fn start(&self, number: u32, place: u32) -> Result<Placed> {
        let history: Arc<dyn History> = self.shared.recorder.clone();
        let member = self.member(format!("m{number}"), self.seat(place).clone());
        let running = match &self.copy {
            None => member::start(member, history).context("cannot start a member")?,
            Some(copy) => copier::start(self.copier(member, copy, number, place), history),
        };
        Ok((place, running))
    }

    fn copier(&self, member: MemberTask, copy: &MadeTopic, number: u32, place: u32) -> CopierTask {
        let choice = ProducerChoice {
            acks: Acks::All,
            idempotence: true,
            retries: None,
            in_flight_requests_max: None,
            transactional_id: Some(format!("highwater-{}-copier{place}", self.shared.run)),
            properties: Default::default(),
        };
        let (name, topic) = (format!("x{number}"), copy.name.clone());
        let (plan, shared) = (&self.plan, &self.shared);
        CopierTask {
            member,
            random: Random::new(shared.seed, &format!("copies/{name}")),
            producer: load::session_task(plan, shared, name, topic, &choice, &self.filler),
            id: self.ids[place as usize - 1].clone(),
            to: COPY,
            records_max: load::transaction_records_max(plan),
            aborts_per_mille: load::aborts_per_mille(plan),
        }
    }
}

impl Members {
    pub fn start(
        plan: &Plan,
        topics: &[MadeTopic],
        shared: &Shared,
        filler: &Arc<Filler>,
    ) -> Result<Members> {
        let recipe = Recipe {
            plan: plan.clone(),
            source: topics[0].clone(),
            copy: topics.get(1).cloned(),
            shared: shared.clone(),
            filler: filler.clone(),
            seats: (1..=plan.workload.consumers).map(|_| Seat::default()).collect(),
            ids: (1..=plan.workload.consumers).map(|_| TransactionalId::default()).collect(),
        };
        let history: Arc<dyn History> = shared.recorder.clone();
        let mut running = Vec::new();
        for number in 1..=plan.workload.consumers {
            running.push(recipe.start(number, number)?);
        }
        let running = Arc::new(Mutex::new(running));
        let (stop, stopped) = channel();
        let period = Duration::from_millis(plan.workload.churn.map_or(0, |churn| churn.0));
        let task = recipe.member("committed".into(), Seat::default());
        let (seats, ids) = (recipe.seats.clone(), recipe.ids.clone());
        let churn = (!period.is_zero()).then(|| {
            let running = running.clone();
            let mut number = plan.workload.consumers;
            std::thread::Builder::new()
                .name("churn".into())
                .spawn(move || {
                    while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                        number += 1;
                        replace_one(&running, &recipe, number);
                    }
                })
                .expect("the operating system refused a thread")
        });
        Ok(Members { running, seats, ids, stop: Some(stop), churn, task, history })
    }

    /// The places of the group by their names, `m1` and so on: those of whoever sat there first.
    pub fn seats(&self) -> impl Iterator<Item = (String, Seat)> {
        self.seats.iter().zip(1..).map(|(seat, number)| (format!("m{number}"), seat.clone()))
    }

    /// Their transactional ids, which nobody uses in a group that does not copy.
    pub fn ids(&self) -> impl Iterator<Item = (String, TransactionalId)> {
        self.ids.iter().zip(1..).map(|(id, number)| (format!("m{number}"), id.clone()))
    }

    /// All leave, and the coordinator is asked where the group stands. Done once.
    pub fn finish(&mut self) -> Result<()> {
        let Some(stop) = self.stop.take() else { return Ok(()) };
        drop(stop);
        let panicked = |_| anyhow::anyhow!("a member's thread panicked: a bug in highwater");
        if let Some(churn) = self.churn.take() {
            churn.join().map_err(panicked)?;
        }
        let running = std::mem::take(&mut *self.running.lock().expect("no holder panics"));
        running.iter().for_each(|(_, member)| member.leave());
        for (_, member) in running {
            member.join().map_err(panicked)?;
        }
        if let Err(error) = member::ask_committed(&self.task, LAST_WORD_WAIT, &self.history) {
            tracing::warn!(%error, "the coordinator did not say where its group stands");
        }
        Ok(())
    }
}

/// The oldest member leaves, and another one joins in its place. One that stands still would not hear of it.
fn replace_one(running: &Mutex<Vec<Placed>>, recipe: &Recipe, number: u32) {
    let mut members = running.lock().expect("no holder of this lock panics");
    let Some(at) = members.iter().position(|(place, _)| !recipe.seat(*place).is_stalled()) else {
        return;
    };
    let (place, oldest) = members.remove(at);
    drop(members);
    if number.is_multiple_of(2) {
        oldest.leave();
    } else {
        oldest.leave_without_commit();
    }
    // A panic of its own thread is told when everything else has ended, by the checks that miss it.
    let _ = oldest.join();
    match recipe.start(number, place) {
        Ok(member) => running.lock().expect("no holder of this lock panics").push(member),
        Err(error) => tracing::warn!(error = format!("{error:#}"), "a member could not be started"),
    }
}
