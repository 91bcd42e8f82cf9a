use super::*;
use crate::undo::tests::{Child, eventually};

#[test]
fn a_process_is_stopped_continued_and_killed() {
    let mut child = Child::sleeping("process-test-stop");
    let process = child.process();
    assert!(process.is_alive());
    assert!(process.command_line().contains("process-test-stop"));
    process.stop().unwrap();
    eventually(|| matches!(process.state(), State::Stopped { threads: 1.. }));
    assert!(process.is_alive(), "a stopped process can still be continued");
    process.resume().unwrap();
    eventually(|| matches!(process.state(), State::Alive(_)));
    process.kill().unwrap();
    eventually(|| matches!(process.state(), State::Zombie | State::Gone));
    child.collect();
    assert_eq!(process.state(), State::Gone);
    process.kill().expect("a process that is gone is no error");
}

#[test]
fn another_life_of_a_pid_is_not_signalled() {
    let child = Child::sleeping("process-test-life");
    let mut other = child.process();
    other.start.push('1');
    assert_eq!(other.state(), State::Gone);
    other.kill().unwrap();
    other.stop().unwrap();
    assert!(child.process().is_alive());
    assert!(matches!(child.process().state(), State::Alive(_)));
}

#[test]
fn this_process_and_no_process_at_all() {
    assert!(Process::own().unwrap().is_alive());
    assert_eq!(Process::of(u32::MAX), None);
    for pid in [0, 1, u32::MAX] {
        let process = Process { pid, start: "0".to_string() };
        assert!(process.kill().is_err() || process.state() == State::Gone);
    }
    assert!(with_command_line("no process has this in its command line").is_empty());
}

#[test]
fn a_process_is_found_by_its_command_line() {
    let child = Child::sleeping("process-test-find-me");
    assert_eq!(with_command_line("process-test-find-me"), [child.process()]);
}
