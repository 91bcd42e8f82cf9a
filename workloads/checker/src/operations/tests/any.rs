//! Histories that no run could write: each has an answer, none a panic.

use super::generator::{Generator, Random, Shape};
use super::history::{check_operations, found};
use crate::operations::{Cleanup, Options, Via};
use model::operation::*;

/// Lines left out, said again, moved and changed.
fn spoil(history: &mut Vec<Operation>, random: &mut Random) {
    for _ in 0..random.below(12) {
        if history.len() < 2 {
            return;
        }
        let at = random.below(history.len() as u64) as usize;
        let to = random.below(history.len() as u64) as usize;
        match random.below(10) {
            0 => drop(history.remove(at)),
            1 => {
                let again = history[at].clone();
                history.insert(to, again);
            }
            2 => history.swap(at, to),
            3 => history[at].index = [None, Some(u64::MAX), Some(0)][to % 3],
            4 => history[at].time_ns = [None, Some(i64::MIN), Some(i64::MAX), Some(-1)][to % 4],
            5 => history[at].process = [None, history[to].process][to % 2],
            6 => {
                history[at].stage =
                    [None, Some(Stage::Ok), Some(Stage::Info), Some(Stage::Fail)][to % 4]
            }
            7 => {
                history[at].function =
                    [None, Some(Function::Txn), Some(Function::Crash), Some(Function::Subscribe)]
                        [to % 4]
            }
            8 => {
                for record in &mut history[at].polled {
                    record.offset =
                        [None, Some(i64::MIN), Some(i64::MAX), Some(-7), Some(1)][to % 5];
                }
            }
            _ => {
                for micro_operation in &mut history[at].micro_operations {
                    *micro_operation = match to % 4 {
                        0 => MicroOperation::Verbatim(7),
                        1 => MicroOperation::Poll { first: 9, count: u32::MAX },
                        2 => MicroOperation::Poll { first: 0, count: 1 },
                        _ => {
                            let value = Atom::from_raw([i64::MAX, i64::MIN, -5, 1][to % 4]);
                            let place =
                                [Place::At(i64::MAX), Place::At(i64::MIN), Place::Unknown][at % 3];
                            MicroOperation::Send { key: Atom::from_raw(-3), value, place }
                        }
                    };
                }
            }
        }
    }
}

#[test]
fn no_history_makes_it_panic() {
    for seed in 0..3_000 {
        let shape = Shape { defects: seed % 3 * 40, fail: 200, info: 200, ..Shape::small() };
        let mut history = Generator::new(seed, shape).history();
        let mut random = Random(seed);
        spoil(&mut history, &mut random);
        let options = Options {
            reads_apart: seed % 5 == 0,
            via: [Via::Assign, Via::Subscribe][(seed % 2) as usize],
            ww_deps: seed % 3 > 0,
            cleanup: [None, Some(Cleanup::Delete), Some(Cleanup::Compact)][(seed / 2 % 3) as usize],
            stuck_polls_min: (seed % 4) as usize,
            findings_max: [1, 100][(seed / 3 % 2) as usize],
            ids_max: 2,
            cycle_steps_max: seed % 50,
        };
        let report = check_operations((history.clone(), Names::default()), options.clone());
        found(&report);
        let again = check_operations((history, Names::default()), options);
        assert_eq!(again.checks, report.checks, "the same answer each time");
    }
}
