//! Leaving this machine's network and mounts for the run's own, as far as a plan's faults need it.

use crate::exit::Refused;
use anyhow::Result;
use inject::{World, fuse, group, net, power};
use plan::deed::Needs;
use plan::{Plan, TargetKind};

/// Leaves the machine's network and mounts for those of the run, as far as the plan's faults need it. Without root this must
/// come before the process has a second thread; having been done once, it may be done again.
pub fn own(plan: &Plan) -> Result<Option<World>> {
    let needs = plan.needs();
    let refused = |need: Needs, error: std::io::Error| {
        let deeds: Vec<&str> = need
            .deeds()
            .filter(|deed| plan.deeds().any(|d| d.name() == *deed))
            .map(|deed| deed.as_str())
            .collect();
        let why = format!("{} needs {}: {error}", deeds.join(", "), need.about());
        anyhow::Error::from(Refused::could_not_run(why))
    };
    for (need, can_make) in [
        (Needs::Disks, power::can_make as fn(&std::path::Path) -> Result<(), String>),
        (Needs::Fuse, fuse::can_make),
    ] {
        if needs.contains(&need) {
            net::separate_mounts().map_err(|error| refused(need, error))?;
            can_make(&std::env::temp_dir())
                .map_err(|why| refused(need, std::io::Error::other(why)))?;
        }
    }
    if needs.contains(&Needs::Clocks)
        && plan.target.kind == TargetKind::Kafka
        && clock::SHIM.is_empty()
    {
        let error = std::io::Error::other("there is no library to preload on this system");
        return Err(refused(Needs::Clocks, error));
    }
    if needs.contains(&Needs::Groups) {
        group::can_make().map_err(|why| refused(Needs::Groups, std::io::Error::other(why)))?;
    }
    if !needs.contains(&Needs::Namespaces) {
        return Ok(None);
    }
    World::enter().map(Some).map_err(|error| refused(Needs::Namespaces, error))
}
