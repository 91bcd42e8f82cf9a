//! `junit.xml`: a promise is a test case; broken is a failure, unknown an error (never skipped, which would turn
//! green), not promised passes with its numbers in the text.

use crate::facts::Facts;
use crate::text;
use model::verdict::{Promise, Word};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

pub fn render(facts: &Facts) -> String {
    let mut suite = TestSuite::new(facts.info.plan.clone());
    for promise in &facts.verdict.promises {
        suite.add_test_case(case(promise));
    }
    let whole = Promise {
        name: "run".into(),
        verdict: facts.verdict.verdict,
        promised: facts.verdict.promise.clone(),
        because: facts.verdict.because.clone(),
        count: 0,
    };
    suite.add_test_case(case(&whole));
    suite.set_system_out(text::run(facts));
    let mut report = Report::new("highwater");
    report.add_test_suite(suite);
    report.to_string().expect("writing into a string does not fail")
}

fn case(promise: &Promise) -> TestCase {
    let mut status = match promise.verdict {
        Word::Held | Word::NotPromised => TestCaseStatus::success(),
        Word::Broken => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Word::Unknown => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    if matches!(promise.verdict, Word::Broken | Word::Unknown) {
        status.set_message(promise.because.clone());
        status
            .set_description(format!("promised: {}\nfound: {}", promise.promised, promise.because));
    }
    let mut case = TestCase::new(promise.name.clone(), status);
    case.set_classname("promises");
    case.set_system_out(format!("{}: {}", promise.verdict.as_str(), promise.because));
    case
}
