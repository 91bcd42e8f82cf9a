//! Plans with every deed that has a meaning here.

use super::refusal;
use crate::run::{Outcome, run_plan};
use plan::Plan;

const CLUSTER: &str = "schema = 1\nname = \"x\"\n[target]\nnodes = 5\n[topic]\npartitions = 2\n\
    [workload]\nproducers = 1\nconsumers = 1\nrate = \"100/s\"\n\
    [time]\nbaseline = \"1s\"\nrun = \"9s\"\n";

fn plan(faults: &str) -> Plan {
    let text = format!("{CLUSTER}{faults}");
    plan::load("x", &text, &[]).unwrap_or_else(|error| panic!("{error}")).plan
}

/// Whether every fault took effect and was seen over, as the judge sees it; here nobody measures a baseline.
fn all_as_planned(outcome: &Outcome) -> bool {
    let judgement = outcome.judgement.as_ref().expect("it came to its end");
    println!("{}", judgement.because);
    judgement.because == "real-test: There was no baseline before the first fault."
}

fn told(outcome: &Outcome, text: &str) -> bool {
    outcome.lines.iter().any(|line| line.text.contains(text))
}

#[test]
fn a_plan_with_cuts_and_ends_in_order_runs_and_holds() {
    let fault = |name: &str, more: &str, from: &str| {
        format!("[[fault]]\nname = \"{name}\"\n{more}from = \"{from}\"\nfor = \"1s\"\n")
    };
    let plans = [
        fault("cut", "on = \"leader\"\npeers = \"followers\"\n", "1s")
            + &fault("terminate", "on = \"leader\"\n", "4s"),
        fault("cut", "on = \"n1\"\npeers = \"controller-follower\"\ndirection = \"in\"\n", "1s")
            + &fault("isolate", "on = \"controller\"\n", "4s"),
        fault("flap", "on = \"one\"\npeers = \"everyone\"\n", "1s")
            + &fault("stutter", "on = \"follower\"\n", "4s")
            + &fault("crash-loop", "on = \"one\"\nrunning = \"200ms\"\n", "6s"),
        fault("split", "shape = \"halves\"\n", "1s")
            + &fault("split", "shape = \"bridge\"\n", "4s"),
        // A node that is cut off is killed, and comes back while it is still cut off.
        fault("isolate", "on = \"n1\"\n", "1s").replace("1s\"\n", "3s\"\n")
            + &fault("kill", "on = \"n1\"\n", "3500ms"),
    ];
    for (seed, faults) in (1..).zip(plans) {
        let plan = plan(&faults);
        assert_eq!(refusal(&plan), None);
        let outcome = run_plan(&plan, seed, true, true);
        assert_eq!(outcome.failure, None, "{faults}");
        assert!(all_as_planned(&outcome), "{faults}");
        for id in 1..=2 {
            assert!(told(&outcome, &format!("fault {id}: ")), "{faults}");
        }
    }
}

#[test]
fn disks_that_fail_or_fill_up_or_grow_old_cost_no_acknowledged_record() {
    let of = |name: &str, more: &str, from: &str| {
        format!("[[fault]]\nname = \"{name}\"\n{more}from = \"{from}\"\nfor = \"1s\"\n")
    };
    let plans = [
        of("full", "on = \"leader\"\n", "1s") + &of("io-error", "on = \"follower\"\n", "4s"),
        of("fsync-error", "on = \"leader\"\n", "1s")
            + &of("old-snapshot", "on = \"follower\"\n", "4s"),
        // On one disk, and over in the order in which they began.
        of("full", "on = \"n1\"\n", "1s") + &of("io-error", "on = \"n1\"\n", "1500ms"),
    ];
    for (seed, faults) in (1..).zip(plans) {
        let text = format!("{CLUSTER}{faults}");
        let dedicated = [("controllers".to_owned(), "1".to_owned())];
        let plan = plan::load("x", &text, &dedicated).unwrap_or_else(|e| panic!("{e}")).plan;
        assert_eq!(refusal(&plan), None);
        let outcome = run_plan(&plan, seed, true, true);
        assert_eq!(outcome.failure, None, "{faults}");
        assert!(all_as_planned(&outcome), "{faults}");
        for id in 1..=2 {
            assert!(told(&outcome, &format!("fault {id}: ")), "{faults}");
        }
    }
    for (name, more) in [
        ("slow", ""),
        ("torn-write", ""),
        ("bit-flip", ""),
        ("truncate-tail", ""),
        ("io-error", "operation = \"read\"\n"),
        ("io-error", "probability = 50\n"),
        ("fsync-error", "path = \".log\"\n"),
    ] {
        let plan = plan(&of(name, &format!("on = \"leader\"\n{more}"), "1s"));
        let why = refusal(&plan).expect(name);
        assert!(why.starts_with(&format!("`{name}` can't be simulated as it is: ")), "{why}");
    }
}

