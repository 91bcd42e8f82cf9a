//! Against a real node.

use super::world::World;
use super::*;
use checker::{Checker, Options};
use generator::stamp::Filler;
use model::finding::CheckVerdict;
use model::history::{Outcome, PassKind, ReaderEvent, Seen};
use std::collections::BTreeSet;

const PARTITIONS: u32 = 3;

fn topic(properties: &[(&str, &str)]) -> scenario::Topic {
    let pairs = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    scenario::Topic {
        name: TOPIC.to_owned(),
        partitions: PARTITIONS,
        replication_factor: 1,
        properties: pairs.collect(),
    }
}

/// A world with the topic in it.
fn world(sessions: &Sessions) -> World {
    let mut world = World::new();
    let mut admin = Admin::new(setup("admin", &[1], sessions, 1));
    admin.submit(Command::CreateTopic { topic: TopicRef(0), as_in: topic(&[]) });
    world.run_for(2_000, &mut [&mut admin]);
    assert!(admin.is_idle() && admin.failures.is_empty() && admin.complaints().is_empty());
    world
}

fn produce(settings: &scenario::Producer, sessions: &Sessions, seed: u64) -> Producer {
    let filler = Arc::new(Filler::new(1, 1_000));
    Producer::new(setup("p1", &[1], sessions, seed), settings, target(PARTITIONS), filler)
}

/// Finds the ends and reads everything twice; then what the checker says.
fn judge(world: &mut World, sessions: &Sessions) {
    let mut ends = LogEnds::new(setup("ends", &[1], sessions, 5), target(PARTITIONS));
    world.start(0);
    world.run_until_done(5_000, &mut [&mut ends]);
    assert_eq!(ends.found().len(), PARTITIONS as usize);
    for name in ["final1", "final2"] {
        let of_reader = setup(name, &[1], sessions, 6);
        let mut reader = FinalReader::new(of_reader, target(PARTITIONS), ends.found());
        world.start(0);
        world.run_until_done(5_000, &mut [&mut reader]);
        assert!(reader.is_complete());
        assert_eq!(reader.complaints(), &[] as &[String]);
    }
    let mut checker = Checker::new(Options::default());
    checker.feed(&Default::default(), &Event::Run { run: RUN, seed: 1, plan: String::new() });
    for (time, event) in &world.history {
        checker.feed(time, event);
    }
    let report = checker.finish();
    for check in &report.checks {
        assert_eq!(check.verdict, CheckVerdict::Valid, "{check:?}");
    }
}

fn outcomes(world: &World) -> (usize, usize, usize) {
    let of = |wanted: fn(&Outcome) -> bool| {
        let sent = |event: &Event| matches!(event, Event::Sent { outcome, .. } if wanted(outcome));
        world.history.iter().filter(|(_, event)| sent(event)).count()
    };
    let sends = world.history.iter().filter(|(_, event)| matches!(event, Event::Send { .. }));
    let ok = of(|outcome| matches!(outcome, Outcome::Ok { offset: Some(_) }));
    (sends.count(), ok, of(|_| true))
}

fn end_to_end(settings: &scenario::Producer, seed: u64) {
    let sessions = Sessions::default();
    let mut world = world(&sessions);
    let mut producer = produce(settings, &sessions, seed);
    let of_consumer = setup("c1", &[1], &sessions, seed + 1);
    let ledger = CommitLedger::default();
    let settings = consumer_settings(None);
    let mut consumer = Consumer::new(of_consumer, &settings, target(PARTITIONS), ledger);
    world.start(0);
    world.start(1);
    world.run_for(1_000, &mut [&mut producer, &mut consumer]);
    producer.stop_sending();
    world.run_for(500, &mut [&mut producer, &mut consumer]);
    assert!(producer.is_done());
    consumer.stop_sending();
    world.run_until_done(1_000, &mut [&mut producer, &mut consumer]);
    assert_eq!(producer.complaints(), &[] as &[String]);
    assert_eq!(consumer.complaints(), &[] as &[String]);
    let (sends, ok, sent) = outcomes(&world);
    assert!((95..=105).contains(&sends), "{sends}");
    assert_eq!(sent, sends);
    assert_eq!(consumer.progress(), sends as u64);
    assert_eq!(producer.progress(), sends as u64);
    if producer_settings().acks == Acks::All {
        assert!(ok == sends || ok == 0);
    }
    judge(&mut world, &sessions);
}

