use super::*;
use crate::process::{Process, State};
use crate::undo::tests::{Child, eventually};
use plan::target::{Member, Topology};
use plan::{Nemesis, Schedule};
use std::time::{Duration, Instant};

/// Sleeping children as nodes.
pub(super) struct Sleepers {
    /// Before its directory goes.
    fuse: BTreeMap<String, Fuse>,
    directory: tempfile::TempDir,
    children: BTreeMap<String, Child>,
    groups: BTreeMap<String, Group>,
    starts_fail: bool,
}

impl Sleepers {
    pub(super) fn new(names: &[&str]) -> Sleepers {
        let directory = tempfile::tempdir().unwrap();
        let mut children = BTreeMap::new();
        for name in names {
            let data = directory.path().join(name);
            std::fs::create_dir_all(data.join("topic-0")).unwrap();
            std::fs::write(data.join("topic-0/00000000000000000000.log"), [7; 100]).unwrap();
            std::fs::write(data.join("meta.properties"), "node.id=1\n").unwrap();
            children.insert(name.to_string(), Child::sleeping(&format!("injector-{name}")));
        }
        let (fuse, groups) = (BTreeMap::new(), BTreeMap::new());
        Sleepers { fuse, directory, children, groups, starts_fail: false }
    }

    /// Serves a node's data at [`Sleepers::served_dir`].
    pub(super) fn serve(&mut self, node: &str) {
        let fuse = Fuse::make(&self.data_dir(node), &self.served_dir(node)).unwrap();
        self.fuse.insert(node.to_string(), fuse);
    }

    /// Puts a node into a group of its own; `false`: that needs more rights.
    pub(super) fn limit(&mut self, node: &str) -> bool {
        let name = format!("injector-{}", self.pid(node).unwrap());
        let Some(group) = crate::group::tests::group(&name) else { return false };
        group.adopt(self.pid(node).unwrap()).unwrap();
        self.groups.insert(node.to_string(), group);
        true
    }

    pub(super) fn served_dir(&self, node: &str) -> PathBuf {
        self.directory.path().join(format!("{node}-served"))
    }

    /// Its process ends, by no fault's hand.
    pub(super) fn ends(&mut self, node: &str) {
        let process = Process::of(self.pid(node).unwrap()).unwrap();
        process.kill().unwrap();
        assert!(process.wait_gone(Duration::from_secs(20)));
    }

    pub(super) fn undo(&self) -> UndoLog {
        UndoLog::create(&self.directory.path().join(".undo")).unwrap()
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        self.children.clear();
        for (_, group) in std::mem::take(&mut self.groups) {
            let _ = group.remove();
        }
    }
}

impl Nodes for Sleepers {
    fn pid(&self, node: &str) -> Option<u32> {
        self.children.get(node).map(Child::pid)
    }

    fn start(&mut self, node: &str) -> io::Result<u32> {
        if self.starts_fail {
            return Err(io::Error::other("the port is in use"));
        }
        let child = Child::sleeping(&format!("injector-{node}"));
        let pid = child.pid();
        if let Some(group) = self.groups.get(node) {
            group.adopt(pid)?;
        }
        self.children.insert(node.to_string(), child);
        Ok(pid)
    }

    fn data_dir(&self, node: &str) -> PathBuf {
        self.directory.path().join(node)
    }

    fn fuse(&mut self, node: &str) -> Option<&Fuse> {
        self.fuse.get(node)
    }

    fn group(&mut self, node: &str) -> Option<&Group> {
        self.groups.get(node)
    }

    fn format(&mut self, node: &str) -> io::Result<()> {
        std::fs::write(self.data_dir(node).join("meta.properties"), "node.id=1\nnew=true\n")
    }
}

const FAULT: u32 = 1;

fn inject(deed: Deed) -> Action {
    Action::Inject { fault: FAULT, node: "n1".to_string(), deed, peers: Vec::new() }
}

fn heal() -> Action {
    Action::Heal { fault: FAULT, node: "n1".to_string() }
}

/// Probes until it is answered with yes; the evidence.
fn probed(injector: &mut Injector, nodes: &mut Sleepers, expect: Expect) -> String {
    probed_of(FAULT, injector, nodes, expect)
}

