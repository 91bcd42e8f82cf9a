//! Registration, sessions, fencing, stopping.

use uuid::Uuid;
use wire::error::ErrorCode;
use wire::messages::{
    AllocateProducerIdsRequest, BrokerId, ControllerRegistrationRequest, UnregisterBrokerRequest,
};
use wire::metadata::{FenceState, MetadataRecord};

use super::{Cluster, SESSION_MS, state, text};
use crate::controller::{ControllerRequest, ControllerResponse};

#[test]
fn the_broker_epoch_is_the_offset_of_the_registration() {
    let mut cluster = Cluster::with("");
    cluster.register(1);
    assert_eq!(cluster.lives[&1].epoch, 2);
    let broker = cluster.image().broker(1).expect("registered");
    assert_eq!((broker.epoch, broker.fenced), (2, true));
    assert_eq!(broker.endpoint("PLAINTEXT").map(|endpoint| endpoint.port), Some(9001));
}

#[test]
fn a_broker_is_unfenced_once_it_has_read_its_own_registration() {
    let mut cluster = Cluster::with("");
    cluster.register(1);
    let request = wire::messages::BrokerHeartbeatRequest::default()
        .with_broker_id(BrokerId(1))
        .with_broker_epoch(2)
        .with_current_metadata_offset(1);
    let early = cluster.ask(1, ControllerRequest::BrokerHeartbeat(request.clone()));
    let ControllerResponse::BrokerHeartbeat(early) = early else { panic!() };
    assert_eq!((early.is_caught_up, early.is_fenced), (false, true));
    assert!(cluster.heartbeat(1, true, false).is_fenced, "it wants to stay fenced");
    let request = request.with_current_metadata_offset(2);
    let (records, answer) = cluster.asked(1, ControllerRequest::BrokerHeartbeat(request));
    let ControllerResponse::BrokerHeartbeat(answer) = answer else { panic!() };
    assert_eq!((answer.is_caught_up, answer.is_fenced), (true, false));
    let [MetadataRecord::BrokerRegistrationChange(change)] = &records[..] else { panic!() };
    assert_eq!(change.fenced, FenceState::Unfenced);
}

#[test]
fn a_stale_epoch_is_refused() {
    let mut cluster = Cluster::of(1, "");
    cluster.lives.get_mut(&1).expect("there").epoch -= 1;
    let answer = cluster.heartbeat(1, false, false);
    assert_eq!(answer.error_code, ErrorCode::StaleBrokerEpoch as i16);
    let request =
        AllocateProducerIdsRequest::default().with_broker_id(BrokerId(9)).with_broker_epoch(0);
    let answer = cluster.ask(0, ControllerRequest::AllocateProducerIds(request));
    let ControllerResponse::AllocateProducerIds(answer) = answer else { panic!() };
    assert_eq!(answer.error_code, ErrorCode::StaleBrokerEpoch as i16);
}

#[test]
fn a_second_process_of_the_same_id_waits_for_the_first_ones_session() {
    let mut cluster = Cluster::of(1, "");
    let request = cluster.registration(1);
    let refused = cluster.register_as(request.clone());
    assert_eq!(refused.error_code, ErrorCode::DuplicateBrokerRegistration as i16);
    cluster.kill(1);
    assert!(!cluster.image().is_unfenced(1));
    assert_eq!(cluster.register_as(request).error_code, 0);
}

#[test]
fn the_same_life_may_register_again_and_keeps_its_epoch() {
    let mut cluster = Cluster::of(1, "");
    let life = cluster.lives[&1];
    let request = cluster.registration(1).with_incarnation_id(life.incarnation);
    let answer = cluster.register_as(request.with_rack(Some(text("r1"))));
    assert_eq!((answer.error_code, answer.broker_epoch), (0, life.epoch));
    let broker = cluster.image().broker(1).expect("there");
    assert_eq!((broker.fenced, broker.rack.as_deref()), (false, Some("r1")));
}

