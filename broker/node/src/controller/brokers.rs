//! Brokers: registration, heartbeats, fencing, leaving in good order and for good; and the ids they are lent.

use uuid::Uuid;
use wire::error::ErrorCode;
use wire::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, BrokerHeartbeatRequest,
    BrokerHeartbeatResponse, BrokerRegistrationRequest, BrokerRegistrationResponse,
    ControllerRegistrationRequest, ControllerRegistrationResponse, ProducerId,
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};
use wire::metadata::{
    BrokerRegistrationChangeRecord, FenceState, MetadataRecord, PartitionChangeRecord,
    RegisterBrokerRecord, RegisterControllerRecord, RegisteredEndpoint, SupportedFeature,
};

use super::Active;
use super::api::Refused;
use super::elections::Shift;
use crate::defect::Defect;
use crate::image::NO_LEADER;
use crate::step::Severity;

/// How many producer ids a broker is given at a time, as in Kafka.
const PRODUCER_ID_BLOCK: i32 = 1000;

/// Directory ids below this have a meaning of their own.
const RESERVED_DIRECTORIES: u128 = 100;

/// Where a broker stands with the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Fenced,
    Unfenced,
    /// Its leaderships move away while it still serves.
    ControlledShutdown,
    /// Fenced, and free to end.
    ShutdownNow,
}

impl Active {
    pub(super) fn check_broker_epoch(&self, broker: i32, epoch: i64) -> Result<(), ErrorCode> {
        match self.image.broker(broker) {
            Some(registration) if registration.epoch == epoch => Ok(()),
            _ => Err(ErrorCode::StaleBrokerEpoch),
        }
    }

    pub(super) fn register_broker(
        &mut self,
        request: &BrokerRegistrationRequest,
    ) -> BrokerRegistrationResponse {
        match self.try_register(request) {
            Ok(epoch) => BrokerRegistrationResponse::default().with_broker_epoch(epoch),
            Err(refused) => {
                let broker = request.broker_id.0;
                let why = refused.message.unwrap_or_default();
                self.say(
                    Severity::Warn,
                    format!("refusing to register broker {broker}: {} {why}", refused.code.name()),
                );
                BrokerRegistrationResponse::default()
                    .with_error_code(refused.code as i16)
                    .with_broker_epoch(-1)
            }
        }
    }

    fn try_register(&mut self, request: &BrokerRegistrationRequest) -> Result<i64, Refused> {
        let id = request.broker_id.0;
        self.check_registration(request)?;
        let existing = self.image.broker(id).cloned();
        let mistaken = self.has(Defect::RestartKeepsLeadership);
        let same_life = existing.as_ref().filter(|broker| {
            broker.incarnation_id == request.incarnation_id || (mistaken && !broker.fenced)
        });
        let mut record = RegisterBrokerRecord {
            broker_id: id,
            is_migrating_zk_broker: false,
            incarnation_id: request.incarnation_id,
            broker_epoch: self.next_offset,
            endpoints: request
                .listeners
                .iter()
                .map(|listener| RegisteredEndpoint {
                    name: listener.name.to_string(),
                    host: listener.host.to_string(),
                    port: listener.port,
                    security_protocol: listener.security_protocol,
                })
                .collect(),
            features: request
                .features
                .iter()
                .map(|feature| SupportedFeature {
                    name: feature.name.to_string(),
                    min_supported_version: feature.min_supported_version,
                    max_supported_version: feature.max_supported_version,
                })
                .collect(),
            rack: request.rack.as_ref().map(ToString::to_string),
            fenced: true,
            in_controlled_shutdown: false,
            log_dirs: request.log_dirs.clone(),
        };
        if let Some(broker) = same_life {
            record.broker_epoch = broker.epoch;
            record.fenced = broker.fenced;
            record.in_controlled_shutdown = broker.in_controlled_shutdown;
            self.write(MetadataRecord::RegisterBroker(record.clone()));
        } else {
            let clean = existing
                .as_ref()
                .is_some_and(|broker| broker.epoch == request.previous_broker_epoch);
            self.end_earlier_life(id, clean);
            self.write(MetadataRecord::RegisterBroker(record.clone()));
            self.heartbeats.register(id, self.now_ms());
            let line = format!(
                "registered broker {id} with epoch {}, its last shutdown was {}",
                record.broker_epoch,
                match existing {
                    None => "not known",
                    Some(_) if clean => "clean",
                    Some(_) => "unclean",
                }
            );
            self.say(Severity::Info, line);
        }
        self.follow_directories(id, &request.log_dirs);
        Ok(record.broker_epoch)
    }