pub(super) fn probed_of(
    fault: u32,
    injector: &mut Injector,
    nodes: &mut Sleepers,
    expect: Expect,
) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let node = "n1".to_string();
        match injector.act(&Action::Probe { fault, node, expect }, nodes) {
            Event::Confirmed { evidence, .. } | Event::Cleared { evidence, .. } => return evidence,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        std::thread::yield_now();
    }
}

fn is_done(event: &Event) -> bool {
    matches!(event, Event::Done { fault: FAULT, .. })
}

#[test]
fn a_kill_is_confirmed_by_the_missing_process_and_over_when_another_runs() {
    let mut nodes = Sleepers::new(&["n1"]);
    let mut injector = Injector::new(nodes.undo(), 1);
    let before = nodes.pid("n1").unwrap();
    assert!(is_done(&injector.act(&inject(Deed::Kill), &mut nodes)));
    let evidence = probed(&mut injector, &mut nodes, Expect::InEffect);
    assert_eq!(evidence, format!("pid {before} is dead"));
    let probe = Action::Probe { fault: FAULT, node: "n1".to_string(), expect: Expect::Over };
    assert!(matches!(injector.act(&probe, &mut nodes), Event::NotCleared { .. }));
    assert!(is_done(&injector.act(&heal(), &mut nodes)));
    let after = nodes.pid("n1").unwrap();
    assert_ne!(before, after);
    let evidence = probed(&mut injector, &mut nodes, Expect::Over);
    assert!(evidence.starts_with(&format!("pid {after} runs")), "{evidence}");
    // Healing again does not start another one.
    assert!(is_done(&injector.act(&heal(), &mut nodes)));
    assert_eq!(nodes.pid("n1"), Some(after));
}

#[test]
fn a_stall_is_confirmed_by_stopped_threads_and_over_when_they_have_run() {
    let mut nodes = Sleepers::new(&["n1"]);
    let undo = nodes.undo();
    let mut injector = Injector::new(undo.clone(), 1);
    let pid = nodes.pid("n1").unwrap();
    assert!(is_done(&injector.act(&inject(Deed::Stall), &mut nodes)));
    let records = std::fs::read_to_string(undo.path()).unwrap();
    assert!(records.contains("\"stopping\""), "the undo record stands before the deed: {records}");
    let evidence = probed(&mut injector, &mut nodes, Expect::InEffect);
    assert_eq!(evidence, format!("pid {pid}: state T (stopped), 1 threads"));
    let probe = Action::Probe { fault: FAULT, node: "n1".to_string(), expect: Expect::Over };
    assert!(matches!(injector.act(&probe, &mut nodes), Event::NotCleared { .. }));
    assert!(is_done(&injector.act(&heal(), &mut nodes)));
    let evidence = probed(&mut injector, &mut nodes, Expect::Over);
    assert!(evidence.starts_with(&format!("pid {pid}: state")), "{evidence}");
    assert_eq!(nodes.pid("n1"), Some(pid));
}

#[test]
fn a_process_that_died_while_it_was_stopped_is_started_again() {
    let mut nodes = Sleepers::new(&["n1"]);
    let mut injector = Injector::new(nodes.undo(), 1);
    assert!(is_done(&injector.act(&inject(Deed::Stall), &mut nodes)));
    probed(&mut injector, &mut nodes, Expect::InEffect);
    let stopped = Process::of(nodes.pid("n1").unwrap()).unwrap();
    stopped.kill().unwrap();
    assert!(stopped.wait_gone(Duration::from_secs(20)));
    assert!(is_done(&injector.act(&heal(), &mut nodes)));
    let evidence = probed(&mut injector, &mut nodes, Expect::Over);
    assert!(evidence.contains(" died; pid "), "{evidence}");
}

#[test]
fn a_wipe_empties_the_disk_only_once_the_process_is_dead() {
    let mut nodes = Sleepers::new(&["n1"]);
    let mut injector = Injector::new(nodes.undo(), 1);
    assert!(is_done(&injector.act(&inject(Deed::Wipe), &mut nodes)));
    let evidence = probed(&mut injector, &mut nodes, Expect::InEffect);
    assert!(evidence.ends_with("2 files with 110 bytes destroyed"), "{evidence}");
    let data = nodes.data_dir("n1");
    assert!(!data.join("topic-0").exists());
    assert!(std::fs::read_to_string(data.join("meta.properties")).unwrap().contains("new=true"));
    assert!(is_done(&injector.act(&heal(), &mut nodes)));
    probed(&mut injector, &mut nodes, Expect::Over);
}

