//! The same questions asked by brute force over the whole history, and one planted anomaly at a time.

use super::clean::{clean_histories, plain_histories};
use super::history::*;
use model::finding::Kind;
use model::history::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Quadratic and plain. Only for histories whose final reads are complete and whose readers are never moved.
fn brute_force(history: &History) -> BTreeMap<Kind, u64> {
    let mut sends: Vec<(RecordId, LogRef, usize)> = Vec::new();
    let mut outcomes: BTreeMap<RecordId, Outcome> = BTreeMap::new();
    // Who, which log, where, what, when.
    let mut reads: Vec<(Session, LogRef, i64, RecordId, usize)> = Vec::new();
    let mut damaged: BTreeSet<(LogRef, i64, RecordId)> = BTreeSet::new();
    // Every place that a reader was handed or, at the end of a final pass, came to.
    let mut handed: Vec<(Session, LogRef, i64, usize)> = Vec::new();
    for (now, event) in history.events.iter().enumerate() {
        match event {
            Event::Send { id, log, .. } => sends.push((*id, *log, now)),
            Event::Sent { id, outcome, .. } => {
                outcomes.insert(*id, *outcome);
            }
            Event::Polled { reader, log, records, .. } => {
                for (offset, seen) in records {
                    handed.push((*reader, *log, *offset, now));
                    match seen {
                        Seen::Record(id) => reads.push((*reader, *log, *offset, *id, now)),
                        Seen::Corrupted(id) => {
                            damaged.insert((*log, *offset, *id));
                        }
                        _ => {}
                    }
                }
            }
            Event::LogBounds { log, end, .. } => {
                let came_to = |reader| (Session(reader), *log, *end, usize::MAX);
                handed.extend(FINAL.map(came_to));
            }
            _ => {}
        }
    }
    let is_final = |reader: Session| FINAL.contains(&reader.0);
    let finals: Vec<_> = reads.iter().filter(|read| is_final(read.0)).collect();
    let sent_to = |id: RecordId| sends.iter().find(|send| send.0 == id).map(|send| send.1);
    let finally = |id: RecordId, log: LogRef| finals.iter().any(|r| r.3 == id && r.1 == log);
    let mut counts: BTreeMap<Kind, BTreeSet<(LogRef, i64, RecordId, u32)>> = BTreeMap::new();
    let mut add = |kind: Kind, log: LogRef, offset: i64, id: RecordId, who: u32| {
        counts.entry(kind).or_default().insert((log, offset, id, who));
    };
    for (id, log, _) in &sends {
        if damaged.iter().any(|(_, _, of)| of == id) {
            continue;
        }
        let own: Vec<_> = reads.iter().filter(|r| r.3 == *id && r.1 == *log).collect();
        let places: BTreeSet<i64> = own.iter().map(|read| read.2).collect();
        let outcome = outcomes.get(id);
        if matches!(outcome, Some(Outcome::Ok { .. })) && !finally(*id, *log) {
            add(Kind::LostWrite, *log, 0, *id, 0);
        }
        if !own.is_empty() && !finally(*id, *log) {
            add(Kind::ReadThenLost, *log, 0, *id, 0);
        }
        if places.len() > 1 {
            add(Kind::Duplicate, *log, 0, *id, 0);
        }
        if outcome == Some(&Outcome::Fail) && !own.is_empty() {
            add(Kind::Resurrected, *log, 0, *id, 0);
        }
        if let Some(Outcome::Ok { offset: Some(offset) }) = outcome
            && !places.contains(offset)
            && finally(*id, *log)
        {
            add(Kind::InconsistentOffsets, *log, -1, *id, 0);
        }
        let first = |of: RecordId| {
            finals.iter().filter(|r| r.3 == of && r.1 == *log).map(|read| read.2).min()
        };
        let overtaken = sends.iter().any(|(other, other_log, _)| {
            other.session == id.session
                && other.sequence < id.sequence
                && other_log == log
                && first(*other).zip(first(*id)).is_some_and(|(before, own)| before > own)
        });
        if overtaken {
            add(Kind::Reordered, *log, 0, *id, 0);
        }
    }
    for (log, offset, id) in &damaged {
        add(Kind::Corrupted, *log, *offset, *id, 0);
    }
    let nobody = RecordId { session: Session(0), sequence: 0 };
    for (reader, log, offset, id, _) in &reads {
        if sent_to(*id) != Some(*log) {
            add(Kind::Phantom, *log, *offset, nobody, 0);
        }
        let differs = |read: &&&(Session, LogRef, i64, RecordId, usize)| {
            (read.1, read.2) == (*log, *offset) && read.3 != *id
        };
        if is_final(*reader) && finals.iter().any(|read| differs(&read)) {
            add(Kind::InconsistentOffsets, *log, *offset, nobody, 0);
        }
    }
    // Everything that a reader has below a place it came to and did not get, though it was there when the reader
    // first went past it.
    for (reader, log, place, now) in &handed {
        for (_, _, offset, id, _) in reads.iter().filter(|r| r.1 == *log && r.2 < *place) {
            let got = handed.iter().any(|h| (h.0, h.1, h.2) == (*reader, *log, *offset));
            let past = handed.iter().filter(|h| h.0 == *reader && h.1 == *log && h.2 > *offset);
            let past = past.map(|h| h.3).min().unwrap_or(*now);
            let send = sends.iter().find(|send| send.0 == *id && send.1 == *log);
            if got || !finally(*id, *log) || send.is_none_or(|send| send.2 >= past) {
                continue;
            }
            add(Kind::PollSkip, *log, *offset, *id, reader.0);
            let first = reads.iter().filter(|r| r.3 == *id && r.1 == *log).map(|r| r.4).min();
            if first > Some(past) {
                add(Kind::Reappeared, *log, 0, *id, 0);
            }
        }
    }
    counts.into_iter().map(|(kind, of)| (kind, of.len() as u64)).collect()
}

