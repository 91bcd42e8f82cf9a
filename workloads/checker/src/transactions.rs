//! Transactions as their clients wrote them down: which records belong to which, how each ended, and what readers of
//! committed records were handed before that.
//!
//! Promises: a send inside a transaction takes the transaction's outcome, whatever its own delivery report said. A
//! transaction that nobody knows the end of counts as committed once a reader of committed records was handed one of its
//! records. What is kept grows with transactions, not with records. Not here: what follows from it (`finish/transactions`).

use model::history::{Ending, Session};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;

/// How far a transaction got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// Its client has begun to ask for this end.
    Ending {
        commit: bool,
    },
    Ended(Ending),
}

/// One transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transaction {
    pub(crate) session: Session,
    pub(crate) number: u64,
    pub(crate) began_ns: u64,
    pub(crate) ended_ms: u32,
    pub(crate) state: State,
    /// Its sends are the session's `[first_sequence, end_sequence)`.
    pub(crate) first_sequence: u64,
    pub(crate) end_sequence: u64,
    /// The reader whose polls are parts of it.
    pub(crate) reader: Option<Session>,
    /// Another session with its transactional id had begun before this one asked for a commit.
    pub(crate) was_fenced: bool,
    /// A reader of committed records was handed some of it.
    pub(crate) is_visible: bool,
}

impl Transaction {
    /// Its records stand in the log for readers of committed records, as far as clients can know.
    pub(crate) fn is_committed(&self) -> bool {
        match self.state {
            State::Ended(Ending::Committed) => true,
            State::Ended(Ending::Aborted) => false,
            State::Ended(Ending::Info) | State::Open | State::Ending { .. } => self.is_visible,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.state == State::Ended(Ending::Aborted)
    }
}

/// A record of an open transaction in the hands of a reader of committed records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Early {
    pub(crate) slot: u32,
    pub(crate) transaction: u32,
    pub(crate) offset: i64,
    pub(crate) at_ms: u32,
    pub(crate) reader: Session,
    /// It was handed to its own writer's transaction.
    pub(crate) own: bool,
}

#[derive(Default)]
struct OfSession {
    /// In the order of their first sequences.
    transactions: Vec<u32>,
    /// One more than the highest sequence sent so far.
    next_sequence: u64,
    /// What was sent in its open transaction. Sequences may be far apart: a range of them is not gone through.
    sent: Vec<u64>,
    /// Another session has taken its transactional id.
    is_fenced: bool,
}

#[derive(Default)]
pub(crate) struct Transactions {
    pub(crate) list: Vec<Transaction>,
    sessions: FxHashMap<u32, OfSession>,
    by_id: BTreeMap<String, Vec<u32>>,
    /// Sessions that read committed records only.
    committed_readers: FxHashSet<u32>,
    pub(crate) early: Vec<Early>,
    /// Records of transactions that had been aborted by then, and were handed to readers of committed records.
    pub(crate) aborted_reads: u64,
}

