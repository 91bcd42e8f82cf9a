//! The way out: controlled shutdown, or a failure that the node can't live with.
//!
//! Promises: a controlled shutdown moves leaderships away, closes the logs cleanly, gives the quorum's leadership back, and ends with
//! exit code 0, also where all nodes are asked to end together. A failure is told and ends with 1 at once.

use super::Node;
use crate::context::Severity;
use crate::step::Effect;

pub enum Ending {
    NotYet,
    /// Waiting for the controller's leave.
    LeavingCluster,
    ClosingLogs,
    /// The active controller goes when it has answered the others who want to go: without it nobody would.
    LettingOthersLeave {
        until_ms: u64,
    },
    ClosingQuorum,
    Over,
}

impl Node {
    pub(super) fn shut_down(&mut self) {
        if !matches!(self.ending, Ending::NotYet) {
            return;
        }
        self.ending = Ending::LeavingCluster;
        let Some(broker) = &mut self.broker else {
            self.close_quorum_to_end();
            return;
        };
        if let Some(event) = broker.lifecycle.shut_down(&mut self.shared.context()) {
            self.on_lifecycle(event);
        }
    }

    pub(super) fn close_logs(&mut self) {
        if !matches!(self.ending, Ending::LeavingCluster) {
            return;
        }
        self.ending = Ending::ClosingLogs;
        if let Some(broker) = &mut self.broker {
            self.shared.outbox.says.push((Severity::Info, "closing the logs".into()));
            broker.replicas.shutdown(&mut self.shared.context());
        }
    }

    pub(super) fn on_logs_closed(&mut self) {
        if matches!(self.ending, Ending::ClosingLogs) {
            let until_ms =
                self.shared.now_ms() + self.shared.config.highwater_controlled_shutdown_max_ms;
            self.ending = Ending::LettingOthersLeave { until_ms };
            self.let_the_last_leave();
        }
    }

    pub(super) fn let_the_last_leave(&mut self) {
        let Ending::LettingOthersLeave { until_ms } = self.ending else { return };
        if self.shared.now_ms() >= until_ms || !self.is_asked_for_leave() {
            self.close_quorum_to_end();
        }
    }

    pub(super) fn ending_deadline_ms(&self) -> Option<u64> {
        match self.ending {
            Ending::LettingOthersLeave { until_ms } => Some(until_ms),
            _ => None,
        }
    }

    /// Whether this node's peers are still to be watched: they matter until it has the controller's leave.
    pub(super) fn minds_peers(&self) -> bool {
        matches!(self.ending, Ending::NotYet | Ending::LeavingCluster)
    }

    fn close_quorum_to_end(&mut self) {
        self.ending = Ending::ClosingQuorum;
        if self.quorum.is_some() {
            self.close_quorum();
        } else {
            self.end(0);
        }
    }

    pub(super) fn on_quorum_closed(&mut self) {
        if matches!(self.ending, Ending::ClosingQuorum) {
            self.end(0);
        }
    }

    fn end(&mut self, code: u8) {
        if !matches!(self.ending, Ending::Over) {
            self.ending = Ending::Over;
            let message = format!("node {} has ended", self.shared.config.node_id);
            self.effects.push(Effect::Say { severity: Severity::Info, message });
            self.effects.push(Effect::Exit { code });
        }
    }

    pub(super) fn end_in_failure(&mut self, message: String) {
        self.effects.push(Effect::Say { severity: Severity::Error, message });
        self.end(1);
    }
}
