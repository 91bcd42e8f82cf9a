//! Who may vote, and how many make a majority.

use uuid::Uuid;

use crate::Voter;
use crate::quorum_state::ReplicaKey;

/// The voter set in force. Never empty, sorted by id, ids unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterSet(Vec<Voter>);

impl VoterSet {
    /// `Err`: no voter at all, or one id twice.
    pub fn new(mut voters: Vec<Voter>) -> Result<VoterSet, String> {
        voters.sort_by_key(|voter| voter.id);
        if voters.is_empty() {
            return Err("the voter set is empty: set controller.quorum.voters".to_owned());
        }
        match voters.windows(2).find(|pair| pair[0].id == pair[1].id) {
            Some(pair) => Err(format!("voter {} stands in the voter set twice", pair[0].id)),
            None => Ok(VoterSet(voters)),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Voter> {
        self.0.iter()
    }

    pub fn ids(&self) -> impl Iterator<Item = i32> {
        self.0.iter().map(|voter| voter.id)
    }

    pub fn get(&self, id: i32) -> Option<&Voter> {
        self.0.iter().find(|voter| voter.id == id)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// Whether this id, on this disk, is a voter.
    pub fn is_voter(&self, id: i32, directory_id: Uuid) -> bool {
        self.get(id).is_some_and(|voter| {
            ReplicaKey { id, directory_id }
                .matches(&ReplicaKey { id, directory_id: voter.directory_id })
        })
    }

    /// Takes hosts and ports from `config` where it knows the id: an address may change between two starts, an
    /// identity may not.
    pub(crate) fn with_endpoints_of(mut self, config: &[Voter]) -> VoterSet {
        for voter in &mut self.0 {
            if let Some(known) = config.iter().find(|known| known.id == voter.id) {
                voter.host = known.host.clone();
                voter.port = known.port;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(id: i32) -> Voter {
        let directory_id = crate::directory_id_for("c", id);
        Voter { id, directory_id, host: "localhost".to_owned(), port: 9000 + id as u16 }
    }

    #[test]
    fn majorities() {
        for (count, majority) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let set = VoterSet::new((0..count).map(voter).collect()).unwrap();
            assert_eq!(set.majority(), majority);
        }
    }

    #[test]
    fn empty_and_double_sets_are_refused() {
        assert!(VoterSet::new(Vec::new()).is_err());
        assert!(VoterSet::new(vec![voter(1), voter(2), voter(1)]).is_err());
    }

    #[test]
    fn another_disk_is_another_voter() {
        let set = VoterSet::new(vec![voter(1)]).unwrap();
        assert!(set.is_voter(1, voter(1).directory_id));
        assert!(set.is_voter(1, Uuid::nil()));
        assert!(!set.is_voter(1, voter(2).directory_id));
        assert!(!set.is_voter(2, voter(2).directory_id));
    }
}
