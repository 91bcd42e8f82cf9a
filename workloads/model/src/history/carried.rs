//! Operations in a history of our own: a line of Jepsen's is one event, which holds it as it stood.
//!
//! Promises: an operation that was made an event and is taken from it again says the same. A history holds events of ours or
//! operations, and never both: what became of records is asked of the first, Jepsen's questions of the second. Absent on
//! purpose: making events of sends and polls out of operations, which do not say which session a value is of, nor when a
//! transaction asked for its end.

use super::edn::{self, EdnError};
use super::{Event, Time};
use crate::operation::{Names, Operation};

/// The longest line that an event holds: each byte may take six in a block.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The event of an operation; `None`: it is too long.
pub fn event_of(operation: &Operation, names: &Names) -> Option<(Time, Event)> {
    let edn = edn::to_line(operation, names);
    let mono_ns = operation.time_ns.and_then(|time| u64::try_from(time).ok()).unwrap_or(0);
    let time = Time { mono_ns, wall_ms: 0 };
    (edn.len() <= LINE_BYTES_MAX).then_some((time, Event::Operation { edn }))
}

/// Why an event gives no operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCarried {
    #[error("it holds operations, and other events among them")]
    Other,
    #[error("an operation in it is none: {0}")]
    Wrong(#[from] EdnError),
    #[error("an operation in it is none, or more than one")]
    Count,
}

/// Takes operations from the events that hold them.
#[derive(Default)]
pub struct Carried {
    reader: edn::Reader,
}

impl Carried {
    pub fn new() -> Carried {
        Carried::default()
    }

    /// What the atoms of the operations stand for.
    pub fn names(&self) -> &Names {
        self.reader.names()
    }

    pub fn into_names(self) -> Names {
        self.reader.into_names()
    }

    /// The operation of an event, into `operation`.
    pub fn take(&mut self, event: &Event, operation: &mut Operation) -> Result<(), NotCarried> {
        let Event::Operation { edn } = event else { return Err(NotCarried::Other) };
        self.reader.feed(edn.as_bytes());
        self.reader.feed(b"\n");
        let is_one = self.reader.next(operation)? && self.reader.is_between();
        if is_one { Ok(()) } else { Err(NotCarried::Count) }
    }
}