#[test]
fn what_does_not_fit_the_cluster_is_not_registered() {
    let mut cluster = Cluster::of(1, "");
    let mut code = |request| cluster.register_as(request).error_code;
    let mut other = Cluster::with("");
    let request = other.registration(2);
    let foreign = request.clone().with_cluster_id(text("another"));
    assert_eq!(code(foreign), ErrorCode::InconsistentClusterId as i16);
    let invalid = ErrorCode::InvalidRegistration as i16;
    assert_eq!(code(request.clone().with_log_dirs(vec![])), invalid);
    assert_eq!(code(request.clone().with_log_dirs(vec![Uuid::from_u128(1)])), invalid);
    let of_broker_1 = Uuid::from_u128(501);
    assert_eq!(code(request.clone().with_log_dirs(vec![of_broker_1])), invalid);
    let twice = vec![Uuid::from_u128(777); 2];
    assert_eq!(code(request.clone().with_log_dirs(twice)), invalid);
    let old = ErrorCode::UnsupportedVersion as i16;
    assert_eq!(code(request.clone().with_features(vec![])), old);
    assert_eq!(code(request), 0);
}

#[test]
fn silence_longer_than_the_session_fences() {
    let mut cluster = Cluster::of(2, "metadata.max.idle.interval.ms=0\n");
    cluster.topic("t", &[1, 2], &[]);
    cluster.ms += SESSION_MS / 2;
    cluster.alive(2);
    let deadline = cluster.controller.deadline().expect("broker 1 may expire");
    assert_eq!(deadline, 10_000 + SESSION_MS + 1);
    cluster.ms = deadline - 1;
    assert_eq!(cluster.controller.on_tick(cluster.now()), [], "to the millisecond");
    cluster.ms = deadline;
    let records = cluster.controller.on_tick(cluster.now());
    cluster.take(records);
    assert!(!cluster.image().is_unfenced(1) && cluster.image().is_unfenced(2));
    assert_eq!(state(cluster.part("t", 0)), (&[2][..], &[][..], 2, 1, 1));
    cluster.alive(1);
    assert_eq!(cluster.part("t", 0).isr, [2], "it has to catch up first");
}

#[test]
fn a_controller_that_slept_judges_nobody_by_it() {
    let mut cluster = Cluster::of(2, "metadata.max.idle.interval.ms=0\n");
    cluster.ms += 5 * SESSION_MS;
    let records = cluster.controller.on_tick(cluster.now());
    assert_eq!(cluster.take(records), []);
    cluster.alive(2);
    cluster.ms = cluster.controller.deadline().expect("broker 1 may expire");
    let records = cluster.controller.on_tick(cluster.now());
    cluster.take(records);
    assert!(!cluster.image().is_unfenced(1) && cluster.image().is_unfenced(2));
}

#[test]
fn leaders_move_away_before_a_broker_stops() {
    let mut cluster = Cluster::of(3, "");
    cluster.topic("t", &[1, 2, 3], &[("min.insync.replicas", "2")]);
    let answer = cluster.heartbeat(1, false, true);
    assert_eq!((answer.should_shut_down, answer.is_fenced), (false, false));
    assert_eq!(state(cluster.part("t", 0)), (&[2, 3][..], &[][..], 2, 1, 1));
    assert!(cluster.image().broker(1).expect("there").in_controlled_shutdown);
    assert!(!cluster.image().is_active(1));
    assert!(!cluster.heartbeat(1, false, true).should_shut_down, "the others have not read it");
    cluster.alive(2);
    assert!(!cluster.heartbeat(1, false, true).should_shut_down, "3 has not read it");
    cluster.alive(3);
    let answer = cluster.heartbeat(1, false, true);
    assert_eq!((answer.should_shut_down, answer.is_fenced), (true, true));
    assert!(cluster.heartbeat(1, false, true).should_shut_down, "and it may ask again");
}

#[test]
fn a_broker_that_leads_nothing_stops_at_once() {
    let mut cluster = Cluster::of(2, "");
    cluster.topic("t", &[1, 2], &[]);
    let answer = cluster.heartbeat(2, false, true);
    assert_eq!((answer.should_shut_down, answer.is_fenced), (true, true));
    assert_eq!(state(cluster.part("t", 0)), (&[1][..], &[][..], 1, 0, 1));
}

