//! AlterPartition.

use wire::error::ErrorCode;
use wire::messages::AlterPartitionRequest;
use wire::messages::BrokerId;

use super::{Cluster, error_of, state};
use crate::controller::ControllerRequest;
use crate::controller::ControllerResponse;
use crate::image::LeaderRecoveryState;

fn three() -> Cluster {
    let mut cluster = Cluster::of(3, "");
    cluster.topic("t", &[1, 2, 3], &[("min.insync.replicas", "2")]);
    cluster
}

fn edit(
    mut request: AlterPartitionRequest,
    change: impl Fn(&mut wire::messages::alter_partition_request::PartitionData),
) -> AlterPartitionRequest {
    change(&mut request.topics[0].partitions[0]);
    request
}

#[test]
fn a_leader_shrinks_and_expands_its_isr_within_one_leader_epoch() {
    let mut cluster = three();
    assert_eq!(cluster.propose(1, "t", &[1, 2]), ErrorCode::None);
    assert_eq!(state(cluster.part("t", 0)), (&[1, 2][..], &[][..], 1, 0, 1));
    assert_eq!(cluster.propose(1, "t", &[1]), ErrorCode::None);
    assert_eq!(state(cluster.part("t", 0)), (&[1][..], &[2][..], 1, 0, 2));
    let request = cluster.proposal(1, "t", &[1, 3]);
    let answer = cluster.propose_as(request);
    let told = &answer.topics[0].partitions[0];
    let isr: Vec<i32> = told.isr.iter().map(|id| id.0).collect();
    assert_eq!((told.partition_epoch, told.leader_epoch, told.leader_id.0), (3, 0, 1));
    assert_eq!(isr, [1, 3]);
    assert_eq!(state(cluster.part("t", 0)), (&[1, 3][..], &[][..], 1, 0, 3));
}

#[test]
fn the_same_isr_again_changes_nothing() {
    let mut cluster = three();
    let request = cluster.proposal(1, "t", &[1, 2, 3]);
    let (records, _) = cluster.asked(3, ControllerRequest::AlterPartition(request));
    assert_eq!(records, []);
}

#[test]
fn epochs_are_checked_before_anything_else() {
    let mut cluster = three();
    cluster.kill(3);
    cluster.kill(1);
    assert_eq!(state(cluster.part("t", 0)), (&[2][..], &[1][..], 2, 1, 2));
    let good = cluster.proposal(2, "t", &[2]);
    let mut refused = |request| error_of(&cluster.propose_as(request));
    let with = |change: fn(&mut wire::messages::alter_partition_request::PartitionData)| {
        edit(good.clone(), change)
    };
    assert_eq!(refused(with(|data| data.leader_epoch = 2)), ErrorCode::NotController);
    assert_eq!(refused(with(|data| data.partition_epoch = 3)), ErrorCode::NotController);
    assert_eq!(refused(with(|data| data.leader_epoch = 0)), ErrorCode::FencedLeaderEpoch);
    assert_eq!(refused(with(|data| data.partition_epoch = 1)), ErrorCode::InvalidUpdateVersion);
    let stale = good.clone().with_broker_epoch(0);
    assert_eq!(refused(stale), ErrorCode::StaleBrokerEpoch);
    let unknown = with(|data| data.partition_index = 9);
    assert_eq!(refused(unknown), ErrorCode::UnknownTopicOrPartition);
    let mut gone = good.clone();
    gone.topics[0].topic_id = wire::Uuid::from_u128(1);
    assert_eq!(refused(gone), ErrorCode::UnknownTopicId);
    assert_eq!(refused(good), ErrorCode::None);
}

#[test]
fn only_the_leader_may_ask_and_only_for_an_isr_of_replicas_with_itself() {
    let mut cluster = three();
    cluster.join(4);
    assert_eq!(cluster.propose(2, "t", &[1, 2, 3]), ErrorCode::InvalidRequest);
    assert_eq!(cluster.propose(1, "t", &[2, 3]), ErrorCode::InvalidRequest);
    assert_eq!(cluster.propose(1, "t", &[1, 4]), ErrorCode::InvalidRequest);
    assert_eq!(cluster.propose(1, "t", &[1, 1]), ErrorCode::InvalidRequest);
    assert_eq!(cluster.propose(1, "t", &[]), ErrorCode::InvalidRequest);
}

#[test]
fn neither_the_fenced_nor_the_stopping_nor_an_earlier_life_comes_in() {
    let mut cluster = three();
    cluster.kill(3);
    assert_eq!(cluster.propose(1, "t", &[1, 2, 3]), ErrorCode::IneligibleReplica);
    let of_earlier_life = cluster.proposal(1, "t", &[1, 2, 3]);
    cluster.join(3);
    assert_eq!(error_of(&cluster.propose_as(of_earlier_life)), ErrorCode::IneligibleReplica);
    let any_life = cluster.proposal(1, "t", &[1, 2, 3]);
    let any_life = edit(any_life, |data| data.new_isr_with_epochs[2].broker_epoch = -1);
    assert_eq!(error_of(&cluster.propose_as(any_life)), ErrorCode::None);

    cluster.topic("u", &[3, 1, 2], &[]);
    cluster.heartbeat(3, false, true);
    assert_eq!(cluster.part("t", 0).isr, [1, 2]);
    assert_eq!(cluster.propose(1, "t", &[1, 2, 3]), ErrorCode::IneligibleReplica);
}

#[test]
fn version_2_names_no_epochs() {
    let mut cluster = three();
    let request = edit(cluster.proposal(1, "t", &[]), |data| {
        data.new_isr = vec![BrokerId(1), BrokerId(3)];
    });
    let answer = cluster.ask(2, ControllerRequest::AlterPartition(request));
    let ControllerResponse::AlterPartition(answer) = answer else { panic!() };
    assert_eq!(error_of(&answer), ErrorCode::None);
    assert_eq!(cluster.part("t", 0).isr, [1, 3]);
}

#[test]
fn recovery_after_an_unclean_election_is_the_leaders_to_end() {
    let mut cluster = Cluster::of(2, "");
    cluster.topic("t", &[1, 2], &[]);
    let recovering = edit(cluster.proposal(1, "t", &[1]), |data| data.leader_recovery_state = 1);
    assert_eq!(error_of(&cluster.propose_as(recovering)), ErrorCode::InvalidRequest);
    cluster.kill(2);
    cluster.kill(1);
    cluster.join(1);
    assert_eq!(cluster.part("t", 0).leader_recovery_state, LeaderRecoveryState::Recovering);
    cluster.alive(2);
    let both = edit(cluster.proposal(1, "t", &[1, 2]), |data| data.leader_recovery_state = 1);
    assert_eq!(error_of(&cluster.propose_as(both)), ErrorCode::InvalidRequest);
    assert_eq!(cluster.propose(1, "t", &[1]), ErrorCode::None);
    assert_eq!(cluster.part("t", 0).leader_recovery_state, LeaderRecoveryState::Recovered);
    assert_eq!(cluster.propose(1, "t", &[1, 2]), ErrorCode::None);
}
