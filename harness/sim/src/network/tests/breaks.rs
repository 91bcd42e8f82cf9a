use super::*;

/// Sends some frames and lets a part of them arrive.
fn send_some(bench: &mut Bench) {
    for _ in 0..20 {
        bench.send(A, DIALED, "frame");
    }
}

fn is_frames_then_closed(told: &[String]) -> bool {
    let frames = told.iter().take_while(|told| *told == "frame").count();
    told[frames..] == ["closed"]
}

#[test]
fn frames_sent_before_a_close_come_before_it_and_the_closer_is_told_nothing() {
    let mut bench = Bench::connected(settings(), 1);
    send_some(&mut bench);
    bench.close(A, DIALED);
    bench.send(A, DIALED, "too late");
    bench.send(B, ConnId(1), "in vain");
    bench.pass_ms(100);
    assert_eq!(bench.told_to(B), [vec!["frame"; 20], vec!["closed"]].concat());
    assert!(bench.told_to(A).is_empty());
    assert_eq!(bench.network.connections(), 0);
}

#[test]
fn both_may_close_at_once() {
    let mut bench = Bench::connected(settings(), 1);
    bench.close(A, DIALED);
    bench.close(B, ConnId(1));
    bench.pass_ms(100);
    assert!(bench.told.is_empty());
    assert_eq!((bench.network.connections(), bench.network.next_ns()), (0, None));
}

#[test]
fn a_reset_loses_a_suffix_and_tells_both_once() {
    let mut heard = BTreeSet::new();
    for seed in 0..40 {
        let mut bench = Bench::connected(settings(), seed);
        send_some(&mut bench);
        bench.network.reset_all(bench.now_ns, B);
        bench.send(A, DIALED, "too late");
        bench.pass_ms(60_000);
        assert_eq!(bench.told_to(A), ["closed"]);
        assert!(is_frames_then_closed(&bench.told_to(B)), "{:?}", bench.told);
        assert_eq!(bench.network.connections(), 0);
        heard.insert(bench.told_to(B).len() - 1);
    }
    assert!(heard.len() > 8 && heard.contains(&0) && heard.contains(&20), "{heard:?}");
}

#[test]
fn resets_come_by_chance_too() {
    let mut settings = settings();
    settings.reset_per_million = 300_000;
    let mut lost = 0;
    for seed in 0..10 {
        let mut bench = Bench::connected(settings, seed);
        send_some(&mut bench);
        bench.pass_ms(100);
        assert!(is_frames_then_closed(&bench.told_to(B)));
        assert_eq!(bench.told_to(A), ["closed"]);
        assert_eq!(bench.network.stats().resets, 1);
        lost += bench.network.stats().frames_lost;
    }
    assert!(lost > 0);
}

#[test]
fn a_reset_is_told_through_a_cut() {
    let mut bench = Bench::connected(settings(), 1);
    bench.network.cut(A, B);
    send_some(&mut bench);
    bench.pass_ms(1_000);
    bench.network.reset_all(bench.now_ns, A);
    bench.pass_ms(1_000);
    assert_eq!((bench.take(A), bench.take(B)), (vec!["closed".into()], vec!["closed".into()]));
}

#[test]
fn a_reset_of_one_host_leaves_others_alone() {
    let mut bench = Bench::connected(settings(), 1);
    bench.connect(A, C);
    bench.pass_ms(100);
    bench.told.clear();
    bench.network.reset_all(bench.now_ns, B);
    bench.pass_ms(100);
    assert_eq!((bench.take(A).len(), bench.take(B).len(), bench.take(C).len()), (1, 1, 0));
}

#[test]
fn of_a_dead_process_all_or_a_part_of_what_was_sent_arrives() {
    let mut heard = BTreeSet::new();
    for seed in 0..40 {
        let mut bench = Bench::connected(settings(), seed);
        send_some(&mut bench);
        bench.send(B, ConnId(1), "in vain");
        bench.network.process_died(bench.now_ns, A);
        bench.pass_ms(100);
        assert!(is_frames_then_closed(&bench.told_to(B)));
        assert!(bench.told_to(A).is_empty(), "the dead hear nothing");
        assert_eq!(bench.network.connections(), 0);
        heard.insert(bench.told_to(B).len() - 1);
    }
    assert!(heard.len() > 5 && heard.contains(&20), "{heard:?}");
}

