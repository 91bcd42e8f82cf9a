//! What [`crate::inspect`] shows of a node, and what it measures of itself.

use super::Node;
use crate::inspect::{BrokerInspection, Inspection};
use crate::metrics::{Measured, Metrics};

impl Node {
    /// The node as it is now, for reading.
    pub fn inspect(&self) -> Inspection<'_> {
        let broker = self.broker.as_ref().map(|broker| BrokerInspection {
            epoch: broker.lifecycle.broker_epoch(),
            fenced: !self.image.is_unfenced(self.shared.config.node_id),
            serving: broker.serving,
        });
        Inspection {
            quorum: self.quorum.as_ref().and_then(|member| member.inspect()),
            is_active_controller: self.is_active_controller(),
            broker,
            image: &self.image,
            replicas: self.broker.as_ref().map(|broker| &broker.replicas),
        }
    }

    /// From here on an inspection tells what the step before it acknowledged to producers.
    pub fn observe_acknowledgements(&mut self) {
        self.observed = true;
    }

    /// A step begins: what the one before acknowledged is forgotten.
    pub(super) fn forget_acknowledged(&mut self) {
        if self.observed
            && let Some(broker) = &mut self.broker
        {
            broker.replicas.forget_acknowledged();
        }
    }
}

impl Measured for Node {
    fn metrics(&self) -> Metrics {
        Metrics::of(&self.inspect(), self.shared.config.is_controller())
    }
}