/// What a plan of damage does to the polls of a clean history.
#[derive(Clone, Debug)]
pub(super) enum Damage {
    /// No reader, or only one of them, gets this record.
    Remove {
        nth: usize,
        from: Option<u32>,
    },
    Repeat {
        nth: usize,
    },
    Swap {
        nth: usize,
    },
    Corrupt {
        nth: usize,
    },
    Unsent {
        nth: usize,
    },
    OtherOutcome {
        nth: usize,
        outcome: Outcome,
    },
}

pub(super) fn any_damage() -> impl Strategy<Value = Damage> {
    let reader = prop_oneof![Just(None), Just(Some(LIVE)), Just(Some(60)), Just(Some(61))];
    let outcome = prop_oneof![
        Just(Outcome::Fail),
        Just(Outcome::Ok { offset: None }),
        (0..20i64).prop_map(|offset| Outcome::Ok { offset: Some(offset) })
    ];
    prop_oneof![
        (0..40usize, reader).prop_map(|(nth, from)| Damage::Remove { nth, from }),
        (0..40usize).prop_map(|nth| Damage::Repeat { nth }),
        (0..40usize).prop_map(|nth| Damage::Swap { nth }),
        (0..40usize).prop_map(|nth| Damage::Corrupt { nth }),
        (0..40usize).prop_map(|nth| Damage::Unsent { nth }),
        (0..40usize, outcome).prop_map(|(nth, outcome)| Damage::OtherOutcome { nth, outcome }),
    ]
}

fn polled_ids(history: &History) -> Vec<RecordId> {
    let mut ids = Vec::new();
    for event in &history.events {
        let Event::Polled { records, .. } = event else { continue };
        for (_, seen) in records {
            if let Seen::Record(id) = seen
                && !ids.contains(id)
            {
                ids.push(*id);
            }
        }
    }
    ids
}

/// Changes what was polled, record by record; nothing left means not polled.
fn change_polls(
    history: &mut History,
    change: impl Fn(Session, LogRef, i64, Seen) -> Vec<(i64, Seen)>,
) {
    for event in &mut history.events {
        if let Event::Polled { reader, log, records, .. } = event {
            let old = std::mem::take(records);
            for (offset, seen) in old {
                records.extend(change(*reader, *log, offset, seen));
            }
        }
    }
}