    fn check_registration(&self, request: &BrokerRegistrationRequest) -> Result<(), Refused> {
        let id = request.broker_id.0;
        if *request.cluster_id != *self.cluster_id {
            return Err(Refused::new(
                ErrorCode::InconsistentClusterId,
                format!("expected cluster {}, got {}", self.cluster_id, &*request.cluster_id),
            ));
        }
        if let Some(existing) = self.image.broker(id)
            && existing.incarnation_id != request.incarnation_id
            && !self.has(Defect::RestartKeepsLeadership)
            && self.heartbeats.has_valid_session(&self.image, id, self.now_ms())
        {
            return Err(Refused::new(
                ErrorCode::DuplicateBrokerRegistration,
                "Another broker is registered with that broker id.",
            ));
        }
        self.check_directories(id, &request.log_dirs)?;
        for (name, level) in &self.image.features {
            let offered = request.features.iter().find(|feature| *feature.name == **name);
            let (min, max) = offered.map_or((0, 0), |feature| {
                (feature.min_supported_version, feature.max_supported_version)
            });
            if *level < min || *level > max {
                return Err(Refused::new(
                    ErrorCode::UnsupportedVersion,
                    format!("it wants {name} between {min} and {max}, the cluster has {level}"),
                ));
            }
        }
        Ok(())
    }

