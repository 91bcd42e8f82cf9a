use super::*;
use crate::{load, shipped};

fn shipped_plan(name: &str) -> Plan {
    load(name, shipped::plan(name).unwrap().text, &[]).unwrap().plan
}

#[test]
fn the_same_seed_gives_the_same_schedule_and_another_seed_another() {
    for shipped in shipped::PLANS {
        let plan = shipped_plan(shipped.name);
        assert_eq!(Schedule::new(&plan, 8412), Schedule::new(&plan, 8412));
        assert_ne!(Schedule::new(&plan, 8412).items, Schedule::new(&plan, 8413).items);
    }
}

#[test]
fn a_seed_means_the_same_for_ever() {
    let schedule = Schedule::new(&shipped_plan("smoke"), 1).to_string();
    let expected = "    0.500 s  #1   kill leader of partition 1 for 1.000 s\n    5.000 s  #2   stall leader of partition 1 for 1.500 s\n";
    assert_eq!(schedule, expected);
}

#[test]
fn faults_are_numbered_in_the_order_in_which_they_come_due() {
    for name in ["acked-writes-survive", "acks-and-min-insync"] {
        let schedule = Schedule::new(&shipped_plan(name), 7);
        let mut next = 1;
        let mut last_ms = 0;
        for item in &schedule.items {
            assert!(item.at_ms >= last_ms);
            assert_eq!(item.first_fault, next);
            next += match item.what {
                What::Fault { .. } => 1,
                What::Recipe(at) => schedule.recipes[at].fault_count(),
            };
            last_ms = item.at_ms;
        }
        assert_eq!(schedule.fault_count(), next - 1);
    }
}

#[test]
fn the_main_plan_kills_leaders_and_controllers_and_stalls_past_the_session() {
    let plan = shipped_plan("acked-writes-survive");
    for seed in 0..100 {
        let schedule = Schedule::new(&plan, seed);
        let count = |wanted: Deed, role: &Role| {
            let hits = schedule.items.iter().filter(
                |item| matches!(&item.what, What::Fault { deed, on, .. } if *deed == wanted && on == role),
            );
            hits.count()
        };
        assert_eq!(count(Deed::Kill, &Role::Leader), 4);
        assert_eq!(count(Deed::Kill, &Role::Controller), 2);
        assert_eq!(count(Deed::Stall, &Role::Leader) + count(Deed::Stall, &Role::Controller), 3);
        for item in &schedule.items {
            let What::Fault { deed, hold_ms, .. } = item.what else { panic!("no recipes here") };
            assert!(item.at_ms + hold_ms < plan.time.run.0);
            assert!(deed != Deed::Stall || hold_ms > plan.target.profile.session_timeout_ms());
        }
        let gaps = schedule.items.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms);
        assert!(gaps.min().unwrap() >= 7_000);
    }
}

#[test]
fn another_fault_in_the_plan_leaves_the_others_where_they_were() {
    let plan = shipped_plan("acked-writes-survive");
    let mut longer = plan.clone();
    let mut more = plan.faults[0].clone();
    more.on = Role::One;
    longer.faults.push(more);
    let items = |schedule: Schedule| -> Vec<(u64, u32, u64)> {
        let one = |item: &&Item| !matches!(&item.what, What::Fault { on: Role::One, .. });
        let kept = schedule.items.iter().filter(one);
        kept.map(|item| (item.at_ms, item.partition, item.draw)).collect()
    };
    assert_eq!(items(Schedule::new(&plan, 3)), items(Schedule::new(&longer, 3)));
}
