//! A history is answered the same in every form: Jepsen's EDN, our own form and JSON Lines that carry it, and EDN again.

use super::generator::{Generator, Shape};
use crate::operations::{OperationChecker, OperationReport, Options};
use model::history::carried::{Carried, event_of};
use model::history::codec::{Decoder, Encoder, Ending};
use model::history::{Event, Time, edn, json};
use model::operation::{Names, Operation};

fn as_edn(operations: &[Operation], names: &Names) -> String {
    operations.iter().map(|operation| edn::to_line(operation, names) + "\n").collect()
}

fn of_edn(text: &str) -> (Vec<Operation>, Names) {
    let (operations, names, ending) = edn::read(text.as_bytes()).expect("what was written");
    assert_eq!(ending, edn::Ending::Whole);
    (operations, names)
}

/// Through the bytes of our own form.
fn through_own(events: &[(Time, Event)]) -> Vec<(Time, Event)> {
    let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
    for (time, event) in events {
        encoder.append(time, event, &mut bytes);
    }
    encoder.flush_block(&mut bytes);
    let mut decoder = Decoder::new();
    decoder.feed(&bytes);
    let mut read = Vec::new();
    while let Some(event) = decoder.next().expect("a history") {
        read.push(event);
    }
    assert_eq!(decoder.finish(), Ok(Ending::Whole));
    read
}

fn through_lines(events: &[(Time, Event)]) -> Vec<(Time, Event)> {
    let lines = events.iter().map(|(time, event)| json::to_line(time, event));
    lines.map(|line| json::from_line(&line).expect("what was written")).collect()
}

fn taken(events: &[(Time, Event)]) -> (Vec<Operation>, Names) {
    let mut carried = Carried::new();
    let mut operations = Vec::new();
    for (_, event) in events {
        let mut operation = Operation::default();
        carried.take(event, &mut operation).expect("an operation");
        operations.push(operation);
    }
    (operations, carried.into_names())
}

fn report(operations: &[Operation], names: &Names) -> OperationReport {
    let mut checker = OperationChecker::new(Options::default());
    operations.iter().for_each(|operation| checker.feed(operation));
    checker.finish(names)
}

/// Everything that is said of a history is said of it in every form. Gives the anomalies counted.
pub(crate) fn is_the_same_in_every_form(operations: &[Operation], names: &Names) -> u64 {
    let text = as_edn(operations, names);
    let (read, names) = of_edn(&text);
    let expected = report(&read, &names);
    let events: Vec<(Time, Event)> =
        read.iter().map(|operation| event_of(operation, &names).expect("short enough")).collect();
    for carried in [through_own(&events), through_lines(&events)] {
        let (operations, names) = taken(&carried);
        let found = report(&operations, &names);
        assert_eq!((&found.checks, &found.counts), (&expected.checks, &expected.counts));
        assert_eq!(found.warnings, expected.warnings);
        assert_eq!(as_edn(&operations, &names), text);
    }
    expected.checks.iter().map(|check| check.count).sum()
}

#[test]
fn an_edn_history_is_the_same_when_our_own_forms_carry_it() {
    let mut found = 0;
    for seed in 0..400 {
        let shape = Shape { defects: seed % 3 * 40, ..Shape::small() };
        let history = Generator::new(seed, shape).history();
        found += is_the_same_in_every_form(&history, &Names::default());
    }
    assert!(found > 400, "defects were among them: {found}");
}

#[test]
fn names_and_what_nobody_understands_are_carried_too() {
    let text = "{:index 0, :process :nemesis, :type :info, :f :kill, :value {:a \"n1; \\\"x\\\"\"}}\n\
                {:index 1, :process 0, :type :invoke, :f :txn, :value [[:send \"k\" :v] [:poll] [:r 1 nil]]}\n\
                {:index 2, :process 0, :type :info, :f :txn, :value [[:send \"k\" :v] [:poll] [:r 1 nil]], :error [:timeout \"a\\nb\"]}\n";
    let (operations, names) = of_edn(text);
    is_the_same_in_every_form(&operations, &names);
}
