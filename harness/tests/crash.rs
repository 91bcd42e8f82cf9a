//! A harness that is killed or interrupted in the middle of a run: what it leaves behind is found and ended, and what it
//! had written down is still worth something.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{BY_SIGNAL, Place, Running, read, read_json, read_json_lines, signal, state, wait_for};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const UNKNOWN: i32 = 2;

/// A leader that stands still for longer than the test takes: whatever ends the run finds it stopped.
const PLAN: &str = r#"
schema = 1
name   = "long-stall"

[target]
kind  = "bundled"
nodes = 3

[topic]
partitions         = 3
replication_factor = 3
min_insync_replicas = 2

[workload]
producers    = 1
consumers    = 1
rate         = "500/s"
record_bytes = "256B"

[[fault]]
name = "stall"
on   = "leader"
from = "200ms"
for  = "100s"

[time]
baseline = "1s"
run      = "110s"
heal     = "30s"
settle   = "30s"
check    = "30s"
"#;

/// Starts the plan and waits until its node stands still. The file's name is hostile, for it ends up in the report.
fn start_until_stalled(place: &Place) -> (Running, PathBuf, u32) {
    let name = "<b>long&stall.toml";
    place.write(name, PLAN);
    let mut running = place.start(["run", name, "--seed", "3", "--progress", "lines"]);
    let run = wait_for("the run has a directory", || {
        running.assert_runs();
        let link = place.path("store/long-stall/latest");
        link.canonicalize().map_err(|error| error.to_string())
    });
    let stall = wait_for("the stall is confirmed", || {
        running.assert_runs();
        let lines = read_json_lines(&run.join("faults.jsonl"));
        let confirmed = |line: &&Value| line["name"] == "stall" && line["state"] == "confirmed";
        lines.iter().find(confirmed).cloned().ok_or_else(|| format!("{lines:?}"))
    });
    let node = stall["nodes"][0].as_str().expect("a node").to_string();
    let marker = format!("/nodes/{node}/server.properties");
    let processes = place.processes();
    let stopped = processes.iter().find(|(_, line)| line.contains(&marker));
    let (pid, _) = stopped.unwrap_or_else(|| panic!("{node} is not among {processes:?}"));
    assert_eq!(state(*pid), Some('T'), "{node} stands still");
    (running, run, *pid)
}

/// The interrupted run judged again: unknown or better, and never a panic.
fn judged(place: &Place, run: &Path) -> Value {
    let path = run.to_str().expect("a path of ASCII");
    let answer = place.run(["check", path, "--json"]);
    assert!([0, UNKNOWN].contains(&answer.code), "{answer:?}");
    answer.says(&[]).json()
}

#[test]
fn what_a_killed_harness_leaves_is_found_and_ended() {
    let place = Place::for_cluster();
    let (mut running, run, stalled) = start_until_stalled(&place);
    let busy = place.run(["doctor"]).code(0).out;
    assert!(busy.contains(&format!("a run in progress (pid {})", running.pid())), "{busy}");
    let alone = place.run(["doctor", "--clean"]).code(0).out;
    assert!(alone.contains("left alone: a run in progress"), "{alone}");
    running.assert_runs();

    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, BY_SIGNAL);
    // The kernel itself hangs up on a process that stands still when the last of its kin dies, and wakes it: it ends, but not
    // under nohup, or is about to. Of that one nothing can be said; the others live on.
    let mut alive = place.processes();
    alive.retain(|(pid, _)| *pid != stalled);
    assert!(alive.len() >= 2, "its brokers live on: {alive:?}");
    let (stopped, _) = alive.first().expect("one that never stood still");
    signal(*stopped, Signal::STOP);
    // Its threads stop one after the other, and it is stopped once all of them have.
    let left = wait_for("doctor sees it stand still", || {
        let left = place.run(["doctor"]).code(0).out;
        match left.contains(&format!("stopped process {stopped} (n")) {
            true => Ok(left),
            false => Err(left),
        }
    });
    for (pid, _) in &alive {
        assert!(left.contains(&format!("process {pid} (n")), "{pid} is not in\n{left}");
    }
    assert_eq!(state(*stopped), Some('T'), "doctor only looks, unless told otherwise");
    let told = place.run(["doctor", "--json"]).code(0).json();
    assert!(told["left_behind"].as_array().map(Vec::len) >= Some(alive.len()), "{told}");

    let done = place.run(["doctor", "--clean"]).code(0).out;
    for (pid, _) in &alive {
        assert!(done.contains(&format!("ended process {pid} (n")), "{pid} is not in\n{done}");
        assert!(state(*pid).is_none_or(|state| state == 'Z'), "{pid} is still there");
    }
    place.assert_nothing_left();
    assert!(place.run(["doctor"]).code(0).out.contains("nothing was left behind"));
    assert!(place.run(["doctor", "--clean"]).code(0).out.contains("nothing was left behind"));

    let verdict = judged(&place, &run);
    assert_eq!(verdict["verdict"], "unknown", "nobody read what was acknowledged: {verdict}");
    assert!(verdict["counts"]["ok"].as_u64() > Some(0), "what was recorded counts");
    assert_eq!(verdict["faults"][0]["state"], "confirmed");
    let path = run.to_str().expect("a path of ASCII");
    place.run(["report", path]).code(0);
    assert!(read(&run.join("report.html")).contains("<b>Interrupted:</b>"));
    assert_eq!(read_json(&run.join("verdict.json"))["verdict"], "unknown");
    assert!(place.run(["list", "runs"]).code(0).out.contains("unknown"));
    a_history_cut_anywhere_has_an_answer(&place, &run);
}

