//! The active controller: decides every change of the cluster's metadata, as records.
//!
//! Promises: a pure state machine over a speculative image of its own, which runs ahead of what the quorum has
//! committed. Every call that changes something returns the records, in order, already applied to that image; the
//! caller appends each call's records to the metadata log as one atomic batch, in the order of the calls, and releases a
//! response when everything that was appended before it is committed. Losing the quorum's leadership throws the image
//! away. The rules are Kafka's (ReplicationControlManager, ClusterControlManager, BrokerHeartbeatManager,
//! ConfigurationControlManager); a refused request changes nothing, and no request panics.
//!
//! Not promised: quotas, authorisation, reassignment, more than one log directory for each broker, changes of feature
//! levels.
//!
//! Sessions are the controller's own view and not a lease: a fenced broker may not know it yet.

mod activation;
mod api;
mod brokers;
mod configs;
mod elections;
pub mod features;
mod heartbeats;
mod isr;
mod partition_change;
pub mod placement;
pub mod random;
#[cfg(test)]
mod tests;
mod topics;

use wire::error::ErrorCode;
use wire::metadata::MetadataRecord;

use crate::config::NodeConfig;
use crate::defect::Defect;
use crate::image::{Changes, MetadataImage};
use crate::step::{Now, Severity};

pub use api::{ControllerRequest, ControllerResponse};
use heartbeats::Heartbeats;
use random::Random;

/// The most records that one user's request may ask for, as in Kafka.
const MAX_RECORDS_PER_USER_OP: usize = 10_000;

/// What handling a request comes to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// To be appended as one atomic batch. Empty: nothing changes, yet the response may rest on records that are
    /// not committed, so it waits for them.
    pub records: Vec<MetadataRecord>,
    pub response: ControllerResponse,
}

/// A controller, active or not.
#[derive(Debug)]
pub struct Controller {
    config: NodeConfig,
    cluster_id: String,
    random: Random,
    active: Option<Active>,
    says: Vec<(Severity, String)>,
}

impl Controller {
    /// `seed` is the node's; the controller draws topic ids and placements from it.
    pub fn new(config: NodeConfig, cluster_id: String, seed: u64) -> Self {
        Self { config, cluster_id, random: Random::new(seed), active: None, says: Vec::new() }
    }

    /// This node leads the quorum in `epoch`. `image` holds everything in the log, which goes on at `next_offset`; that is
    /// so once the leader's own first record is committed. The records to begin with come back: those of a new
    /// cluster, if the log has none.
    pub fn become_active(
        &mut self,
        now: Now,
        image: MetadataImage,
        epoch: i32,
        next_offset: i64,
    ) -> Vec<MetadataRecord> {
        self.random.mix(u64::from(epoch.cast_unsigned()));
        self.random.mix(next_offset.cast_unsigned());
        let mut active = Active::new(
            self.config.clone(),
            self.cluster_id.clone(),
            self.random.clone(),
            image,
            epoch,
            next_offset,
            now,
        );
        active.write_activation_records();
        self.active = Some(active);
        self.finish(now)
    }

    /// This node leads the quorum no longer.
    pub fn resign(&mut self) {
        if let Some(active) = self.active.take() {
            self.random = active.random;
        }
    }

    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// Whether a broker other than this one has asked to stop and has not been let go.
    pub fn has_stopping_broker_but(&self, id: i32) -> bool {
        let brokers = self.active.iter().flat_map(|active| active.image.alive_brokers());
        brokers.into_iter().any(|broker| broker.id != id && broker.in_controlled_shutdown)
    }

    /// The quorum epoch that this controller is active in.
    pub fn epoch(&self) -> Option<i32> {
        self.active.as_ref().map(|active| active.epoch)
    }

    /// What the cluster will be once all records are committed. `None` while not active.
    pub fn image(&self) -> Option<&MetadataImage> {
        self.active.as_ref().map(|active| &active.image)
    }

    /// Decides a request of that API version. While not active, everything is refused with NOT_CONTROLLER.
    pub fn handle(&mut self, now: Now, api_version: i16, request: ControllerRequest) -> Outcome {
        let Some(active) = &mut self.active else {
            let response = request.refusal(ErrorCode::NotController);
            return Outcome { records: Vec::new(), response };
        };
        active.begin(now);
        let response = active.dispatch(api_version, request);
        Outcome { records: self.finish(now), response }
    }

    /// The broker's process is dead: its connections broke and nobody listens any more. It is fenced at once.
    pub fn on_broker_gone(&mut self, now: Now, broker: i32) -> Vec<MetadataRecord> {
        let Some(active) = &mut self.active else { return Vec::new() };
        active.begin(now);
        if active.image.is_unfenced(broker) {
            active.say(Severity::Info, format!("fencing broker {broker}: its process is gone"));
            active.fence_broker(broker);
        }
        self.finish(now)
    }

    /// Session expiry, preferred leaders, signs of life.
    pub fn on_tick(&mut self, now: Now) -> Vec<MetadataRecord> {
        let Some(active) = &mut self.active else { return Vec::new() };
        active.begin(now);
        active.fence_stale_brokers();
        active.balance_leaders();
        active.write_no_op();
        self.finish(now)
    }

