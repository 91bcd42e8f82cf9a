use super::*;
use crate::deed::{Cut, Deed, Direction, How, Needs};
use crate::plan::{Controllers, Flush, Peers, Profile};
use crate::recipe::{Step, Wait};
use crate::shipped;
use model::settings::Acks;
use proptest::prelude::*;

mod clients;
mod links;
mod topics;

const SMALL: &str = "schema = 1\nname = \"small\"\n[[fault]]\nname = \"kill\"\non = \"leader\"\n";

fn problem(text: &str) -> String {
    load("p.toml", text, &[]).expect_err(text).to_string()
}

#[test]
fn defaults_are_written_out_and_load_to_the_same_plan() {
    let loaded = load("p.toml", SMALL, &[]).unwrap();
    assert_eq!(loaded.warnings, []);
    let plan = &loaded.plan;
    assert_eq!((plan.target.nodes, plan.target.controllers), (3, Controllers::Combined));
    assert_eq!((plan.target.profile, plan.topic.flush), (Profile::Fast, Flush::None));
    assert_eq!((plan.topic.replication_factor, plan.topic.min_insync_replicas), (3, 2));
    assert_eq!((plan.workload.acks, plan.workload.idempotence), (Acks::All, true));
    let resolved = plan.to_toml();
    assert!(resolved.contains("min_insync_replicas = 2"), "{resolved}");
    assert_eq!(load("resolved", &resolved, &[]).unwrap().plan, *plan);
}

