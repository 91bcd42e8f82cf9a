//! Records that are gone, that stand twice, that nobody sent, and places with two of them.

use super::Cleanup;
use super::answer::Answer;
use super::logs::{Fate, Log};
use super::prose::{Telling, offsets, plural};
use super::table::DoneKind;
use crate::prose::count_of;
use model::finding::{Finding, Kind};
use model::operation::Stage;
use rustc_hash::FxHashMap;

/// A record that should have been read.
#[derive(Clone, Copy)]
struct Missing {
    /// Its first position, for the order of telling.
    position: Option<u32>,
    main: u32,
    fate: Fate,
    /// Retention or compaction may have removed it.
    excused: bool,
}

/// What is missing from one key.
struct Gone {
    key: u32,
    missing: Vec<Missing>,
    /// The highest record that was read, which proves that what stands before it was passed over.
    bound: Option<u32>,
}

/// Where reads from the beginning of a log began: the operation and the offset of its first record.
pub(super) type Beginnings = FxHashMap<u32, Vec<(u32, i64)>>;

impl Telling<'_> {
    pub(super) fn lost(&mut self) -> Answer {
        let beginnings = self.beginnings();
        let gone: Vec<Gone> = (0..self.logs.list.len() as u32)
            .filter_map(|key| self.lost_of(key, &beginnings))
            .collect();
        let bounds: Vec<(u32, u32)> =
            gone.iter().filter_map(|gone| Some((gone.key, gone.bound?))).collect();
        self.ask_readers(&bounds);
        self.missing(Kind::LostWrite, &gone)
    }

    pub(super) fn unseen(&mut self) -> Answer {
        let beginnings = self.beginnings();
        let gone: Vec<Gone> = (0..self.logs.list.len() as u32)
            .filter_map(|key| {
                let log = self.logs.get(key);
                let missing = log
                    .mains()
                    .filter(|main| log.fate(*main) == Fate::Ok && !log.is_polled(*main))
                    .map(|main| self.missing_one(key, log, main, &beginnings))
                    .collect();
                sorted(key, missing, None)
            })
            .collect();
        self.missing(Kind::Unseen, &gone)
    }

    fn lost_of(&self, key: u32, beginnings: &Beginnings) -> Option<Gone> {
        let log = self.logs.get(key);
        let order = &self.orders[key as usize];
        let read = log.mains().filter(|main| log.is_polled_ok(*main));
        let (bound, highest) =
            read.filter_map(|main| Some((order.extent(log, main)?.0, main))).max()?;
        let missing = log
            .mains()
            .filter(|main| {
                let passed = order.extent(log, *main).is_some_and(|extent| extent.1 <= bound);
                let committed = |writer| self.table.done(writer).committed;
                let took_effect =
                    log.fate(*main) == Fate::Ok || log.writer(*main).is_some_and(committed);
                passed && took_effect && !log.is_polled(*main)
            })
            .map(|main| self.missing_one(key, log, main, beginnings))
            .collect();
        // The row of the bound's own place, which a reader had.
        let row = order.pick(bound);
        sorted(key, missing, Some(if log.main(row) == highest { row } else { highest }))
    }

    fn missing_one(&self, key: u32, log: &Log, main: u32, beginnings: &Beginnings) -> Missing {
        let position = self.orders[key as usize].extent(log, main).map(|extent| extent.0);
        let excused = match self.options.cleanup {
            None => false,
            Some(Cleanup::Compact) => true,
            Some(Cleanup::Delete) => {
                let writer = log.writer(main).unwrap_or(0);
                self.offset(key, main).is_some_and(|at| removable(beginnings, key, writer, at))
            }
        };
        Missing { position, main, fate: log.fate(main), excused }
    }

    /// Only where retention may remove records does it matter where a log begins.
    pub(super) fn beginnings(&self) -> Beginnings {
        let mut beginnings = Beginnings::default();
        if self.options.cleanup != Some(Cleanup::Delete) {
            return beginnings;
        }
        let mut sought: FxHashMap<(u32, u32), ()> = FxHashMap::default();
        for number in 0..self.table.list.len() as u32 {
            let done = self.table.done(number);
            if done.kind != DoneKind::Records {
                let Some(assignment) = self.table.assignment(done) else { continue };
                if assignment.seek_to_beginning && done.stage == Stage::Ok {
                    sought.extend(assignment.keys.iter().map(|key| ((done.process, *key), ())));
                }
                continue;
            }
            for run in self.table.runs(number) {
                if sought.remove(&(done.process, run.key)).is_some()
                    && let Some(offset) = self.offset(run.key, run.row)
                {
                    beginnings.entry(run.key).or_default().push((number, offset));
                }
            }
        }
        beginnings
    }

    /// Contiguous records of one fate are one finding.
    fn missing(&self, kind: Kind, gone: &[Gone]) -> Answer {
        let mut answer = Answer::default();
        let all = || gone.iter().flat_map(|gone| &gone.missing);
        let excused = all().filter(|missing| missing.excused).count() as u64;
        let certain = all().count() as u64 - excused;
        answer.count = if certain > 0 { certain } else { excused };
        if excused > 0 {
            let removed = format!("{} {}", self.remover(), count_of(excused, "record"));
            answer.unknown = (certain == 0).then(|| removed.clone());
            answer.note = (certain > 0).then(|| format!("not counted: {removed}"));
        }
        for gone in gone {
            let parts = gone.missing.chunk_by(|a, b| {
                let follows = match (a.position, b.position) {
                    (Some(a), Some(b)) => b == a + 1,
                    (None, None) => true,
                    _ => false,
                };
                follows && a.fate == b.fate && a.excused == b.excused
            });
            for part in parts {
                if answer.findings.len() >= self.options.findings_max {
                    return answer;
                }
                answer.findings.push(self.missing_finding(kind, gone, part));
            }
        }
        answer
    }

    fn missing_finding(&self, kind: Kind, gone: &Gone, part: &[Missing]) -> Finding {
        let (key, log) = (gone.key, self.logs.get(gone.key));
        let (first, last) = (part[0], part[part.len() - 1]);
        let count = part.len() as u64;
        let place = offsets(self.offset(key, first.main), self.offset(key, last.main));
        let outcome = if first.fate == Fate::Ok { "ok" } else { "info" };
        let which = format!("{} of {} ({place})", count_of(count, "record"), self.key(key));
        let was = plural(count, "was", "were");
        let sent = match first.fate {
            Fate::Ok => format!("{which} {was} acknowledged"),
            _ => format!(
                "{which} belong to an operation that nobody knows the outcome of, and that took effect: \
                 another of its records was read"
            ),
        };
        let rest = match (kind, gone.bound) {
            (Kind::LostWrite, Some(bound)) => format!(
                "No poll ever had {}, and {} went on beyond: {} was read.",
                plural(count, "it", "them"),
                self.readers
                    .get(&(key, bound))
                    .map_or_else(|| "a reader".into(), |reader| self.operation(*reader)),
                self.place(key, bound)
            ),
            _ => format!("No poll ever had {}.", plural(count, "it", "them")),
        };
        let mut because = format!("{sent}. {rest}");
        if first.excused {
            because += &format!(" But {} {}.", self.remover(), plural(count, "it", "them"));
        }
        let mut finding = self.finding(kind, key, count, because);
        finding.first_offset = self.offset(key, first.main);
        finding.last_offset = self.offset(key, last.main);
        let named = part.iter().take(self.options.ids_max);
        finding.ids = named.filter_map(|missing| self.id(key, missing.main)).collect();
        finding.outcome = Some(outcome.into());
        let times = part.iter().filter_map(|missing| log.writer(missing.main));
        let times = times.map(|writer| u64::from(self.table.done(writer).at_ms));
        if first.fate == Fate::Ok {
            finding.first_ack_ms = times.clone().min();
            finding.last_ack_ms = times.max();
        }
        finding.evidence.extend(self.send_evidence(key, first.main));
        if count > 1 {
            finding.evidence.extend(self.send_evidence(key, last.main));
        }
        finding.evidence.extend(gone.bound.and_then(|bound| self.read_evidence(key, bound)));
        finding
    }

    /// What may have taken records away, as the beginning of a sentence.
    fn remover(&self) -> &'static str {
        match self.options.cleanup {
            Some(Cleanup::Compact) => "compaction may have removed",
            _ => {
                "no later read from the beginning found the log to begin there, and retention may have removed"
            }
        }
    }

    pub(super) fn duplicates(&mut self) -> Answer {
        let mut answer = Answer::default();
        let mut kept = Vec::new();
        for (key, log) in self.logs.list.iter().enumerate() {
            for main in log.mains().filter(|main| log.places(*main).nth(1).is_some()) {
                answer.count += 1;
                if kept.len() < self.options.findings_max {
                    kept.push((key as u32, main));
                }
            }
        }
        let rows: Vec<(u32, u32)> = kept
            .iter()
            .flat_map(|(key, main)| self.logs.get(*key).places(*main).map(|row| (*key, row)))
            .collect();
        self.ask_readers(&rows);
        answer.findings = kept.iter().map(|(key, main)| self.duplicate(*key, *main)).collect();
        answer
    }

    fn duplicate(&self, key: u32, main: u32) -> Finding {
        let log = self.logs.get(key);
        let mut rows: Vec<u32> = log.places(main).collect();
        rows.sort_unstable_by_key(|row| log.row(*row).offset);
        let shown: Vec<String> =
            rows.iter().take(8).map(|row| log.row(*row).offset.to_string()).collect();
        let more = rows.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let because = format!(
            "Value {} was sent to {} once, and stands there at offsets {}{more}.",
            self.value(key, main),
            self.key(key),
            shown.join(" and ")
        );
        let mut finding = self.finding(Kind::Duplicate, key, 1, because);
        finding.first_offset = rows.first().map(|row| log.row(*row).offset);
        finding.last_offset = rows.last().map(|row| log.row(*row).offset);
        finding.ids.extend(self.id(key, main));
        finding.evidence.extend(self.send_evidence(key, main));
        finding
            .evidence
            .extend(rows.iter().take(8).filter_map(|row| self.read_evidence(key, *row)));
        finding
    }

    pub(super) fn inconsistent_offsets(&mut self) -> Answer {
        let mut answer = Answer::default();
        let mut kept: Vec<(u32, Vec<u32>)> = Vec::new();
        for (key, log) in self.logs.list.iter().enumerate() {
            for rows in self.orders[key].conflicts(log) {
                answer.count += 1;
                if kept.len() < self.options.findings_max {
                    kept.push((key as u32, rows.to_vec()));
                }
            }
        }
        let rows: Vec<(u32, u32)> =
            kept.iter().flat_map(|(key, rows)| rows.iter().map(|row| (*key, *row))).collect();
        self.ask_readers(&rows);
        answer.findings = kept.iter().map(|(key, rows)| self.inconsistent(*key, rows)).collect();
        answer
    }

    fn inconsistent(&self, key: u32, rows: &[u32]) -> Finding {
        let log = self.logs.get(key);
        let offset = log.row(rows[0]).offset;
        let told: Vec<String> = rows
            .iter()
            .take(8)
            .map(|row| {
                let by = match self.readers.get(&(key, *row)) {
                    Some(reader) => format!("{} polled it there", self.operation(*reader)),
                    None => match log.writer(log.main(*row)) {
                        Some(writer) => format!("{} was told so", self.operation(writer)),
                        None => "nobody sent it".into(),
                    },
                };
                format!("value {} ({by})", self.value(key, *row))
            })
            .collect();
        let because = format!("Offset {offset} of {} holds {}.", self.key(key), told.join(" and "));
        let mut finding = self.finding(Kind::InconsistentOffsets, key, 1, because);
        (finding.first_offset, finding.last_offset) = (Some(offset), Some(offset));
        for row in rows.iter().take(self.options.ids_max) {
            finding.ids.extend(self.id(key, *row));
            let read = self.read_evidence(key, *row);
            finding.evidence.extend(read.or_else(|| self.send_evidence(key, log.main(*row))));
        }
        finding
    }

    pub(super) fn phantoms(&mut self) -> Answer {
        let mut answer = Answer::default();
        let mut kept = Vec::new();
        for (key, log) in self.logs.list.iter().enumerate() {
            let nobodys = |main: &u32| log.fate(*main) == Fate::Unsent && log.is_polled(*main);
            for main in log.mains().filter(nobodys) {
                answer.count += 1;
                if kept.len() < self.options.findings_max {
                    kept.push((key as u32, main));
                }
            }
        }
        self.ask_readers(&kept);
        answer.findings = kept.iter().map(|(key, main)| self.phantom(*key, *main)).collect();
        answer
    }

    fn phantom(&self, key: u32, main: u32) -> Finding {
        let log = self.logs.get(key);
        let elsewhere: Vec<String> = (0..self.logs.list.len() as u32)
            .filter(|other| *other != key && self.logs.get(*other).was_sent(log.atom(main)))
            .map(|other| self.key(other))
            .take(3)
            .collect();
        let elsewhere = match elsewhere.len() {
            0 => "nobody sent it".to_owned(),
            _ => format!("it was sent to {}, not there", elsewhere.join(" and ")),
        };
        let reader = self.readers.get(&(key, main)).map(|reader| self.operation(*reader));
        let because = format!(
            "{} polled {} of {}, and {elsewhere}.",
            reader.unwrap_or_else(|| "A reader".into()),
            self.place(key, main),
            self.key(key)
        );
        let mut finding = self.finding(Kind::Phantom, key, 1, because);
        finding.first_offset = self.offset(key, main);
        finding.last_offset = self.offset(key, main);
        finding.evidence.extend(self.read_evidence(key, main));
        finding
    }
}

/// Whether no read from the beginning after an operation found the log to begin at or below this offset.
pub(super) fn removable(beginnings: &Beginnings, key: u32, operation: u32, offset: i64) -> bool {
    let later = beginnings.get(&key).into_iter().flatten();
    later.filter(|(number, _)| *number > operation).all(|(_, begin)| offset < *begin)
}

/// In the order of the log, those without a place last; nothing, if nothing is missing.
fn sorted(key: u32, mut missing: Vec<Missing>, bound: Option<u32>) -> Option<Gone> {
    missing.sort_unstable_by_key(|missing| {
        (missing.position.is_none(), missing.position, missing.main)
    });
    (!missing.is_empty()).then_some(Gone { key, missing, bound })
}