#[test]
fn a_directory_that_is_no_brokers_is_not_emptied() {
    let mut nodes = Sleepers::new(&["n1"]);
    let mut injector = Injector::new(nodes.undo(), 1);
    let data = nodes.data_dir("n1");
    std::fs::remove_file(data.join("meta.properties")).unwrap();
    let process = Process::of(nodes.pid("n1").unwrap()).unwrap();
    assert!(is_done(&injector.act(&inject(Deed::Wipe), &mut nodes)));
    assert!(process.wait_gone(Duration::from_secs(20)));
    let probe = Action::Probe { fault: FAULT, node: "n1".to_string(), expect: Expect::InEffect };
    let answer = injector.act(&probe, &mut nodes);
    let Event::NotConfirmed { evidence, .. } = answer else { panic!("{answer:?}") };
    assert!(evidence.contains("is not a broker's data directory"), "{evidence}");
    assert!(data.join("topic-0").exists());
}

#[test]
fn what_can_not_be_done_fails_with_a_reason() {
    let mut nodes = Sleepers::new(&["n1"]);
    let mut injector = Injector::new(nodes.undo(), 1);
    nodes.starts_fail = true;
    assert!(is_done(&injector.act(&inject(Deed::Kill), &mut nodes)));
    probed(&mut injector, &mut nodes, Expect::InEffect);
    let answer = injector.act(&heal(), &mut nodes);
    assert!(matches!(&answer, Event::Failed { error, .. } if error == "the port is in use"));
    // Dead already: there is nothing to hit.
    let again =
        Action::Inject { fault: 2, node: "n1".to_string(), deed: Deed::Stall, peers: Vec::new() };
    let answer = injector.act(&again, &mut nodes);
    assert!(matches!(&answer, Event::Failed { error, .. } if error == "it was not running"));
}

#[test]
fn a_termination_is_confirmed_by_the_end_and_tells_how_long_it_took() {
    let mut nodes = Sleepers::new(&["n1"]);
    let mut injector = Injector::new(nodes.undo(), 1);
    let before = nodes.pid("n1").unwrap();
    let deed = Deed::Terminate { grace: plan::Millis(60_000) };
    assert!(is_done(&injector.act(&inject(deed), &mut nodes)));
    let evidence = probed(&mut injector, &mut nodes, Expect::InEffect);
    assert!(evidence.starts_with(&format!("pid {before} was seen dead")), "{evidence}");
    assert!(evidence.ends_with("s after SIGTERM"), "{evidence}");
    assert!(is_done(&injector.act(&heal(), &mut nodes)));
    probed(&mut injector, &mut nodes, Expect::Over);
    assert_ne!(nodes.pid("n1"), Some(before));
}

#[cfg(target_os = "linux")]
#[test]
fn what_outlives_its_grace_is_killed_and_that_is_told() {
    let mut nodes = Sleepers::new(&["n1"]);
    nodes.children.insert("n1".to_string(), Child::deaf("injector-deaf"));
    let mut injector = Injector::new(nodes.undo(), 1);
    let before = nodes.pid("n1").unwrap();
    let deed = Deed::Terminate { grace: plan::Millis(1) };
    assert!(is_done(&injector.act(&inject(deed), &mut nodes)));
    let evidence = probed(&mut injector, &mut nodes, Expect::InEffect);
    let expected = format!("OVERRUN: pid {before} still ran 1ms after SIGTERM; dead of SIGKILL");
    assert_eq!(evidence, expected);
    assert!(is_done(&injector.act(&heal(), &mut nodes)));
    probed(&mut injector, &mut nodes, Expect::Over);
}