impl Transactions {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn has_sessions(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// Another session takes its transactional id: the ones before are fenced from here on.
    pub(crate) fn opened(&mut self, session: Session, transactional_id: Option<&str>) {
        let Some(id) = transactional_id else { return };
        let of_id = self.by_id.entry(id.to_owned()).or_default();
        for earlier in of_id.iter().filter(|earlier| **earlier != session.0) {
            let Some(state) = self.sessions.get_mut(earlier) else { continue };
            state.is_fenced = true;
            if let Some(last) = state.transactions.last() {
                let last = &mut self.list[*last as usize];
                last.was_fenced |= last.state == State::Open;
            }
        }
        of_id.push(session.0);
        self.sessions.entry(session.0).or_default();
    }

    pub(crate) fn reads_committed(&mut self, reader: Session) {
        self.committed_readers.insert(reader.0);
    }

    pub(crate) fn is_committed_reader(&self, reader: Session) -> bool {
        self.committed_readers.contains(&reader.0)
    }

    /// Answers `false` for one that was begun before.
    pub(crate) fn began(
        &mut self,
        session: Session,
        number: u64,
        reader: Option<Session>,
        now_ns: u64,
    ) -> bool {
        let state = self.sessions.entry(session.0).or_default();
        let last = state.transactions.last().map(|last| self.list[*last as usize]);
        if last.is_some_and(|last| last.number >= number) {
            return false;
        }
        state.transactions.push(self.list.len() as u32);
        state.sent.clear();
        self.list.push(Transaction {
            session,
            number,
            began_ns: now_ns,
            ended_ms: 0,
            state: State::Open,
            first_sequence: state.next_sequence,
            end_sequence: state.next_sequence,
            reader,
            was_fenced: state.is_fenced,
            is_visible: false,
        });
        true
    }

    /// The session's last transaction, if it has this number and has not ended.
    fn open(&mut self, session: Session, number: u64) -> Option<&mut Transaction> {
        let last = *self.sessions.get(&session.0)?.transactions.last()?;
        let last = &mut self.list[last as usize];
        (last.number == number && !matches!(last.state, State::Ended(_))).then_some(last)
    }

    /// Whose polls are parts of the session's open transaction.
    pub(crate) fn reader_in(&self, session: Session) -> Option<Session> {
        let last = *self.sessions.get(&session.0)?.transactions.last()?;
        let last = &self.list[last as usize];
        last.reader.filter(|_| !matches!(last.state, State::Ended(_)))
    }

    pub(crate) fn ending(&mut self, session: Session, number: u64, commit: bool) -> bool {
        let open = self.open(session, number);
        open.map(|open| open.state = State::Ending { commit }).is_some()
    }

    /// Answers the transaction as it ended, and the sequences that were sent in it.
    pub(crate) fn ended(
        &mut self,
        session: Session,
        number: u64,
        ending: Ending,
        at_ms: u32,
    ) -> Option<(Transaction, Vec<u64>)> {
        let open = self.open(session, number)?;
        open.state = State::Ended(ending);
        open.ended_ms = at_ms;
        let ended = *open;
        let state = self.sessions.get_mut(&session.0).expect("it has an open transaction");
        Some((ended, std::mem::take(&mut state.sent)))
    }

    /// The session sends: a part of its open transaction, if it has one.
    pub(crate) fn sent(&mut self, session: Session, sequence: u64) {
        let Some(state) = self.sessions.get_mut(&session.0) else { return };
        state.next_sequence = state.next_sequence.max(sequence.saturating_add(1));
        let Some(last) = state.transactions.last() else { return };
        let last = &mut self.list[*last as usize];
        if !last.has_ended() && sequence >= last.first_sequence {
            last.end_sequence = state.next_sequence;
            state.sent.push(sequence);
        }
    }

    /// Which transaction a record belongs to.
    pub(crate) fn of(&self, session: Session, sequence: u64) -> Option<u32> {
        let of_session = &self.sessions.get(&session.0)?.transactions;
        let after =
            of_session.partition_point(|at| self.list[*at as usize].first_sequence <= sequence);
        // Whatever came before this one had ended where it begins, or earlier.
        let last = *of_session[..after].last()?;
        (sequence < self.list[last as usize].end_sequence).then_some(last)
    }

    /// A reader of committed records was handed a record of this transaction; `first`: as the first one.
    pub(crate) fn seen(
        &mut self,
        index: u32,
        slot: u32,
        offset: i64,
        reader: Session,
        at_ms: u32,
        first: bool,
    ) {
        let transaction = &mut self.list[index as usize];
        let own = transaction.reader == Some(reader);
        match transaction.state {
            // Its commit may have taken effect, and its client has yet to hear of it.
            State::Ending { commit: true } => {}
            State::Open | State::Ending { commit: false } => {
                self.early.push(Early { slot, transaction: index, offset, at_ms, reader, own });
            }
            State::Ended(ending) => {
                self.aborted_reads += u64::from(first && ending == Ending::Aborted);
            }
        }
        transaction.is_visible = true;
    }
}
