//! Limits on one node, stacked, ended in both orders, and met for good.

use super::tests::{Sleepers, probed_of};
use super::*;
use plan::units::Bytes;
use std::process::{Command, Stdio};

fn inject(fault: u32, deed: Deed) -> Action {
    Action::Inject { fault, node: "n1".to_string(), deed, peers: Vec::new() }
}

#[track_caller]
fn done(injector: &mut Injector, nodes: &mut Sleepers, action: Action) {
    let answer = injector.act(&action, nodes);
    assert!(matches!(answer, Event::Done { .. }), "{answer:?}");
}

fn heal(injector: &mut Injector, nodes: &mut Sleepers, fault: u32) {
    done(injector, nodes, Action::Heal { fault, node: "n1".to_string() });
}

#[test]
fn the_tightest_of_several_limits_holds_and_they_end_in_any_order() {
    let mut nodes = Sleepers::new(&["n1"]);
    if !nodes.limit("n1") {
        return;
    }
    let mut injector = Injector::new(nodes.undo(), 1);
    // A sleeper takes no CPU: somebody in its group does.
    let mut busy = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell");
    nodes.group("n1").expect("it has one").adopt(busy.id()).expect("adopted");
    for (first, second) in [(1, 2), (4, 3)] {
        let percent = |fault| if fault % 2 == 1 { 50 } else { 20 };
        done(&mut injector, &mut nodes, inject(first, Deed::CpuLimit { percent: percent(first) }));
        let evidence = probed_of(first, &mut injector, &mut nodes, Expect::InEffect);
        assert!(
            evidence.contains(&format!("{} % of a CPU; held back in ", percent(first))),
            "{evidence}"
        );
        done(
            &mut injector,
            &mut nodes,
            inject(second, Deed::CpuLimit { percent: percent(second) }),
        );
        let evidence = probed_of(second, &mut injector, &mut nodes, Expect::InEffect);
        assert!(evidence.contains("20 % of a CPU"), "{evidence}");
        heal(&mut injector, &mut nodes, first);
        let over = probed_of(first, &mut injector, &mut nodes, Expect::Over);
        assert!(over.starts_with(&format!("{} % of a CPU", percent(second))), "{over}");
        assert!(over.ends_with(&format!("its group is still under fault {second}")), "{over}");
        heal(&mut injector, &mut nodes, second);
        let over = probed_of(second, &mut injector, &mut nodes, Expect::Over);
        assert!(over.starts_with("no limit on its CPU"), "{over}");
        assert!(over.contains(" still runs, state "), "{over}");
    }
    busy.kill().and_then(|()| busy.wait().map(|_| ())).expect("a child of ours");
}

#[test]
fn who_is_killed_for_its_memory_is_started_again() {
    let mut nodes = Sleepers::new(&["n1"]);
    if !nodes.limit("n1") {
        return;
    }
    let mut injector = Injector::new(nodes.undo(), 1);
    // It takes what there is once it is told to, in the sleeper's group.
    let mut eating = Command::new("sh")
        .args(["-c", "read line; head -c 100000000 /dev/zero | tail | wc -c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("a shell");
    nodes.group("n1").expect("it has one").adopt(eating.id()).expect("adopted");
    done(&mut injector, &mut nodes, inject(1, Deed::MemoryLimit { bytes: Bytes(8 << 20) }));
    let evidence = probed_of(1, &mut injector, &mut nodes, Expect::InEffect);
    assert!(evidence.contains(" of 8388608 bytes; met the limit "), "{evidence}");
    drop(eating.stdin.take());
    eating.wait().expect("a child of ours");
    let before = nodes.pid("n1");
    nodes.ends("n1");
    let evidence = probed_of(1, &mut injector, &mut nodes, Expect::InEffect);
    assert!(evidence.ends_with("the kernel has killed it"), "{evidence}");
    heal(&mut injector, &mut nodes, 1);
    assert_ne!(nodes.pid("n1"), before);
    let over = probed_of(1, &mut injector, &mut nodes, Expect::Over);
    assert!(over.contains(" of no limit; ") && over.contains("it had ended; pid "), "{over}");
}

#[test]
fn without_a_group_nothing_is_limited() {
    let mut nodes = Sleepers::new(&["n1"]);
    let mut injector = Injector::new(nodes.undo(), 1);
    match injector.act(&inject(1, Deed::CpuLimit { percent: 10 }), &mut nodes) {
        Event::Failed { error, .. } => {
            assert!(error.contains("a control group for each node"), "{error}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_counter_that_was_set_back_began_anew() {
    assert_eq!((limits::since(7, 3), limits::since(3, 3), limits::since(2, 3)), (4, 0, 2));
}