#[test]
fn what_is_sent_is_read_whatever_the_settings() {
    let mut seed = 0;
    for (acks, idempotence) in [(Acks::All, true), (Acks::Leader, false), (Acks::None, false)] {
        for compression in 0..5 {
            seed += 10;
            let settings =
                scenario::Producer { acks, idempotence, compression, ..producer_settings() };
            end_to_end(&settings, seed);
        }
    }
}

#[test]
fn a_topic_is_described_as_it_is_and_as_it_becomes() {
    let sessions = Sessions::default();
    let mut world = World::new();
    let mut admin = Admin::new(setup("admin", &[1], &sessions, 1));
    let reference = TopicRef(0);
    let as_in = topic(&[("retention.ms", "86400000")]);
    admin.submit(Command::CreateTopic { topic: reference, as_in });
    let name = TOPIC.to_owned();
    let (key, value) = ("flush.messages".to_owned(), "7".to_owned());
    admin.submit(Command::AlterTopic { topic: reference, name: name.clone(), key, value });
    admin.submit(Command::CreatePartitions { topic: reference, name: name.clone(), count: 5 });
    admin.submit(Command::ElectPreferred);
    let (key, value) = ("no.such.property".to_owned(), "7".to_owned());
    admin.submit(Command::AlterTopic { topic: reference, name, key, value });
    world.run_for(4_000, &mut [&mut admin]);
    assert!(admin.is_idle());
    assert_eq!(admin.progress(), 5);
    assert_eq!(admin.failures.len(), 1, "{:?}", admin.failures);
    let told: Vec<&Event> = world.history.iter().map(|(_, event)| event).collect();
    let [Event::Topic { settings: first, topic_id, .. }, second, third] = told[..] else {
        panic!("{told:?}")
    };
    assert_ne!(*topic_id, [0; 16]);
    assert_eq!((first.partitions, first.replication_factor), (3, 1));
    assert_eq!((first.retention_ms, first.flush_messages), (86_400_000, i64::MAX));
    assert!(matches!(second, Event::Settings { settings, .. } if settings.flush_messages == 7));
    assert!(matches!(third, Event::Settings { settings, .. } if settings.partitions == 5));
}

#[test]
fn a_node_that_is_killed_costs_a_wait_and_no_record() {
    for idempotence in [false, true] {
        let sessions = Sessions::default();
        let mut world = world(&sessions);
        let settings = scenario::Producer { idempotence, ..producer_settings() };
        let mut producer = produce(&settings, &sessions, 3);
        world.start(0);
        for _ in 0..3 {
            world.run_for(400, &mut [&mut producer]);
            world.kill();
            world.run_for(300, &mut [&mut producer]);
            world.boot();
        }
        world.run_for(2_000, &mut [&mut producer]);
        producer.stop_sending();
        world.run_until_done(6_000, &mut [&mut producer]);
        let (sends, ok, sent) = outcomes(&world);
        assert!(sends > 350, "{sends}");
        assert_eq!((ok, sent), (sends, sends));
        if idempotence {
            judge(&mut world, &sessions);
        }
    }
}

#[test]
fn members_of_a_group_share_what_there_is_and_take_over() {
    let sessions = Sessions::default();
    let mut world = world(&sessions);
    let mut producer = produce(&producer_settings(), &sessions, 3);
    let ledger = CommitLedger::default();
    let member = |name: &str, seed| {
        let settings = consumer_settings(Some("readers"));
        let of_member = setup(name, &[1], &sessions, seed);
        Consumer::new(of_member, &settings, target(PARTITIONS), ledger.clone())
    };
    let (mut first, mut second) = (member("c1", 11), member("c2", 12));
    (0..3).for_each(|client| world.start(client));
    world.run_for(4_000, &mut [&mut producer, &mut first, &mut second]);
    assert!(first.progress() > 0 && second.progress() > 0);
    assert!(first.assignments() > 0 && second.assignments() > 0);
    first.stop_sending();
    world.run_for(3_000, &mut [&mut producer, &mut first, &mut second]);
    assert!(first.is_done());
    producer.stop_sending();
    world.run_for(1_000, &mut [&mut producer, &mut first, &mut second]);
    second.stop_sending();
    world.run_until_done(1_000, &mut [&mut producer, &mut first, &mut second]);
    assert_eq!(second.lost_commits(), &[] as &[String]);
    assert_eq!(second.complaints(), &[] as &[String]);

    let mut read = BTreeSet::new();
    let mut repeated = 0;
    for (_, event) in &world.history {
        if let Event::Polled { records, .. } = event {
            for (_, seen) in records {
                let Seen::Record(id) = seen else { panic!("{seen:?}") };
                repeated += u32::from(!read.insert(*id));
            }
        }
    }
    let (sends, ..) = outcomes(&world);
    assert_eq!(read.len(), sends);
    // It left with a commit, so that next to nothing is read again.
    assert!(repeated < 20, "{repeated}");
    let was_revoked = world.history.iter().any(|(_, event)| {
        matches!(event, Event::Reader { what: ReaderEvent::Revoked { logs }, .. } if !logs.is_empty())
    });
    assert!(was_revoked, "the second came later");
    judge(&mut world, &sessions);
}

