//! The command line from outside: what it lists, what it refuses, and that each refusal says what happened, where, and
//! what to do next.
#![allow(clippy::disallowed_methods, reason = "a test runs processes and waits for them")]

#[path = "support/place.rs"]
mod place;

use place::{Answer, Place, wait_for};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};

const COULD_NOT_RUN: i32 = 3;
const BAD_USAGE: i32 = 64;

fn run(args: &[&str]) -> Answer {
    Place::new().run(args)
}

/// Refused with this code: a message on stderr that holds each of the words, nothing on stdout.
#[track_caller]
fn refused(answer: Answer, code: i32, words: &[&str]) {
    let answer = answer.code(code).says(words);
    assert_eq!(answer.out, "", "what is refused has no result");
}

#[test]
fn bad_usage_is_64_and_says_what_there_is() {
    refused(run(&["nonsense"]), BAD_USAGE, &["nonsense", "--help"]);
    refused(run(&["run", "--sed", "1"]), BAD_USAGE, &["--sed", "--seed"]);
    refused(run(&["run", "--seed", "many"]), BAD_USAGE, &["many", "--seed"]);
    refused(run(&["cluster", "up", "--nodes", "0"]), BAD_USAGE, &["--nodes", "1..=9"]);
    refused(run(&["list", "planets"]), BAD_USAGE, &["planets", "plans", "recipes"]);
    refused(run(&["broker"]), BAD_USAGE, &["--config"]);
    refused(run(&["check"]), BAD_USAGE, &["<RUNS>"]);
    refused(
        run(&["run", "--set", "workload.rate"]),
        BAD_USAGE,
        &["--set workload.rate", "KEY=VALUE"],
    );
}

#[test]
fn help_and_version_are_answers() {
    assert!(run(&["--help"]).code(0).out.contains("Exit codes: 0 held or not promised"));
    assert!(run(&["--version"]).code(0).out.starts_with("highwater "));
    for command in ["run", "check", "report", "compare", "cluster", "broker", "list", "doctor"] {
        let help = run(&[command, "--help"]).code(0).out;
        assert!(help.contains(&format!("Usage: highwater {command}")), "{help}");
    }
}

#[test]
fn a_plan_that_is_not_there_names_those_that_are() {
    let words =
        ["cannot read the plan no-such-plan", "shipped plan", "acked-writes-survive", "smoke"];
    refused(run(&["run", "no-such-plan"]), BAD_USAGE, &words);
}

#[test]
fn a_mistake_in_a_plan_is_shown_with_line_and_caret() {
    let place = Place::new();
    place.write("plan.toml", "schema = 1\nname = \"x\"\n\n[topic]\n  partitons = 3\n");
    let answer = place.run(["run", "plan.toml"]).code(BAD_USAGE);
    let expected = "plan.toml:5:3: unknown field `partitons`";
    assert!(answer.err.contains(expected), "{}", answer.err);
    assert!(answer.err.contains("5 |   partitons = 3\n  |   ^^^^^^^^^"), "{}", answer.err);
    assert!(answer.err.contains("did you mean `partitions`?"), "{}", answer.err);
    assert!(!place.path("store").exists(), "what is refused leaves nothing behind");

    place.write("torn.toml", "schema = 1\nname = \"x\n");
    refused(place.run(["run", "torn.toml"]), BAD_USAGE, &["torn.toml:2:", "^"]);
    place.write("type.toml", "schema = 1\nname = \"x\"\n[target]\nnodes = \"three\"\n");
    refused(place.run(["run", "type.toml"]), BAD_USAGE, &["type.toml:4:9:", "^^^^^^^"]);
}

#[test]
fn too_few_nodes_for_the_topic_is_a_mistake_of_the_plan() {
    let few = run(&["run", "smoke", "--set", "target.nodes=2"]);
    refused(few, BAD_USAGE, &["replication_factor", "2", "3"]);
    let none = run(&["run", "smoke", "--set", "target.nodes=0"]);
    refused(none, BAD_USAGE, &["--set target.nodes=0"]);
}

