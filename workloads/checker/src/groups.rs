//! Consumer groups as their members and their coordinator told: who owned what, what was processed, what was committed.
//!
//! Promises: what is kept of commits is what may still be in force; processed offsets are kept as ranges. Two commits are
//! in order only where one had ended before the other began. Not here: which records stand in those ranges, and what is
//! promised of them.

use model::history::{Ending, Session};
use model::settings::{Commits, GroupSettings};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// A commit of one log's offset that may be in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit {
    pub(crate) offset: i64,
    pub(crate) reader: Session,
    pub(crate) number: u64,
    pub(crate) began_ns: u64,
    /// `None`: nobody was told yet.
    pub(crate) ended_ns: Option<u64>,
    pub(crate) is_acknowledged: bool,
}

/// A committed offset that is not what it must be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backward {
    /// The acknowledged commit that should still be in force.
    pub(crate) before: Commit,
    /// What was found instead; `None`: nothing.
    pub(crate) found: Option<i64>,
    /// The later commit that took its place, where one did.
    pub(crate) by: Option<Commit>,
    pub(crate) at_ns: u64,
}

/// Offsets that were processed once more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) reader: Session,
    pub(crate) at_ms: u32,
}

/// A second owner of a log in one generation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Double {
    pub(crate) log: u32,
    pub(crate) generation: i32,
    pub(crate) owners: [Session; 2],
    pub(crate) at_ms: u32,
}

/// An output record of a copying group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied {
    pub(crate) offset: i64,
    pub(crate) output: u32,
}

/// One log, as one group deals with it.
#[derive(Default)]
pub(crate) struct GroupLog {
    /// Disjoint ranges, by their first offset.
    pub(crate) processed: BTreeMap<i64, i64>,
    pub(crate) again: Vec<Again>,
    pub(crate) copies: Vec<Copied>,
    /// The lowest offset that a member was handed.
    pub(crate) handed_from: Option<i64>,
    pub(crate) commits: Vec<Commit>,
    pub(crate) lost: Vec<Backward>,
    pub(crate) regressed: Vec<Backward>,
    /// Where the group would go on, by the last that was said of it.
    pub(crate) committed: Option<i64>,
    /// Members put their own position elsewhere, or somebody reset the group: until the next commit nothing is known.
    was_moved: bool,
}

pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) commits: Commits,
    pub(crate) logs: BTreeMap<u32, GroupLog>,
    owners: BTreeMap<(i32, u32), Session>,
    pub(crate) doubles: Vec<Double>,
}

/// An offset that takes the outcome of a transaction.
struct Waiting {
    reader: Session,
    log: u32,
    offset: i64,
}

#[derive(Default)]
pub(crate) struct Groups {
    pub(crate) list: Vec<Group>,
    by_name: BTreeMap<String, usize>,
    members: FxHashMap<u32, usize>,
    /// Some coordinator was asked for a committed offset; some client told its generation.
    pub(crate) was_asked: bool,
    pub(crate) tells_generations: bool,
    /// Offsets that wait for the outcome of a session's transaction.
    in_transaction: FxHashMap<(u32, u64), Vec<Waiting>>,
}

impl Groups {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn opened(&mut self, reader: Session, settings: Option<&GroupSettings>) {
        let Some(settings) = settings else { return };
        let next = self.list.len();
        let index = *self.by_name.entry(settings.name.clone()).or_insert(next);
        if index == next {
            self.list.push(Group {
                name: settings.name.clone(),
                commits: settings.commits,
                logs: BTreeMap::new(),
                owners: BTreeMap::new(),
                doubles: Vec::new(),
            });
        }
        self.members.insert(reader.0, index);
    }

    /// Whose member a reader is: a place in `list`.
    pub(crate) fn index_of(&self, reader: Session) -> Option<usize> {
        self.members.get(&reader.0).copied()
    }

    fn group_of(&mut self, reader: Session) -> Option<&mut Group> {
        self.members.get(&reader.0).map(|index| &mut self.list[*index])
    }

    fn log_of(&mut self, reader: Session, log: u32) -> Option<&mut GroupLog> {
        self.group_of(reader).map(|group| group.logs.entry(log).or_default())
    }

    pub(crate) fn named(&mut self, name: &str, log: u32) -> Option<&mut GroupLog> {
        let index = *self.by_name.get(name)?;
        Some(self.list[index].logs.entry(log).or_default())
    }

    /// A member was handed records from this offset on.
    pub(crate) fn handed(&mut self, reader: Session, log: u32, offset: i64) {
        if let Some(state) = self.log_of(reader, log) {
            state.handed_from = Some(state.handed_from.map_or(offset, |from| from.min(offset)));
        }
    }

    /// A member put its position elsewhere on purpose; before what the group had committed, it may well commit that.
    pub(crate) fn sought(&mut self, reader: Session, log: u32, offset: i64) {
        if let Some(state) = self.log_of(reader, log) {
            state.was_moved |= state.committed.is_some_and(|committed| offset < committed);
        }
    }

    pub(crate) fn joined(&mut self, reader: Session, generation: i32, logs: &[u32], at_ms: u32) {
        self.tells_generations = true;
        let Some(group) = self.group_of(reader) else { return };
        for log in logs {
            let owner = *group.owners.entry((generation, *log)).or_insert(reader);
            if owner != reader {
                let owners = [owner, reader];
                group.doubles.push(Double { log: *log, generation, owners, at_ms });
            }
        }
        // A generation far back owns nothing that could still be taken twice.
        let oldest = generation.saturating_sub(8);
        group.owners.retain(|(of, _), _| *of >= oldest);
    }

    pub(crate) fn processed(&mut self, reader: Session, log: u32, from: i64, to: i64, at_ms: u32) {
        if from < to
            && let Some(state) = self.log_of(reader, log)
        {
            state.process(from, to, reader, at_ms);
        }
    }