#[test]
fn a_stutter_stops_and_runs_in_turn_and_ends_running() {
    let mut nodes = Sleepers::new(&["n1"]);
    let mut injector = Injector::new(nodes.undo(), 1);
    let process = Process::of(nodes.pid("n1").unwrap()).unwrap();
    let deed = Deed::Stutter { stopped: plan::Millis(200), running: plan::Millis(300) };
    assert!(is_done(&injector.act(&inject(deed), &mut nodes)));
    probed(&mut injector, &mut nodes, Expect::InEffect);
    let pulse = |on| Action::Pulse { fault: FAULT, node: "n1".to_string(), on };
    for _ in 0..2 {
        assert!(is_done(&injector.act(&pulse(false), &mut nodes)));
        eventually(|| matches!(process.state(), State::Alive(_)));
        assert!(is_done(&injector.act(&pulse(true), &mut nodes)));
        eventually(|| matches!(process.state(), State::Stopped { .. }));
    }
    assert!(is_done(&injector.act(&heal(), &mut nodes)));
    let evidence = probed(&mut injector, &mut nodes, Expect::Over);
    assert!(evidence.contains("seen stopped 3 times"), "{evidence}");
    assert_eq!(nodes.pid("n1"), Some(process.pid));
}

#[test]
fn a_loop_ends_one_life_after_the_other_and_leaves_the_last() {
    let mut nodes = Sleepers::new(&["n1"]);
    let mut injector = Injector::new(nodes.undo(), 1);
    let deed = Deed::CrashLoop { running: plan::Millis(300), pause: plan::Millis(200) };
    assert!(is_done(&injector.act(&inject(deed), &mut nodes)));
    probed(&mut injector, &mut nodes, Expect::InEffect);
    let pulse = |on| Action::Pulse { fault: FAULT, node: "n1".to_string(), on };
    for _ in 0..2 {
        assert!(is_done(&injector.act(&pulse(false), &mut nodes)));
        let life = Process::of(nodes.pid("n1").unwrap()).unwrap();
        assert!(life.is_alive());
        assert!(is_done(&injector.act(&pulse(true), &mut nodes)));
        eventually(|| !life.is_alive());
    }
    assert!(is_done(&injector.act(&heal(), &mut nodes)));
    let evidence = probed(&mut injector, &mut nodes, Expect::Over);
    assert!(evidence.ends_with(", 3 lives were ended before"), "{evidence}");
    let last = nodes.pid("n1");
    assert!(is_done(&injector.act(&pulse(true), &mut nodes)), "nothing beats any more");
    assert_eq!(nodes.pid("n1"), last);
}

/// The nemesis, the injector and real processes together.
#[test]
fn a_schedule_is_carried_out_on_real_processes_and_everything_is_healed() {
    let text = "schema = 1\nname = \"x\"\n[limits]\nrecovery_wait = \"0s\"\n\
        [[fault]]\nname = \"kill\"\non = \"n1\"\nfrom = \"0s\"\nfor = \"10ms\"\n\
        [[fault]]\nname = \"stall\"\non = \"n2\"\nfrom = \"10ms\"\nfor = \"10ms\"\n\
        [[fault]]\nname = \"kill\"\non = \"one\"\nfrom = \"20ms\"\nfor = \"10ms\"\n";
    let plan = plan::load("x", text, &[]).unwrap().plan;
    let names = ["n1", "n2", "n3"];
    let mut nodes = Sleepers::new(&names);
    let mut injector = Injector::new(nodes.undo(), 1);
    let member = |(at, name): (usize, &&str)| Member { id: at as i32 + 1, name: name.to_string() };
    let brokers: Vec<Member> = names.iter().enumerate().map(member).collect();
    let topology = Topology { brokers: brokers.clone(), controllers: brokers };
    let mut nemesis = Nemesis::new(&plan, Schedule::new(&plan, 1), topology);
    let began = Instant::now();
    let mut event = Event::Begin;
    while !nemesis.is_finished() {
        assert!(began.elapsed() < Duration::from_secs(60));
        let now_ms = began.elapsed().as_millis() as u64;
        let mut actions = nemesis.on_event(now_ms, event);
        while !actions.is_empty() {
            let answers: Vec<Event> =
                actions.iter().map(|action| injector.act(action, &mut nodes)).collect();
            actions = answers.into_iter().flat_map(|e| nemesis.on_event(now_ms, e)).collect();
        }
        event = Event::Tick;
    }
    for record in nemesis.records() {
        assert_eq!(record.state, model::fault::FaultState::Cleared, "{record:?}");
        assert_eq!(record.evidence.len(), 2);
    }
    for name in names {
        let process = Process::of(nodes.pid(name).unwrap()).unwrap();
        assert!(matches!(process.state(), State::Alive(_)), "{name}");
    }
}