/// The last block may have been torn at any byte.
fn a_history_cut_anywhere_has_an_answer(place: &Place, run: &Path) {
    let history = fs::read(run.join("history.hwh")).expect("a history");
    let length = history.len();
    let cuts = [0, 1, 7, 16, length / 3, length / 2, length - 1000, length - 7, length - 1];
    for cut in cuts {
        fs::write(run.join("history.hwh"), &history[..cut])
            .expect("the directory can be written to");
        let verdict = judged(place, run);
        assert_eq!(verdict["verdict"], "unknown", "cut to {cut} of {length} bytes: {verdict}");
    }
    fs::remove_file(run.join("history.hwh")).expect("it is there");
    assert_eq!(judged(place, run)["verdict"], "unknown", "a run that had not begun its load");
}

#[test]
fn a_harness_killed_while_its_cluster_starts_leaves_nothing_either() {
    let place = Place::for_cluster();
    let mut running = place.start(["run", "smoke", "--progress", "none"]);
    wait_for("a broker is started", || {
        running.assert_runs();
        let brokers = place.processes().into_iter().filter(|(pid, _)| *pid != running.pid());
        if brokers.count() > 0 { Ok(()) } else { Err("there is none yet".to_string()) }
    });
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, BY_SIGNAL);
    place.run(["doctor", "--clean"]).code(0);
    place.assert_nothing_left();
    judged(&place, &place.latest("smoke"));
}

#[test]
fn an_interrupted_run_is_healed_read_and_judged() {
    let place = Place::for_cluster();
    let (mut running, run, stopped) = start_until_stalled(&place);
    running.signal(Signal::INT);
    let answer = running.wait().code(130).says(&["interrupted: healing", "over, "]);
    assert!(answer.out.contains("interrupted"), "{answer:?}");
    assert!(state(stopped).is_none_or(|state| state == 'Z'), "nobody stands still any more");
    place.assert_nothing_left();

    let verdict = read_json(&run.join("verdict.json"));
    let fault = &verdict["faults"][0];
    assert_eq!((fault["name"].as_str(), fault["state"].as_str()), (Some("stall"), Some("cleared")));
    let counts = &verdict["counts"];
    assert!(counts["ok"].as_u64() > Some(0), "{counts}");
    assert_eq!(counts["ok"], counts["ok_read"], "everything was read after healing: {counts}");
    assert_ne!(verdict["verdict"], "broken", "{}", verdict["because"]);
    assert_eq!(judged(&place, &run), verdict, "judged again from what is stored");

    let page = read(&run.join("report.html"));
    assert!(page.contains("<b>Interrupted:</b>"));
    assert!(!page.contains("<b>long"), "the name of the plan's file is text, not markup");
    assert!(page.contains("long&#38;stall.toml") || page.contains("long&amp;stall.toml"));
}

