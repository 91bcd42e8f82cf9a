//! What a run is to do, as data: the plan file, the recipes, the schedule of faults drawn from a seed, and the
//! nemesis that carries the schedule out and heals everything afterwards.
//!
//! Promises: no IO, no clock, no randomness of its own, no async: the same code breaks real processes and simulated
//! ones. The same plan and seed give the same schedule. Whatever is broken is healed, whatever went wrong before.
//!
//! Not promised: that a fault took effect; the target behind [`target`] has to prove it, and a fault without
//! proof is recorded as not confirmed.

mod axis;
mod check;
pub mod client_deed;
pub mod clock_deed;
mod cut;
pub mod deed;
pub mod files;
pub mod link;
pub mod matrix;
pub mod nemesis;
pub mod parse;
pub mod plan;
pub mod problem;
mod profile;
pub mod random;
mod raw;
pub mod recipe;
pub mod schedule;
pub mod shape;
pub mod shipped;
pub mod target;
pub mod text;
pub mod topic_deed;
pub mod units;
pub mod view;

pub use deed::{Deed, DeedName, Needs};
pub use matrix::Cell;
pub use nemesis::Nemesis;
pub use parse::{Loaded, load};
pub use plan::*;
pub use problem::{PlanError, Problem};
pub use recipe::{Recipe, Step, Wait};
pub use schedule::Schedule;
pub use target::{Action, Event, Expect, Member, Peer, Topology};
pub use units::{Between, Bytes, Millis, Rate};
