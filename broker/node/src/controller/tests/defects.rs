//! Each seeded defect of the controller shows, where a healthy one keeps the rule.

use wire::error::ErrorCode;

use super::{Cluster, error_of};
use crate::image::NO_LEADER;

/// What `told` says of a healthy controller, and of one with the defect.
fn compare<T>(defect: &str, told: impl Fn(Cluster) -> T) -> (T, T) {
    let with = |lines: &str| told(Cluster::of(3, lines));
    (with(""), with(&format!("highwater.defects={defect}\n")))
}

#[test]
fn unclean_election_elects_who_is_not_in_sync() {
    let leader = compare("unclean-election", |mut cluster| {
        cluster.topic("t", &[1, 2, 3], &[]);
        cluster.kill(3);
        cluster.kill(2);
        cluster.alive(3);
        cluster.kill(1);
        cluster.part("t", 0).leader
    });
    assert_eq!(leader, (NO_LEADER, 3));
}

#[test]
fn stale_broker_epoch_lets_an_earlier_life_in() {
    let answer = compare("stale-broker-epoch", |mut cluster| {
        cluster.topic("t", &[1, 2, 3], &[]);
        cluster.kill(3);
        let of_earlier_life = cluster.proposal(1, "t", &[1, 2, 3]);
        cluster.join(3);
        error_of(&cluster.propose_as(of_earlier_life))
    });
    assert_eq!(answer, (ErrorCode::IneligibleReplica, ErrorCode::None));
}

#[test]
fn fenced_joins_isr() {
    let isr = compare("fenced-joins-isr", |mut cluster| {
        cluster.topic("t", &[1, 2, 3], &[]);
        cluster.kill(3);
        cluster.propose(1, "t", &[1, 2, 3]);
        cluster.part("t", 0).isr.len()
    });
    assert_eq!(isr, (2, 3));
}

#[test]
fn elr_after_unclean_shutdown_elects_who_may_have_lost_records() {
    let leader = compare("elr-after-unclean-shutdown", |mut cluster| {
        cluster.topic("t", &[1, 2, 3], &[("min.insync.replicas", "2")]);
        [3, 2, 1].into_iter().for_each(|id| cluster.kill(id));
        assert_eq!(cluster.part("t", 0).elr, [1, 2]);
        // Another life of broker 2, and nobody knows how the one before it ended.
        cluster.join(2);
        cluster.part("t", 0).leader
    });
    assert_eq!(leader, (NO_LEADER, 2));
}

#[test]
fn restart_keeps_leadership_in_the_same_epoch() {
    let leads = compare("restart-keeps-leadership", |mut cluster| {
        cluster.topic("t", &[1, 2, 3], &[]);
        // It is back before its session ended. A healthy controller has it wait for that.
        let request = cluster.registration(1);
        if cluster.register_as(request.clone()).error_code != 0 {
            cluster.kill(1);
            assert_eq!(cluster.register_as(request).error_code, 0);
        }
        let partition = cluster.part("t", 0);
        (partition.leader, partition.leader_epoch)
    });
    assert_eq!(leads, ((2, 1), (1, 0)));
}
