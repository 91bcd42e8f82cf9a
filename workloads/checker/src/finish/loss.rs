//! Lost, unseen, read and then lost.
//!
//! A record is lost if it was acknowledged and the complete final reads of its log do not have it, and nothing that
//! was asked for explains its removal. Where the final reads are not complete, it is lost only if a reader went past
//! its place after it had been sent, and nobody ever got it; otherwise it is unseen.

use super::fold::{Row, fate_word};
use super::*;
use crate::prose::{are, at, between, count_of, number, offset, offsets, readers_word, them, were};
use std::collections::BinaryHeap;

#[derive(Default)]
pub(super) struct Losses {
    pub(super) lost: Answer,
    pub(super) unseen: Answer,
    pub(super) read_then_lost: Answer,
}

/// Whether something explains that a record is no longer there.
pub(super) enum Removal {
    Unexplained,
    Explained,
    /// The history cannot tell: why.
    Perhaps(&'static str),
}

/// What was done to a record that the final reads lack or could not look for.
#[derive(Default)]
pub(super) struct Rows {
    lost: Vec<Row>,
    unseen: Vec<Row>,
    read_then_lost: Vec<Row>,
    /// Acknowledged, not read, in a log that was not finally read.
    not_looked_for: Vec<Row>,
    /// Acknowledged, and gone for a cause that is no loss.
    pub(super) removed: u64,
    /// Of these, acknowledged when their topic had been asked to be deleted: it may have been the one that was made anew.
    pub(super) of_either: u64,
    perhaps: u64,
    perhaps_because: &'static str,
}

/// Groups keep acknowledged records of different acks, and outcomes, apart.
fn group_of(fate: Fate, acks: Option<Acks>) -> u8 {
    let acks = match acks {
        None => 0,
        Some(Acks::None) => 1,
        Some(Acks::Leader) => 2,
        Some(Acks::All) => 3,
    };
    let fate = match fate {
        Fate::Ok => 0,
        Fate::Info | Fate::Open => 4,
        Fate::Unacknowledged => 8,
        Fate::Fail => 12,
    };
    fate + acks
}

impl Closing<'_> {
    pub(super) fn losses(&self, mut rows: Rows) -> Losses {
        self.passed_over(&mut rows);
        let mut lost = self.answer(Kind::LostWrite, rows.lost, |run| self.lost_because(run));
        if rows.perhaps > 0 {
            lost.unknown = Some(format!(
                "{} {} missing, and the history cannot tell whether that was loss: {}",
                count_of(rows.perhaps, "acknowledged record"),
                are(rows.perhaps),
                rows.perhaps_because
            ));
        }
        let unseen = self.answer(Kind::Unseen, rows.unseen, |run| self.unseen_because(run));
        let read_then_lost =
            self.answer(Kind::ReadThenLost, rows.read_then_lost, |run| self.read_because(run));
        Losses { lost, unseen, read_then_lost }
    }

    /// Weighs a record that was sent. `seen`: whether the final reads saw it, if its log was finally read.
    pub(super) fn weigh(
        &self,
        slot: Slot,
        record: &records::Record,
        seen: Option<bool>,
        rows: &mut Rows,
    ) {
        if seen == Some(true) {
            return;
        }
        let checker = self.checker;
        let log = checker.logs[record.log as usize].log;
        // A damaged record is told as corrupted.
        if record.is_corrupted() || self.is_uncommitted(slot) {
            return;
        }
        // One of a deleted topic is gone with it.
        if let Some(deleted_ms) = checker.deleted_ms(log) {
            let acknowledged = record.fate() == Fate::Ok;
            rows.removed += u64::from(acknowledged);
            let meanwhile = acknowledged && u64::from(record.done_ms) >= deleted_ms;
            rows.of_either += u64::from(meanwhile && checker.was_made_anew(log));
            return;
        }
        let offset = checker.records.acknowledged_offset(slot);
        let offset = offset.or_else(|| record.is_read().then_some(record.offset));
        let group = group_of(record.fate(), checker.acks_of(checker.records.id(slot)));
        let row = Row { log: record.log, group, offset, slot };
        let acknowledged = record.fate() == Fate::Ok || self.must_have_committed(slot, record);
        match seen {
            Some(true) => {}
            None if acknowledged && !record.is_read() => rows.not_looked_for.push(row),
            None => {}
            Some(false) if !acknowledged && !record.is_read() => {}
            Some(false) => match self.removal(record, offset) {
                Removal::Explained => rows.removed += u64::from(acknowledged),
                Removal::Perhaps(because) => {
                    rows.perhaps += u64::from(acknowledged);
                    rows.perhaps_because = because;
                }
                Removal::Unexplained => {
                    if acknowledged {
                        rows.lost.push(row);
                    }
                    if record.is_read() {
                        rows.read_then_lost.push(row);
                    }
                }
            },
        }
    }

