//! Who leads after what, by KIP-966 and before it.

use wire::error::ErrorCode;
use wire::messages::elect_leaders_request::TopicPartitions;
use wire::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};

use super::{Cluster, state, text};
use crate::controller::{ControllerRequest, ControllerResponse};
use crate::image::{LeaderRecoveryState, NO_LEADER};

const MIN_2: &[(&str, &str)] = &[("min.insync.replicas", "2")];

fn elect(cluster: &mut Cluster, kind: i8, topic: Option<&str>) -> ElectLeadersResponse {
    let asked = topic.map(|topic| {
        vec![TopicPartitions::default().with_topic(TopicName(text(topic))).with_partitions(vec![0])]
    });
    let request =
        ElectLeadersRequest::default().with_election_type(kind).with_topic_partitions(asked);
    let answer = cluster.ask(2, ControllerRequest::ElectLeaders(request));
    let ControllerResponse::ElectLeaders(answer) = answer else { panic!("{answer:?}") };
    answer
}

fn code(answer: &ElectLeadersResponse) -> ErrorCode {
    let result = &answer.replica_election_results[0].partition_result[0];
    ErrorCode::from_code(result.error_code).expect("a code of Kafka's")
}

#[test]
fn a_dead_leader_is_followed_by_the_next_in_sync() {
    let mut cluster = Cluster::of(3, "");
    cluster.topic("t", &[2, 3, 1], MIN_2);
    assert_eq!(state(cluster.part("t", 0)), (&[2, 3, 1][..], &[][..], 2, 0, 0));
    cluster.kill(2);
    assert_eq!(state(cluster.part("t", 0)), (&[3, 1][..], &[][..], 3, 1, 1));
    assert_eq!(cluster.part("t", 0).leader_recovery_state, LeaderRecoveryState::Recovered);
}

#[test]
fn a_dead_follower_changes_no_leader_epoch() {
    let mut cluster = Cluster::of(3, "");
    cluster.topic("t", &[1, 2, 3], MIN_2);
    cluster.kill(3);
    assert_eq!(state(cluster.part("t", 0)), (&[1, 2][..], &[][..], 1, 0, 1));
}

#[test]
fn below_min_insync_those_who_leave_stay_eligible() {
    let mut cluster = Cluster::of(3, "");
    cluster.topic("t", &[1, 2, 3], MIN_2);
    cluster.kill(3);
    cluster.kill(2);
    assert_eq!(state(cluster.part("t", 0)), (&[1][..], &[2][..], 1, 0, 2));
    cluster.kill(1);
    assert_eq!(state(cluster.part("t", 0)), (&[][..], &[1, 2][..], NO_LEADER, 1, 3));
    assert_eq!(cluster.part("t", 0).last_known_elr, [1]);
    // Frozen, not dead: the same life comes back, out of the ELR.
    cluster.alive(2);
    assert_eq!(state(cluster.part("t", 0)), (&[2][..], &[1][..], 2, 2, 4));
    assert_eq!(cluster.part("t", 0).last_known_elr, [] as [i32; 0]);
    assert_eq!(cluster.part("t", 0).leader_recovery_state, LeaderRecoveryState::Recovered);
    // 3 left the ISR while it was full: it is not eligible, and neither is it elected.
    cluster.kill(2);
    cluster.alive(3);
    assert_eq!(cluster.part("t", 0).leader, NO_LEADER);
}

#[test]
fn without_elr_the_last_in_sync_stays_in_the_isr() {
    let mut cluster = Cluster::of(2, "highwater.elr=false\n");
    cluster.topic("t", &[1, 2], MIN_2);
    cluster.kill(2);
    assert_eq!(state(cluster.part("t", 0)), (&[1][..], &[][..], 1, 0, 1));
    cluster.kill(1);
    assert_eq!(state(cluster.part("t", 0)), (&[1][..], &[][..], NO_LEADER, 1, 2));
    cluster.alive(2);
    assert_eq!(cluster.part("t", 0).leader, NO_LEADER, "it is not in sync");
    cluster.register(1);
    cluster.alive(1);
    assert_eq!(state(cluster.part("t", 0)), (&[1][..], &[][..], 1, 2, 3));
}

#[test]
fn the_last_leader_may_lead_again_when_nobody_is_eligible() {
    let mut cluster = Cluster::of(3, "");
    cluster.topic("t", &[1, 2, 3], &[]);
    cluster.kill(3);
    cluster.kill(2);
    cluster.kill(1);
    assert_eq!(state(cluster.part("t", 0)), (&[][..], &[1][..], NO_LEADER, 1, 3));
    cluster.alive(2);
    assert_eq!(cluster.part("t", 0).leader, NO_LEADER);
    // An unclean end: 1 is no longer eligible, but it was the last to lead.
    cluster.register(1);
    assert_eq!(state(cluster.part("t", 0)), (&[][..], &[][..], NO_LEADER, 1, 4));
    assert_eq!(cluster.part("t", 0).last_known_elr, [1]);
    cluster.alive(1);
    assert_eq!(state(cluster.part("t", 0)), (&[1][..], &[][..], 1, 2, 5));
    assert_eq!(cluster.part("t", 0).leader_recovery_state, LeaderRecoveryState::Recovering);
    assert_eq!(cluster.part("t", 0).last_known_elr, [] as [i32; 0]);
}