#[test]
fn an_unknown_defect_names_the_known_ones() {
    let words = ["there is no defect rot", "ack-before-isr", "forget-producer-state"];
    refused(run(&["run", "--defect", "rot"]), BAD_USAGE, &words);
    refused(run(&["run", "smoke", "--defect", "rot"]), BAD_USAGE, &words);
    refused(run(&["cluster", "up", "--defect", "rot"]), BAD_USAGE, &["list defects"]);
}

#[test]
fn a_defect_without_a_plan_of_its_own_runs_the_default_one_and_says_so() {
    let answer = run(&["run", "--defect", "unsynced-vote", "--dry-run"]).code(0);
    let answer = answer.says(&["note:", "unsynced-vote", "acked-writes-survive"]);
    assert!(answer.out.contains("unsynced-vote"), "{}", answer.out);
    let answer = run(&["run", "--defect", "ack-before-isr", "--dry-run"]).code(0);
    assert_eq!(answer.err, "", "its own plan is what one expects");
}

#[test]
fn defects_are_listed_by_the_part_of_the_broker_that_they_are_in() {
    let text = run(&["list", "defects"]).code(0).out;
    let at = |line: &str| {
        let found =
            text.lines().position(|given| given.trim_end() == line || given.starts_with(line));
        found.unwrap_or_else(|| panic!("{line} is not in\n{text}"))
    };
    assert!(at("raft") < at("  unsynced-vote ") && at("  unsynced-vote ") < at("log"), "{text}");
    assert!(at("controller") < at("  stale-broker-epoch "), "{text}");
    assert!(text.contains("(KIP-903)"), "{text}");
    let rows = run(&["list", "defects", "--json"]).code(0).json();
    let row =
        rows.as_array().and_then(|rows| rows.iter().find(|row| row["name"] == "unsynced-vote"));
    assert_eq!(row.map(|row| row["subsystem"].clone()), Some("raft".into()));
}

#[test]
fn run_and_compare_point_at_each_other() {
    let words = ["acks-and-min-insync", "[matrix]", "highwater compare"];
    refused(run(&["run", "acks-and-min-insync"]), BAD_USAGE, &words);
    refused(run(&["compare", "smoke"]), BAD_USAGE, &["smoke", "[matrix]", "highwater run smoke"]);
}

#[test]
fn lists_hold_what_there_is() {
    let known = [
        ("plans", "acked-writes-survive"),
        ("recipes", "starve-followers-kill-leader"),
        ("faults", "stall"),
        ("roles", "leader"),
        ("checks", "lost-write"),
        ("defects", "no-epoch-fencing"),
        ("targets", "bundled"),
        ("targets", "kafka"),
        ("workloads", "queue"),
    ];
    for (what, name) in known {
        let text = run(&["list", what]).code(0).out;
        let named = |line: &str| line.trim_start().split("  ").next() == Some(name);
        assert!(text.lines().any(named), "{what}:\n{text}");
        let rows = run(&["list", what, "--json"]).code(0).json();
        let rows = rows.as_array().expect("an array").clone();
        assert!(rows.iter().any(|row| row["name"] == name), "{what}: {rows:?}");
        let told = |row: &serde_json::Value| !row["about"].as_str().unwrap_or_default().is_empty();
        assert!(rows.iter().all(told), "everything says what it is: {rows:?}");
    }
    assert!(run(&["list"]).code(0).out.contains("plans, recipes, faults"));
    assert_eq!(run(&["list", "runs"]).code(0).out, "", "there are none yet");
}