#[test]
fn a_dead_machine_is_silent_until_it_is_back_and_asked() {
    let mut bench = Bench::connected(settings(), 1);
    bench.network.machine_died(bench.now_ns, B);
    bench.pass_ms(5_000);
    bench.send(A, DIALED, "hello?");
    bench.pass_ms(5_000);
    assert!(bench.told.is_empty());
    bench.network.machine_up(bench.now_ns, B);
    bench.network.listen(B, 9000, Listener::Broker);
    bench.pass_ms(1_000);
    assert_eq!(bench.take(A), ["closed"]);
    assert!(bench.told.is_empty());
    assert_eq!(bench.network.stats().half_open, 1);
}

#[test]
fn of_a_dead_machine_only_what_is_on_the_wire_arrives_and_nothing_waits_for_a_mend() {
    let mut heard = BTreeSet::new();
    for seed in 0..20 {
        let mut bench = Bench::connected(settings(), seed);
        send_some(&mut bench);
        bench.network.machine_died(bench.now_ns, A);
        bench.pass_ms(100);
        assert!(bench.told_to(B).iter().all(|told| told == "frame"));
        heard.insert(bench.told_to(B).len());
    }
    assert!(heard.len() > 5, "{heard:?}");
    let mut bench = Bench::connected(settings(), 1);
    send_some(&mut bench);
    bench.network.machine_died(bench.now_ns, A);
    bench.network.cut(A, B);
    bench.pass_ms(1_000);
    bench.network.mend(A, B);
    bench.pass_ms(1_000);
    assert!(bench.told.is_empty());
}

#[test]
fn a_machine_that_stays_dead_is_given_up_by_those_who_talk_to_it() {
    let mut bench = Bench::connected(settings(), 1);
    bench.network.machine_died(bench.now_ns, B);
    bench.send(A, DIALED, "hello?");
    bench.pass_ms(31_000);
    assert_eq!(bench.take(A), ["closed"]);
    assert_eq!(bench.network.connections(), 0);
}

#[test]
fn forgotten_connections_are_half_open_until_the_peer_sends() {
    let mut bench = Bench::connected(settings(), 1);
    bench.network.forget_all(bench.now_ns, B);
    bench.send(B, ConnId(1), "too late");
    bench.pass_ms(60_000);
    assert_eq!(bench.take(B), ["closed"]);
    assert!(bench.told.is_empty(), "the peer does not know");
    bench.send(A, DIALED, "hello?");
    bench.pass_ms(100);
    assert_eq!(bench.take(A), ["closed"]);
    assert!(bench.told.is_empty());
    assert_eq!((bench.network.stats().half_open, bench.network.connections()), (1, 0));
}

#[test]
fn a_reset_that_meets_a_cut_is_lost_and_asked_for_again() {
    let mut bench = Bench::connected(settings(), 1);
    bench.network.forget_all(bench.now_ns, B);
    bench.network.cut(B, A);
    bench.send(A, DIALED, "hello?");
    bench.pass_ms(1_000);
    assert!(bench.told_to(A).is_empty());
    bench.network.mend(B, A);
    bench.send(A, DIALED, "hello??");
    bench.pass_ms(100);
    assert_eq!(bench.take(A), ["closed"]);
}

#[test]
fn a_farewell_waits_behind_a_cut_or_is_lost_with_its_kernels_memory() {
    for cut_first in [true, false] {
        let mut told = BTreeSet::new();
        for seed in 0..20 {
            let mut bench = Bench::connected(settings(), seed);
            if cut_first {
                bench.network.cut(A, B);
            }
            bench.send(A, DIALED, "frame");
            bench.pass_ms(if cut_first { 100 } else { 0 });
            bench.network.process_died(bench.now_ns, A);
            if !cut_first {
                bench.network.cut(A, B);
            }
            bench.pass_ms(5_000);
            assert!(bench.told.is_empty());
            bench.network.mend(A, B);
            bench.pass_ms(1_000);
            told.insert(bench.take(B));
        }
        let farewell = vec!["frame".to_owned(), "closed".to_owned()];
        assert_eq!(told, BTreeSet::from([vec![], farewell]));
    }
}
