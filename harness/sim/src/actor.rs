//! Everybody who sits at a client's place.
//!
//! Promises: one type for the world to step, and for those who direct the play to look behind it. No behaviour of its own.

use crate::client::{Admin, Client, ClientEffect, Consumer, FinalReader, LogEnds, Producer};
use node::step::{Input, Now};

pub enum Actor {
    Producer(Box<Producer>),
    Consumer(Box<Consumer>),
    Admin(Box<Admin>),
    LogEnds(Box<LogEnds>),
    FinalReader(Box<FinalReader>),
}

impl Actor {
    pub fn client(&self) -> &dyn Client {
        match self {
            Actor::Producer(client) => &**client,
            Actor::Consumer(client) => &**client,
            Actor::Admin(client) => &**client,
            Actor::LogEnds(client) => &**client,
            Actor::FinalReader(client) => &**client,
        }
    }

    pub fn client_mut(&mut self) -> &mut dyn Client {
        match self {
            Actor::Producer(client) => &mut **client,
            Actor::Consumer(client) => &mut **client,
            Actor::Admin(client) => &mut **client,
            Actor::LogEnds(client) => &mut **client,
            Actor::FinalReader(client) => &mut **client,
        }
    }

    pub fn step(&mut self, now: Now, input: Input, effects: &mut Vec<ClientEffect>) {
        self.client_mut().step(now, input, effects);
    }
}