#[test]
fn completions_are_a_script() {
    let place = Place::new();
    let script = place.run(["completions", "bash"]).code(0).out;
    assert!(script.contains("_highwater") && script.contains("--seed"));
    let file = place.write("completions.bash", &script);
    // Where there is no bash, nobody needs it to parse.
    if let Ok(status) = Command::new("bash").arg("-n").arg(file).status() {
        assert!(status.success(), "bash cannot parse it");
    }
    for shell in ["zsh", "fish"] {
        assert!(place.run(["completions", shell]).code(0).out.contains("highwater"));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn an_answer_that_cannot_be_written_is_told() {
    for args in [&["completions", "bash"][..], &["list", "checks"], &["run", "--dry-run"]] {
        let full = fs::File::options().write(true).open("/dev/full").expect("it is always full");
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        let output = command.args(args).stdout(full).output().expect("the binary starts");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(COULD_NOT_RUN), "{args:?}: {err}");
        assert!(err.contains("No space left on device"), "{args:?}: {err}");
    }
}

#[test]
fn doctor_tells_what_can_be_done_here() {
    let place = Place::new();
    let text = place.run(["doctor"]).code(0).out;
    assert!(text.contains("bundled cluster") && text.contains("nothing was left behind"), "{text}");
    let told = place.run(["doctor", "--json"]).code(0).json();
    assert_eq!(told["left_behind"], serde_json::json!([]));
    assert!(told["abilities"].as_array().is_some_and(|abilities| !abilities.is_empty()));
    assert!(place.run(["doctor", "--clean"]).code(0).out.contains("nothing was left behind"));
    assert!(!place.path("store").exists(), "looking makes nothing");
}

#[test]
fn a_seed_is_a_schedule() {
    let place = Place::new();
    let schedule = |seed: &str| place.run(["run", "--dry-run", "--seed", seed]).code(0).out;
    let (one, again, other) = (schedule("7"), schedule("7"), schedule("8"));
    assert_eq!(one, again);
    let faults = |text: &str| {
        let (_, faults) = text.split_once("# the fault schedule of seed ").expect("a schedule");
        faults.lines().skip(1).map(String::from).collect::<Vec<_>>()
    };
    assert_ne!(faults(&one), faults(&other));
    assert!(faults(&one).iter().filter(|line| line.contains(" kill ")).count() >= 4, "{one}");
    assert!(faults(&one).iter().filter(|line| line.contains(" stall ")).count() >= 2, "{one}");
    // What is printed is a plan itself, and the same one.
    place.write("resolved.toml", &one);
    let resolved = place.run(["run", "resolved.toml", "--dry-run", "--seed", "7"]).code(0);
    assert_eq!(resolved.out, one);
    assert!(!place.path("store").exists(), "a dry run does nothing");
}

#[test]
fn overrides_win_over_the_plan() {
    let args = ["run", "smoke", "--dry-run", "--time", "12s", "--set", "workload.rate=77/s"];
    let plan = run(&args).code(0).out;
    assert!(plan.contains("run = \"12s\"") && plan.contains("rate = \"77/s\""), "{plan}");
    let wrong = run(&["run", "smoke", "--dry-run", "--time", "soon"]);
    refused(wrong, BAD_USAGE, &["time.run=soon"]);
}

#[test]
fn a_store_that_cannot_be_made_is_told() {
    let place = Place::new();
    place.write("file", "");
    let answer = place.run(["run", "smoke", "--out", "file/store"]);
    refused(answer, COULD_NOT_RUN, &["cannot make file/store/smoke", "--out"]);
    let answer = place.run(["cluster", "up", "--out", "file/store"]);
    refused(answer, COULD_NOT_RUN, &["file/store"]);
}

/// `highwater list … | head -1`
#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_highwater"))
        .args(["list", "defects", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

/// A disk that is full while a run goes on, or before it can: a small one in a mount namespace of our own.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told() {
    let place = Place::for_cluster();
    fs::create_dir(place.path("disk")).expect("a directory");
    // Whoever comes to it first says it, the harness or a broker: what happened, and what to do about it.
    let words =
        ["is the disk full?", "No space left on device (os error 28); free space on that disk"];
    for size in ["40k", "3m"] {
        let script = format!(
            "mount -t tmpfs -o size={size} tmpfs disk || exit 99; cd disk || exit 99; exec {} run smoke --progress none --set time.heal=3s",
            env!("CARGO_BIN_EXE_highwater")
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        let output = command.current_dir(place.root()).output();
        let Ok(output) = output.inspect_err(|error| eprintln!("skipped: no unshare: {error}"))
        else {
            return;
        };
        let err = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(99) || err.contains("unshare") {
            eprintln!("skipped: no mount namespaces here: {err}");
            return;
        }
        assert_eq!(output.status.code(), Some(COULD_NOT_RUN), "{size}: {err}");
        let is_told = words.iter().any(|words| err.contains(words));
        assert!(is_told && !err.contains("panicked"), "{size}: {err}");
        place.assert_nothing_left();
    }
}

#[test]
fn a_run_that_is_not_one_is_told() {
    let place = Place::new();
    for command in ["check", "report"] {
        refused(place.run([command, "gone"]), COULD_NOT_RUN, &["gone"]);
        fs::create_dir_all(place.path("empty")).expect("a directory");
        let words = ["not a run directory", "run.json", "highwater list runs"];
        refused(place.run([command, "empty"]), COULD_NOT_RUN, &words);
    }
    place.write("text", "this is no history");
    refused(place.run(["check", "text"]), COULD_NOT_RUN, &["text is not a history of highwater"]);
    place.write("nothing", "");
    let nothing = place.run(["check", "nothing"]);
    assert!(nothing.code != 0, "an empty file proves nothing: {nothing:?}");
    assert!(!nothing.err.contains("panicked"), "{nothing:?}");
}

#[test]
fn no_cluster_is_up_is_told() {
    for command in ["status", "down"] {
        refused(
            run(&["cluster", command]),
            COULD_NOT_RUN,
            &["no cluster is up", "highwater cluster up"],
        );
    }
}

/// A broker alone, with `extra` properties.
fn broker(place: &Place, extra: &str) -> Answer {
    let data = place.path("data");
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:1\n\
         listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:1\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\n{extra}",
        data.display()
    );
    place.write("server.properties", &text);
    place.run(["broker", "--config", "server.properties"])
}

#[test]
fn a_broker_that_cannot_start_says_why_and_what_to_do() {
    let place = Place::new();
    let gone = place.run(["broker", "--config", "gone.properties"]);
    refused(gone, COULD_NOT_RUN, &["gone.properties", "name a server.properties that exists"]);

    let answer = broker(&place, "broker.session.timeout.ms=soon\n");
    let words = ["server.properties", "broker.session.timeout.ms", "soon", "line 7"];
    refused(answer, COULD_NOT_RUN, &words);

    let answer = broker(&place, "highwater.defects=rot\n");
    refused(answer, COULD_NOT_RUN, &["highwater.defects", "rot", "ack-before-isr"]);

    place.write("file", "");
    let answer = broker(&place, &format!("log.dirs={}\n", place.path("file/data").display()));
    refused(answer, COULD_NOT_RUN, &["file/data", "log.dirs"]);

    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("its address").port();
    let listeners = format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:0\n");
    let answer = broker(&place, &listeners);
    // Progress goes to stdout: its log.
    let answer = answer.code(COULD_NOT_RUN).says(&[&format!("127.0.0.1:{port}"), "in use"]);
    assert!(answer.err.contains("listeners"), "what to do next: {}", answer.err);
}

#[test]
fn a_data_directory_has_one_broker() {
    let place = Place::for_cluster();
    let ports = [0; 2].map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    let [broker_port, controller_port] =
        ports.each_ref().map(|port| port.local_addr().expect("its address").port());
    drop(ports);
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://127.0.0.1:{broker_port},CONTROLLER://127.0.0.1:{controller_port}\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\n",
        place.path("data").display()
    );
    place.write("server.properties", &text);
    let mut first = place.start(["broker", "--config", "server.properties"]);
    // Not by dialling: a dial to a free port of this machine may be answered by itself.
    wait_for("it has the directory", || {
        first.assert_runs();
        let marker = place.path("data").join("meta.properties");
        if marker.exists() { Ok(()) } else { Err(format!("no {}", marker.display())) }
    });
    let second = place.run(["broker", "--config", "server.properties"]).code(COULD_NOT_RUN);
    second.says(&["another process uses the data directory", "log.dirs of its own"]);
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.wait().code, 0, "SIGTERM is a graceful stop");
}

#[test]
fn every_property_is_listed_with_its_default() {
    let text = run(&["broker", "--list-properties"]).code(0).out;
    for name in ["process.roles=", "log.dirs=", "replica.lag.time.max.ms=", "min.insync.replicas=1"]
    {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is not in\n{text}");
    }
}