#[test]
fn a_clean_shutdown_keeps_a_broker_eligible_and_an_unclean_one_does_not() {
    for clean in [true, false] {
        let mut cluster = Cluster::of(2, "");
        cluster.topic("t", &[1, 2], &[("min.insync.replicas", "2")]);
        assert!(cluster.heartbeat(2, false, true).should_shut_down);
        assert_eq!(state(cluster.part("t", 0)), (&[1][..], &[2][..], 1, 0, 1));
        if clean {
            cluster.register_clean(2);
        } else {
            cluster.register(2);
        }
        let elr: &[i32] = if clean { &[2] } else { &[] };
        assert_eq!(cluster.part("t", 0).elr, elr);
    }
}

#[test]
fn an_unregistered_broker_is_gone_from_isr_and_elr() {
    let mut cluster = Cluster::of(3, "");
    cluster.topic("t", &[1, 2], &[("min.insync.replicas", "2")]);
    cluster.topic("u", &[3, 2], &[]);
    cluster.kill(2);
    assert_eq!(cluster.part("t", 0).elr, [2]);
    let ask = ControllerRequest::UnregisterBroker(
        UnregisterBrokerRequest::default().with_broker_id(BrokerId(2)),
    );
    let answer = cluster.ask(0, ask.clone());
    let ControllerResponse::UnregisterBroker(answer) = answer else { panic!() };
    assert_eq!(answer.error_code, 0);
    assert!(cluster.image().broker(2).is_none());
    assert_eq!((cluster.part("t", 0).elr.len(), &cluster.part("u", 0).isr[..]), (0, &[3][..]));
    let answer = cluster.ask(0, ask);
    let ControllerResponse::UnregisterBroker(answer) = answer else { panic!() };
    assert_eq!(answer.error_code, ErrorCode::BrokerIdNotRegistered as i16);
}

#[test]
fn producer_ids_come_in_blocks_that_never_overlap() {
    let mut cluster = Cluster::of(2, "");
    for (broker, first) in [(1, 0), (2, 1000), (1, 2000)] {
        let request = AllocateProducerIdsRequest::default()
            .with_broker_id(BrokerId(broker))
            .with_broker_epoch(cluster.lives[&broker].epoch);
        let answer = cluster.ask(0, ControllerRequest::AllocateProducerIds(request));
        let ControllerResponse::AllocateProducerIds(answer) = answer else { panic!() };
        assert_eq!((answer.producer_id_start.0, answer.producer_id_len), (first, 1000));
    }
    assert_eq!(cluster.image().next_producer_id, 3000);
}

#[test]
fn a_replaced_disk_moves_the_replicas_to_its_directory() {
    let mut cluster = Cluster::of(2, "");
    cluster.topic("t", &[1, 2], &[]);
    cluster.kill(1);
    let fresh = Uuid::from_u128(9_999);
    let request = cluster.registration(1).with_log_dirs(vec![fresh]);
    assert_eq!(cluster.register_as(request).error_code, 0);
    assert_eq!(cluster.part("t", 0).directories, [fresh, Uuid::from_u128(502)]);
    assert_eq!(cluster.part("t", 0).directory(1), Some(fresh));
}

#[test]
fn controllers_are_registered() {
    use wire::messages::controller_registration_request::Listener;
    let mut cluster = Cluster::with("");
    let listener = Listener::default()
        .with_name(text("CONTROLLER"))
        .with_host(text("10.0.0.1"))
        .with_port(9093);
    let request = ControllerRegistrationRequest::default()
        .with_controller_id(100)
        .with_incarnation_id(Uuid::from_u128(4))
        .with_listeners(vec![listener]);
    let answer = cluster.ask(0, ControllerRequest::ControllerRegistration(request));
    let ControllerResponse::ControllerRegistration(answer) = answer else { panic!() };
    assert_eq!(answer.error_code, 0);
    let endpoint = &cluster.image().controllers[&100].endpoints[0];
    assert_eq!((endpoint.host.as_str(), endpoint.port), ("10.0.0.1", 9093));
}
