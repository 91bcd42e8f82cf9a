//! The records of a schedule's faults before anything has happened.

use crate::deed::Deed;
use crate::plan::{Peers, Pick, role_name};
use crate::recipe::{Recipe, Step};
use crate::schedule::{Item, Schedule, What, needs_partition};
use model::fault::{FaultRecord, FaultState, Role};
use std::collections::BTreeMap;

/// The records of an item.
pub fn planned(item: &Item, schedule: &Schedule, topic: &str) -> Vec<FaultRecord> {
    match &item.what {
        What::Fault { deed, on, pick, peers, hold_ms, follow } => {
            let mut record = blank(item, topic, item.first_fault, *deed, on, *pick, peers.as_ref());
            record.for_ms = Some(*hold_ms);
            if *follow {
                record.parameters.insert("follow".to_string(), "true".to_string());
            }
            vec![record]
        }
        What::Recipe(recipe) => {
            let recipe: &Recipe = &schedule.recipes[*recipe];
            let mut records = Vec::new();
            for step in recipe.deeds() {
                let Step::Do { id: step_id, deed, on, pick, peers } = step else { continue };
                let id = item.first_fault + records.len() as u32;
                let mut record = blank(item, topic, id, *deed, on, *pick, peers.as_ref());
                record.recipe = Some(recipe.name.clone());
                record.parameters.insert("step".to_string(), step_id.clone());
                record.parameters.insert("on".to_string(), role_name(on));
                records.push(record);
            }
            records
        }
    }
}

fn blank(
    item: &Item,
    topic: &str,
    id: u32,
    deed: Deed,
    role: &Role,
    pick: Pick,
    peers: Option<&Peers>,
) -> FaultRecord {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    if pick != Pick::Any {
        parameters.insert("pick".to_string(), pick.as_str().to_string());
    }
    for (key, value) in deed.parameters() {
        parameters.insert(key.to_string(), value.to_string());
    }
    if let Some(peers) = peers {
        parameters.insert("peers".to_string(), peers.to_string());
    }
    let of_peers = match peers {
        Some(Peers::Role(role)) => needs_partition(role),
        _ => false,
    };
    let about_a_log = needs_partition(role) || of_peers;
    FaultRecord {
        id,
        name: deed.as_str().to_string(),
        recipe: None,
        role: role.clone(),
        partition: about_a_log.then(|| format!("{topic}-{}", item.partition)),
        nodes: Vec::new(),
        state: FaultState::Planned,
        destroys: deed.destroys(),
        planned_ms: item.at_ms,
        asked_ms: None,
        confirmed_ms: None,
        healed_ms: None,
        cleared_ms: None,
        for_ms: None,
        evidence: Vec::new(),
        parameters,
        legs: Vec::new(),
    }
}