#[test]
fn clocks_that_are_wrong_on_one_node_cost_nothing() {
    let of = |name: &str, on: &str, from: &str| {
        format!("[[fault]]\nname = \"{name}\non = \"{on}\"\nfrom = \"{from}\"\nfor = \"3s\"\n")
    };
    let faults = of("clock-jump\"\nby = \"1h\"", "n1", "1s")
        + &of("clock-strobe\"\nby = \"-1m\"", "n1", "2s")
        + &of("clock-drift\"\nrate = \"-50%\"", "n1", "2500ms")
        + &of("clock-jump\"\nby = \"-2h\"", "controller", "3s");
    let text = format!("{CLUSTER}{faults}[limits]\ndamaged = 2\nrecovery_wait = \"1s\"\n");
    for seed in 1..=3 {
        let plan = plan::load("x", &text, &[]).unwrap_or_else(|e| panic!("{e}")).plan;
        assert_eq!(refusal(&plan), None);
        let outcome = run_plan(&plan, seed, true, true);
        assert_eq!(outcome.failure, None);
        assert!(all_as_planned(&outcome));
    }
}

#[test]
fn what_can_not_be_simulated_is_refused_with_a_sentence() {
    let cut = "[[fault]]\nname = \"cut\"\non = \"leader\"\npeers = \"nodes\"\n";
    let lost = "[[fault]]\nname = \"lose-response\"\non = \"leader\"\n";
    let why = refusal(&plan(lost)).expect("there is no proxy");
    assert!(why.contains("`lose-response` can't be simulated"), "{why}");
    let groups = CLUSTER.replace("consumers = 1", "name = \"groups\"\nconsumers = 2");
    for (name, cluster) in
        [("kill-producer", CLUSTER), ("add-partitions", CLUSTER), ("stall-consumer", &groups)]
    {
        let text = format!("{cluster}[[fault]]\nname = \"{name}\"\n");
        let plan = plan::load("x", &text, &[]).unwrap_or_else(|error| panic!("{error}")).plan;
        let why = refusal(&plan).expect(name);
        assert!(why.contains(&format!("`{name}` can't be simulated")), "{why}");
    }
    for (more, expected) in [
        ("connections = \"established\"\n", "`cut` with connections = \"established\" can't be"),
        ("how = \"reject\"\n", "`cut` with how = \"reject\" can't be simulated"),
    ] {
        let plan = plan(&format!("{cut}{more}"));
        let why = refusal(&plan).expect(more);
        assert!(why.contains(expected), "{why}");
        let failure = run_plan(&plan, 1, true, false).failure.expect("it is not run");
        assert_eq!((failure.check.as_str(), failure.message), ("plan", why));
    }
}

#[test]
fn shipped_plans_about_cuts_and_restarts_hold() {
    let names = [
        "leader-cut-from-followers",
        "leader-cut-from-controller",
        "one-follower-link-cut",
        "zombie-leader",
        "rolling-restart",
    ];
    for (seed, name) in (1..).zip(names) {
        let text = plan::shipped::plan(name).expect(name).text;
        // As the plan is, with less to carry.
        let less = ["workload.rate=50/s", "workload.producers=1"].map(|set| {
            let (path, value) = set.split_once('=').expect("a setting");
            (path.to_owned(), value.to_owned())
        });
        let plan = plan::load(name, text, &less).unwrap_or_else(|error| panic!("{error}")).plan;
        let outcome = run_plan(&plan, seed, true, true);
        assert_eq!(outcome.failure, None, "{name}");
        assert!(all_as_planned(&outcome), "{name}");
        assert!(told(&outcome, "fault 1: "), "{name}");
    }
}

#[test]
fn a_fenced_leader_that_comes_back_loses_nothing_that_all_acknowledged() {
    let text =
        format!("{CLUSTER}[[recipe]]\nname = \"fence-leader-let-it-return\"\nfrom = \"1s\"\n");
    let dedicated = [("controllers".to_owned(), "1".to_owned())];
    let plan = plan::load("x", &text, &dedicated).unwrap_or_else(|error| panic!("{error}")).plan;
    let outcome = run_plan(&plan, 1, true, true);
    assert_eq!(outcome.failure, None);
    assert!(all_as_planned(&outcome));
    assert!(told(&outcome, "fault 1: cut"));
}
