use super::*;
use model::fault::{Destroys, FaultState, Role};
use model::history::TopicRef;

const LOG: LogRef = LogRef { topic: TopicRef(0), partition: 0 };

fn at(ms: u64) -> Time {
    Time { mono_ns: ms * 1_000_000, wall_ms: 0 }
}

fn id(sequence: u64) -> RecordId {
    RecordId { session: Session(0), sequence }
}

/// One send every 10 ms for `seconds`, answered by `answer(intended_ms)`: latency and outcome.
fn run(
    seconds: u64,
    answer: impl Fn(u64) -> Option<(u64, Outcome)>,
    faults: &[FaultRecord],
) -> Measured {
    let mut events = vec![(at(0), Event::Phase { phase: Phase::Baseline })];
    for sequence in 0..seconds * 100 {
        let ms = sequence * 10;
        events.push((
            at(ms),
            Event::Send { id: id(sequence), log: LOG, intended_mono_ns: ms * 1_000_000 },
        ));
        if let Some((latency, outcome)) = answer(ms) {
            events.push((at(ms + latency), Event::Sent { id: id(sequence), outcome, error: None }));
        }
    }
    if let Some(fault) = faults.first() {
        events.push((at(fault.planned_ms), Event::Phase { phase: Phase::Faults }));
    }
    events.push((at(seconds * 1000), Event::Phase { phase: Phase::Heal }));
    events.sort_by_key(|(time, _)| *time);
    let mut measure = Measure::new(1000);
    events.iter().for_each(|(time, event)| measure.feed(time, event));
    measure.finish(faults, &[])
}

fn ok(latency: u64) -> Option<(u64, Outcome)> {
    Some((latency, Outcome::Ok { offset: None }))
}

fn fault(asked_ms: u64) -> FaultRecord {
    FaultRecord {
        id: 1,
        name: "kill".into(),
        recipe: None,
        role: Role::Leader,
        partition: None,
        nodes: vec![],
        state: FaultState::Cleared,
        destroys: Destroys::Nothing,
        planned_ms: asked_ms,
        asked_ms: Some(asked_ms),
        confirmed_ms: Some(asked_ms + 5),
        healed_ms: Some(asked_ms + 100),
        cleared_ms: Some(asked_ms + 200),
        for_ms: None,
        evidence: vec![],
        parameters: BTreeMap::new(),
        legs: vec![],
    }
}

#[test]
fn a_quiet_run_is_fully_available() {
    let measured = run(20, |_| ok(3), &[]);
    assert_eq!(measured.availability.request, 1.0);
    assert_eq!(measured.availability.windowed, 1.0);
    assert_eq!(measured.availability.longest_outage_ms, 0);
    assert!((measured.availability.latency_p50_ms - 3.0).abs() < 0.1);
}

#[test]
fn a_pause_is_an_outage_of_its_own_length_and_its_late_sends_count() {
    // Nothing is acknowledged between 5,000 and 7,000 ms; what was sent meanwhile is acknowledged at 7,000.
    let measured = run(
        20,
        |ms| if (5000..7000).contains(&ms) { ok(7000 - ms) } else { ok(0) },
        &[fault(5000)],
    );
    assert_eq!(measured.availability.longest_outage_ms, 2000);
    assert_eq!(measured.availability.total_outage_ms, 2000);
    // A hundred sends were later than a second.
    assert!((measured.availability.request - (1.0 - 100.0 / 2000.0)).abs() < 1e-9);
    let recovery = &measured.recoveries[0];
    assert_eq!((recovery.first_success_ms, recovery.pause_ms), (Some(2000), 2000));
    assert_eq!(recovery.recovery_time_ms, Some(1000));
    assert_eq!(measured.availability.outside_faults, 1.0);
}

#[test]
fn an_outage_that_never_ends_counts_to_the_end() {
    let measured = run(20, |ms| if ms < 12_000 { ok(0) } else { None }, &[fault(12_000)]);
    assert_eq!(measured.availability.longest_outage_ms, 8000);
    assert!((measured.availability.request - 0.6).abs() < 1e-9);
    assert_eq!(measured.recoveries[0].recovery_time_ms, None);
}

#[test]
fn failed_and_indeterminate_both_count_against_availability() {
    let measured = run(
        10,
        |ms| if ms % 20 == 0 { Some((1, Outcome::Fail)) } else { Some((1, Outcome::Info)) },
        &[],
    );
    assert_eq!(measured.availability.request, 0.0);
    assert_eq!(measured.availability.windowed, 0.0);
}

#[test]
fn a_pause_that_the_next_fault_made_is_not_laid_at_the_one_before() {
    // The first send that waits comes before the second fault is asked for; the first fault was over long before.
    let answer = |ms| if (10_000..11_000).contains(&ms) { ok(11_000 - ms) } else { ok(0) };
    let second = FaultRecord { id: 2, ..fault(10_005) };
    let measured = run(20, answer, &[fault(5_000), second]);
    let pauses: Vec<u64> = measured.recoveries.iter().map(|r| r.pause_ms).collect();
    assert_eq!(pauses, [0, 995]);
    assert_eq!(measured.recoveries[0].first_success_ms, None);
}