    fn check_directories(&self, id: i32, log_dirs: &[Uuid]) -> Result<(), Refused> {
        let invalid = |why: &str| Err(Refused::new(ErrorCode::InvalidRegistration, why));
        if log_dirs.is_empty() {
            return invalid("No directories specified in request");
        }
        if log_dirs.iter().any(|directory| directory.as_u128() < RESERVED_DIRECTORIES) {
            return invalid("Reserved directory ID in request");
        }
        let mut sorted = log_dirs.to_vec();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return invalid("Duplicate directory ID in request");
        }
        for other in self.image.brokers.values().filter(|other| other.id != id) {
            if let Some(directory) = log_dirs.iter().find(|dir| other.log_dirs.contains(dir)) {
                return invalid(&format!(
                    "Broker {} is already registered with directory {directory}",
                    other.id
                ));
            }
        }
        Ok(())
    }

    /// Another life of the broker begins: what is left of the earlier one leaves the ISRs, and after anything but a clean
    /// shutdown the ELRs too.
    fn end_earlier_life(&mut self, id: i32, clean: bool) {
        let clean = clean || self.has(Defect::ElrAfterUncleanShutdown);
        let shift = if clean || !self.elr_enabled() {
            Shift { leaves: Some(id), ..Shift::default() }
        } else {
            Shift { unclean_shutdown: Some(id), ..Shift::default() }
        };
        let touched =
            self.partitions(|partition| partition.isr.contains(&id) || partition.elr.contains(&id));
        let changes = self.leader_and_isr_changes(shift, &touched);
        self.write_changes(changes);
    }

    /// A broker with one directory has all its replicas there, also when the directory is another than before (its disk was
    /// replaced). Kafka's brokers ask for this themselves, by AssignReplicasToDirs.
    fn follow_directories(&mut self, id: i32, log_dirs: &[Uuid]) {
        let [directory] = log_dirs else { return };
        for (topic_id, index) in self.partitions(|partition| partition.replicas.contains(&id)) {
            let Some(partition) = self.image.partition(topic_id, index) else { continue };
            let mut directories = partition.directories.clone();
            for (replica, held) in partition.replicas.iter().zip(&mut directories) {
                if *replica == id {
                    *held = *directory;
                }
            }
            if directories != partition.directories {
                self.write(MetadataRecord::PartitionChange(PartitionChangeRecord {
                    topic_id,
                    partition_id: index,
                    directories: Some(directories),
                    ..PartitionChangeRecord::default()
                }));
            }
        }
    }

    pub(super) fn broker_heartbeat(
        &mut self,
        request: &BrokerHeartbeatRequest,
    ) -> BrokerHeartbeatResponse {
        let id = request.broker_id.0;
        if let Err(code) = self.check_broker_epoch(id, request.broker_epoch) {
            return BrokerHeartbeatResponse::default()
                .with_error_code(code as i16)
                .with_is_fenced(true);
        }
        let before = self.standing(id);
        let next = self.next_standing(before, request);
        if next != before {
            match next {
                Standing::Fenced | Standing::ShutdownNow => self.fence_broker(id),
                Standing::Unfenced => self.unfence_broker(id),
                Standing::ControlledShutdown => self.begin_controlled_shutdown(id),
            }
        }
        self.heartbeats.touch(id, self.now_ms(), request.current_metadata_offset);
        if next == Standing::ControlledShutdown {
            self.heartbeats.stopping(id, self.next_offset - 1);
        }
        BrokerHeartbeatResponse::default()
            .with_is_caught_up(request.current_metadata_offset >= request.broker_epoch)
            .with_is_fenced(matches!(next, Standing::Fenced | Standing::ShutdownNow))
            .with_should_shut_down(next == Standing::ShutdownNow)
    }

    fn standing(&self, id: i32) -> Standing {
        if self.heartbeats.is_stopping(id) {
            Standing::ControlledShutdown
        } else if self.image.is_unfenced(id) {
            Standing::Unfenced
        } else {
            Standing::Fenced
        }
    }

    fn next_standing(&self, before: Standing, request: &BrokerHeartbeatRequest) -> Standing {
        let id = request.broker_id.0;
        match before {
            Standing::Fenced if request.want_shut_down => Standing::ShutdownNow,
            Standing::Fenced => {
                // The broker epoch is the offset of its registration.
                let caught_up = request.current_metadata_offset >= request.broker_epoch;
                if caught_up && !request.want_fence { Standing::Unfenced } else { Standing::Fenced }
            }
            Standing::Unfenced if request.want_fence && request.want_shut_down => {
                Standing::ShutdownNow
            }
            Standing::Unfenced if request.want_fence => Standing::Fenced,
            Standing::Unfenced if request.want_shut_down => {
                if self.leads_something(id) {
                    Standing::ControlledShutdown
                } else {
                    Standing::ShutdownNow
                }
            }
            Standing::Unfenced => Standing::Unfenced,
            Standing::ControlledShutdown if self.leads_something(id) => before,
            Standing::ControlledShutdown => {
                // Everybody else has read who leads now, so nobody waits for this broker any more.
                let moved_at = self
                    .heartbeats
                    .session(id)
                    .and_then(|session| session.controlled_shutdown_offset)
                    .unwrap_or(i64::MAX);
                if moved_at <= self.heartbeats.lowest_active_offset(&self.image) {
                    Standing::ShutdownNow
                } else {
                    before
                }
            }
            Standing::ShutdownNow => before,
        }
    }

    /// Takes the broker out of every ISR and leadership, then fences it.
    pub(super) fn fence_broker(&mut self, id: i32) {
        let Some(epoch) = self.image.broker(id).map(|broker| broker.epoch) else { return };
        let in_sync = self.partitions(|partition| partition.isr.contains(&id));
        let shift = Shift { leaves: Some(id), ..Shift::default() };
        let changes = self.leader_and_isr_changes(shift, &in_sync);
        self.write_changes(changes);
        if self.image.is_unfenced(id) {
            self.write(registration_change(id, epoch, FenceState::Fenced, false));
        }
        self.heartbeats.fenced(id);
    }

    /// Unfences the broker, then elects it where nobody leads and it may.
    fn unfence_broker(&mut self, id: i32) {
        let Some(broker) = self.image.broker(id) else { return };
        let (epoch, stopping) = (broker.epoch, broker.in_controlled_shutdown);
        self.say(Severity::Info, format!("unfencing broker {id}: it has caught up"));
        let leaderless = self.partitions(|partition| partition.leader == NO_LEADER);
        let shift = Shift { joins: (!stopping).then_some(id), ..Shift::default() };
        let changes = self.leader_and_isr_changes(shift, &leaderless);
        self.write(registration_change(id, epoch, FenceState::Unfenced, false));
        self.write_changes(changes);
    }

    fn begin_controlled_shutdown(&mut self, id: i32) {
        let Some(broker) = self.image.broker(id) else { return };
        let (epoch, already) = (broker.epoch, broker.in_controlled_shutdown);
        self.say(Severity::Info, format!("broker {id} stops: moving its leaderships away"));
        if !already {
            self.write(registration_change(id, epoch, FenceState::Unchanged, true));
        }
        let in_sync = self.partitions(|partition| partition.isr.contains(&id));
        let shift = Shift { leaves: Some(id), ..Shift::default() };
        let changes = self.leader_and_isr_changes(shift, &in_sync);
        self.write_changes(changes);
    }

    pub(super) fn unregister_broker(
        &mut self,
        request: &UnregisterBrokerRequest,
    ) -> UnregisterBrokerResponse {
        let id = request.broker_id.0;
        let Some(epoch) = self.image.broker(id).map(|broker| broker.epoch) else {
            let message = format!("Broker ID {id} is not currently registered");
            return UnregisterBrokerResponse::default()
                .with_error_code(ErrorCode::BrokerIdNotRegistered as i16)
                .with_error_message(Some(wire::StrBytes::from_string(message)));
        };
        self.end_earlier_life(id, false);
        self.write(MetadataRecord::UnregisterBroker { broker_id: id, broker_epoch: epoch });
        self.heartbeats.remove(id);
        UnregisterBrokerResponse::default()
    }

    pub(super) fn register_controller(
        &mut self,
        request: &ControllerRegistrationRequest,
    ) -> ControllerRegistrationResponse {
        let record = RegisterControllerRecord {
            controller_id: request.controller_id,
            incarnation_id: request.incarnation_id,
            zk_migration_ready: false,
            endpoints: request
                .listeners
                .iter()
                .map(|listener| RegisteredEndpoint {
                    name: listener.name.to_string(),
                    host: listener.host.to_string(),
                    port: listener.port,
                    security_protocol: listener.security_protocol,
                })
                .collect(),
            features: request
                .features
                .iter()
                .map(|feature| SupportedFeature {
                    name: feature.name.to_string(),
                    min_supported_version: feature.min_supported_version,
                    max_supported_version: feature.max_supported_version,
                })
                .collect(),
        };
        self.write(MetadataRecord::RegisterController(record));
        ControllerRegistrationResponse::default()
    }

    pub(super) fn allocate_producer_ids(
        &mut self,
        request: &AllocateProducerIdsRequest,
    ) -> AllocateProducerIdsResponse {
        let (broker_id, broker_epoch) = (request.broker_id.0, request.broker_epoch);
        let refused =
            |code: ErrorCode| AllocateProducerIdsResponse::default().with_error_code(code as i16);
        if let Err(code) = self.check_broker_epoch(broker_id, broker_epoch) {
            return refused(code);
        }
        let first = self.image.next_producer_id;
        let Some(next_producer_id) = first.checked_add(i64::from(PRODUCER_ID_BLOCK)) else {
            return refused(ErrorCode::UnknownServerError);
        };
        self.write(MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id });
        AllocateProducerIdsResponse::default()
            .with_producer_id_start(ProducerId(first))
            .with_producer_id_len(PRODUCER_ID_BLOCK)
    }
}

fn registration_change(
    broker_id: i32,
    broker_epoch: i64,
    fenced: FenceState,
    in_controlled_shutdown: bool,
) -> MetadataRecord {
    MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
        broker_id,
        broker_epoch,
        fenced,
        in_controlled_shutdown,
        log_dirs: Vec::new(),
    })
}
