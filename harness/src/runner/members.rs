//! The consumer group of the `groups` workload: its members, and how they come and go.
//!
//! Every second one that leaves does so without a last commit, as a process that dies between its work and its commit.

use super::load::{self, Shared, client_profile};
use anyhow::{Context, Result};
use clients::History;
use clients::member::{self, MemberTask, RunningMember};
use clients::profile;
use model::settings::{Commits, GroupSettings, TopicSettings};
use plan::Plan;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the group's coordinator is asked for its last word.
const LAST_WORD_WAIT: Duration = Duration::from_secs(10);

pub struct Members {
    running: Arc<Mutex<Vec<RunningMember>>>,
    /// Dropped, it ends the coming and going.
    stop: Option<Sender<()>>,
    churn: Option<JoinHandle<()>>,
    /// A task to ask the coordinator with.
    task: MemberTask,
    history: Arc<dyn History>,
}

/// What a member is started with, under a session of its own.
fn task(plan: &Plan, topic: &TopicSettings, shared: &Shared, name: String) -> MemberTask {
    let commits = plan.workload.commits.unwrap_or(Commits::After);
    let group = format!("highwater-{}", shared.run);
    let mut reader = load::reader_task(plan, topic, shared, name);
    reader.settings = profile::member(
        client_profile(plan),
        &reader.name,
        plan.workload.name.isolation(),
        GroupSettings { name: group.clone(), commits },
        &Default::default(),
    );
    MemberTask { reader, group, commits }
}

impl Members {
    pub fn start(plan: &Plan, topic: &TopicSettings, shared: &Shared) -> Result<Members> {
        let history: Arc<dyn History> = shared.recorder.clone();
        let mut running = Vec::new();
        for number in 1..=plan.workload.consumers {
            let task = task(plan, topic, shared, format!("m{number}"));
            running.push(member::start(task, history.clone()).context("cannot start a member")?);
        }
        let running = Arc::new(Mutex::new(running));
        let (stop, stopped) = channel();
        let period = Duration::from_millis(plan.workload.churn.map_or(0, |churn| churn.0));
        let churn = (!period.is_zero()).then(|| {
            let (running, history) = (running.clone(), history.clone());
            let (plan, topic, shared) = (plan.clone(), topic.clone(), shared.clone());
            let mut number = plan.workload.consumers;
            std::thread::Builder::new()
                .name("churn".into())
                .spawn(move || {
                    while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                        number += 1;
                        let task = task(&plan, &topic, &shared, format!("m{number}"));
                        replace_one(&running, task, number.is_multiple_of(2), &history);
                    }
                })
                .expect("the operating system refused a thread")
        });
        let task = task(plan, topic, shared, "committed".into());
        Ok(Members { running, stop: Some(stop), churn, task, history })
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
        running.iter().for_each(RunningMember::leave);
        for member in running {
            member.join().map_err(panicked)?;
        }
        if let Err(error) = member::ask_committed(&self.task, LAST_WORD_WAIT, &self.history) {
            tracing::warn!(%error, "the coordinator did not say where its group stands");
        }
        Ok(())
    }
}

/// The oldest member leaves, and another one joins.
fn replace_one(
    running: &Mutex<Vec<RunningMember>>,
    task: MemberTask,
    commits: bool,
    history: &Arc<dyn History>,
) {
    let mut members = running.lock().expect("no holder of this lock panics");
    if members.is_empty() {
        return;
    }
    let oldest = members.remove(0);
    drop(members);
    if commits {
        oldest.leave();
    } else {
        oldest.leave_without_commit();
    }
    // A panic of its own thread is told when everything else has ended, by the checks that miss it.
    let _ = oldest.join();
    match member::start(task, history.clone()) {
        Ok(member) => running.lock().expect("no holder of this lock panics").push(member),
        Err(error) => tracing::warn!(%error, "a member could not be started"),
    }
}