pub(super) fn plant(history: &mut History, damage: &Damage) {
    let ids = polled_ids(history);
    let (Damage::Remove { nth, .. }
    | Damage::Repeat { nth }
    | Damage::Swap { nth }
    | Damage::Corrupt { nth }
    | Damage::Unsent { nth }
    | Damage::OtherOutcome { nth, .. }) = damage;
    let Some(target) = ids.get(*nth).copied() else { return };
    let next = ids.get(*nth + 1).copied();
    let is = move |seen: Seen| seen == Seen::Record(target);
    match damage {
        Damage::Remove { from, .. } => change_polls(history, |reader, _, offset, seen| {
            let hit = is(seen) && from.is_none_or(|from| Session(from) == reader);
            if hit { vec![] } else { vec![(offset, seen)] }
        }),
        // Another copy, in a place that nothing else has.
        Damage::Repeat { .. } => {
            let mut end = 0;
            for event in &history.events {
                if let Event::Polled { records, .. } = event {
                    end = records.iter().map(|(offset, _)| *offset + 1).max().unwrap_or(0).max(end);
                }
            }
            let mut at = None;
            for event in &history.events {
                if let Event::Send { id, log, .. } = event
                    && *id == target
                {
                    at = Some(*log);
                }
            }
            let Some(at) = at else { return };
            for event in &mut history.events {
                if let Event::LogBounds { log, end: bound, .. } = event
                    && *log == at
                {
                    *bound = (*bound).max(end + 1);
                }
            }
            for reader in FINAL {
                let ends = |event: &Event| matches!(event, Event::PassEnded { reader: r, .. } if r.0 == reader);
                let before = history.events.iter().position(ends).expect("both passes end");
                let records = vec![(end, Seen::Record(target))];
                let (reader, pass, log) = (Session(reader), 0, at);
                history.events.insert(before, Event::Polled { reader, pass, log, records });
            }
        }
        Damage::Swap { .. } => change_polls(history, |_, _, offset, seen| match (seen, next) {
            (Seen::Record(id), Some(next)) if id == target => vec![(offset, Seen::Record(next))],
            (Seen::Record(id), Some(next)) if id == next => vec![(offset, Seen::Record(target))],
            _ => vec![(offset, seen)],
        }),
        Damage::Corrupt { .. } => change_polls(history, |_, _, offset, seen| {
            vec![(offset, if is(seen) { Seen::Corrupted(target) } else { seen })]
        }),
        Damage::Unsent { .. } => {
            let unsent = RecordId { session: target.session, sequence: target.sequence + 1000 };
            change_polls(history, |_, _, offset, seen| {
                vec![(offset, if is(seen) { Seen::Record(unsent) } else { seen })]
            });
        }
        Damage::OtherOutcome { outcome: new, .. } => {
            for event in &mut history.events {
                if let Event::Sent { id, outcome, .. } = event
                    && *id == target
                {
                    *outcome = *new;
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_checker_finds_what_brute_force_finds(
        history in plain_histories(),
        damage in prop::collection::vec(any_damage(), 0..4),
    ) {
        let mut history = history;
        for damage in &damage {
            plant(&mut history, damage);
        }
        let report = history.check();
        prop_assume!(report.facts.final_reads_complete);
        let mut found: BTreeMap<Kind, u64> = found(&report).into_iter().collect();
        // Brute force does not follow a reader back and forth.
        if found.remove(&Kind::NonmonotonicPoll).is_none() {
            prop_assert_eq!(found, brute_force(&history), "{:?}", damage);
        }
    }

    #[test]
    fn one_planted_anomaly_is_found_with_only_what_follows(
        history in clean_histories(),
        damage in any_damage(),
    ) {
        let mut planted = history.clone();
        plant(&mut planted, &damage);
        let report = planted.check();
        let kinds: BTreeSet<Kind> = found(&report).into_iter().map(|(kind, _)| kind).collect();
        let allowed: &[Kind] = match &damage {
            Damage::Remove { from: None, .. } => &[Kind::LostWrite],
            Damage::Remove { .. } => {
                &[Kind::LostWrite, Kind::ReadThenLost, Kind::PollSkip, Kind::Reappeared]
            }
            Damage::Repeat { .. } => &[Kind::Duplicate],
            Damage::Swap { .. } => &[
                Kind::Reordered,
                Kind::InconsistentOffsets,
                Kind::Phantom,
                Kind::LostWrite,
                Kind::PollSkip,
                Kind::Reappeared,
            ],
            Damage::Corrupt { .. } => &[Kind::Corrupted],
            Damage::Unsent { .. } => &[Kind::Phantom, Kind::LostWrite],
            Damage::OtherOutcome { .. } => {
                &[Kind::Resurrected, Kind::InconsistentOffsets, Kind::LostWrite]
            }
        };
        prop_assert!(kinds.iter().all(|kind| allowed.contains(kind)), "{:?}: {:?}", damage, kinds);
        if planted.events != history.events && report.facts.final_reads_complete {
            let must = match &damage {
                Damage::Repeat { .. } => Some(Kind::Duplicate),
                Damage::Corrupt { .. } => Some(Kind::Corrupted),
                Damage::Unsent { .. } => Some(Kind::Phantom),
                _ => None,
            };
            prop_assert!(must.is_none_or(|kind| kinds.contains(&kind)), "{:?}: {:?}", damage, kinds);
        }
    }
}
