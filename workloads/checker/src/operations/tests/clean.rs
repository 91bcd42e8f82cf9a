//! Any clean interleaving is valid, and one planted anomaly gives that kind and what follows from it.

use super::generator::{Generator, Random, Shape};
use super::history::{check_operations, found, verdict, without_writes};
use crate::operations::Options;
use model::finding::{CheckVerdict, Kind};
use model::operation::*;

fn history(seed: u64) -> Vec<Operation> {
    Generator::new(seed, Shape::small()).history()
}

fn report(history: Vec<Operation>, options: Options) -> crate::operations::OperationReport {
    check_operations((history, Names::default()), options)
}

#[test]
fn nothing_is_found_in_clean_histories() {
    for seed in 0..2_000 {
        for options in [Options::default(), without_writes()] {
            let report = report(history(seed), options);
            let told: Vec<_> =
                found(&report).into_iter().filter(|found| found.0 != Kind::IntSendSkip).collect();
            assert_eq!(told, [], "seed {seed}");
            assert_eq!(verdict(&report), CheckVerdict::Valid, "seed {seed}");
        }
    }
}

/// Every poll of any process without what `keep` does not want.
fn edit_polls(history: &mut [Operation], mut edit: impl FnMut(&Operation, Atom, &mut Vec<Polled>)) {
    for operation in history {
        let mut edited = operation.clone();
        edited.polled.clear();
        for batch in &mut edited.batches {
            let mut records = operation.polled_of(batch).to_vec();
            edit(operation, batch.key, &mut records);
            (batch.first, batch.count) = (edited.polled.len() as u32, records.len() as u32);
            edited.polled.append(&mut records);
        }
        *operation = edited;
    }
}

/// Acknowledged records, with their offsets where they are known.
fn acknowledged(history: &[Operation]) -> Vec<(Atom, Atom, Place)> {
    let ok = history.iter().filter(|operation| operation.stage == Some(Stage::Ok));
    let micro_operations = ok.flat_map(|operation| &operation.micro_operations);
    let sends = micro_operations.filter_map(|micro_operation| match micro_operation {
        MicroOperation::Send { key, value, place } => Some((*key, *value, *place)),
        _ => None,
    });
    sends.collect()
}

/// Plants something with each seed that has room for it; what is found beside `kind` must be of `follows`.
fn planted(kind: Kind, follows: &[Kind], plant: impl Fn(&mut Vec<Operation>, &mut Random) -> bool) {
    let mut tried = 0;
    for seed in 0..600 {
        let mut history = history(seed);
        if !plant(&mut history, &mut Random(seed)) {
            continue;
        }
        tried += 1;
        let kinds: Vec<Kind> =
            found(&report(history, Options::default())).iter().map(|f| f.0).collect();
        assert!(kinds.contains(&kind), "seed {seed}: {kinds:?}");
        let others = kinds.iter().filter(|found| **found != kind && **found != Kind::IntSendSkip);
        for other in others {
            assert!(follows.contains(other), "seed {seed}: {other:?} beside {kind:?}");
        }
    }
    assert!(tried > 100, "only {tried} histories had room for it");
}

fn any<T: Copy>(items: &[T], random: &mut Random) -> Option<T> {
    (!items.is_empty()).then(|| items[random.below(items.len() as u64) as usize])
}

#[test]
fn a_record_taken_out_of_every_poll_is_lost() {
    planted(
        Kind::LostWrite,
        &[Kind::Unseen, Kind::PollSkip, Kind::IntPollSkip],
        |history, random| {
            let records = acknowledged(history);
            let Some((key, value, Place::At(offset))) = any(&records, random) else { return false };
            let later = |polled: &Polled| polled.offset > Some(offset);
            let batches = history.iter().filter(|operation| operation.stage == Some(Stage::Ok));
            let beyond = batches
                .flat_map(|operation| operation.batches.iter().map(move |batch| (operation, batch)))
                .any(|(operation, batch)| {
                    batch.key == key && operation.polled_of(batch).iter().any(later)
                });
            edit_polls(history, |_, of, records| {
                records.retain(|record| of != key || record.value != value)
            });
            beyond
        },
    );
}