    pub(crate) fn copied(&mut self, reader: Session, log: u32, copied: Copied) {
        if let Some(state) = self.log_of(reader, log) {
            state.copies.push(copied);
        }
    }

    pub(crate) fn commit_began(
        &mut self,
        reader: Session,
        number: u64,
        offsets: &[(u32, i64)],
        now_ns: u64,
    ) {
        for (log, offset) in offsets {
            let commit = Commit {
                offset: *offset,
                reader,
                number,
                began_ns: now_ns,
                ended_ns: None,
                is_acknowledged: false,
            };
            if let Some(state) = self.log_of(reader, *log) {
                state.commits.push(commit);
            }
        }
    }

    pub(crate) fn commit_ended(
        &mut self,
        reader: Session,
        number: u64,
        ending: Ending,
        now_ns: u64,
    ) {
        let Some(group) = self.group_of(reader) else { return };
        for state in group.logs.values_mut() {
            state.commit_ended(reader, number, ending, now_ns);
        }
    }

    /// Offsets that take the outcome of a transaction.
    pub(crate) fn in_transaction(
        &mut self,
        session: Session,
        transaction: u64,
        reader: Session,
        offsets: &[(u32, i64)],
    ) {
        let waiting = self.in_transaction.entry((session.0, transaction)).or_default();
        let wait = |(log, offset): &(u32, i64)| Waiting { reader, log: *log, offset: *offset };
        waiting.extend(offsets.iter().map(wait));
    }

    pub(crate) fn transaction_ended(
        &mut self,
        session: Session,
        transaction: u64,
        ending: Ending,
        began_ns: u64,
        now_ns: u64,
    ) {
        let Some(waiting) = self.in_transaction.remove(&(session.0, transaction)) else { return };
        for Waiting { reader, log, offset } in waiting {
            // A commit by itself never has this number.
            let number = u64::MAX - transaction;
            self.commit_began(reader, number, &[(log, offset)], began_ns);
            if let Some(state) = self.log_of(reader, log) {
                state.commit_ended(reader, number, ending, now_ns);
            }
        }
    }
}

impl GroupLog {
    fn process(&mut self, from: i64, to: i64, reader: Session, at_ms: u32) {
        let (mut begin, mut end) = (from, to);
        // Every range that touches or overlaps this one becomes a part of it.
        while let Some((&first, &last)) = self.processed.range(..=end).next_back() {
            if last < begin {
                break;
            }
            let (overlap_from, overlap_to) = (first.max(from), last.min(to));
            if overlap_from < overlap_to {
                self.again.push(Again { from: overlap_from, to: overlap_to, reader, at_ms });
            }
            (begin, end) = (begin.min(first), end.max(last));
            self.processed.remove(&first);
        }
        self.processed.insert(begin, end);
    }

    pub(crate) fn is_processed(&self, offset: i64) -> bool {
        self.processed.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    fn commit_ended(&mut self, reader: Session, number: u64, ending: Ending, now_ns: u64) {
        let is_it = |commit: &Commit| {
            commit.reader == reader && commit.number == number && commit.ended_ns.is_none()
        };
        let Some(at) = self.commits.iter().position(is_it) else { return };
        if ending == Ending::Aborted {
            self.commits.remove(at);
            return;
        }
        self.commits[at].ended_ns = Some(now_ns);
        if ending == Ending::Info {
            return;
        }
        self.commits[at].is_acknowledged = true;
        let this = self.commits[at];
        self.committed = Some(this.offset);
        let ended_before = |commit: &&Commit| {
            commit.is_acknowledged && commit.ended_ns.is_some_and(|ended| ended < this.began_ns)
        };
        let before = self.commits.iter().filter(ended_before).max_by_key(|commit| commit.offset);
        if let Some(before) = before.filter(|before| before.offset > this.offset).copied()
            && !std::mem::take(&mut self.was_moved)
        {
            let found = Some(this.offset);
            self.regressed.push(Backward { before, found, by: Some(this), at_ns: now_ns });
        }
        self.was_moved = false;
        // What had ended before this one began is not in force any more.
        self.commits.retain(|commit| {
            commit.ended_ns.is_none_or(|ended| ended >= this.began_ns) || is_same(commit, &this)
        });
    }

    /// The coordinator was asked after `asked_ns`, and answered.
    pub(crate) fn seen(&mut self, offset: Option<i64>, asked_ns: u64, now_ns: u64) {
        self.committed = offset.or(self.committed);
        if self.was_moved {
            return;
        }
        let is_past = |commit: &&Commit| {
            commit.is_acknowledged && commit.ended_ns.is_some_and(|ended| ended < asked_ns)
        };
        let Some(before) = self.commits.iter().filter(is_past).max_by_key(|c| c.began_ns).copied()
        else {
            return;
        };
        // Whatever had not ended before that one began may have come after it.
        let may_be = |commit: &&Commit| {
            Some(commit.offset) == offset
                && (is_same(commit, &before)
                    || commit.ended_ns.is_none_or(|ended| ended >= before.began_ns))
        };
        if self.commits.iter().any(|commit| may_be(&commit)) {
            return;
        }
        let backward = Backward { before, found: offset, by: None, at_ns: now_ns };
        match offset {
            // Beyond it: another member's commit that this history does not hold.
            Some(offset) if offset >= before.offset => {}
            _ => self.lost.push(backward),
        }
    }

    pub(crate) fn reset(&mut self) {
        self.was_moved = true;
        self.commits.clear();
    }
}

fn is_same(one: &Commit, other: &Commit) -> bool {
    (one.reader, one.number, one.began_ns) == (other.reader, other.number, other.began_ns)
}
