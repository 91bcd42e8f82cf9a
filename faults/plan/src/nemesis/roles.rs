//! Who plays a part, by the latest observation.

use super::Nemesis;
use super::recipe_run::RecipeRun;
use crate::plan::{Pick, role_name};
use crate::random::Stream;
use crate::recipe::PartitionChoice;
use crate::target::Member;
use crate::view::View;
use model::fault::Role;

impl Nemesis {
    /// The nodes of a role, or why there are none.
    pub(super) fn resolve(
        &self,
        role: &Role,
        pick: Pick,
        partition: u32,
        draw: u64,
        run: Option<&RecipeRun>,
    ) -> Result<Vec<String>, String> {
        let ids = self.resolve_ids(role, pick, partition, draw, run)?;
        let names = View::names(&ids, &self.topology);
        match names.is_empty() {
            true => Err(format!("`{}` came to nobody", role_name(role))),
            false => Ok(names),
        }
    }

    pub(super) fn resolve_ids(
        &self,
        role: &Role,
        pick: Pick,
        partition: u32,
        draw: u64,
        run: Option<&RecipeRun>,
    ) -> Result<Vec<i32>, String> {
        let view = &self.view;
        let log = format!("{}-{partition}", self.topic);
        let brokers = self.topology.brokers.len();
        match role {
            Role::Leader => {
                let leader = view.leader(partition);
                leader.map(|leader| vec![leader]).ok_or(format!("{log} had no leader"))
            }
            Role::Follower => self.follower(pick, partition, draw),
            Role::Followers => {
                let state = view.partition(partition).ok_or(format!("{log} was not observed"))?;
                let leader = state.leader;
                let followers: Vec<i32> =
                    state.replicas.iter().copied().filter(|id| *id != leader).collect();
                match leader < 0 || followers.is_empty() {
                    true => Err(format!("{log} had no leader with followers")),
                    false => Ok(followers),
                }
            }
            Role::Controller => {
                let controller = view.controller();
                controller.map(|id| vec![id]).ok_or("no controller was active".to_string())
            }
            Role::ControllerFollower => {
                let active = view.controller().ok_or("no controller was active")?;
                let others = self.topology.controllers.iter().filter(|c| c.id != active);
                drawn(others, draw, 1).ok_or("there is no other controller".to_string())
            }
            Role::One => drawn(self.topology.brokers.iter(), draw, 1).ok_or("no broker".into()),
            Role::Minority => {
                let count = (brokers.saturating_sub(1) / 2).max(1);
                drawn(self.topology.brokers.iter(), draw, count).ok_or("no broker".into())
            }
            Role::Majority => {
                let count = brokers / 2 + 1;
                drawn(self.topology.brokers.iter(), draw, count).ok_or("no broker".into())
            }
            Role::All => Ok(self.topology.brokers.iter().map(|broker| broker.id).collect()),
            Role::Rack => {
                let ids = |rack: &Vec<String>| -> Vec<i32> {
                    rack.iter().filter_map(|name| self.topology.id(name)).collect()
                };
                let count = self.racks.len() as u64;
                let rack = self.racks.get((draw % count.max(1)) as usize);
                rack.map(ids).ok_or("no rack".to_string())
            }
            Role::LastInSync => match view.partition(partition).map(|state| state.isr.as_slice()) {
                Some([last]) => Ok(vec![*last]),
                Some(isr) => Err(format!("the ISR of {log} was {isr:?}, not one replica")),
                None => Err(format!("{log} was not observed")),
            },
            Role::PreviousLeader => {
                let leader = run.and_then(|run| run.first_leader);
                leader.map(|leader| vec![leader]).ok_or("nobody led when it began".to_string())
            }
            Role::Successor => self.successor(partition, run),
            Role::Starved => {
                let starved: Vec<i32> = run
                    .into_iter()
                    .flat_map(|run| run.starved.iter())
                    .filter_map(|name| self.topology.id(name))
                    .collect();
                match starved.is_empty() {
                    true => Err("no step held anybody back".to_string()),
                    false => Ok(starved),
                }
            }
            Role::Partition | Role::Topic | Role::Producer | Role::Producers | Role::Member => {
                Err(format!("`{}` is not a node", role_name(role)))
            }
            Role::Node(name) => {
                let id = self.topology.id(name);
                id.map(|id| vec![id]).ok_or(format!("there is no node `{name}`"))
            }
        }
    }