#[test]
fn a_second_place_is_a_duplicate() {
    planted(Kind::Duplicate, &[], |history, random| {
        let Some((key, value, Place::At(_))) = any(&acknowledged(history), random) else {
            return false;
        };
        let all = history.iter().flat_map(|operation| &operation.polled);
        let end = all.filter_map(|record| record.offset).max().unwrap_or(0) + 2;
        let last = history.len() - 3;
        let mut planted = false;
        for (at, operation) in history.iter_mut().enumerate().filter(|(at, _)| *at >= last) {
            if at == last + 2 && operation.batches.is_empty() {
                let record = Polled { offset: Some(end), value };
                operation.batches = vec![Batch { key, first: 0, count: 1 }];
                operation.polled = vec![record];
                operation.micro_operations = vec![MicroOperation::Poll { first: 0, count: 1 }];
                planted = true;
            }
        }
        planted
    });
}

#[test]
fn a_value_that_nobody_sent_is_a_phantom() {
    let follows = [Kind::LostWrite, Kind::Unseen, Kind::InconsistentOffsets];
    planted(Kind::Phantom, &follows, |history, random| {
        let Some((key, value, _)) = any(&acknowledged(history), random) else { return false };
        let mut planted = false;
        edit_polls(history, |_, of, records| {
            for record in records.iter_mut().filter(|record| of == key && record.value == value) {
                record.value = Atom::from(5_000);
                planted = true;
            }
        });
        planted
    });
}

#[test]
fn an_acknowledgement_made_a_failure_is_g1a() {
    // Its operation fails as a whole: what stood in its other sends has failed too.
    planted(Kind::G1a, &[], |history, random| {
        let sends = |operation: &Operation| {
            let is_send = |micro: &MicroOperation| matches!(micro, MicroOperation::Send { .. });
            operation.stage == Some(Stage::Ok)
                && operation.micro_operations.iter().all(is_send)
                && !operation.micro_operations.is_empty()
        };
        let candidates: Vec<usize> = (0..history.len()).filter(|at| sends(&history[*at])).collect();
        let Some(at) = any(&candidates, random) else { return false };
        history[at].stage = Some(Stage::Fail);
        true
    });
}

#[test]
fn a_reader_that_forgets_its_position_goes_back() {
    planted(Kind::NonmonotonicPoll, &[], |history, random| {
        // The last ok poll of a process that found something, once more.
        let found = |operation: &Operation| {
            operation.stage == Some(Stage::Ok)
                && operation.function == Some(Function::Poll)
                && !operation.polled.is_empty()
        };
        let candidates: Vec<usize> = (0..history.len()).filter(|at| found(&history[*at])).collect();
        let Some(at) = any(&candidates, random) else { return false };
        let again = history[at].clone();
        let mut invoke = again.clone();
        invoke.stage = Some(Stage::Invoke);
        invoke.clear_value();
        invoke.shape = model::operation::Shape::MicroOperations;
        invoke.micro_operations = vec![MicroOperation::PollPending];
        history.insert(at + 1, again);
        history.insert(at + 1, invoke);
        true
    });
}

#[test]
fn keys_may_change_their_names() {
    for seed in 0..500 {
        let shape = Shape { defects: 40, keys: 3, ..Shape::small() };
        let history = Generator::new(seed, shape).history();
        let rename =
            |key: Atom| key.as_number().map_or(key, |key| Atom::from(100 - key as u32 * 7));
        let mut renamed = history.clone();
        for operation in &mut renamed {
            operation.keys.iter_mut().for_each(|key| *key = rename(*key));
            operation.batches.iter_mut().for_each(|batch| batch.key = rename(batch.key));
            for entry in operation.rebalance_log.iter_mut().flatten() {
                entry.keys.iter_mut().for_each(|key| *key = rename(*key));
            }
            for micro_operation in &mut operation.micro_operations {
                if let MicroOperation::Send { key, .. } = micro_operation {
                    *key = rename(*key);
                }
            }
        }
        let before = found(&report(history, Options::default()));
        assert_eq!(found(&report(renamed, Options::default())), before, "seed {seed}");
    }
}