    /// When [`Controller::on_tick`] has something to do, at the latest, in milliseconds of the monotonic clock.
    pub fn deadline(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.deadline_ms())
    }

    /// The records of the last call went into the log and end at `last_offset`. Only needed where the quorum wrote
    /// something of its own in between; offsets never go back.
    pub fn on_appended(&mut self, last_offset: i64) {
        if let Some(active) = &mut self.active {
            active.next_offset = active.next_offset.max(last_offset + 1);
            active.image.offset = active.next_offset - 1;
        }
    }

    /// Lines for the node's log since the last call.
    pub fn take_says(&mut self) -> Vec<(Severity, String)> {
        std::mem::take(&mut self.says)
    }

    fn finish(&mut self, now: Now) -> Vec<MetadataRecord> {
        let Some(active) = &mut self.active else { return Vec::new() };
        self.says.append(&mut active.says);
        active.end(now)
    }
}

/// The state of a controller while it is active.
#[derive(Debug)]
struct Active {
    config: NodeConfig,
    cluster_id: String,
    random: Random,
    image: MetadataImage,
    epoch: i32,
    /// Where the next record goes.
    next_offset: i64,
    now: Now,
    heartbeats: Heartbeats,
    next_balance_ms: u64,
    last_append_ms: u64,
    /// Of the call that is being handled.
    records: Vec<MetadataRecord>,
    says: Vec<(Severity, String)>,
}

impl Active {
    fn new(
        config: NodeConfig,
        cluster_id: String,
        random: Random,
        image: MetadataImage,
        epoch: i32,
        next_offset: i64,
        now: Now,
    ) -> Self {
        let mut heartbeats = Heartbeats::new(config.broker_session_timeout_ms);
        for broker in image.brokers.keys() {
            heartbeats.register(*broker, now.mono_ms());
        }
        let mut active = Self {
            config,
            cluster_id,
            random,
            image,
            epoch,
            next_offset,
            now,
            heartbeats,
            next_balance_ms: 0,
            last_append_ms: now.mono_ms(),
            records: Vec::new(),
            says: Vec::new(),
        };
        active.schedule_balance();
        active
    }

    /// Every call begins here: a controller that slept must not judge brokers by its own absence.
    fn begin(&mut self, now: Now) {
        let late_ms = now.mono_ms().saturating_sub(self.deadline_ms());
        if late_ms > self.heartbeats.session_timeout_ms() / 4 {
            self.say(Severity::Warn, format!("woken {late_ms} ms late: sessions are prolonged"));
            self.heartbeats.forgive(now.mono_ms());
        }
        self.now = now;
    }

    fn end(&mut self, now: Now) -> Vec<MetadataRecord> {
        if !self.records.is_empty() {
            self.last_append_ms = now.mono_ms();
        }
        self.image.offset = self.next_offset - 1;
        self.image.epoch = self.epoch;
        std::mem::take(&mut self.records)
    }

    fn has(&self, defect: Defect) -> bool {
        self.config.highwater_defects.has(defect)
    }

    fn now_ms(&self) -> u64 {
        self.now.mono_ms()
    }

    /// Decides that `record` is written: from here on the image has it.
    fn write(&mut self, record: MetadataRecord) {
        let applied = self.image.apply(&record, &mut Changes::default());
        assert!(
            applied.is_ok(),
            "the controller wrote {record:?}, which does not fit: {applied:?}"
        );
        self.next_offset += 1;
        self.records.push(record);
    }

    fn say(&mut self, severity: Severity, line: String) {
        self.says.push((severity, line));
    }

    fn dispatch(&mut self, api_version: i16, request: ControllerRequest) -> ControllerResponse {
        use ControllerRequest as Request;
        use ControllerResponse as Response;
        match request {
            Request::BrokerRegistration(request) => {
                Response::BrokerRegistration(self.register_broker(&request))
            }
            Request::BrokerHeartbeat(request) => {
                Response::BrokerHeartbeat(self.broker_heartbeat(&request))
            }
            Request::UnregisterBroker(request) => {
                Response::UnregisterBroker(self.unregister_broker(&request))
            }
            Request::ControllerRegistration(request) => {
                Response::ControllerRegistration(self.register_controller(&request))
            }
            Request::AlterPartition(request) => {
                Response::AlterPartition(self.alter_partition(api_version, &request))
            }
            Request::AllocateProducerIds(request) => {
                Response::AllocateProducerIds(self.allocate_producer_ids(&request))
            }
            Request::CreateTopics(request) => Response::CreateTopics(self.create_topics(&request)),
            Request::DeleteTopics(request) => {
                Response::DeleteTopics(self.delete_topics(api_version, &request))
            }
            Request::CreatePartitions(request) => {
                Response::CreatePartitions(self.create_partitions(&request))
            }
            Request::ElectLeaders(request) => Response::ElectLeaders(self.elect_leaders(&request)),
            Request::IncrementalAlterConfigs(request) => {
                Response::IncrementalAlterConfigs(self.incremental_alter_configs(&request))
            }
        }
    }
}
