//! Deeds on the load's clients.
//!
//! Promises: in effect, and over, is what the client says of itself: which session ended with how many sends open, and
//! which one is in its place. Not here: how a client ends.
//!
//! Undo: clients end with the harness.

use crate::clients::{Clients, ProducerLife};
use std::collections::BTreeMap;
use std::io;

/// The sessions that were killed.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    killed: BTreeMap<(u32, String), Option<u32>>,
}

impl Sessions {
    pub fn inject(
        &mut self,
        fault: u32,
        client: &str,
        clients: &mut dyn Clients,
    ) -> io::Result<()> {
        if let ProducerLife::Killed { .. } = clients.producer(client)? {
            return Err(io::Error::other("its session was killed already"));
        }
        self.killed.insert((fault, client.to_string()), None);
        clients.kill_producer(client)
    }

    pub fn heal(&mut self, fault: u32, client: &str, clients: &mut dyn Clients) -> io::Result<()> {
        match self.killed.contains_key(&(fault, client.to_string())) {
            true => clients.revive_producer(client),
            false => Ok(()),
        }
    }

    pub fn in_effect(
        &mut self,
        fault: u32,
        client: &str,
        clients: &dyn Clients,
    ) -> Result<String, String> {
        let Some(killed) = self.killed.get_mut(&(fault, client.to_string())) else {
            return Err("nothing was done to it".to_string());
        };
        match clients.producer(client).map_err(|error| error.to_string())? {
            ProducerLife::Killed { session, open } => {
                *killed = Some(session);
                Ok(format!("session {session} ended with {open} sends open"))
            }
            ProducerLife::Sends { session } => {
                Err(format!("session {session} lives: it had nothing in flight yet"))
            }
        }
    }

    pub fn over(&self, fault: u32, client: &str, clients: &dyn Clients) -> Result<String, String> {
        let Some(killed) = self.killed.get(&(fault, client.to_string())) else {
            return Ok("nothing was done to it".to_string());
        };
        match (clients.producer(client).map_err(|error| error.to_string())?, killed) {
            (ProducerLife::Sends { session }, Some(former)) if session != *former => {
                Ok(format!("session {session} in the place of session {former}"))
            }
            // It was never seen dead.
            (ProducerLife::Sends { session }, _) => Ok(format!("session {session} sends")),
            (ProducerLife::Killed { session, .. }, _) => {
                Err(format!("nobody is in the place of session {session} yet"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake_clients::Fake;
    use super::*;

    #[test]
    fn a_session_is_dead_when_its_producer_says_so_and_over_when_another_one_sends() {
        let mut load = Fake { producer: ProducerLife::Sends { session: 3 }, ..Fake::default() };
        let mut sessions = Sessions::default();
        sessions.inject(1, "p1", &mut load).unwrap();
        assert!(sessions.in_effect(1, "p1", &load).unwrap_err().contains("nothing in flight"));
        load.producer = ProducerLife::Killed { session: 3, open: 7 };
        assert_eq!(
            sessions.in_effect(1, "p1", &load).unwrap(),
            "session 3 ended with 7 sends open"
        );
        assert!(sessions.inject(2, "p1", &mut load).is_err(), "it is dead");
        assert!(sessions.over(1, "p1", &load).is_err());
        sessions.heal(1, "p1", &mut load).unwrap();
        load.producer = ProducerLife::Sends { session: 9 };
        let told = sessions.over(1, "p1", &load).unwrap();
        assert_eq!(told, "session 9 in the place of session 3");
        assert_eq!(load.told, ["kill", "revive"]);
        assert!(sessions.inject(3, "p2", &mut load).is_err(), "a stranger");
        assert_eq!(load.told.len(), 2);
    }
}
