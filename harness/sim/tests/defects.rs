//! Each seeded defect is found within the number of schedules that `docs/reference/defects.md` gives it; and the first schedule
//! that fails with it holds without it.
//!
//! Which seed is the first moves with every change of the broker, so the table holds bounds. For a new defect, or where a
//! bound is missed: `cargo test --release -p highwater-sim --test defects -- --ignored --nocapture` prints the table anew
//! (a minute).
#![allow(
    clippy::disallowed_methods,
    reason = "schedules run side by side, on threads that know nothing of each other"
)]

use node::defect::Defect;
use sim::run::run;
use sim::swarm;
use sim::world::Failure;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a bound may be: the least of these that leaves room for twice the seeds and more.
const BOUNDS: [u64; 5] = [25, 75, 200, 500, 1_500];
const TABLE: &str = "| defect | found by `sim` within so many schedules | as a rule by the check |";

/// The rows of the table: the bound, by the defect's name.
fn bounds() -> BTreeMap<String, u64> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/defects.md");
    let page = std::fs::read_to_string(path).expect("the page about defects");
    let (_, table) = page.split_once(TABLE).expect("its table");
    table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (
                cells[1].trim_matches('`').to_owned(),
                cells[2].parse().expect("a number of schedules"),
            )
        })
        .collect()
}

/// The first of so many seeds that fails with the defect and holds without it, and how it fails.
fn first_found(defect: &str, seeds: u64) -> Option<(u64, Failure)> {
    (0..seeds).find_map(|seed| {
        let with = swarm::draw(seed, &[defect.to_owned()]);
        let failure = run(&with, false).failure?;
        let mut without = with;
        without.defects.clear();
        let broken = run(&without, false).failure;
        assert_eq!(broken, None, "seed {seed} of {defect}, without it");
        Some((seed, failure))
    })
}

/// What the work says of each defect, in their order. All cores work.
fn of_each(work: impl Fn(&Defect) -> Option<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let said = Mutex::new(BTreeMap::new());
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(defect) = Defect::all().get(at) else { return };
            if let Some(line) = work(defect) {
                said.lock().expect("nobody panics with it").insert(at, line);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(worker))));
    said.into_inner().expect("nobody panicked with it").into_values().collect()
}

#[test]
fn each_is_found_within_its_bound() {
    let bounds = bounds();
    assert_eq!(bounds.len(), Defect::all().len(), "one row for each defect");
    let missed = of_each(|defect| {
        let name = defect.name();
        let Some(&bound) = bounds.get(name) else { return Some(format!("{name} has no row")) };
        assert!(BOUNDS.contains(&bound), "{name}: {bound}");
        let found = first_found(name, bound);
        found.is_none().then(|| format!("{name} is not found within {bound} schedules"))
    });
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
#[ignore = "it measures, and prints rows for the table"]
fn measure() {
    let rows = of_each(|defect| {
        let name = defect.name();
        let Some((seed, failure)) = first_found(name, BOUNDS[BOUNDS.len() - 1]) else {
            return Some(format!("| `{name}` | not found | |"));
        };
        println!("{name}: seed {seed}");
        let bound = BOUNDS.into_iter().find(|bound| 2 * seed < *bound).unwrap_or(u64::MAX);
        Some(format!("| `{name}` | {bound} | `{}` |", failure.check))
    });
    println!("{TABLE}\n|---|---|---|\n{}", rows.join("\n"));
}
