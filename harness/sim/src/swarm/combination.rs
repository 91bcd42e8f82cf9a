//! Faults that matter together: single ones at random times hardly ever meet as these do.
//!
//! Promises: only faults of the catalogue, in an order and at distances in which they are known to have broken systems.
//! Each function says whose story it is.

use super::{Draw, log};
use crate::scenario::{Fault, Scenario, What, Whom};

pub(super) fn draw(draw: &mut Draw, scenario: &Scenario, at_ms: u64, faults: &mut Vec<Fault>) {
    let (topic, partition) = log(draw, scenario);
    let leader = Whom::Leader(topic, partition);
    let follower = |nth| Whom::Follower(topic, partition, nth);
    let mut add = |after_ms: u64, for_ms: u64, what: What| {
        faults.push(Fault { at_ms: at_ms + after_ms, for_ms, what });
    };
    match draw.between(0, 9) {
        // What only the leader has dies with it: an acknowledgement before the ISR has it is found out.
        0 => {
            let starved_ms = draw.between(200, 700);
            add(0, starved_ms + 300, What::Stall { whom: follower(0) });
            add(0, starved_ms + 300, What::Stall { whom: follower(1) });
            add(starved_ms, draw.between(500, 2_000), What::Kill { whom: leader });
        }
        // Two fail-overs before a follower has fetched in between (KIP-101, KIP-279).
        1 => {
            let apart_ms = draw.scaled(20, 900);
            add(0, draw.scaled(100, 1_500), What::Kill { whom: leader.clone() });
            add(apart_ms, draw.scaled(100, 1_500), What::Kill { whom: leader });
        }
        // A leader that does not know that it was replaced.
        2 => {
            let cut_ms = draw.between(700, 2_500);
            add(
                0,
                cut_ms,
                What::Cut { from: leader.clone(), to: Whom::Controller, one_way: false },
            );
            add(
                draw.between(0, 300),
                cut_ms,
                What::Cut { from: leader, to: follower(0), one_way: false },
            );
        }
        // The same by a long pause, and then it is needed again.
        3 => {
            let pause_ms = draw.between(650, 2_000);
            add(0, pause_ms, What::Stall { whom: leader.clone() });
            add(
                pause_ms + draw.between(0, 400),
                draw.between(300, 1_500),
                What::Kill { whom: leader },
            );
        }
        // The ISR shrinks to the leader, which is then lost while the others come back.
        4 => {
            let starved_ms = draw.between(900, 2_200);
            add(0, starved_ms, What::Stall { whom: follower(0) });
            add(0, starved_ms, What::Stall { whom: follower(1) });
            let what = match draw.between(0, 3) {
                0 => What::PowerLoss { whom: leader },
                1 => What::Wipe { whom: leader },
                _ => What::Kill { whom: leader },
            };
            add(starved_ms - draw.between(0, 300), draw.between(300, 2_000), what);
        }
        // A follower that has just come back into the ISR leads.
        5 => {
            add(0, draw.scaled(100, 1_500), What::Kill { whom: follower(0) });
            let after_ms = draw.between(300, 2_500);
            add(after_ms, draw.scaled(100, 1_500), What::Kill { whom: leader.clone() });
            add(
                after_ms + draw.scaled(20, 600),
                draw.scaled(100, 1_000),
                What::Kill { whom: leader },
            );
        }
        // An election of the controller in the middle of an election of leaders.
        6 => {
            add(0, draw.scaled(100, 1_500), What::Kill { whom: leader });
            add(
                draw.scaled(1, 400),
                draw.scaled(100, 1_500),
                What::Kill { whom: Whom::Controller },
            );
        }
        // A voter forgets what it had not synced, right after it voted.
        7 => {
            add(0, draw.scaled(100, 1_500), What::Stall { whom: Whom::Controller });
            add(
                draw.between(200, 900),
                draw.scaled(20, 300),
                What::PowerLoss { whom: Whom::Voter(0) },
            );
            add(
                draw.between(200, 1_200),
                draw.scaled(20, 300),
                What::PowerLoss { whom: Whom::Voter(1) },
            );
        }
        // Batches that the new leader has already are sent to it again (KIP-98).
        8 => {
            let cut_ms = draw.between(50, 600);
            add(
                0,
                cut_ms,
                What::SlowNetwork {
                    whom: leader.clone(),
                    delay_us_mean: draw.scaled(5_000, 100_000),
                },
            );
            add(draw.between(0, cut_ms), draw.scaled(100, 1_500), What::Kill { whom: leader });
        }
        // Rolling restarts, faster than anybody recommends.
        _ => {
            let apart_ms = draw.scaled(100, 1_500);
            for (step, node) in scenario.node_ids().enumerate() {
                let whom = Whom::Node(node);
                let what =
                    if draw.percent(70) { What::Shutdown { whom } } else { What::Kill { whom } };
                add(step as u64 * apart_ms, draw.scaled(20, 500), what);
            }
        }
    }
}