#[test]
fn a_run_that_is_told_to_end_ends_with_143() {
    let place = Place::for_cluster();
    let (mut running, run, stopped) = start_until_stalled(&place);
    running.signal(Signal::TERM);
    running.wait().code(143);
    assert!(state(stopped).is_none_or(|state| state == 'Z'));
    place.assert_nothing_left();
    assert!(run.join("verdict.json").is_file() && run.join("report.html").is_file());
}

/// Worlds with something of every kind to leave behind: namespaces, disks and groups; file systems of ours and proxies.
const WORLDS: [&str; 2] = [
    "[[fault]]\nname = \"cut\"\non = \"leader\"\npeers = \"followers\"\nfrom = \"200ms\"\nfor = \"1s\"\n\
     [[fault]]\nname = \"power-loss\"\non = \"follower\"\nfrom = \"1s\"\nfor = \"1s\"\n\
     [[fault]]\nname = \"cpu-limit\"\non = \"n1\"\nfrom = \"200ms\"\nfor = \"5s\"\n",
    "[[fault]]\nname = \"slow\"\non = \"leader\"\nfrom = \"200ms\"\nfor = \"1s\"\n\
     [[fault]]\nname = \"delay\"\non = \"leader\"\npeers = \"clients\"\nfrom = \"500ms\"\nfor = \"1s\"\n\
     [[fault]]\nname = \"memory-limit\"\nbytes = \"1GiB\"\non = \"n1\"\nfrom = \"200ms\"\nfor = \"5s\"\n",
];
/// In each world, some moments on either side of everything that a run makes and undoes.
const KILLS: u64 = 7;

/// What the machine has of things that outlive processes, and that a run may make.
fn machine(place: &Place) -> BTreeSet<String> {
    let names = |directory: &str| -> Vec<String> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect()
    };
    let groups = ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory"];
    let mut found: BTreeSet<String> = groups.into_iter().flat_map(names).collect();
    found.retain(|name| name.contains("/highwater-") && !name.contains("-probe-"));
    found.extend(names("/sys/class/net"));
    let here = place.root().to_str().expect("a path of ASCII");
    let mounts = read(Path::new("/proc/self/mountinfo"));
    found.extend(mounts.lines().filter(|line| line.contains(here)).map(str::to_string));
    for device in names("/sys/block") {
        let backing = read(&Path::new(&device).join("loop/backing_file"));
        if backing.contains(here) {
            found.insert(format!("{device}: {}", backing.trim()));
        }
    }
    found
}

#[test]
fn a_harness_killed_at_any_moment_leaves_nothing_that_doctor_does_not_end() {
    let place = Place::for_cluster();
    let before = machine(&place);
    let head = PLAN.split("[[fault]]").next().expect("what is before the faults");
    let time =
        "[limits]\ndamaged = 2\n[time]\nbaseline = \"500ms\"\nrun = \"4s\"\nheal = \"30s\"\n";
    for (world, faults) in WORLDS.iter().enumerate() {
        place.write("world.toml", &format!("{head}{time}{faults}"));
        for kill in 0..KILLS {
            let mut running = place.start(["run", "world.toml", "--progress", "none"]);
            // The first while things are being made, the last while they are being undone.
            let moment = Instant::now() + Duration::from_millis(50 + 1_150 * kill);
            while Instant::now() < moment && running.has_ended().is_none() {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            if let Some(status) = running.has_ended()
                && status.code() == Some(3)
            {
                eprintln!("skipped: {}", running.wait().err.trim());
                break;
            }
            running.signal(Signal::KILL);
            running.wait();
            place.run(["doctor", "--clean"]).code(0);
            place.assert_nothing_left();
            // The kernel lets go of a loop device after its last mount, a moment later; what somebody else's run has made
            // meanwhile goes with that.
            wait_for("nothing is there that was not before", || {
                let now = machine(&place);
                let left: Vec<&String> = now.difference(&before).collect();
                match left.is_empty() {
                    true => Ok(()),
                    false => Err(format!("world {world}, kill {kill}: {left:?}")),
                }
            });
        }
    }
}
