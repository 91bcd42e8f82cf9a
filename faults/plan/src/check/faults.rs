//! Single faults: roles, times and limits.

use super::Checker;
use super::deeds::Written;
use crate::deed::Deed;
use crate::plan::*;
use crate::problem::did_you_mean;
use crate::raw::RawFault;
use crate::units::{Between, Millis};
use model::fault::{Destroys, Role};

/// Times that one entry may come due.
const COUNT_MAX: u32 = 10_000;

/// The schedule fields, as they are written.
pub struct RawWhen {
    pub from: Option<Millis>,
    pub every: Option<Millis>,
    pub until: Option<Millis>,
    pub count: Option<u32>,
    pub jitter: Option<Millis>,
}

impl Checker<'_> {
    pub(super) fn fault(&mut self, at: usize, mut raw: RawFault, plan: &Plan) -> Option<Fault> {
        let path = format!("fault.{at}");
        let before = self.problems.len();
        let parameters = raw.take_parameters();
        let Written { deed, on, peers } =
            self.deed(&path, raw.name, raw.on.as_deref(), parameters, plan)?;
        let pick = raw.pick.unwrap_or_default();
        let of_peers = match &peers {
            Some(Peers::Role(role)) => Some(("peers", role)),
            _ => None,
        };
        for (key, role) in [("on", &on)].into_iter().chain(of_peers) {
            if matches!(role, Role::Successor | Role::PreviousLeader | Role::Starved) {
                let message = format!("`{}` refers to an earlier step", role_name(role));
                self.wrong(&format!("{path}.{key}"), message, "use it in a [[recipe]]");
            }
        }
        self.fits(&path, deed, &on, pick, peers.as_ref(), plan);
        match deed {
            Deed::Split { shape } => {
                self.split_within_limits(&format!("{path}.shape"), shape, plan)
            }
            // It damages no node.
            Deed::Topic(_) => {}
            Deed::Client(deed) if deed.hits_clients() => {}
            _ => self.within_limits(&format!("{path}.on"), &on, plan),
        }
        let times = RawWhen {
            from: raw.from,
            every: raw.every,
            until: raw.until,
            count: raw.count,
            jitter: raw.jitter,
        };
        let when = self.when(&path, times, plan);
        let hold = raw.hold.unwrap_or(Between::exactly(3_000));
        if deed.holds_back() && hold.least.0 == 0 {
            self.wrong(&format!("{path}.for"), format!("a {deed} of no length"), "for = \"2s\"");
        }
        let follow = raw.follow.unwrap_or(false);
        if follow {
            self.can_follow(&format!("{path}.follow"), deed, &on);
        }
        (self.problems.len() == before).then_some(Fault {
            deed,
            on,
            peers,
            pick,
            hold,
            follow,
            when,
        })
    }

    /// Whether it has somewhere to go, and leaves nothing behind where it was.
    fn can_follow(&mut self, path: &str, deed: Deed, on: &Role) {
        let moves = matches!(
            on,
            Role::Leader
                | Role::Follower
                | Role::Followers
                | Role::LastInSync
                | Role::Controller
                | Role::ControllerFollower
        );
        if !moves {
            let message = format!("`{}` does not move from node to node", role_name(on));
            self.wrong(path, message, "on = \"leader\", or leave `follow` out");
        }
        let stays = matches!(deed, Deed::Split { .. } | Deed::Topic(_));
        if stays || deed.destroys() != Destroys::Nothing {
            let message = format!("a {deed} does not go from node to node");
            self.wrong(path, message, "leave it out; with `every` it comes again");
        }
    }

    /// A role or a node's name.
    pub(super) fn role(&mut self, path: &str, text: &str, plan: &Plan) -> Option<Role> {
        if let Some((_, role, _)) = ROLES.iter().find(|(name, _, _)| *name == text) {
            return Some(role.clone());
        }
        let number = |prefix: char| text.strip_prefix(prefix)?.parse::<u32>().ok();
        let dedicated = match plan.target.controllers {
            Controllers::Combined => 0,
            Controllers::Dedicated(count) => count,
        };
        let broker = number('n').is_some_and(|n| (1..=plan.target.nodes).contains(&n));
        let controller = number('c').is_some_and(|n| (1..=dedicated).contains(&n));
        if broker || controller {
            return Some(Role::Node(text.to_string()));
        }
        let names: Vec<&str> = ROLES.iter().map(|(name, _, _)| *name).collect();
        let help = match did_you_mean(text, names.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("one of {}", names.join(", ")),
        };
        let brokers = match plan.target.nodes {
            1 => "n1".to_string(),
            nodes => format!("n1 to n{nodes}"),
        };
        let message = format!("`{text}` is neither a role nor a node ({brokers})");
        self.wrong(path, message, help);
        None
    }

    /// Whether the deed makes sense on the roles in this cluster. `path`: the fault or the step.
    pub(super) fn fits(
        &mut self,
        path: &str,
        deed: Deed,
        on: &Role,
        pick: Pick,
        peers: Option<&Peers>,
        plan: &Plan,
    ) {
        if let Some(Peers::Role(peers)) = peers {
            self.is_filled(&format!("{path}.peers"), peers, plan);
        }
        let path = &format!("{path}.on");
        self.is_filled(path, on, plan);
        let combined = plan.target.controllers == Controllers::Combined;
        if pick != Pick::Any && *on != Role::Follower {
            let message = format!("`pick = \"{}\"` chooses among followers", pick.as_str());
            self.wrong(path, message, "use it with on = \"follower\"");
        }
        let controller = matches!(on, Role::Controller | Role::ControllerFollower)
            || matches!(on, Role::Node(name) if name.starts_with('c'));
        let takes_votes = match deed {
            Deed::Wipe => Some("wiping a controller's disk destroys its votes too"),
            Deed::OldSnapshot => {
                Some("an old copy of a controller's disk takes its votes back too")
            }
            _ => None,
        };
        if let Some(message) = takes_votes.filter(|_| combined || controller) {
            self.wrong(path, message, "give the controllers nodes of their own: controllers = 3");
        }
    }

    /// Whether anybody can play the role in this cluster.
    fn is_filled(&mut self, path: &str, role: &Role, plan: &Plan) {
        let factor = plan.topic.replication_factor;
        let follows = matches!(role, Role::Follower | Role::Followers | Role::Successor);
        if follows && factor < 2 {
            let message = format!("`{}` with replication_factor = {factor}", role_name(role));
            self.wrong(path, message, "followers need a replication factor of 2 or more");
        }
        if *role == Role::ControllerFollower && plan.controller_count() < 2 {
            self.wrong(path, "one controller has no followers", "controllers = 3");
        }
        if *role == Role::Rack && plan.target.racks.is_none() {
            let help = "[target] racks = [[\"n1\"], [\"n2\"], [\"n3\"]]: every node in one of them";
            self.wrong(path, "which racks are there?", help);
        }
    }

    fn within_limits(&mut self, path: &str, on: &Role, plan: &Plan) {
        let brokers = plan.target.nodes as usize;
        let controllers = plan.controller_count() as usize;
        let minority = brokers.saturating_sub(1) / 2;
        let (hit, among, what) = match on {
            Role::Controller | Role::ControllerFollower => (1, controllers, "controllers"),
            Role::Node(name) if name.starts_with('c') => (1, controllers, "controllers"),
            Role::Followers => {
                (plan.topic.replication_factor.saturating_sub(1).into(), brokers, "brokers")
            }
            Role::Rack => {
                let brokers_in =
                    |rack: &Vec<String>| rack.iter().filter(|node| node.starts_with('n')).count();
                let racks = plan.target.racks.iter().flatten();
                (racks.map(brokers_in).max().unwrap_or(0), brokers, "brokers")
            }
            Role::Minority => (minority.max(1), brokers, "brokers"),
            Role::Majority => (brokers / 2 + 1, brokers, "brokers"),
            Role::All => (brokers, brokers, "brokers"),
            _ => (1, brokers, "brokers"),
        };
        let allowed = plan.limits.damaged.of(among);
        if hit > allowed {
            let message = format!(
                "`{}` damages {hit} of {among} {what} at one time, the limit is {allowed}",
                role_name(on)
            );
            let help = format!("more nodes, or allow it: [limits] damaged = {hit}");
            self.wrong(path, message, help);
        }
    }

    pub(super) fn when(&mut self, path: &str, raw: RawWhen, plan: &Plan) -> When {
        let run = plan.time.run;
        let from = raw.from.unwrap_or(Millis(2_000).min(Millis(run.0 / 4)));
        let until = raw.until.unwrap_or(run);
        if from >= run {
            let message = format!("due from {from} on, and the faults end at {run}");
            self.wrong(&format!("{path}.from"), message, "make `run` in [time] longer");
        }
        if until <= from || until > run {
            let message = format!("until {until}, where it begins at {from} and ends at {run}");
            let help = "a time after `from` and not after `run` in [time]";
            self.wrong(&format!("{path}.until"), message, help);
        }
        if raw.every.is_some_and(|every| every.0 < 100) {
            let message = "more often than ten times a second";
            self.wrong(&format!("{path}.every"), message, "every = \"10s\"");
        }
        let every = raw.every.filter(|every| every.0 >= 100);
        let fits = match every {
            Some(every) => until.0.saturating_sub(from.0).div_ceil(every.0),
            None => 1,
        };
        let fits = u32::try_from(fits).unwrap_or(COUNT_MAX).clamp(1, COUNT_MAX);
        let count = raw.count.unwrap_or(fits);
        if count == 0 {
            self.wrong(&format!("{path}.count"), "no times at all", "leave it out, or count = 1");
        } else if every.is_none() && count > 1 {
            let message = format!("{count} times, and nothing says how often");
            self.wrong(&format!("{path}.count"), message, "add: every = \"10s\"");
        } else if count > fits {
            let message = format!("{count} times do not fit between {from} and {until}: {fits} do");
            self.warn(&format!("{path}.count"), message, "");
        }
        let jitter =
            raw.jitter.unwrap_or(Millis(every.map_or(0, |every| (every.0 / 10).min(1_000))));
        When { from, every, until, count: count.clamp(1, fits), jitter }
    }
}
