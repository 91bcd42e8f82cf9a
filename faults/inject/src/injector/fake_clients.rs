//! Clients that are what a test says.

use crate::clients::{Clients, Fencing, MemberLife, ProducerLife};
use std::io;

/// One producer, `p1`, and one place of a group, `m1`.
pub(super) struct Fake {
    pub producer: ProducerLife,
    pub member: MemberLife,
    pub fencing: Fencing,
    /// What they were told.
    pub told: Vec<&'static str>,
}

impl Default for Fake {
    fn default() -> Fake {
        Fake {
            producer: ProducerLife::Sends { session: 0 },
            member: MemberLife::Waits { session: 0 },
            fencing: Fencing::Asked,
            told: Vec::new(),
        }
    }
}

impl Fake {
    fn tell(&mut self, client: &str, what: &'static str) -> io::Result<()> {
        known(client)?;
        self.told.push(what);
        Ok(())
    }
}

fn known(client: &str) -> io::Result<()> {
    match client {
        "p1" | "m1" => Ok(()),
        _ => Err(io::Error::other("no client of this name")),
    }
}

impl Clients for Fake {
    fn kill_producer(&mut self, producer: &str) -> io::Result<()> {
        self.tell(producer, "kill")
    }

    fn revive_producer(&mut self, producer: &str) -> io::Result<()> {
        self.tell(producer, "revive")
    }

    fn producer(&self, producer: &str) -> io::Result<ProducerLife> {
        known(producer).map(|()| self.producer)
    }

    fn stall_member(&mut self, place: &str) -> io::Result<()> {
        self.tell(place, "stall")
    }

    fn wake_member(&mut self, place: &str) -> io::Result<()> {
        self.tell(place, "wake")
    }

    fn member(&self, place: &str) -> io::Result<MemberLife> {
        known(place).map(|()| self.member.clone())
    }

    fn fence(&mut self, client: &str) -> io::Result<()> {
        self.tell(client, "fence")
    }

    fn stop_fencing(&mut self, client: &str) -> io::Result<()> {
        self.tell(client, "stop fencing")
    }

    fn fencing(&self, client: &str) -> io::Result<Fencing> {
        known(client).map(|()| self.fencing.clone())
    }
}
