use super::*;
use crate::process::State;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A child that waits for ever, with a text of its own in its command line; killed and collected at the end.
pub struct Child(std::process::Child);

impl Child {
    pub fn sleeping(marker: &str) -> Child {
        Child::running("read line", marker)
    }

    /// One that ignores SIGTERM; told apart from one that does not yet by what the kernel says.
    #[cfg(target_os = "linux")]
    pub fn deaf(marker: &str) -> Child {
        let child = Child::running("trap '' TERM; read line", marker);
        let status = format!("/proc/{}/status", child.pid());
        let ignores = |line: &str| {
            let mask = line.strip_prefix("SigIgn:").map(str::trim);
            mask.and_then(|mask| u64::from_str_radix(mask, 16).ok())
                .is_some_and(|m| m & 1 << 14 != 0)
        };
        eventually(|| std::fs::read_to_string(&status).unwrap_or_default().lines().any(ignores));
        child
    }

    fn running(script: &str, marker: &str) -> Child {
        let mut command = Command::new("sh");
        // Waits on a pipe that nobody writes to: one process, whatever the shell.
        let child = command.args(["-c", script, marker]).stdin(Stdio::piped()).spawn();
        let child = Child(child.expect("a shell can be started"));
        // Until it has become the shell, it is a copy of this process.
        eventually(|| child.process().command_line().contains(marker));
        child
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn process(&self) -> Process {
        Process::of(self.pid()).expect("the child is not collected yet")
    }

    pub fn collect(&mut self) {
        self.0.wait().expect("it is our child");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a state.
pub fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come to pass");
        std::thread::yield_now();
    }
}

/// Makes a file of records look as if its owner had died.
fn orphan(log: &UndoLog) {
    let text = std::fs::read_to_string(log.path()).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let mut header: Header = serde_json::from_str(first).unwrap();
    header.owner.start.push('1');
    let first = serde_json::to_string(&header).unwrap();
    std::fs::write(log.path(), format!("{first}\n{rest}")).unwrap();
}

fn ended(process: &Process) -> bool {
    matches!(process.state(), State::Zombie | State::Gone)
}

#[test]
fn a_run_in_progress_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let log = UndoLog::create(directory.path()).unwrap();
    let child = Child::sleeping("undo-test-in-progress");
    let id = log.starting("n1", "undo-test-in-progress").unwrap();
    log.started(id, child.pid()).unwrap();
    let own = Process::own().unwrap();
    assert_eq!(survey(directory.path()).unwrap(), [Leftover::InUse { owner: own }]);
    assert!(clean(directory.path()).unwrap()[0].starts_with("left alone: a run in progress"));
    assert!(child.process().is_alive());
    assert!(log.path().exists());
}

#[test]
fn what_a_dead_owner_left_is_ended_stopped_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let log = UndoLog::create(directory.path()).unwrap();
    let (running, stopped) = (Child::sleeping("undo-test-one"), Child::sleeping("undo-test-two"));
    for (child, marker) in [(&running, "undo-test-one"), (&stopped, "undo-test-two")] {
        let id = log.starting("n1", marker).unwrap();
        log.started(id, child.pid()).unwrap();
    }
    log.stopping(&stopped.process()).unwrap();
    let (one, two) = (running.process(), stopped.process());
    two.stop().unwrap();
    eventually(|| matches!(two.state(), State::Stopped { .. }));
    orphan(&log);
    let leftovers = survey(directory.path()).unwrap();
    assert_eq!(leftovers.len(), 2, "{leftovers:?}");
    assert!(leftovers[1].to_string().starts_with("stopped process"));
    let done = clean(directory.path()).unwrap();
    assert_eq!(done[0], format!("ended process {} (n1)", one.pid));
    assert!(ended(&one) && ended(&two));
    assert!(!log.path().exists());
    assert!(clean(directory.path()).unwrap().is_empty());
}

#[test]
fn a_process_that_was_killed_between_start_and_record_is_found_by_its_marker() {
    let directory = tempfile::tempdir().unwrap();
    let log = UndoLog::create(directory.path()).unwrap();
    log.starting("n1", "undo-test-unrecorded").unwrap();
    let child = Child::sleeping("undo-test-unrecorded");
    let process = child.process();
    orphan(&log);
    assert_eq!(clean(directory.path()).unwrap(), [format!("ended process {} (n1)", process.pid)]);
    assert!(ended(&process));
}

