//! Histories in few words: a line is `process type function value`, and more keys of the map after that.

use crate::operations::{OperationChecker, OperationReport, Options, Via};
use model::finding::{Check, CheckVerdict, Kind};
use model::history::edn;
use model::operation::{Names, Operation};

/// `0 ok send [[:send 5 [0 1]]]`; `0 send …` is an invocation and its ok completion, the invocation saying less.
pub(super) fn operations(lines: &str) -> (Vec<Operation>, Names) {
    let mut text = String::new();
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    for (index, line) in lines.enumerate() {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or("nil");
        let (process, stage, function, value) = (word(), word(), word(), word());
        text += &format!(
            "{{:index {index}, :time {index}000000, :process {process}, :type :{stage}, :f :{function}, \
             :value {value}}}\n"
        );
    }
    let (operations, names, ending) = edn::read(text.as_bytes()).expect("a history");
    assert_eq!(ending, edn::Ending::Whole);
    (operations, names)
}

pub(super) fn check_operations(
    (operations, names): (Vec<Operation>, Names),
    options: Options,
) -> OperationReport {
    let mut checker = OperationChecker::new(options);
    for operation in &operations {
        checker.feed(operation);
    }
    checker.finish(&names)
}

pub(super) fn check_with(lines: &str, options: Options) -> OperationReport {
    check_operations(operations(lines), options)
}

pub(super) fn check(lines: &str) -> OperationReport {
    check_with(lines, Options::default())
}

pub(super) fn subscribed() -> Options {
    Options { via: Via::Subscribe, ..Options::default() }
}

pub(super) fn without_writes() -> Options {
    Options { ww_deps: false, ..Options::default() }
}

/// Every kind that was found, allowed or not.
pub(super) fn found(report: &OperationReport) -> Vec<(Kind, u64)> {
    let kinds = report.checks.iter().map(|check| {
        let kind = Kind::of(&check.name).expect("a kind");
        assert_eq!(check.count == 0, check.findings.is_empty(), "{check:?}");
        assert!(check.findings.iter().all(|finding| finding.kind == kind));
        assert!(check.findings.iter().all(|finding| !finding.because.contains("  ")));
        (kind, check.count)
    });
    kinds.filter(|(_, count)| *count > 0).collect()
}

pub(super) fn of(report: &OperationReport, kind: Kind) -> &Check {
    report.checks.iter().find(|check| check.name == kind.as_str()).expect("every kind is checked")
}

pub(super) fn because(report: &OperationReport, kind: Kind) -> &str {
    &of(report, kind).findings[0].because
}

pub(super) fn verdict(report: &OperationReport) -> CheckVerdict {
    let has = |verdict| report.checks.iter().any(|check| check.verdict == verdict);
    match (has(CheckVerdict::Invalid), has(CheckVerdict::Unknown)) {
        (true, _) => CheckVerdict::Invalid,
        (false, true) => CheckVerdict::Unknown,
        (false, false) => CheckVerdict::Valid,
    }
}

/// Nothing, allowed or not.
pub(super) fn clean(lines: &str) {
    let report = check(lines);
    assert_eq!(found(&report), []);
    assert_eq!(verdict(&report), CheckVerdict::Valid);
}