    pub(super) fn removal(&self, record: &records::Record, offset: Option<i64>) -> Removal {
        let state = &self.checker.logs[record.log as usize];
        let Some(bounds) = state.settled else { return Removal::Unexplained };
        let settings = || self.checker.settings_since(state.log, record.sent_ms);
        let below_start = match offset {
            Some(offset) => offset < bounds.start,
            None => bounds.start > 0,
        };
        if offset.is_some_and(|offset| offset < state.deleted_before) && below_start {
            return Removal::Explained;
        }
        if below_start {
            let deletes = || settings().filter(|known| known.cleanup_policy.contains("delete"));
            let age_ms = i64::from(bounds.at_ms.saturating_sub(record.sent_ms));
            let elapsed = |retention_ms: i64| retention_ms >= 0 && age_ms >= retention_ms;
            if deletes().any(|known| elapsed(known.retention_ms)) {
                return Removal::Explained;
            }
            if deletes().any(|known| known.retention_bytes >= 0) {
                return Removal::Perhaps(
                    "retention.bytes may have removed what stood below the log start offset",
                );
            }
            if offset.is_none() && state.deleted_before > 0 {
                return Removal::Perhaps(
                    "records were deleted on request, and the client was not told the offsets of these",
                );
            }
        }
        if settings().any(|known| known.cleanup_policy.contains("compact")) {
            return Removal::Perhaps("the topic is compacted, and a history holds no keys");
        }
        Removal::Unexplained
    }

    /// Parts the records that nobody looked for into lost and unseen.
    fn passed_over(&self, rows: &mut Rows) {
        let mut candidates = std::mem::take(&mut rows.not_looked_for);
        candidates.sort_unstable_by_key(|row| (row.log, row.offset, row.slot));
        for of_log in candidates.chunk_by(|one, next| one.log == next.log) {
            let state = &self.checker.logs[of_log[0].log as usize];
            let mut gaps: Vec<&Gap> = state.gaps.iter().filter(|gap| !gap.from_start).collect();
            gaps.sort_unstable_by_key(|gap| gap.from);
            let mut gaps = gaps.into_iter().peekable();
            // Gaps that have begun, the latest in time first.
            let mut open: BinaryHeap<(u32, i64)> = BinaryHeap::new();
            for row in of_log {
                // Without an offset, or where compaction makes holes, nothing was seen to be passed over.
                let compacted = self.is_compacted(row);
                let Some(offset) = row.offset.filter(|_| !compacted) else {
                    rows.unseen.push(*row);
                    continue;
                };
                while let Some(gap) = gaps.next_if(|gap| gap.from <= offset) {
                    open.push((gap.at_ms, gap.to));
                }
                while open.peek().is_some_and(|(_, to)| *to <= offset) {
                    open.pop();
                }
                let sent_ms = self.checker.records.get(row.slot).sent_ms;
                let gap_after = open.peek().is_some_and(|(at_ms, _)| *at_ms > sent_ms);
                // Another record was read in its place.
                let other =
                    self.checker.seen_at(state, offset).filter(|occupant| *occupant != FOREIGN);
                let other_after = other.is_some_and(|occupant| {
                    self.checker.records.get(Slot(occupant)).read_ms > sent_ms
                });
                let rows_of =
                    if gap_after || other_after { &mut rows.lost } else { &mut rows.unseen };
                rows_of.push(*row);
            }
        }
    }

    fn is_compacted(&self, row: &Row) -> bool {
        let log = self.checker.logs[row.log as usize].log;
        let mut settings = self.checker.settings_since(log, 0);
        settings.any(|known| known.cleanup_policy.contains("compact"))
    }

