//! The controller of this node, active while this node leads the quorum.
//!
//! Promises: each call's records are appended as one batch, in the order of the calls; an answer is released when
//! everything that was appended before it is committed, and refused with NOT_CONTROLLER when leadership is lost first.

use std::collections::VecDeque;

use wire::error::ErrorCode;
use wire::metadata::MetadataRecord;

use super::Node;
use super::boot::Identity;
use crate::config::NodeConfig;
use crate::context::{Request, Severity};
use crate::controller::{Controller, ControllerRequest, ControllerResponse};
use crate::defect::Defect;
use crate::lifecycle::Enrolment;

struct Pending {
    /// The answer is true once this offset is committed.
    offset: i64,
    request: Request,
    response: ControllerResponse,
}

pub struct ActiveController {
    controller: Controller,
    pending: VecDeque<Pending>,
    /// The last offset that was appended in this leadership.
    appended: i64,
    pub enrolment: Enrolment,
}

impl ActiveController {
    pub fn new(config: NodeConfig, identity: &Identity, seed: u64) -> ActiveController {
        ActiveController {
            controller: Controller::new(config, identity.cluster_id.clone(), seed),
            pending: VecDeque::new(),
            appended: -1,
            enrolment: Enrolment::new(identity.incarnation_id),
        }
    }

    pub fn deadline_ms(&self) -> Option<u64> {
        [self.controller.deadline(), self.enrolment.deadline_ms()].into_iter().flatten().min()
    }
}

impl Node {
    pub(super) fn is_active_controller(&self) -> bool {
        self.controller.as_ref().is_some_and(|active| active.controller.is_active())
    }

    pub(super) fn activate_controller(&mut self, epoch: i32, offset: i64) {
        let now = self.shared.now;
        let Some(active) = &mut self.controller else { return };
        active.appended = offset;
        let records = active.controller.become_active(now, self.image.clone(), epoch, offset + 1);
        self.append_records(&records);
        // Whoever died together with the last controller was suspected before there was anybody to fence it.
        let alive: Vec<i32> = self.image.alive_brokers().map(|broker| broker.id).collect();
        for broker in alive {
            self.suspect(broker);
        }
    }

    /// A request that only the active controller decides.
    pub(super) fn on_controller_request(&mut self, request: Request) {
        let read = ControllerRequest::read(&request, &mut self.shared.context());
        let Some(body) = read else { return };
        let now = self.shared.now;
        let Some(active) = &mut self.controller else {
            let refusal = body.refusal(ErrorCode::NotController);
            refusal.send(&request, &mut self.shared.context());
            return;
        };
        let outcome = active.controller.handle(now, request.head.api_version, body);
        if !active.controller.is_active() {
            outcome.response.send(&request, &mut self.shared.context());
            return;
        }
        if outcome.records.is_empty() && self.tells_committed_only(&outcome.response) {
            outcome.response.send(&request, &mut self.shared.context());
            return;
        }
        let Some(active) = &mut self.controller else { return };
        // Queued first: if the append fails, it is refused with the others.
        active.pending.push_back(Pending { offset: i64::MAX, request, response: outcome.response });
        self.append_records(&outcome.records);
        if let Some(active) = &mut self.controller
            && let Some(pending) = active.pending.back_mut().filter(|p| p.offset == i64::MAX)
        {
            let too_early = self.shared.config.highwater_defects.has(Defect::AnswerBeforeCommit);
            pending.offset = if too_early { self.image.offset } else { active.appended };
        }
        self.release_responses();
    }

    /// Whether an answer says nothing that rests on records which are not committed. A heartbeat that changes nothing is
    /// such a one: a broker's session must not depend on how long the disk takes to sync others' changes.
    fn tells_committed_only(&self, response: &ControllerResponse) -> bool {
        let ControllerResponse::BrokerHeartbeat(response) = response else { return false };
        response.error_code == 0 && !response.is_fenced && !response.should_shut_down
    }

    /// Whether a broker waits for this controller's leave to end, or for any other answer.
    pub(super) fn is_asked_for_leave(&self) -> bool {
        let own = self.shared.config.node_id;
        let active = self.controller.as_ref().filter(|active| active.controller.is_active());
        active.is_some_and(|active| {
            !active.pending.is_empty() || active.controller.has_stopping_broker_but(own)
        })
    }

    pub(super) fn controller_on_time(&mut self) {
        let now = self.shared.now;
        let Some(active) = &mut self.controller else { return };
        active.enrolment.drive(&mut self.shared.context());
        if active.controller.deadline().is_some_and(|due_ms| now.mono_ms() >= due_ms) {
            let records = active.controller.on_tick(now);
            self.append_records(&records);
        }
    }

    pub(super) fn fence_gone_broker(&mut self, node: i32) {
        let now = self.shared.now;
        let Some(active) = &mut self.controller else { return };
        let records = active.controller.on_broker_gone(now, node);
        self.append_records(&records);
    }

    fn append_records(&mut self, records: &[MetadataRecord]) {
        if let Some(active) = &mut self.controller {
            let says = active.controller.take_says();
            self.shared.outbox.says.extend(
                says.into_iter().map(|(severity, line)| (severity, format!("controller: {line}"))),
            );
        }
        if records.is_empty() {
            return;
        }
        let encoded = records.iter().map(MetadataRecord::encode).collect();
        match self.append_to_quorum(encoded) {
            Ok(last_offset) => {
                if let Some(active) = &mut self.controller {
                    active.appended = last_offset;
                    active.controller.on_appended(last_offset);
                }
            }
            Err(raft::AppendError::NotLeader) => self.resign_controller(),
            Err(error @ raft::AppendError::Refused(_)) => {
                // The controller counts on records that are not in the log: only a new term can put that right.
                self.shared.say(
                    Severity::Error,
                    format!(
                        "the metadata log refused the controller's records: {error}; resigning"
                    ),
                );
                self.resign_controller();
                self.resign_quorum();
            }
        }
    }

    pub(super) fn resign_controller(&mut self) {
        let Some(active) = &mut self.controller else { return };
        if active.controller.is_active() {
            self.shared.say(Severity::Info, "controller: not active any more".into());
        }
        active.controller.resign();
        for mut pending in std::mem::take(&mut active.pending) {
            if self.locals.is_envelope(pending.request.id) {
                self.refuse_envelope(pending.request.id);
            } else {
                pending.response.refuse(ErrorCode::NotController);
                pending.response.send(&pending.request, &mut self.shared.context());
            }
        }
    }

    pub(super) fn release_responses(&mut self) {
        let committed = self.image.offset;
        let Some(active) = &mut self.controller else { return };
        while let Some(pending) = active.pending.pop_front_if(|p| p.offset <= committed) {
            pending.response.send(&pending.request, &mut self.shared.context());
        }
    }
}