#[test]
fn another_process_with_the_same_pid_or_another_command_line_is_spared() {
    let directory = tempfile::tempdir().unwrap();
    let log = UndoLog::create(directory.path()).unwrap();
    let child = Child::sleeping("undo-test-innocent");
    // The command line is not the recorded one …
    let id = log.starting("n1", "undo-test-guilty-one").unwrap();
    log.started(id, child.pid()).unwrap();
    // … and the start time is not.
    let mut other = child.process();
    other.start.push('1');
    log.stopping(&other).unwrap();
    orphan(&log);
    assert!(clean(directory.path()).unwrap().is_empty());
    assert!(child.process().is_alive());
    assert!(!log.path().exists(), "nothing is left to undo, so the records go");
}

#[test]
fn after_another_boot_pids_mean_nothing_and_files_still_do() {
    let directory = tempfile::tempdir().unwrap();
    let log = UndoLog::create(directory.path()).unwrap();
    let child = Child::sleeping("undo-test-boot");
    let id = log.starting("n1", "undo-test-boot").unwrap();
    log.started(id, child.pid()).unwrap();
    let file = directory.path().join("file");
    log.creating(&file).unwrap();
    std::fs::write(&file, "x").unwrap();
    orphan(&log);
    let text = std::fs::read_to_string(log.path()).unwrap();
    let other = text.replacen("\"boot\":\"", "\"boot\":\"another-", 1);
    std::fs::write(log.path(), other).unwrap();
    assert_eq!(clean(directory.path()).unwrap(), [format!("removed {}", file.display())]);
    assert!(child.process().is_alive());
}

#[test]
fn paths_are_removed_and_links_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let outside = directory.path().join("outside");
    std::fs::create_dir_all(outside.join("kept")).unwrap();
    let undo = directory.path().join("undo");
    let log = UndoLog::create(&undo).unwrap();
    assert!(log.creating(&outside).is_err(), "what exists is not ours");
    let (made, link, never) =
        (directory.path().join("made"), directory.path().join("link"), directory.path().join("no"));
    for path in [&made, &link, &never] {
        log.creating(path).unwrap();
    }
    std::fs::create_dir_all(made.join("deep")).unwrap();
    std::os::unix::fs::symlink(&outside, made.join("deep/link")).unwrap();
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    orphan(&log);
    assert_eq!(clean(&undo).unwrap().len(), 2);
    assert!(!made.exists() && link.symlink_metadata().is_err());
    assert!(outside.join("kept").exists());
}

#[test]
fn what_is_undone_is_not_undone_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = UndoLog::create(directory.path()).unwrap();
    let child = Child::sleeping("undo-test-undone");
    let id = log.starting("n1", "undo-test-undone").unwrap();
    log.started(id, child.pid()).unwrap();
    log.undone(id).unwrap();
    orphan(&log);
    assert!(survey(directory.path()).unwrap().is_empty());
    log.finish().unwrap();
    assert!(std::fs::read_dir(directory.path()).unwrap().next().is_none());
}

#[test]
fn torn_and_foreign_files_are_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    let log = UndoLog::create(directory.path()).unwrap();
    let file = directory.path().join("file");
    log.creating(&file).unwrap();
    std::fs::write(&file, "x").unwrap();
    orphan(&log);
    let whole = std::fs::read(log.path()).unwrap();
    for length in 0..=whole.len() {
        std::fs::write(log.path(), &whole[..length]).unwrap();
        survey(directory.path()).unwrap();
    }
    std::fs::write(directory.path().join("other.jsonl"), "{}\n").unwrap();
    let done = clean(directory.path()).unwrap();
    assert!(done.iter().any(|words| words.contains("other.jsonl can't be read")), "{done:?}");
    assert!(directory.path().join("other.jsonl").exists());
    assert!(clean(&directory.path().join("missing")).unwrap().is_empty());
}

#[test]
fn two_logs_of_one_process_have_files_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (UndoLog::create(directory.path()), UndoLog::create(directory.path()));
    assert_ne!(one.unwrap().path(), two.unwrap().path());
}

#[test]
fn markers_must_tell_something() {
    let directory = tempfile::tempdir().unwrap();
    let log = UndoLog::create(directory.path()).unwrap();
    assert!(log.starting("n1", "sleep").is_err());
    assert!(log.starting("n1", "").is_err());
}
