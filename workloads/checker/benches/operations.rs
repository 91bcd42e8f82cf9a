//! From the bytes of an EDN history to its verdict, and from parsed operations: operations a second on one core, where
//! an operation is an invocation and its completion.
//!
//! `cargo bench -p highwater-checker --bench operations -- [OPERATIONS …]`; 100,000 and 1,000,000 unless told.
#![allow(clippy::disallowed_methods, reason = "a measurement needs a clock")]

use checker::operations::{OperationChecker, OperationReport, Options};
use model::finding::CheckVerdict;
use model::history::edn::{Reader, write_line};
use model::operation::{Names, Operation};
use std::time::Instant;

#[path = "../src/operations/tests/generator.rs"]
mod generator;

use generator::{Generator, Shape};

/// As a run of Jepsen's suites: 10 clients, 20 keys at a time, positions kept.
fn shape(operations: u64, transactions: bool) -> Shape {
    Shape {
        steps: 2 * operations,
        clients: 10,
        keys: 20,
        micro_operations_max: if transactions { 4 } else { 1 },
        fail: 20,
        info: 5,
        assign: 15,
        records_max: 8,
        defects: 0,
        records_of_key_max: 1024,
        final_reads: true,
        interleaved: false,
    }
}

fn main() {
    let sizes: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![100_000, 1_000_000] } else { sizes };
    for size in sizes {
        for (name, transactions, interleaved) in [
            ("assign", false, false),
            ("transactions", true, false),
            ("transactions, interleaved", true, true),
        ] {
            let shape = Shape { interleaved, ..shape(size, transactions) };
            measure(name, shape);
        }
    }
}

fn measure(name: &str, shape: Shape) {
    let history = Generator::new(1, shape).history();
    let names = Names::default();
    let mut text = String::new();
    for operation in &history {
        write_line(&mut text, operation, &names);
        text.push('\n');
    }
    let operations = history.len() as f64 / 2.0;
    drop(history);
    let megabytes = text.len() as f64 / 1e6;
    println!("{name}: {operations:.0} operations, {megabytes:.0} MB of EDN");

    let began = Instant::now();
    let mut reader = Reader::new();
    let mut operation = Operation::default();
    let mut lines = 0u64;
    for piece in text.as_bytes().chunks(1 << 18) {
        reader.feed(piece);
        while reader.next(&mut operation).expect("what was written") {
            lines += 1;
        }
    }
    say("read", operations, began);
    assert!(lines > 0);

    let before = resident_kilobytes("VmRSS");
    let began = Instant::now();
    let mut reader = Reader::new();
    let mut checker = OperationChecker::new(Options::default());
    for piece in text.as_bytes().chunks(1 << 18) {
        reader.feed(piece);
        while reader.next(&mut operation).expect("what was written") {
            checker.feed(&operation);
        }
    }
    let report = checker.finish(reader.names());
    say("EDN to verdict", operations, began);
    let peak = resident_kilobytes("VmHWM").saturating_sub(before) as f64;
    let records = (report.counts.ok + report.counts.info + report.counts.fail) as f64;
    println!(
        "    {} polled of {records:.0} records; at most {:.0} MB more than before: {:.0} bytes an operation and its records",
        report.counts.polled,
        peak / 1e3,
        peak * 1e3 / operations
    );
    tell(&report);

    let (history, names, _) = model::history::edn::read(text.as_bytes()).expect("what was written");
    drop(text);
    let began = Instant::now();
    let mut checker = OperationChecker::new(Options::default());
    for operation in &history {
        checker.feed(operation);
    }
    say("  fed", operations, began);
    let report = checker.finish(&names);
    say("operations to verdict", operations, began);
    tell(&report);
}

fn say(what: &str, operations: f64, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    println!("  {what}: {seconds:.2} s, {:.0} operations/s", operations / seconds);
}

fn tell(report: &OperationReport) {
    for check in report.checks.iter().filter(|check| check.count > 0) {
        println!("    {} {} ({:?})", check.count, check.name, check.verdict);
    }
    assert!(report.checks.iter().all(|check| check.verdict == CheckVerdict::Valid));
}

/// Of this process; 0 where the system does not tell.
fn resident_kilobytes(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}
