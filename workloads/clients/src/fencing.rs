//! A transactional id, whoever has it: where it is asked for that a second session takes it while one has a transaction open, and
//! where is said what became of the first.
//!
//! Promises: a session counts as fenced only when its own library said so, at an operation that it tried after the other had
//! taken the id. Not here: who takes it, and what its transaction came to (the history).

use model::history::{Ending, Session};
use rdkafka::producer::Producer;
use std::sync::{Arc, Mutex};

use crate::producer::Client;

/// Shared by the sessions under one id, one after the other, and whoever has them fenced.
#[derive(Clone, Debug, Default)]
pub struct TransactionalId(Arc<Mutex<Fencing>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fencing {
    /// Nobody asked for it.
    #[default]
    Unasked,
    /// At the next transaction.
    Asked,
    /// A second session is taking the id of this one, or took it, and the first has not tried anything yet.
    Begun { first: Session },
    /// The first tried to go on. `error`: what its library calls fatal; `None`: nothing.
    Tried { first: Session, second: Session, error: Option<String>, since: Since },
}

/// What sessions under the id have committed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The last one.
    pub session: Session,
    pub transactions: u64,
}

impl TransactionalId {
    /// A second session is to take the id as soon as one has a transaction open.
    pub fn fence(&self) {
        self.set(Fencing::Asked);
    }

    /// No more, unless it has begun.
    pub fn leave_alone(&self) {
        let mut fencing = self.0.lock().expect("no holder of this lock panics");
        if *fencing == Fencing::Asked {
            *fencing = Fencing::Unasked;
        }
    }

    pub fn fencing(&self) -> Fencing {
        self.0.lock().expect("no holder of this lock panics").clone()
    }

    fn set(&self, fencing: Fencing) {
        *self.0.lock().expect("no holder of this lock panics") = fencing;
    }

    /// Whether another is to take the id of `first` now; told once.
    pub(crate) fn begins(&self, first: Session) -> bool {
        let mut fencing = self.0.lock().expect("no holder of this lock panics");
        let asked = *fencing == Fencing::Asked;
        if asked {
            *fencing = Fencing::Begun { first };
        }
        asked
    }

    /// The first has tried to end its transaction, or was given up before another came.
    pub(crate) fn tried(&self, first: &Client, second: Option<Session>) {
        let fatal = first.client().fatal_error();
        self.ended(first.context().session, second, fatal.map(|(code, _)| format!("{code:?}")));
    }

    fn ended(&self, first: Session, second: Option<Session>, error: Option<String>) {
        self.set(match second {
            None => Fencing::Unasked,
            Some(second) => {
                let since = Since { session: second, transactions: 0 };
                Fencing::Tried { first, second, error, since }
            }
        });
    }

    /// A session under the id has ended a transaction.
    pub(crate) fn transacted(&self, by: Session, ending: Ending) {
        let mut fencing = self.0.lock().expect("no holder of this lock panics");
        if let Fencing::Tried { first, since, .. } = &mut *fencing
            && ending == Ending::Committed
            && by != *first
        {
            *since = Since { session: by, transactions: since.transactions + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_begun_once_and_what_others_commit_afterwards_is_counted() {
        let id = TransactionalId::default();
        let (first, second, third) = (Session(1), Session(2), Session(3));
        assert!(!id.begins(first), "nobody asked");
        id.fence();
        assert!(id.begins(first));
        assert!(!id.begins(first), "once");
        id.leave_alone();
        assert_eq!(id.fencing(), Fencing::Begun { first }, "it goes on");
        id.transacted(first, Ending::Committed);
        id.ended(first, Some(second), Some("Fenced".to_string()));
        for (by, ending) in [
            (first, Ending::Committed),
            (second, Ending::Aborted),
            (second, Ending::Info),
            (second, Ending::Committed),
            (third, Ending::Committed),
        ] {
            id.transacted(by, ending);
        }
        let since = Since { session: third, transactions: 2 };
        let error = Some("Fenced".to_string());
        assert_eq!(id.fencing(), Fencing::Tried { first, second, error, since });
    }

    #[test]
    fn one_that_nobody_came_to_fence_is_left_alone() {
        let id = TransactionalId::default();
        id.fence();
        id.leave_alone();
        assert!(!id.begins(Session(1)));
        id.fence();
        assert!(id.begins(Session(1)));
        id.ended(Session(1), None, None);
        assert_eq!(id.fencing(), Fencing::Unasked);
    }
}