#[test]
fn a_load_that_never_came_to_its_schedule_has_no_numbers() {
    // Everything that is sent was due before the baseline began: overdue from the start.
    let mut measure = Measure::new(1000);
    let send = |sequence| Event::Send { id: id(sequence), log: LOG, intended_mono_ns: 0 };
    let sent = |sequence| {
        let outcome = Outcome::Ok { offset: None };
        Event::Sent { id: id(sequence), outcome, error: None }
    };
    measure.feed(&at(0), &send(0));
    measure.feed(&at(5_000), &Event::Phase { phase: Phase::Baseline });
    measure.feed(&at(6_000), &send(1));
    measure.feed(&at(7_000), &sent(0));
    measure.feed(&at(60_000), &sent(1));
    measure.feed(&at(60_000), &Event::Phase { phase: Phase::Heal });
    let measured = measure.finish(&[fault(20_000)], &[]);
    assert_eq!(measured.availability.longest_outage_ms, 0);
    assert_eq!(measured.availability.latency_max_ms, 0.0);
    assert_eq!(measured.recoveries[0].recovery_time_ms, None);
}

#[test]
fn what_was_due_while_the_load_warmed_up_is_not_measured() {
    let mut measure = Measure::new(1000);
    let mut send = |at_ms: u64, latency_ms: u64, sequence: u64| {
        let intended_mono_ns = at_ms * 1_000_000;
        measure.feed(&at(at_ms), &Event::Send { id: id(sequence), log: LOG, intended_mono_ns });
        let outcome = Outcome::Ok { offset: None };
        measure
            .feed(&at(at_ms + latency_ms), &Event::Sent { id: id(sequence), outcome, error: None });
        if sequence == 0 {
            measure.feed(&at(at_ms + latency_ms), &Event::Phase { phase: Phase::Baseline });
        }
    };
    send(0, 9_000, 0);
    send(10_000, 3, 1);
    let measured = measure.finish(&[], &[]);
    assert_eq!(measured.availability.request, 1.0);
    assert!(measured.availability.latency_max_ms < 4.0);
}

#[test]
fn the_oldest_open_send_is_known() {
    let mut measure = Measure::new(1000);
    let send = |sequence, ms: u64| Event::Send { id: id(sequence), log: LOG, intended_mono_ns: ms };
    let sent = |sequence| Event::Sent { id: id(sequence), outcome: Outcome::Fail, error: None };
    for (event, oldest) in [
        (send(0, 10), Some(10)),
        (send(1, 20), Some(10)),
        (send(2, 30), Some(10)),
        (sent(1), Some(10)),
        (sent(0), Some(30)),
        (sent(2), None),
    ] {
        measure.feed(&at(0), &event);
        assert_eq!(measure.oldest_open_ns(), oldest);
    }
}

#[test]
fn a_baseline_that_was_disturbed_begins_again_and_forgets() {
    let mut measure = Measure::new(1000);
    let send = |sequence, ms: u64| Event::Send {
        id: id(sequence),
        log: LOG,
        intended_mono_ns: ms * 1_000_000,
    };
    let sent = |sequence, outcome| Event::Sent { id: id(sequence), outcome, error: None };
    for (ms, event) in [
        (0, Event::Phase { phase: Phase::Baseline }),
        (0, send(0, 0)),
        (1, send(1, 1)),
        (3_000, sent(0, Outcome::Fail)),
        (4_000, Event::Phase { phase: Phase::Baseline }),
        (5_000, sent(1, Outcome::Info)),
        (6_000, send(2, 6_000)),
        (6_003, sent(2, Outcome::Ok { offset: None })),
        (7_000, Event::Phase { phase: Phase::Faults }),
        (8_000, Event::Phase { phase: Phase::Heal }),
    ] {
        measure.feed(&at(ms), &event);
    }
    let measured = measure.finish(&[], &[]);
    assert!(measured.has_baseline);
    assert_eq!((measured.availability.baseline, measured.availability.request), (1.0, 1.0));
    assert_eq!(
        measured.series.phases,
        [(Phase::Baseline, 4_000), (Phase::Faults, 7_000), (Phase::Heal, 8_000)]
    );
    assert!(measured.availability.latency_max_ms < 4.0);
}

#[test]
fn what_the_first_fault_cut_short_says_nothing_of_the_baseline() {
    // All that is due between 2.9 and 3 s is open when the fault comes, and answered long after its deadline.
    let cut = |ms: u64| if (2_900..3_000).contains(&ms) { ok(5_000) } else { ok(3) };
    assert_eq!(run(6, cut, &[fault(3_100)]).availability.baseline, 1.0);
    // Had it come after their deadline, they would have been late already.
    assert!(run(6, cut, &[fault(4_100)]).availability.baseline < 0.98);
    // What was refused before counts, whenever the fault came.
    let refused = |ms: u64| match ms {
        2_900..3_000 => Some((3, Outcome::Fail)),
        _ => ok(3),
    };
    assert!(run(6, refused, &[fault(3_100)]).availability.baseline < 0.98);
    for fault in [fault(500), fault(1_000)] {
        assert!(run(1, |_| None, &[fault]).availability.baseline.is_nan(), "nothing is known");
    }
}

#[test]
fn what_was_made_of_other_records_is_not_offered_at_a_rate() {
    let mut measure = Measure::new(1000);
    let send = |sequence| Event::Send { id: id(sequence), log: LOG, intended_mono_ns: 0 };
    let sent = |sequence, outcome| Event::Sent { id: id(sequence), outcome, error: None };
    for (ms, event) in [
        (0, Event::Phase { phase: Phase::Baseline }),
        (0, send(0)),
        (1, sent(0, Outcome::Ok { offset: None })),
        (2, Event::Copied { id: id(1), log: LOG, offset: 0 }),
        (2, send(1)),
        (3, sent(1, Outcome::Fail)),
        (9, Event::Phase { phase: Phase::Heal }),
    ] {
        measure.feed(&at(ms), &event);
    }
    assert_eq!((measure.late_ns(), measure.oldest_open_ns()), (0, None));
    assert_eq!(measure.finish(&[], &[]).availability.request, 1.0);
}