    fn lost_because(&self, run: &[Row]) -> String {
        let checker = self.checker;
        let state = &checker.logs[run[0].log as usize];
        let count = run.len() as u64;
        let mut text = format!(
            "{} of {}, acknowledged {} {}, {} gone. ",
            count_of(count, "record"),
            checker.log_name(state.log),
            self.acknowledged_where(run),
            self.acknowledged_when(run),
            are(count)
        );
        match (&self.covered[run[0].log as usize], state.settled) {
            (Ok(_), Some(bounds)) => {
                text += &format!(
                    "After healing, {} read this log from its start ({}) to its end ({}, leader epoch {}) and did not find {}.",
                    readers_word(checker.options.final_readers),
                    offset(bounds.start),
                    offset(bounds.end),
                    bounds.leader_epoch,
                    them(count)
                );
                self.say_bounds(run, bounds, &mut text);
            }
            (Err(why), _) => {
                text += &format!(
                    "The final reads of this log are not complete ({why}), but a reader went past {} after {} sent, and nobody ever got {}.",
                    if count == 1 { "its place" } else { "their places" },
                    if count == 1 { "it was" } else { "they were" },
                    them(count)
                );
            }
            (Ok(_), None) => {}
        }
        self.say_overwritten(run, &mut text);
        let read = run.iter().filter(|row| checker.records.get(row.slot).is_read()).count() as u64;
        if read > 0 {
            text += &format!(" {} of them had been read before (read-then-lost).", number(read));
        }
        text
    }

    fn say_bounds(&self, run: &[Row], bounds: Bounds, text: &mut String) {
        let at_or_above = |row: &&Row| row.offset.is_some_and(|offset| offset >= bounds.end);
        let above = run.iter().filter(at_or_above).count() as u64;
        if above > 0 {
            let whose = if above == run.len() as u64 { "All".into() } else { number(above) };
            *text += &format!(
                " {whose} of them {} acknowledged at or above the end of the log.",
                were(above)
            );
        }
        let below = |row: &&Row| row.offset.is_some_and(|offset| offset < bounds.start);
        let below = run.iter().filter(below).count() as u64;
        if below > 0 {
            *text += &format!(
                " {} of them stood below the log start offset, which moved to {} though no retention that had elapsed, no DeleteRecords and no deletion of the topic explains it.",
                number(below),
                offset(bounds.start)
            );
        }
    }

    fn say_overwritten(&self, run: &[Row], text: &mut String) {
        let state = &self.checker.logs[run[0].log as usize];
        let other = |row: &Row| {
            let occupant = self.checker.seen_at(state, row.offset?)?;
            (occupant != FOREIGN && occupant != row.slot.0).then_some((row.offset?, occupant))
        };
        let mut others = run.iter().filter_map(other);
        let Some((where_first, first)) = others.next() else { return };
        let count = 1 + others.count() as u64;
        let id = self.checker.records.id(Slot(first));
        *text += &format!(
            " {} of these offsets {} seen to hold other records: {} holds sequence {} of session {}.",
            number(count),
            were(count),
            offset(where_first),
            number(id.sequence),
            id.session.0
        );
    }

    fn acknowledged_where(&self, run: &[Row]) -> String {
        let known = || run.iter().filter_map(|row| row.offset);
        let acks = match self.checker.acks_of(self.checker.records.id(run[0].slot)) {
            Some(acks) => format!(" (acks={})", acks.as_str()),
            None => String::new(),
        };
        match (known().min(), known().max()) {
            (Some(first), Some(last)) => format!("at {}{acks}", offsets(first, last)),
            _ => format!("without an offset{acks}"),
        }
    }

    fn acknowledged_when(&self, run: &[Row]) -> String {
        let done = || run.iter().map(|row| self.checker.records.get(row.slot).done_ms);
        between(done().min().unwrap_or(0), done().max().unwrap_or(0))
    }

    fn unseen_because(&self, run: &[Row]) -> String {
        let log = self.checker.logs[run[0].log as usize].log;
        let count = run.len() as u64;
        let why = self.covered[run[0].log as usize].as_ref().err().map_or("", String::as_str);
        format!(
            "{} of {}, acknowledged {} {}, {} never read, and the final reads of this log are not complete ({why}): lost cannot be told from late.",
            count_of(count, "record"),
            self.checker.log_name(log),
            self.acknowledged_where(run),
            self.acknowledged_when(run),
            were(count)
        )
    }

    fn read_because(&self, run: &[Row]) -> String {
        let checker = self.checker;
        let state = &checker.logs[run[0].log as usize];
        let record = checker.records.get(run[0].slot);
        let reader = checker.passes.reader_of(record.reader);
        let count = run.len() as u64;
        let mut text = format!(
            "{} of {} (outcome {}) {} read, the first by reader session {} at offset {} {}, but {} that read the log from its start to its end after healing did not find {}.",
            count_of(count, "record"),
            checker.log_name(state.log),
            fate_word(record.fate()),
            were(count),
            reader.0,
            offset(record.offset),
            at(record.read_ms),
            readers_word(checker.options.final_readers),
            them(count)
        );
        self.say_overwritten(run, &mut text);
        text
    }
}
