//! A place in a group, whoever sits in it: where a member is told to stand still, and where it says what its group gave it.
//!
//! Promises: what is told of a seat is what its member has seen: partitions that its group gave it and that it has not heard to
//! be another's. One that is told to stand still does so with work in its hands, between the two steps of it, so that whoever
//! is given its partitions meets what it left half done. Not here: whether its group has thrown it out, which a member that
//! stands still can't know.

use crate::member::{Order, Standing};
use model::history::Session;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often a member that stands still looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Shared by those who sit in it, one after the other, and whoever has them stand still.
#[derive(Clone, Debug, Default)]
pub struct Seat(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stall: AtomicBool,
    sitter: Mutex<Option<Sitter>>,
}

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sitter {
    pub session: Session,
    pub stance: Stance,
    /// Those that its group gave it, as far as it has heard.
    pub partitions: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// It has not polled since it came, or since it stood still; or it has heard that it lost what it had.
    Joins,
    Polls,
    /// It polls nothing, and does nothing at all.
    Stands,
}

impl Seat {
    /// Whoever sits here is to stand still as soon as it works.
    pub fn stall(&self) {
        self.0.stall.store(true, Ordering::Relaxed);
    }

    pub fn wake(&self) {
        self.0.stall.store(false, Ordering::Relaxed);
    }

    pub fn is_stalled(&self) -> bool {
        self.0.stall.load(Ordering::Relaxed)
    }

    /// `None`: nobody has sat here yet.
    pub fn sitter(&self) -> Option<Sitter> {
        self.0.sitter.lock().expect("no holder of this lock panics").clone()
    }

    /// Another one sits here from now on.
    pub(crate) fn taken_by(&self, session: Session) {
        let sitter = Sitter { session, stance: Stance::Joins, partitions: Vec::new() };
        *self.0.sitter.lock().expect("no holder of this lock panics") = Some(sitter);
    }

    pub(crate) fn owns(&self, partitions: Vec<u32>) {
        if let Some(sitter) = &mut *self.0.sitter.lock().expect("no holder of this lock panics") {
            sitter.partitions = partitions;
        }
    }

    pub(crate) fn stance(&self, stance: Stance) {
        if let Some(sitter) = &mut *self.0.sitter.lock().expect("no holder of this lock panics") {
            sitter.stance = stance;
        }
    }

    /// Stands still for as long as it is told to, and neither is to leave nor to die.
    pub(crate) fn stand_still(&self, order: &Standing) {
        if !self.is_stalled() {
            return;
        }
        self.stance(Stance::Stands);
        while self.is_stalled() && order.get() == Order::GoOn {
            std::thread::park_timeout(LOOK_EVERY);
        }
        self.stance(Stance::Joins);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sits_here_stands_still_until_it_is_woken_and_says_so() {
        let seat = Seat::default();
        assert_eq!(seat.sitter(), None);
        seat.taken_by(Session(7));
        seat.owns(vec![0, 2]);
        seat.stance(Stance::Polls);
        let order = Standing::new();
        seat.stand_still(&order);
        let polls = Sitter { session: Session(7), stance: Stance::Polls, partitions: vec![0, 2] };
        assert_eq!(seat.sitter(), Some(polls.clone()), "nobody told it to");
        seat.stall();
        std::thread::scope(|scope| {
            let member = scope.spawn(|| seat.stand_still(&order));
            while seat.sitter().is_none_or(|sitter| sitter.stance != Stance::Stands) {
                std::thread::yield_now();
            }
            assert!(!member.is_finished());
            seat.wake();
        });
        assert_eq!(seat.sitter(), Some(Sitter { stance: Stance::Joins, ..polls }));
        seat.taken_by(Session(9));
        assert_eq!(seat.sitter().map(|sitter| sitter.partitions), Some(Vec::new()));
    }

    #[test]
    fn one_that_is_to_leave_does_not_stand_still() {
        let (seat, order) = (Seat::default(), Standing::new());
        seat.taken_by(Session(1));
        seat.stall();
        order.set(Order::Leave);
        seat.stand_still(&order);
        assert!(seat.is_stalled(), "whoever sits here next does");
    }
}
