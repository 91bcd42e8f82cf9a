//! Transactional ids of the load that a second session takes.
//!
//! Promises: in effect is what the first session's library said when it tried to go on: that it was fenced. It is over when
//! a session under the id has committed a transaction since. Not here: who takes the id.
//!
//! Undo: nothing; sessions end with the harness.

use crate::clients::{Clients, Fencing};
use std::collections::BTreeSet;
use std::io;

/// What librdkafka calls a producer of which another one took the id.
const FENCED: &str = "Fenced";

/// The clients that were to be fenced.
#[derive(Debug, Default)]
pub(super) struct Fences {
    asked: BTreeSet<(u32, String)>,
}

impl Fences {
    pub fn inject(
        &mut self,
        fault: u32,
        client: &str,
        clients: &mut dyn Clients,
    ) -> io::Result<()> {
        clients.fence(client)?;
        self.asked.insert((fault, client.to_string()));
        Ok(())
    }

    pub fn heal(&mut self, fault: u32, client: &str, clients: &mut dyn Clients) -> io::Result<()> {
        match self.asked.contains(&(fault, client.to_string())) {
            true => clients.stop_fencing(client),
            false => Ok(()),
        }
    }

    pub fn in_effect(
        &self,
        fault: u32,
        client: &str,
        clients: &dyn Clients,
    ) -> Result<String, String> {
        if !self.asked.contains(&(fault, client.to_string())) {
            return Err("nothing was done to it".to_string());
        }
        match clients.fencing(client).map_err(|error| error.to_string())? {
            Fencing::Unasked | Fencing::Asked => Err("it has had no transaction open".to_string()),
            Fencing::Begun { first } => Err(format!("session {first} has not tried to go on yet")),
            Fencing::Tried { first, second, error: Some(error), .. } if error == FENCED => {
                Ok(format!(
                    "session {second} took the transactional id of session {first}, which was told {error}"
                ))
            }
            Fencing::Tried { first, second, error, .. } => {
                let told = error.unwrap_or_else(|| "nothing".to_string());
                Err(format!(
                    "session {second} took the transactional id of session {first}, which was told {told}"
                ))
            }
        }
    }

    pub fn over(&self, fault: u32, client: &str, clients: &dyn Clients) -> Result<String, String> {
        if !self.asked.contains(&(fault, client.to_string())) {
            return Ok("nothing was done to it".to_string());
        }
        match clients.fencing(client).map_err(|error| error.to_string())? {
            Fencing::Unasked => Ok("nobody took its transactional id".to_string()),
            Fencing::Asked => Err("it may yet be fenced".to_string()),
            Fencing::Begun { first } => Err(format!("session {first} has not tried to go on yet")),
            Fencing::Tried { last, transactions: 0, .. } => {
                Err(format!("session {last} has committed no transaction yet"))
            }
            Fencing::Tried { last, transactions, .. } => {
                let plural = if transactions == 1 { "" } else { "s" };
                Ok(format!(
                    "{transactions} transaction{plural} committed under the id since, the last by session {last}"
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake_clients::Fake;
    use super::*;

    #[test]
    fn a_session_is_fenced_when_it_was_told_so_and_over_when_another_has_committed() {
        let mut load = Fake::default();
        let mut fences = Fences::default();
        assert!(fences.inject(1, "p7", &mut load).is_err(), "a stranger");
        fences.inject(1, "p1", &mut load).unwrap();
        assert!(fences.in_effect(1, "p1", &load).unwrap_err().contains("no transaction open"));
        load.fencing = Fencing::Begun { first: 3 };
        assert!(fences.in_effect(1, "p1", &load).is_err());
        assert!(fences.over(1, "p1", &load).is_err());
        let tried = |error: Option<&str>, transactions| Fencing::Tried {
            first: 3,
            second: 8,
            error: error.map(str::to_string),
            last: 8,
            transactions,
        };
        load.fencing = tried(None, 0);
        assert!(fences.in_effect(1, "p1", &load).unwrap_err().ends_with("was told nothing"));
        load.fencing = tried(Some("Fenced"), 0);
        assert_eq!(
            fences.in_effect(1, "p1", &load).unwrap(),
            "session 8 took the transactional id of session 3, which was told Fenced"
        );
        fences.heal(1, "p1", &mut load).unwrap();
        assert!(fences.over(1, "p1", &load).unwrap_err().contains("no transaction yet"));
        load.fencing = tried(Some("Fenced"), 2);
        assert_eq!(
            fences.over(1, "p1", &load).unwrap(),
            "2 transactions committed under the id since, the last by session 8"
        );
        assert_eq!(load.told, ["fence", "stop fencing"]);
        assert!(fences.in_effect(2, "p1", &load).is_err(), "another fault's");
    }
}