    fn follower(&self, pick: Pick, partition: u32, draw: u64) -> Result<Vec<i32>, String> {
        let log = format!("{}-{partition}", self.topic);
        let heirs = self.view.heirs(partition);
        if self.view.leader(partition).is_none() || heirs.is_empty() {
            return Err(format!("{log} had no leader with an in-sync follower"));
        }
        let at = match pick {
            Pick::Any => (draw % heirs.len() as u64) as usize,
            Pick::Next => 0,
            Pick::Last if heirs.len() > 1 => heirs.len() - 1,
            Pick::Last => return Err(format!("{log} had only one in-sync follower")),
        };
        Ok(vec![heirs[at]])
    }

    /// Who leads now that the recipe's first leader was hit; before anybody has seen the election, the one whom a
    /// clean election takes: waiting for the sight of it would let the moment pass.
    fn successor(&self, partition: u32, run: Option<&RecipeRun>) -> Result<Vec<i32>, String> {
        let nobody = || format!("nobody succeeded the leader of {}-{partition}", self.topic);
        let run = run.ok_or_else(nobody)?;
        let leader = self.view.leader(partition);
        if let Some(leader) = leader.filter(|leader| Some(*leader) != run.first_leader) {
            return Ok(vec![leader]);
        }
        let hurt = self.hurt_by(run);
        let is_hurt = |id: i32| self.topology.name(id).is_some_and(|name| hurt.contains(name));
        if !run.first_leader.is_some_and(is_hurt) {
            return Err(nobody());
        }
        let state = self.view.partition(partition).ok_or_else(nobody)?;
        let able = |id: &&i32| state.isr.contains(id) && !is_hurt(**id);
        let heir = state.replicas.iter().find(able).copied();
        heir.map(|heir| vec![heir]).ok_or_else(nobody)
    }

    /// A partition that a recipe can work on, beginning with the drawn one.
    pub(super) fn choose_partition(
        &self,
        choice: PartitionChoice,
        drawn: u32,
    ) -> Result<u32, String> {
        let count = self.acked.len() as u32;
        let mut led = None;
        for step in 0..count {
            let partition = (drawn + step) % count;
            let Some(state) = self.view.partition(partition) else { continue };
            let whole = state.leader >= 0 && state.replicas.iter().all(|id| state.isr.contains(id));
            let preferred = state.replicas.first() == Some(&state.leader);
            if whole && (choice == PartitionChoice::Any || preferred) {
                return Ok(partition);
            }
            if state.leader >= 0 && led.is_none() {
                led = Some(state);
            }
        }
        match (led, choice) {
            (None, _) => Err("no partition had a leader".to_string()),
            (Some(state), PartitionChoice::Any) => Err(format!(
                "no partition had its ISR full; {}-{}: {:?}",
                state.topic, state.partition, state.isr
            )),
            (Some(_), PartitionChoice::PreferredLeader) => {
                Err("no partition with a full ISR was led by its preferred leader".to_string())
            }
        }
    }
}

/// So many members, drawn; `None` where there are none.
fn drawn<'a>(
    members: impl Iterator<Item = &'a Member>,
    draw: u64,
    count: usize,
) -> Option<Vec<i32>> {
    let mut ids: Vec<i32> = members.map(|member| member.id).collect();
    Stream::new(draw, "role").shuffle(&mut ids);
    ids.truncate(count);
    ids.sort_unstable();
    (!ids.is_empty()).then_some(ids)
}
