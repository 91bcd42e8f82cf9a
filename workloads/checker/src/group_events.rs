//! What the history says of groups, handed to them: logs by their numbers, processed records by their places.

use crate::Checker;
use crate::groups::Copied;
use model::history::{Event, LogRef, ReaderEvent, Session};

impl Checker {
    pub(crate) fn group_event(&mut self, event: &Event) {
        let (now_ms, now_ns) = (self.now_ms, self.now_ns);
        match event {
            Event::OffsetsInTransaction { session, transaction, reader, offsets } => {
                let offsets = self.by_number(offsets);
                self.groups.in_transaction(*session, *transaction, *reader, &offsets);
            }
            Event::Copied { id, log, offset } => {
                let log = self.log(*log);
                let output = self.records.slot(*id).0;
                if let Some(reader) = self.transactions.reader_in(id.session) {
                    self.groups.copied(reader, log, Copied { offset: *offset, output });
                }
            }
            Event::Joined { reader, generation, logs } => {
                let logs: Vec<u32> = logs.iter().map(|log| self.log(*log)).collect();
                self.groups.joined(*reader, *generation, &logs, now_ms);
            }
            Event::Processed { reader, log, from, to } => {
                let log = self.log(*log);
                self.groups.processed(*reader, log, *from, *to, now_ms);
            }
            Event::CommitBegan { reader, commit, offsets } => {
                let offsets = self.by_number(offsets);
                self.groups.commit_began(*reader, *commit, &offsets, now_ns);
            }
            Event::CommitEnded { reader, commit, ending, .. } => {
                self.groups.commit_ended(*reader, *commit, *ending, now_ns);
            }
            Event::CommittedSeen { group, log, offset, asked_mono_ns } => {
                let log = self.log(*log);
                self.groups.was_asked = true;
                if let Some(state) = self.groups.named(group, log) {
                    state.seen(*offset, *asked_mono_ns, now_ns);
                }
            }
            Event::GroupReset { group, log, .. } => {
                let log = self.log(*log);
                if let Some(state) = self.groups.named(group, log) {
                    state.reset();
                }
            }
            _ => unreachable!("not of groups"),
        }
    }

    /// What a reader's own event means for its group.
    pub(crate) fn member_event(&mut self, reader: Session, what: &ReaderEvent) {
        if let ReaderEvent::Seek { log, offset } = what {
            let log = self.log(*log);
            self.groups.sought(reader, log, *offset);
        }
    }

    fn by_number(&mut self, offsets: &[(LogRef, i64)]) -> Vec<(u32, i64)> {
        offsets.iter().map(|(log, offset)| (self.log(*log), *offset)).collect()
    }
}