#[test]
fn every_shipped_plan_loads_without_a_warning_and_back_from_its_resolved_form() {
    for shipped in shipped::PLANS {
        let loaded = load(shipped.name, shipped.text, &[]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(loaded.warnings, [], "{}", shipped.name);
        assert_eq!(loaded.plan.name, shipped.name);
        let resolved = loaded.plan.to_toml();
        let again = load("resolved", &resolved, &[]).unwrap_or_else(|e| panic!("{e}\n{resolved}"));
        assert_eq!(again.plan, Plan { matrix: Default::default(), ..loaded.plan });
        for cell in loaded.cells {
            let again = load("cell", &cell.plan.to_toml(), &[]).unwrap();
            assert_eq!(again.plan, cell.plan);
        }
        if let Some(defect) = shipped.defect {
            assert_eq!(shipped.name, format!("defect-{defect}"));
            assert_eq!(shipped::plan_for_defect(defect).unwrap().name, shipped.name);
        }
    }
    assert!(shipped::plan(shipped::DEFAULT_PLAN).is_some());
    assert!(shipped::plan(shipped::DEFAULT_COMPARISON).is_some());
}

#[test]
fn every_shipped_recipe_is_named_as_it_is_filed_and_loads_alone() {
    let names: Vec<&str> = shipped::recipe_names().collect();
    for ((name, about), filed) in shipped::recipes().into_iter().zip(names) {
        assert_eq!(name, filed);
        assert!(!about.is_empty());
        let text = format!(
            "schema = 1\nname = \"x\"\n[target]\ncontrollers = 1\n[[recipe]]\nname = \"{name}\"\n"
        );
        let loaded = load("p.toml", &text, &[]).unwrap_or_else(|e| panic!("{e}"));
        assert!(!loaded.plan.to_toml().contains('$'), "{name}: a parameter was not filled in");
    }
}

#[test]
fn the_comparison_has_a_cell_for_each_combination() {
    let shipped = shipped::plan("acks-and-min-insync").unwrap();
    let loaded = load(shipped.name, shipped.text, &[]).unwrap();
    assert_eq!(loaded.cells.len(), 3 * 2 * 2);
    let first = &loaded.cells[0];
    let label = "acks=0 min_insync_replicas=1 recipe=starve-followers-kill-leader";
    assert_eq!(first.label(), label);
    assert_eq!((first.plan.workload.acks, first.plan.workload.idempotence), (Acks::None, false));
    let last = &loaded.cells[11].plan;
    assert_eq!((last.workload.acks, last.workload.idempotence), (Acks::All, true));
    assert_eq!(last.recipes[0].name, "shrink-isr-wipe-leader");
    assert!(last.recipes[0].steps.iter().any(|s| matches!(s, Step::Do { deed: Deed::Wipe, .. })));
    assert!(last.matrix.is_empty());
}

#[test]
fn an_unknown_key_is_refused_with_line_caret_and_a_suggestion() {
    let text = "schema = 1\nname = \"x\"\n[topic]\npartitons = 3\n";
    let shown = problem(text);
    assert!(shown.starts_with("p.toml:4:1: unknown field `partitons`, expected one of"), "{shown}");
    assert!(shown.contains("4 | partitons = 3\n  | ^^^^^^^^^\n"), "{shown}");
    assert!(shown.ends_with("help: did you mean `partitions`?"), "{shown}");
}

#[test]
fn a_wrong_value_says_what_was_expected() {
    let cases = [
        ("[time]\nrun = 15\n", "p.toml:4:7: ", "a duration such as \"15s\""),
        ("[time]\nrun = \"15 parsecs\"\n", "p.toml:4:7: ", "a duration such as \"15s\""),
        ("[workload]\nrate = \"fast\"\n", "p.toml:4:8: ", "a rate such as \"10000/s\""),
        ("[workload]\nrecord_bytes = \"1kb\"\n", "p.toml:4:16: ", "a size such as \"1KiB\""),
        ("[workload]\nacks = \"most\"\n", "p.toml:4:8: ", "acks: \"all\", \"1\" or \"0\""),
        ("[target]\nkind = \"redpanda\"\n", "p.toml:4:8: ", "a target: \"bundled\" or \"kafka\""),
        ("[target]\ncontrollers = 0\n", "p.toml:4:15: ", "\"combined\" or a number"),
        ("[topic]\nflush = \"often\"\n", "p.toml:4:9: ", "\"none\", \"every-batch\" or"),
        ("[[fault]]\nname = \"kil\"\non = \"leader\"\n", "p.toml:4:8: ", "did you mean `kill`?"),
        ("[[fault]]\non = \"leader\"\n", "p.toml:3:1: ", "missing field `name`"),
        ("[topic\n", "p.toml:3:", "table"),
    ];
    for (text, place, expected) in cases {
        let shown = problem(&format!("schema = 1\nname = \"x\"\n{text}"));
        assert!(shown.starts_with(place), "{text}{shown}");
        assert!(shown.contains(expected), "{text}{shown}");
    }
}

#[test]
fn a_plan_that_makes_no_sense_is_refused_with_help() {
    let cases = [
        ("[target]\nnodes = 2\n[topic]\nreplication_factor = 3\n", "p.toml:6:22: 3 replicas need"),
        ("[workload]\nacks = 1\nidempotence = true\n", "p.toml:5:15: idempotence needs"),
        ("[workload]\nin_flight = 100\n", "p.toml:4:13: idempotence keeps order up to 5"),
        (
            "[target]\nkind = \"kafka\"\ndefects = [\"x\"]\n",
            "only the bundled broker can be wrong on demand",
        ),
        ("[target]\nlog_dirs = 2\n", "the bundled broker has one log directory"),
        ("[target]\nkind = \"kafka\"\nlog_dirs = 17\n", "17 log directories"),
        ("[[fault]]\nname = \"log-dir-offline\"\n", "the brokers have one log directory each"),
        ("[target]\nheap = \"1GiB\"\n", "p.toml:4:8: `heap` is for Apache Kafka"),
        ("[target]\nkind = \"kafka\"\nheap = \"1MiB\"\n", "p.toml:5:8: Kafka does not start"),
        ("[workload]\nname = \"transactions\"\n", "p.toml:4:8: the bundled broker has no"),
        ("[workload]\nname = \"exactly-once\"\n", "p.toml:4:8: the bundled broker has no"),
        (
            "[target]\nkind = \"kafka\"\n[workload]\nname = \"exactly-once\"\nconsumers = 0\n",
            "p.toml:7:13: a group without members",
        ),
        (
            "[target]\nkind = \"kafka\"\n[workload]\nname = \"exactly-once\"\ncommits = \"after\"\n",
            "p.toml:7:11: `commits` means nothing to the workload exactly-once",
        ),
        ("[workload]\naborts = 0.5\n", "p.toml:4:10: `aborts` means nothing to the workload queue"),
        (
            "[target]\nkind = \"kafka\"\n[workload]\nname = \"transactions\"\naborts = 2.0\n",
            "p.toml:7:10: a share of all transactions",
        ),
        ("[workload.properties]\nacks = \"all\"\n", "`acks` has a field of its own"),
        ("[topic.properties]\n\"flush.ms\" = 1\n", "`flush.ms` has a field of its own"),
        ("[topic]\nname = \"a b\"\n", "p.toml:4:8: `a b` is no topic name"),
        ("[topic]\nmin_insync_replicas = 0\n", "p.toml:4:23: 0 replicas can't be in sync"),
        ("[[fault]]\nname = \"kill\"\non = \"leadr\"\n", "did you mean `leader`?"),
        ("[[fault]]\nname = \"kill\"\non = \"n4\"\n", "p.toml:5:6: `n4` is neither a role nor"),
        ("[[fault]]\nname = \"kill\"\non = \"successor\"\n", "refers to an earlier step"),
        ("[[fault]]\nname = \"kill\"\non = \"majority\"\n", "damages 2 of 3 brokers"),
        ("[[fault]]\nname = \"wipe\"\non = \"leader\"\n", "destroys its votes too"),
        ("[[fault]]\nname = \"kill\"\non = \"leader\"\ncount = 3\n", "p.toml:6:9: 3 times, and"),
        ("[[fault]]\nname = \"kill\"\non = \"leader\"\nfrom = \"2m\"\n", "p.toml:6:8: due from 2m"),
        ("[[recipe]]\nname = \"starve\"\n", "p.toml:4:8: no recipe `starve` is shipped"),
        (
            "[[recipe]]\nname = \"fail-over-twice\"\n",
            "p.toml:4:8: `fail-over-twice` would take the controllers down",
        ),
        (
            "[target]\ncontrollers = 1\n[[recipe]]\nname = \"fail-over-twice\"\nwith = { lags = 1 }\n",
            "`fail-over-twice` has no parameter `lags`",
        ),
        (
            "[target]\ncontrollers = 1\n[[recipe]]\nname = \"fail-over-twice\"\nwith = { lag = 1 }\n",
            "a duration such as \"3s\"",
        ),
        ("[matrix]\nspeed = [1]\n", "unknown field `speed`"),
        ("[matrix]\nacks = []\n", "p.toml:4:1: the axis `acks` has no values"),
        ("[matrix]\nmin_insync = [1, 0]\n", "in the cell min_insync=0: 0 replicas"),
    ];
    for (text, expected) in cases {
        let shown = problem(&format!("schema = 1\nname = \"x\"\n{text}"));
        assert!(shown.contains(expected), "{text}\n{shown}");
    }
    assert!(problem("name = \"x\"\n").contains("add the line: schema = 1"));
    assert!(problem("schema = 2\nname = \"x\"\n").starts_with("p.toml:1:10: this program reads"));
    assert!(problem("schema = 1\nname = \"../x\"\n").contains("can't name a directory"));
}

#[test]
fn deeds_take_their_own_parameters_and_no_others() {
    let cut = "[[fault]]\nname = \"cut\"\non = \"leader\"\npeers = \"controller\"\n";
    let split = "[target]\nnodes = 5\n[[fault]]\nname = \"split\"\n";
    let cases = [
        (format!("{cut}grace = \"1s\"\n"), "p.toml:7:9: `grace` means nothing to `cut`"),
        (format!("{cut}grace = \"1s\"\n"), "it takes peers, direction, how, connections"),
        (format!("{cut}how = \"lose\"\n"), "p.toml:7:7: unknown variant `lose`"),
        (cut.replace("controller", "leadr"), "did you mean `leader`?"),
        (cut.replace("controller", "client"), "did you mean `clients`?"),
        (cut.replace("controller", "successor"), "p.toml:6:9: `successor` refers to an earlier"),
        (cut.replace("peers", "#"), "cut off from whom?"),
        ("[[fault]]\nname = \"kill\"\n".to_string(), "whom does it hit?"),
        ("[[fault]]\nname = \"kill\"\non = \"one\"\nhow = \"drop\"\n".to_string(), "leave it out"),
        (
            "[[fault]]\nname = \"stutter\"\non = \"one\"\nstopped = \"1ms\"\n".to_string(),
            "50ms or more",
        ),
        ("[[fault]]\nname = \"isolate\"\non = \"one\"\nfor = \"0s\"\n".to_string(), "of no length"),
        (split.to_string(), "split in which shape?"),
        (format!("{split}shape = \"ring\"\n"), "no shape is called `ring`"),
        (format!("{split}shape = \"halves\"\non = \"leader\"\n"), "hits the whole cluster"),
        (format!("{split}shape = \"majorities-ring\"\n"), "may damage 5 of 5 brokers"),
        (
            format!("{split}shape = \"majorities-ring\"\n").replace("= 5", "= 4"),
            "`majorities-ring` needs 5 nodes or more, there are 4",
        ),
        (format!("{split}shape = \"bridge\"\n").replace("= 5", "= 3"), "`bridge` needs 4 nodes"),
        (format!("{split}shape = \"racks\"\n"), "which racks?"),
        ("[[fault]]\nname = \"kill\"\non = \"rack\"\n".to_string(), "which racks are there?"),
        ("[target]\nracks = [[\"n1\"], [\"n2\"]]\n".to_string(), "`n3` is in no rack"),
        (
            "[[fault]]\nname = \"kill\"\non = \"one\"\nfollow = true\n".to_string(),
            "`one` does not move",
        ),
        (
            "[[fault]]\nname = \"wipe\"\non = \"leader\"\nfollow = true\n".to_string(),
            "a wipe does not go from node to node",
        ),
        (
            format!("{split}shape = \"racks\"\nracks = [[\"n1\"], [\"n2\", \"n3\"]]\n"),
            "`n4` is in no rack",
        ),
    ];
    for (text, expected) in cases {
        let shown = problem(&format!("schema = 1\nname = \"x\"\n{text}"));
        assert!(shown.contains(expected), "{text}\n{shown}");
    }
}

#[test]
fn deeds_with_parameters_load_back_from_the_resolved_form() {
    let text = r#"
schema = 1
name = "x"
[target]
nodes = 5
[limits]
damaged = 5
[[fault]]
name = "cut"
on = "leader"
peers = "clients"
direction = "out"
how = "reject"
connections = "new"
[[fault]]
name = "terminate"
on = "one"
grace = "3s"
[[fault]]
name = "stutter"
on = "n1"
[[fault]]
name = "flap"
on = "n2"
peers = "n3"
[[fault]]
name = "split"
shape = "racks"
racks = [["n1", "n2"], ["n3"], ["n4", "n5"]]
[[recipe]]
name = "mine"
[[recipe.step]]
do = "isolate"
on = "leader"
how = "reject"
[[recipe.step]]
do = "cut"
on = "follower"
peers = "previous-leader"
[[recipe.step]]
wait = "isr-without"
step = "step-1"
"#;
    let plan = load("p.toml", text, &[]).unwrap_or_else(|e| panic!("{e}")).plan;
    let Deed::Cut(cut) = plan.faults[0].deed else { panic!("{:?}", plan.faults[0]) };
    assert_eq!((cut.direction, cut.how), (Direction::Out, How::Reject));
    assert_eq!(plan.faults[0].peers, Some(Peers::Clients));
    assert_eq!(plan.needs().into_iter().collect::<Vec<_>>(), [Needs::Nothing, Needs::Namespaces]);
    let resolved = plan.to_toml();
    let again = load("resolved", &resolved, &[]).unwrap_or_else(|e| panic!("{e}\n{resolved}"));
    assert_eq!(again.plan, plan);
    let step =
        plan.recipes[0].steps.iter().find(|s| matches!(s, Step::Do { id, .. } if id == "step-2"));
    assert!(matches!(step, Some(Step::Do { deed: Deed::Cut(cut), .. }) if *cut == Cut::default()));
}

#[test]
fn all_problems_are_told_at_once() {
    let shown = problem("schema = 1\nname = \"\"\n[topic]\npartitions = 0\n[target]\nnodes = 0\n");
    for expected in ["`name` is missing", "0 partitions", "0 nodes"] {
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn a_minimum_above_the_replication_factor_is_allowed_with_a_warning() {
    let loaded =
        load("p.toml", &format!("{SMALL}[topic]\nmin_insync_replicas = 4\n"), &[]).unwrap();
    assert_eq!(loaded.plan.topic.min_insync_replicas, 4);
    assert!(loaded.warnings[0].to_string().contains("above the replication factor 3"));
    let idle = load("p.toml", "schema = 1\nname = \"x\"\n", &[]).unwrap();
    assert!(idle.warnings[0].message.contains("breaks nothing"));
}

#[test]
fn inline_recipes_are_ordered_steps_with_waits() {
    let text = r#"
schema = 1
name = "x"
[[recipe]]
name = "mine"
damage = "any"
[[recipe.step]]
id = "first"
do = "kill"
on = "leader"
[[recipe.step]]
wait = "acked"
count = 10
since = "first"
timeout = "2s"
otherwise = "go-on"
[[recipe.step]]
wait = "time"
for = "1s..2s"
[[recipe.step]]
heal = "first"
"#;
    let plan = load("p.toml", text, &[]).unwrap().plan;
    let steps = &plan.recipes[0].steps;
    assert_eq!(steps.len(), 4);
    assert!(matches!(&steps[1], Step::Wait { until: Wait::Acked { count: 10, .. }, .. }));
    assert!(matches!(&steps[3], Step::Heal { step } if step == "first"));
    let wrong = [
        ("heal = \"first\"", "heal = \"frist\"", "no earlier step has the id `frist`"),
        ("do = \"kill\"", "do = \"kill\"\nheal = \"first\"", "one of `do`, `heal` and `wait`"),
        ("wait = \"time\"", "wait = \"tme\"", "did you mean `time`?"),
        ("for = \"1s..2s\"", "timeout = \"1s\"", "`timeout` means nothing in this step"),
        ("on = \"leader\"", "on = \"boss\"", "p.toml:10:6: `boss` is neither"),
        ("since = \"first\"", "", "which step does"),
    ];
    for (from, to, expected) in wrong {
        let shown = problem(&text.replace(from, to));
        assert!(shown.contains(expected), "{shown}");
    }
}

#[test]
fn the_command_line_wins_and_is_named_in_errors() {
    let set = |path: &str, value: &str| vec![(path.to_string(), value.to_string())];
    let plan = load("p.toml", SMALL, &set("topic.partitions", "12")).unwrap().plan;
    assert_eq!(plan.topic.partitions, 12);
    let plan = load("p.toml", SMALL, &set("acks", "1")).unwrap().plan;
    assert_eq!((plan.workload.acks, plan.workload.idempotence), (Acks::Leader, false));
    let plan = load("p.toml", SMALL, &set("workload.rate", "5000/s")).unwrap().plan;
    assert_eq!(plan.workload.rate.per_second, Some(5000));
    for (path, value, expected) in [
        ("topic.partitions", "none", "--set topic.partitions=none: invalid type"),
        ("topic.partitions", "0", "--set topic.partitions=0: 0 partitions"),
        ("topic.parts", "1", "--set topic.parts=1: unknown field `parts`"),
        ("fault.7.name", "kill", "--set fault.7.name=kill: "),
    ] {
        let shown = load("p.toml", SMALL, &set(path, value)).expect_err(path).to_string();
        assert!(shown.starts_with(expected), "{shown}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any damage to a plan gives a plan or an error with words, never a panic.
    #[test]
    fn no_text_makes_it_panic(which in 0..shipped::PLANS.len(), at: u16, cut: u8, junk in ".{0,4}") {
        let text = shipped::PLANS[which].text;
        let mut from = usize::from(at) % (text.len() + 1);
        while !text.is_char_boundary(from) { from -= 1; }
        let mut to = (from + usize::from(cut) % 12).min(text.len());
        while !text.is_char_boundary(to) { to -= 1; }
        let damaged = format!("{}{junk}{}", &text[..from], &text[to.max(from)..]);
        if let Err(error) = load("p.toml", &damaged, &[]) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn faults_of_disks_take_their_parameters_and_say_what_is_allowed() {
    let of = |deed: &str| {
        format!(
            "schema = 1\nname = \"x\"\n[target]\ncontrollers = 1\n[[fault]]\non = \"leader\"\n{deed}\n"
        )
    };
    let pattern = |text: &str| crate::files::Pattern::new(text).expect("short");
    use crate::files::Operation;
    use crate::units::{Bytes, Millis};
    let logs = pattern("highwater-*.log");
    for (written, deed) in [
        (
            "name = \"io-error\"",
            Deed::IoError { operation: Operation::Write, probability: 100, path: pattern("") },
        ),
        (
            "name = \"io-error\"\noperation = \"fsync\"\nprobability = 5\npath = \".log\"",
            Deed::IoError { operation: Operation::Fsync, probability: 5, path: pattern(".log") },
        ),
        ("name = \"fsync-error\"", Deed::FsyncError { path: pattern("") }),
        (
            "name = \"slow\"\ndelay = \"20ms\"\noperation = \"read\"",
            Deed::Slow { operation: Operation::Read, delay: Millis(20) },
        ),
        ("name = \"full\"", Deed::Full),
        ("name = \"torn-write\"", Deed::TornWrite { path: logs }),
        ("name = \"bit-flip\"\nbits = 7", Deed::BitFlip { path: logs, bits: 7 }),
        (
            "name = \"truncate-tail\"\nbytes = \"2KiB\"",
            Deed::TruncateTail { path: logs, bytes: Bytes(2048) },
        ),
        ("name = \"old-snapshot\"", Deed::OldSnapshot),
        ("name = \"cpu-limit\"", Deed::CpuLimit { percent: 10 }),
        ("name = \"cpu-limit\"\npercent = 150", Deed::CpuLimit { percent: 150 }),
        (
            "name = \"memory-limit\"\nbytes = \"64MiB\"",
            Deed::MemoryLimit { bytes: Bytes(64 << 20) },
        ),
    ] {
        let loaded = load("p.toml", &of(written), &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.plan.faults[0].deed, deed);
        let again = load("resolved", &loaded.plan.to_toml(), &[]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(again.plan, loaded.plan);
    }
    for (written, expected) in [
        ("name = \"io-error\"\nprobability = 0", "p.toml:8:15: `probability` of 0: from 1 to 100"),
        ("name = \"io-error\"\noperation = \"sync\"", "unknown variant `sync`"),
        ("name = \"slow\"\ndelay = \"0ms\"", "from 1 ms to 10000 ms"),
        ("name = \"slow\"\npath = \".log\"", "`path` means nothing to `slow`"),
        ("name = \"full\"\nbytes = \"1KiB\"", "leave it out"),
        ("name = \"bit-flip\"\nbits = 0", "from 1 to 10000"),
        ("name = \"truncate-tail\"\nbytes = \"0B\"", "1 or more"),
        ("name = \"old-snapshot\"\non = \"controller\"", "duplicate key"),
        (
            "name = \"io-error\"\n[[fault]]\nname = \"power-loss\"\non = \"leader\"",
            "`power-loss` and `io-error` can't be in one plan",
        ),
    ] {
        let shown = problem(&of(written)).replace('\n', " ");
        let told =
            shown.contains(expected) || expected.split(": ").all(|part| shown.contains(part));
        assert!(told, "{shown}");
    }
    let combined = of("name = \"old-snapshot\"").replace("controllers = 1\n", "");
    assert!(problem(&combined).contains("takes its votes back too"));
}

#[test]
fn faults_of_clocks_take_their_parameters_and_say_what_is_allowed() {
    use crate::clock_deed::ClockDeed;
    use crate::units::{Drift, Millis, Shift};
    let of = |deed: &str| {
        format!(
            "schema = 1\nname = \"x\"\n[target]\ncontrollers = 3\n[[fault]]\non = \"leader\"\n{deed}\n"
        )
    };
    for (written, deed) in [
        ("name = \"clock-jump\"\nby = \"5m\"", ClockDeed::Jump { by: Shift { ms: 300_000 } }),
        ("name = \"clock-jump\"\nby = \"-1h\"", ClockDeed::Jump { by: Shift { ms: -3_600_000 } }),
        (
            "name = \"clock-drift\"\nrate = \"-0.5%\"",
            ClockDeed::Drift { rate: Drift { ppm: -5_000 } },
        ),
        (
            "name = \"clock-strobe\"\nby = \"1m\"",
            ClockDeed::Strobe { by: Shift { ms: 60_000 }, period: Millis(500) },
        ),
    ] {
        let loaded = load("p.toml", &of(written), &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.plan.faults[0].deed, Deed::Clock(deed));
        assert_eq!(loaded.plan.needs().into_iter().collect::<Vec<_>>(), [crate::Needs::Clocks]);
        let again = load("resolved", &loaded.plan.to_toml(), &[]).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(again.plan, loaded.plan);
    }
    for (written, expected) in [
        ("name = \"clock-jump\"", "by = \"5m\""),
        ("name = \"clock-jump\"\nby = \"50ms\"", "100ms or more"),
        ("name = \"clock-jump\"\nby = 5", "expected a duration such as \"5m\""),
        ("name = \"clock-drift\"\nrate = \"-100%\"", "from -90% to +900%"),
        ("name = \"clock-drift\"\nrate = \"0.01%\"", "and +0.1% at least"),
        (
            "name = \"clock-drift\"\nby = \"5m\"\nrate = \"1%\"",
            "`by` means nothing to `clock-drift`",
        ),
        ("name = \"clock-strobe\"\nby = \"1m\"\nperiod = \"10ms\"", "from 100ms to 10s"),
    ] {
        let shown = problem(&of(written)).replace('\n', " ");
        assert!(shown.contains(expected), "{shown}");
    }
    let passive = of("name = \"clock-jump\"\nby = \"5m\"").replace("leader", "controller-follower");
    assert!(problem(&passive).contains("tells nobody its time"));
    assert!(load("p.toml", &passive.replace("-follower", ""), &[]).is_ok());
    assert!(load("p.toml", &passive.replace("controllers = 3", "nodes = 3"), &[]).is_ok());
}