#[test]
fn an_unclean_election_takes_whoever_lives_where_the_topic_allows_it() {
    let unclean: &[(&str, &str)] = &[("unclean.leader.election.enable", "true")];
    let mut cluster = Cluster::of(2, "highwater.elr=false\n");
    cluster.topic("t", &[1, 2], unclean);
    cluster.kill(2);
    cluster.kill(1);
    assert_eq!(cluster.part("t", 0).leader, NO_LEADER);
    cluster.alive(2);
    assert_eq!(state(cluster.part("t", 0)), (&[2][..], &[][..], 2, 2, 3));
    assert_eq!(cluster.part("t", 0).leader_recovery_state, LeaderRecoveryState::Recovering);
}

#[test]
fn an_unclean_election_on_request() {
    let mut cluster = Cluster::of(2, "");
    cluster.topic("t", &[1, 2], &[]);
    assert_eq!(code(&elect(&mut cluster, 1, Some("t"))), ErrorCode::ElectionNotNeeded);
    cluster.kill(2);
    cluster.kill(1);
    assert_eq!(code(&elect(&mut cluster, 1, Some("t"))), ErrorCode::EligibleLeadersNotAvailable);
    cluster.alive(2);
    assert_eq!(cluster.part("t", 0).leader, NO_LEADER);
    assert_eq!(code(&elect(&mut cluster, 1, Some("t"))), ErrorCode::None);
    assert_eq!(state(cluster.part("t", 0)), (&[2][..], &[][..], 2, 2, 3));
    assert_eq!(cluster.part("t", 0).leader_recovery_state, LeaderRecoveryState::Recovering);
    assert_eq!(code(&elect(&mut cluster, 1, Some("no"))), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(elect(&mut cluster, 7, None).error_code, ErrorCode::InvalidRequest as i16);
}

#[test]
fn the_preferred_leader_on_request() {
    let mut cluster = Cluster::of(2, "");
    cluster.topic("t", &[1, 2], &[]);
    cluster.topic("u", &[2, 1], &[]);
    assert_eq!(code(&elect(&mut cluster, 0, Some("t"))), ErrorCode::ElectionNotNeeded);
    cluster.kill(1);
    assert_eq!(code(&elect(&mut cluster, 0, Some("t"))), ErrorCode::PreferredLeaderNotAvailable);
    cluster.alive(1);
    assert_eq!(cluster.propose(2, "t", &[1, 2]), ErrorCode::None);
    let answer = elect(&mut cluster, 0, None);
    let needed: usize =
        answer.replica_election_results.iter().map(|topic| topic.partition_result.len()).sum();
    assert_eq!(needed, 1, "only t had another leader");
    assert_eq!(state(cluster.part("t", 0)), (&[1, 2][..], &[][..], 1, 2, 3));
}

#[test]
fn leadership_goes_back_to_preferred_replicas_in_time() {
    let mut cluster = Cluster::of(
        2,
        "leader.imbalance.check.interval.seconds=5\nmetadata.max.idle.interval.ms=0\n",
    );
    cluster.topic("t", &[1, 2], &[]);
    cluster.kill(1);
    cluster.alive(1);
    assert_eq!(cluster.propose(2, "t", &[2, 1]), ErrorCode::None);
    for _ in 0..10 {
        assert_eq!(cluster.part("t", 0).leader, 2);
        cluster.ms += 500;
        cluster.alive(1);
        cluster.alive(2);
        let records = cluster.controller.on_tick(cluster.now());
        cluster.take(records);
    }
    assert_eq!(cluster.part("t", 0).leader, 1);
}

#[test]
fn a_stopping_broker_is_not_elected() {
    let mut cluster = Cluster::of(3, "");
    cluster.topic("t", &[1, 2, 3], &[]);
    cluster.topic("u", &[2, 3, 1], &[]);
    cluster.heartbeat(2, false, true);
    cluster.kill(1);
    assert_eq!(cluster.part("t", 0).leader, 3);
    assert_eq!(cluster.part("u", 0).isr, [3]);
}

#[test]
fn lowering_min_insync_while_nobody_leads_leaves_no_eligible_stranger() {
    let mut cluster = Cluster::of(2, "");
    cluster.topic("t", &[1, 2], MIN_2);
    cluster.kill(2);
    cluster.kill(1);
    assert_eq!(cluster.part("t", 0).elr, [1, 2]);
    super::configs::set(&mut cluster, 2, "t", "min.insync.replicas", "1");
    assert_eq!(cluster.part("t", 0).elr, [1, 2], "nobody leads, nothing is acknowledged");
    cluster.alive(2);
    assert_eq!(state(cluster.part("t", 0)), (&[2][..], &[][..], 2, 2, 3));
}

#[test]
fn a_refused_election_is_refused_for_each_partition() {
    let asked = vec![
        TopicPartitions::default().with_topic(TopicName(text("t"))).with_partitions(vec![0, 1]),
    ];
    let request = ElectLeadersRequest::default().with_topic_partitions(Some(asked));
    let mut answer = ControllerRequest::ElectLeaders(request).refusal(ErrorCode::NotController);
    let codes = |answer: &ControllerResponse| {
        let ControllerResponse::ElectLeaders(answer) = answer else { panic!("{answer:?}") };
        let results = &answer.replica_election_results[0].partition_result;
        (answer.error_code, results.iter().map(|result| result.error_code).collect::<Vec<_>>())
    };
    let not_controller = ErrorCode::NotController.code();
    assert_eq!(codes(&answer), (not_controller, vec![not_controller; 2]));
    answer.refuse(ErrorCode::RequestTimedOut);
    assert_eq!(codes(&answer).1, vec![ErrorCode::RequestTimedOut.code(); 2]);
}
