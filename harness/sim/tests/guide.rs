//! The guide's schedule does what the guide says.

use sim::run::run;
use sim::scenario::Scenario;

const SCHEDULE: &str = include_str!("../../../docs/guide/lose-a-write.schedule.toml");

#[test]
fn the_guides_schedule_loses_writes_and_nothing_without_its_defect() {
    let scenario: Scenario = toml::from_str(SCHEDULE).expect("a schedule");
    assert_eq!(scenario.check(), Ok(()));
    let check = |scenario: &Scenario| run(scenario, false).failure.map(|failure| failure.check);
    assert_eq!(check(&scenario).as_deref(), Some("durability"));
    let insiders = Scenario { insiders: true, ..scenario.clone() };
    assert_eq!(check(&insiders).as_deref(), Some("acknowledged-in-sync"));
    let healthy = Scenario { defects: Vec::new(), insiders: true, ..scenario };
    assert_eq!(check(&healthy), None);
}