#[test]
fn partitions_that_nobody_writes_to_are_nobodys_only_share() {
    let sessions = Sessions::default();
    let mut world = world(&sessions);
    let filler = Arc::new(Filler::new(1, 1_000));
    let of_producer = setup("p1", &[1], &sessions, 3);
    let mut producer = Producer::new(of_producer, &producer_settings(), target(2), filler);
    let ledger = CommitLedger::default();
    let member = |name: &str, seed| {
        let of_member = setup(name, &[1], &sessions, seed);
        Consumer::new(of_member, &consumer_settings(Some("g")), target(2), ledger.clone())
    };
    let (mut first, mut second) = (member("c1", 11), member("c2", 12));
    (0..3).for_each(|client| world.start(client));
    world.run_for(4_000, &mut [&mut producer, &mut first, &mut second]);
    assert!(first.progress() > 0 && second.progress() > 0, "the topic has a third partition");
}

#[test]
fn a_reader_goes_on_where_its_group_committed() {
    let sessions = Sessions::default();
    let mut world = world(&sessions);
    let mut producer = produce(&producer_settings(), &sessions, 3);
    world.start(0);
    world.run_for(1_000, &mut [&mut producer]);
    producer.stop_sending();
    world.run_until_done(1_000, &mut [&mut producer]);
    let ledger = CommitLedger::default();
    let mut read = Vec::new();
    for (name, seed) in [("c1", 11), ("c2", 12)] {
        let settings = consumer_settings(Some("readers"));
        let of_member = setup(name, &[1], &sessions, seed);
        let mut member = Consumer::new(of_member, &settings, target(PARTITIONS), ledger.clone());
        world.start(0);
        world.run_for(2_000, &mut [&mut member]);
        member.stop_sending();
        world.run_until_done(1_000, &mut [&mut member]);
        assert_eq!(member.lost_commits(), &[] as &[String]);
        read.push(member.progress());
    }
    assert!(read[0] > 90);
    assert_eq!(read[1], 0);
}

#[test]
fn the_same_seeds_give_the_same_history() {
    let run = |seed| {
        let sessions = Sessions::default();
        let mut world = world(&sessions);
        let settings = scenario::Producer { idempotence: true, ..producer_settings() };
        let mut producer = produce(&settings, &sessions, seed);
        world.start(0);
        world.run_for(500, &mut [&mut producer]);
        world.kill();
        world.run_for(200, &mut [&mut producer]);
        world.boot();
        world.run_for(1_000, &mut [&mut producer]);
        (format!("{:?}", world.history), world.steps)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn an_idle_client_rests() {
    let sessions = Sessions::default();
    let mut world = world(&sessions);
    let settings = consumer_settings(None);
    let of_consumer = setup("c1", &[1], &sessions, 1);
    let ledger = CommitLedger::default();
    let mut consumer = Consumer::new(of_consumer, &settings, target(PARTITIONS), ledger);
    world.start(0);
    world.kill();
    let before = world.steps;
    world.run_for(5_000, &mut [&mut consumer]);
    // Dials and their failures, some five times a second.
    assert!(world.steps - before < 200, "{}", world.steps - before);
    let began = world
        .history
        .iter()
        .any(|(_, event)| matches!(event, Event::PassBegan { kind: PassKind::Live, .. }));
    assert!(began);
}
