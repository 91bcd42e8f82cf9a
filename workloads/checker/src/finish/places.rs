//! What stands where it should not: twice, two at one place, damaged, never sent, or certainly failed.

use super::fold::{Row, fold};
use super::*;
use crate::prose::{at, between, count_of, number, offset, them, were};

impl Closing<'_> {
    pub(super) fn duplicates(&self, mut rows: Vec<Row>) -> Answer {
        for row in &mut rows {
            row.group = u8::from(self.epoch_between(row).is_some());
        }
        let count = rows.len() as u64;
        let runs = fold(self, rows);
        let findings = runs.iter().take(self.checker.options.findings_max).map(|run| {
            let mut because = self.stand_twice(run);
            let epoch = self.epoch_between(&run[0]);
            if let Some(epoch) = epoch {
                because += &format!(
                    " In between, its client's library began a new epoch: producer {}, epoch {}, from offset {} on.",
                    epoch.producer_id,
                    epoch.producer_epoch,
                    offset(epoch.first_offset),
                );
            }
            let mut finding = self.finding(Kind::Duplicate, run, because);
            if epoch.is_some() {
                finding.outcome = Some("new epoch".into());
            }
            finding
        });
        Answer { count, findings: findings.collect(), unknown: None }
    }

    fn stand_twice(&self, run: &[Row]) -> String {
        let id = self.checker.records.id(run[0].slot);
        let places = self.places_of(run[0].slot).into_iter().take(6).map(offset);
        let places: Vec<String> = places.collect();
        format!(
            "{} of {} {} read at more than one offset each: sequence {} of session {} stands at {}.",
            count_of(run.len() as u64, "record"),
            self.log_of(run),
            were(run.len() as u64),
            number(id.sequence),
            id.session.0,
            places.join(" and "),
        )
    }

    fn places_of(&self, slot: Slot) -> Vec<i64> {
        let known = self.checker.records.elsewhere(slot);
        let mut places: Vec<i64> =
            known.iter().flat_map(|known| &known.places).map(|place| place.offset).collect();
        places.sort_unstable();
        places
    }

    /// The epoch that a record's producer began between one of its places and the next, each time; `None`: the broker could
    /// know two of them for the same.
    fn epoch_between(&self, row: &Row) -> Option<&ProducerEpoch> {
        let state = &self.checker.logs[row.log as usize];
        let session = self.checker.records.id(row.slot).session;
        let is_its_own = |epoch: &&ProducerEpoch| {
            let first = self.checker.seen_at(state, epoch.first_offset);
            let first = first.filter(|occupant| *occupant != FOREIGN);
            first.is_some_and(|first| self.checker.records.id(Slot(first)).session == session)
        };
        let mut found = None;
        for places in self.places_of(row.slot).windows(2) {
            let between = places[0] + 1..=places[1];
            let epochs = state.producer_epochs.iter();
            let mut inside = epochs.filter(|epoch| between.contains(&epoch.first_offset));
            found = Some(inside.find(is_its_own)?);
        }
        found
    }

    pub(super) fn inconsistent_offsets(&self, rows: Vec<Row>) -> Answer {
        let mut answer = self.acknowledged_elsewhere(rows);
        for index in 0..self.checker.logs.len() {
            self.conflicts_of(index, &mut answer);
        }
        answer
    }

    fn acknowledged_elsewhere(&self, rows: Vec<Row>) -> Answer {
        let records = &self.checker.records;
        self.answer(Kind::InconsistentOffsets, rows, |run| {
            let record = records.get(run[0].slot);
            let id = records.id(run[0].slot);
            format!(
                "{} of {} {} acknowledged at other offsets than where readers found {}: sequence {} of session {} was acknowledged at {} and read at {}.",
                count_of(run.len() as u64, "record"),
                self.log_of(run),
                were(run.len() as u64),
                them(run.len() as u64),
                number(id.sequence),
                id.session.0,
                offset(records.acknowledged_offset(run[0].slot).unwrap_or(-1)),
                offset(record.offset),
            )
        })
    }

    /// Offsets at which readers saw different records. Where the final reads are complete and agree, the others were
    /// overwritten after a truncation: those are losses, and told as such.
    fn conflicts_of(&self, index: usize, answer: &mut Answer) {
        let checker = self.checker;
        let state = &checker.logs[index];
        let finally_read = self.covered[index].is_ok();
        let counts = |seen: &[Conflict]| {
            if !finally_read {
                return true;
            }
            seen.iter().filter(|one| one.finals != 0).count() > 1
        };
        let mut offsets = state.table.conflicts.iter().filter(|(_, seen)| counts(seen)).peekable();
        while let Some((first, seen)) = offsets.next() {
            let mut last = *first;
            let mut rows: Vec<Row> = self.rows_at(index, *first, seen);
            while let Some((next, seen)) = offsets.next_if(|(next, _)| **next == last + 1) {
                last = *next;
                rows.extend(self.rows_at(index, *next, seen));
            }
            let count = (last - first) as u64 + 1;
            answer.count += count;
            if rows.is_empty() || answer.findings.len() >= checker.options.findings_max {
                continue;
            }
            let because = self.conflict_because(index, *first, last, seen);
            let mut finding = self.finding(Kind::InconsistentOffsets, &rows, because);
            finding.count = count;
            finding.outcome = (!finally_read).then(|| "overwritten".to_string());
            answer.findings.push(finding);
        }
    }

    fn rows_at(&self, index: usize, offset: i64, seen: &[Conflict]) -> Vec<Row> {
        let ours = seen.iter().filter(|one| one.occupant != FOREIGN);
        let row = |one: &Conflict| Row {
            log: index as u32,
            group: 0,
            offset: Some(offset),
            slot: Slot(one.occupant),
        };
        ours.map(row).collect()
    }

    fn conflict_because(&self, index: usize, first: i64, last: i64, seen: &[Conflict]) -> String {
        let who = |one: &Conflict| {
            let what = match one.occupant {
                FOREIGN => "a record that is not this run's".to_string(),
                slot => {
                    let id = self.checker.records.id(Slot(slot));
                    format!("sequence {} of session {}", number(id.sequence), id.session.0)
                }
            };
            let reader = self.checker.passes.reader_of(one.pass).0;
            format!("{what} (reader session {reader}, {})", at(one.at_ms))
        };
        let seen: Vec<String> = seen.iter().take(4).map(who).collect();
        let mut text = format!(
            "Readers saw different records at {} of {}: at offset {}, {}.",
            count_of((last - first) as u64 + 1, "offset"),
            self.name_of(index as u32),
            offset(first),
            seen.join(" and "),
        );
        if self.covered[index].is_err() {
            text += " The final reads of this log are not complete, so this may be what a truncation overwrote.";
        }
        text
    }

    pub(super) fn resurrected(&self, rows: Vec<Row>) -> Answer {
        self.answer(Kind::Resurrected, rows, |run| {
            let record = self.checker.records.get(run[0].slot);
            let id = self.checker.records.id(run[0].slot);
            format!(
                "{} of {} {} reported as certainly not written, and read all the same: sequence {} of session {} failed {} and was read at offset {} {}.",
                count_of(run.len() as u64, "record"),
                self.log_of(run),
                were(run.len() as u64),
                number(id.sequence),
                id.session.0,
                at(record.done_ms),
                offset(record.offset),
                at(record.read_ms),
            )
        })
    }

    pub(super) fn corrupted(&self) -> Answer {
        let mut answer = Answer::default();
        for state in &self.checker.logs {
            self.sightings(Kind::Corrupted, state, state.corrupted.iter(), &mut answer, |run| {
                let (first, seen) = run[0];
                format!(
                    "{} of {} {} read with another key, headers, value, checksum or timestamp than {} sent with: at offset {}, claimed to be sequence {} of session {} ({}).",
                    count_of(run.len() as u64, "record"),
                    self.checker.log_name(state.log),
                    were(run.len() as u64),
                    if run.len() == 1 { "it was" } else { "they were" },
                    offset(first),
                    number(seen.id.sequence),
                    seen.id.session.0,
                    between(seen.at_ms, run[run.len() - 1].1.at_ms),
                )
            });
        }
        answer
    }

    /// Records of this run's form that nobody sent to the log in which they were found.
    pub(super) fn phantoms(&self, unsent: Vec<BTreeMap<i64, Sighting>>) -> Answer {
        let mut answer = Answer::default();
        let cut = self.checker.facts.cut.as_deref();
        let mut unmatched = 0;
        for (state, mut unsent) in self.checker.logs.iter().zip(unsent) {
            unsent.extend(state.phantoms.iter().map(|(offset, seen)| (*offset, *seen)));
            // Of a history that was cut, the sends that are missing may have been cut off.
            if cut.is_some() {
                let before = unsent.len();
                let known = |seen: &Sighting| self.checker.records.is_sent(seen.id);
                unsent.retain(|_, seen| seen.sent_to.is_some() || known(seen));
                unmatched += (before - unsent.len()) as u64;
            }
            self.sightings(Kind::Phantom, state, unsent.iter(), &mut answer, |run| {
                let (first, seen) = run[0];
                let whence = match seen.sent_to {
                    Some(log) => format!("it was sent to {}", self.checker.log_name(log)),
                    None => "nobody sent it there".to_string(),
                };
                format!(
                    "{} with this run's stamp {} read from {} that do{} not belong there: at offset {}, sequence {} of session {} ({whence}).",
                    count_of(run.len() as u64, "record"),
                    were(run.len() as u64),
                    self.checker.log_name(state.log),
                    if run.len() == 1 { "es" } else { "" },
                    offset(first),
                    number(seen.id.sequence),
                    seen.id.session.0,
                )
            });
        }
        if unmatched > 0 {
            answer.unknown = Some(format!(
                "{} {} read whose sends are not in the history, which was cut off: {}",
                count_of(unmatched, "record"),
                were(unmatched),
                cut.unwrap_or_default()
            ));
        }
        answer
    }

    fn sightings<'s>(
        &self,
        kind: Kind,
        state: &LogState,
        seen: impl Iterator<Item = (&'s i64, &'s Sighting)>,
        answer: &mut Answer,
        because: impl Fn(&[(i64, Sighting)]) -> String,
    ) {
        let seen: Vec<(i64, Sighting)> = seen.map(|(offset, seen)| (*offset, *seen)).collect();
        for run in seen.chunk_by(|(before, _), (next, _)| *next == before + 1) {
            answer.count += run.len() as u64;
            if answer.findings.len() >= self.checker.options.findings_max {
                continue;
            }
            let (first, first_seen) = run[0];
            let evidence = model::finding::Evidence {
                index: None,
                at_ms: u64::from(first_seen.at_ms),
                what: "polled".into(),
                session: first_seen.reader.0,
                id: Some(first_seen.id),
                offset: Some(first),
            };
            answer.findings.push(Finding {
                cycle: Vec::new(),
                kind,
                log: state.log,
                topic: self.checker.topic_name(state.log),
                count: run.len() as u64,
                first_offset: Some(first),
                last_offset: run.last().map(|(offset, _)| *offset),
                ids: run
                    .iter()
                    .take(self.checker.options.ids_max)
                    .map(|(_, seen)| seen.id)
                    .collect(),
                outcome: None,
                first_ack_ms: None,
                last_ack_ms: None,
                because: because(run),
                evidence: vec![evidence],
            });
        }
    }
}
