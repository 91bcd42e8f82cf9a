//! When faults and recipes come due, drawn from a seed before anything is started.
//!
//! Promises: the same plan and seed give the same schedule, item for item. On real clusters it is the schedule that
//! a seed repeats, not the outcome: roles are resolved when an item is due.

use crate::deed::Deed;
use crate::plan::{Peers, Pick, Plan, When, role_name};
use crate::random::Stream;
use crate::recipe::Recipe;
use model::fault::Role;
use std::fmt;

/// Everything that will be done, in the order in which it comes due.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub seed: u64,
    pub items: Vec<Item>,
    /// The recipes that items refer to.
    pub recipes: Vec<Recipe>,
}

/// One thing that comes due.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Milliseconds since the fault phase began.
    pub at_ms: u64,
    /// The id of its first fault record; a recipe has as many as it has `do` steps, counted up from this one.
    pub first_fault: u32,
    /// A draw among the topic's partitions, for roles that need one.
    pub partition: u32,
    /// For the choices that are left until it is due.
    pub draw: u64,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Fault {
        deed: Deed,
        on: Role,
        pick: Pick,
        peers: Option<Peers>,
        hold_ms: u64,
        /// It goes after its role.
        follow: bool,
    },
    /// An index into [`Schedule::recipes`].
    Recipe(usize),
}

impl Schedule {
    /// Draws the schedule of a plan.
    pub fn new(plan: &Plan, seed: u64) -> Schedule {
        let mut drawn: Vec<Item> = Vec::new();
        for (at, fault) in plan.faults.iter().enumerate() {
            // A stream for each entry: a fault more in the plan leaves the others where they were.
            let mut stream = Stream::new(seed, &format!("schedule/fault/{at}"));
            for at_ms in times(&fault.when, &mut stream) {
                let hold_ms = stream.between(fault.hold.least.0, fault.hold.most.0);
                let (deed, on, pick) = (fault.deed, fault.on.clone(), fault.pick);
                let (peers, follow) = (fault.peers.clone(), fault.follow);
                let what = What::Fault { deed, on, pick, peers, hold_ms, follow };
                drawn.push(item(at_ms, what, plan, &mut stream));
            }
        }
        let mut recipes = Vec::new();
        for (at, recipe) in plan.recipes.iter().enumerate() {
            let mut stream = Stream::new(seed, &format!("schedule/recipe/{at}"));
            for at_ms in times(&recipe.when, &mut stream) {
                drawn.push(item(at_ms, What::Recipe(at), plan, &mut stream));
            }
            recipes.push(Recipe {
                name: recipe.name.clone(),
                about: recipe.about.clone(),
                damage: recipe.damage,
                partition: recipe.partition,
                steps: recipe.steps.clone(),
            });
        }
        // Stable: what comes due together keeps the order of the plan.
        drawn.sort_by_key(|item| item.at_ms);
        let mut next_fault = 1;
        for item in &mut drawn {
            item.first_fault = next_fault;
            next_fault += match item.what {
                What::Fault { .. } => 1,
                What::Recipe(recipe) => recipes[recipe].fault_count(),
            };
        }
        Schedule { seed, items: drawn, recipes }
    }

    /// Faults that it may inject.
    pub fn fault_count(&self) -> u32 {
        let of = |item: &Item| match item.what {
            What::Fault { .. } => 1,
            What::Recipe(recipe) => self.recipes[recipe].fault_count(),
        };
        self.items.iter().map(of).sum()
    }
}

fn item(at_ms: u64, what: What, plan: &Plan, stream: &mut Stream) -> Item {
    let partition = stream.below(u64::from(plan.topic.partitions)) as u32;
    Item { at_ms, first_fault: 0, partition, draw: stream.next_u64(), what }
}

fn times(when: &When, stream: &mut Stream) -> Vec<u64> {
    let mut times = Vec::new();
    for turn in 0..u64::from(when.count) {
        let due = when.from.0 + turn * when.every.map_or(0, |every| every.0);
        if due >= when.until.0 {
            break;
        }
        times.push(due + stream.between(0, when.jitter.0));
    }
    times
}

/// As `--dry-run` prints it: a line for each item.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            write!(f, "{:>9.3} s  #{:<3} ", item.at_ms as f64 / 1000.0, item.first_fault)?;
            match &item.what {
                What::Fault { deed, on, pick, peers, hold_ms, follow } => {
                    let pick = match pick {
                        Pick::Any => String::new(),
                        pick => format!(" ({})", pick.as_str()),
                    };
                    let held = *hold_ms as f64 / 1000.0;
                    write!(f, "{deed} {}{pick}{}", role_name(on), of(item, on))?;
                    if let Some(peers) = peers {
                        let word = if deed.cut().is_some() { "from" } else { "with" };
                        write!(f, " {word} {peers}")?;
                    }
                    write!(f, " for {held:.3} s")?;
                    if *follow {
                        f.write_str(", wherever that is")?;
                    }
                }
                What::Recipe(at) => {
                    write!(f, "{} on partition {}", self.recipes[*at].name, item.partition)?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn of(item: &Item, on: &Role) -> String {
    match needs_partition(on) {
        true if *on == Role::Partition => format!(" {}", item.partition),
        true => format!(" of partition {}", item.partition),
        false => String::new(),
    }
}

/// Whether a role is a part in one partition.
pub fn needs_partition(role: &Role) -> bool {
    match role {
        Role::Leader | Role::Follower | Role::Followers | Role::Successor => true,
        Role::PreviousLeader | Role::LastInSync | Role::Partition => true,
        Role::Controller | Role::ControllerFollower | Role::One | Role::Minority => false,
        Role::Majority | Role::All | Role::Rack | Role::Starved | Role::Topic | Role::Node(_) => {
            false
        }
        Role::Producer | Role::Producers | Role::Member => false,
    }
}

#[cfg(test)]
mod tests;
