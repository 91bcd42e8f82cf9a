//! Members of the load's group that stand still.
//!
//! Promises: in effect is what the other members saw: the group gave them all that this one had, so that it was thrown out. It
//! is over when whoever is in its place polls again, and has partitions of its group. Not here: how a member stands still.
//!
//! Undo: clients end with the harness.

use crate::clients::{Clients, MemberLife};
use std::collections::BTreeSet;
use std::io;

/// The places that were stalled.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    stalled: BTreeSet<(u32, String)>,
}

impl Stalls {
    pub fn inject(&mut self, fault: u32, place: &str, clients: &mut dyn Clients) -> io::Result<()> {
        // Nobody there is an error, before anything was done.
        clients.member(place)?;
        self.stalled.insert((fault, place.to_string()));
        clients.stall_member(place)
    }

    pub fn heal(&mut self, fault: u32, place: &str, clients: &mut dyn Clients) -> io::Result<()> {
        match self.stalled.contains(&(fault, place.to_string())) {
            true => clients.wake_member(place),
            false => Ok(()),
        }
    }

    pub fn in_effect(
        &self,
        fault: u32,
        place: &str,
        clients: &dyn Clients,
    ) -> Result<String, String> {
        if !self.stalled.contains(&(fault, place.to_string())) {
            return Err("nothing was done to it".to_string());
        }
        match clients.member(place).map_err(|error| error.to_string())? {
            MemberLife::Stands { session, given, kept } if kept.is_empty() && !given.is_empty() => {
                let given = given.iter().map(|(heir, partitions)| {
                    format!("{heir} was given its {}", partitions_in_words(partitions))
                });
                let given = given.collect::<Vec<_>>().join(", ");
                Ok(format!("session {session} stands still, {given}"))
            }
            MemberLife::Stands { session, kept, .. } => Err(format!(
                "session {session} stands still, and nobody else was given its {}",
                partitions_in_words(&kept)
            )),
            MemberLife::Polls { session, .. } | MemberLife::Waits { session } => {
                Err(format!("session {session} had nothing to work on yet"))
            }
        }
    }

    pub fn over(&self, fault: u32, place: &str, clients: &dyn Clients) -> Result<String, String> {
        if !self.stalled.contains(&(fault, place.to_string())) {
            return Ok("nothing was done to it".to_string());
        }
        match clients.member(place).map_err(|error| error.to_string())? {
            MemberLife::Polls { session, partitions } if !partitions.is_empty() => {
                let partitions = partitions_in_words(&partitions);
                Ok(format!("session {session} polls, and its group gave it {partitions}"))
            }
            MemberLife::Polls { session, .. } => {
                Err(format!("session {session} polls, and has no partitions"))
            }
            MemberLife::Waits { session } => Err(format!("session {session} does not poll yet")),
            MemberLife::Stands { session, .. } => Err(format!("session {session} stands still")),
        }
    }
}

fn partitions_in_words(partitions: &[u32]) -> String {
    let numbers: Vec<String> = partitions.iter().map(u32::to_string).collect();
    match numbers.as_slice() {
        [one] => format!("partition {one}"),
        _ => format!("partitions {}", numbers.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake_clients::Fake;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_member_is_stalled_when_others_have_what_it_had_and_over_when_it_has_some_again() {
        let polls =
            |partitions: &[u32]| MemberLife::Polls { session: 4, partitions: partitions.to_vec() };
        let stands = |given: &[u32], kept: &[u32]| MemberLife::Stands {
            session: 4,
            given: match given {
                [] => BTreeMap::new(),
                given => BTreeMap::from([("m2".to_string(), given.to_vec())]),
            },
            kept: kept.to_vec(),
        };
        let mut load = Fake { member: polls(&[0, 1]), ..Fake::default() };
        let mut stalls = Stalls::default();
        assert!(stalls.inject(1, "m7", &mut load).is_err(), "a stranger");
        stalls.inject(1, "m1", &mut load).unwrap();
        assert!(stalls.in_effect(1, "m1", &load).unwrap_err().contains("nothing to work on"));
        for (given, kept) in [(&[][..], &[0, 1][..]), (&[0], &[1])] {
            load.member = stands(given, kept);
            assert!(stalls.in_effect(1, "m1", &load).unwrap_err().contains("nobody else"));
        }
        load.member = stands(&[0, 1], &[]);
        assert_eq!(
            stalls.in_effect(1, "m1", &load).unwrap(),
            "session 4 stands still, m2 was given its partitions 0 1"
        );
        assert!(stalls.over(1, "m1", &load).is_err(), "it stands");
        stalls.heal(1, "m1", &mut load).unwrap();
        for life in [MemberLife::Waits { session: 4 }, polls(&[])] {
            load.member = life;
            assert!(stalls.over(1, "m1", &load).is_err(), "{:?}", load.member);
        }
        load.member = polls(&[1]);
        assert_eq!(
            stalls.over(1, "m1", &load).unwrap(),
            "session 4 polls, and its group gave it partition 1"
        );
        assert_eq!(load.told, ["stall", "wake"]);
        assert!(stalls.in_effect(2, "m1", &load).is_err(), "another fault's");
    }
}
