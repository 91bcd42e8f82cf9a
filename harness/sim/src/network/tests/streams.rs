use super::*;

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("frame {number}")).collect()
}

fn send_numbered(bench: &mut Bench, count: usize) {
    for frame in numbered(count) {
        bench.network.send(bench.now_ns, A, DIALED, vec![frame.into()]);
        bench.pass_ns(10_000);
    }
}

#[test]
fn frames_come_late_and_in_order() {
    let mut bench = Bench::connected(settings(), 1);
    send_numbered(&mut bench, 500);
    assert!(bench.network.frames_in_flight() > 0);
    bench.pass_ms(100);
    assert_eq!(bench.told_to(B), numbered(500));
    assert_eq!(bench.network.frames_in_flight(), 0);
}

#[test]
fn both_directions_have_delays_of_their_own_and_no_frame_is_there_at_once() {
    let mut settings = settings();
    settings.delay_us_min = 2_000;
    let mut bench = Bench::connected(settings, 1);
    bench.send(A, DIALED, "there");
    bench.send(B, ConnId(1), "back");
    bench.pass_ms(1);
    assert!(bench.told.is_empty());
    bench.pass_ms(20);
    assert_eq!((bench.take(A), bench.take(B)), (vec!["back".into()], vec!["there".into()]));
}

#[test]
fn a_frame_of_one_part_is_not_copied_and_one_of_many_is_put_together() {
    let mut bench = Bench::connected(settings(), 1);
    let part = Bytes::from(vec![7u8; 100]);
    bench.network.send(bench.now_ns, A, DIALED, vec![part.clone()]);
    bench.network.send(bench.now_ns, A, DIALED, vec![part.slice(..60), part.slice(60..)]);
    bench.network.send(bench.now_ns, A, DIALED, Vec::new());
    bench.pass_ms(100);
    let frames: Vec<&Bytes> = bench
        .told
        .iter()
        .map(|(_, input)| match input {
            Input::Frame { bytes, .. } => bytes,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(frames, [&part, &part, &Bytes::new()]);
    assert_eq!(frames[0].as_ptr(), part.as_ptr());
}

#[test]
fn frames_in_pieces_are_whole_again() {
    let mut settings = settings();
    settings.split_frames = true;
    let mut bench = Bench::connected(settings, 1);
    send_numbered(&mut bench, 400);
    bench.network.send(bench.now_ns, A, DIALED, Vec::new());
    bench.pass_ms(100);
    let mut expected = numbered(400);
    expected.push(String::new());
    assert_eq!(bench.told_to(B), expected);
    assert!((50..200).contains(&bench.network.stats().splits), "{:?}", bench.network.stats());
}

#[test]
fn a_frame_that_is_too_long_ends_its_connection_for_both() {
    let mut bench = Bench::connected(settings(), 1);
    bench.send(A, DIALED, "good");
    let part = Bytes::from(vec![0u8; 1 << 20]);
    bench.network.send(bench.now_ns, A, DIALED, vec![part; 101]);
    bench.send(A, DIALED, "lost");
    bench.pass_ms(100);
    assert_eq!(bench.take(B), ["good", "closed"]);
    assert_eq!(bench.take(A), ["closed"]);
}

#[test]
fn a_cut_holds_one_direction_back_until_it_was_mended_as_often() {
    let mut bench = Bench::connected(settings(), 1);
    bench.send(A, DIALED, "under way");
    bench.network.cut(A, B);
    bench.network.cut(A, B);
    bench.send(A, DIALED, "waits");
    bench.send(B, ConnId(1), "passes");
    bench.pass_ms(5_000);
    assert_eq!(bench.take(A), ["passes"]);
    bench.network.mend(A, B);
    bench.pass_ms(5_000);
    assert!(bench.told.is_empty());
    bench.network.mend(A, B);
    bench.send(A, DIALED, "after");
    bench.pass_ms(1_000);
    assert_eq!(bench.take(B), ["under way", "waits", "after"]);
    assert_eq!(bench.network.stats().blocked, 1);
}

#[test]
fn a_slow_host_is_slow_both_ways_and_others_are_not() {
    let mut bench = Bench::connected(settings(), 1);
    let conn = bench.connect(A, C);
    bench.pass_ms(100);
    bench.told.clear();
    bench.network.slow(B, Some(10_000_000));
    bench.send(A, DIALED, "to B");
    bench.send(B, ConnId(1), "from B");
    bench.send(A, conn, "to C");
    bench.pass_ms(10);
    assert_eq!(bench.told.len(), 1);
    assert_eq!(bench.take(C), ["to C"]);
    bench.network.heal(bench.now_ns);
    bench.pass_ms(10);
    assert_eq!((bench.take(A), bench.take(B)), (vec!["from B".into()], vec!["to B".into()]));
}

#[test]
fn a_clog_holds_everything_behind_it_back_until_it_is_over_or_healed() {
    let mut settings = settings();
    settings.clog_per_million = 1_000_000;
    settings.clog_ms_max = 60_000;
    let mut bench = Bench::connected(settings, 1);
    bench.send(A, DIALED, "clogged");
    bench.send(A, DIALED, "behind");
    bench.pass_ms(20);
    assert!(bench.told.is_empty());
    bench.network.heal(bench.now_ns);
    bench.send(A, DIALED, "after");
    bench.pass_ms(20);
    assert_eq!(bench.take(B), ["clogged", "behind", "after"]);
    assert_eq!(bench.network.stats().clogs, 2);
}

#[test]
fn healing_sets_free_what_was_cut_and_ends_the_accidents() {
    let mut settings = settings();
    settings.reset_per_million = 1_000_000;
    let mut bench = Bench::connected(settings, 1);
    bench.network.cut(A, B);
    bench.network.heal(bench.now_ns);
    bench.network.mend(A, B);
    send_numbered(&mut bench, 50);
    bench.pass_ms(100);
    assert_eq!(bench.take(B), numbered(50));
}

#[test]
fn a_stream_that_is_stuck_for_too_long_is_given_up_and_its_peer_does_not_know() {
    let mut bench = Bench::connected(settings(), 1);
    bench.network.cut(A, B);
    bench.send(A, DIALED, "never");
    bench.pass_ms(29_000);
    assert!(bench.told.is_empty());
    bench.pass_ms(2_000);
    assert_eq!(bench.take(A), ["closed"]);
    bench.network.mend(A, B);
    bench.pass_ms(60_000);
    assert!(bench.told.is_empty(), "it hears nothing while it says nothing");
    bench.send(B, ConnId(1), "hello?");
    bench.pass_ms(100);
    assert_eq!(bench.take(B), ["closed"]);
    assert!(bench.told.is_empty());
    assert_eq!((bench.network.stats().half_open, bench.network.connections()), (1, 0));
}

#[test]
fn without_a_way_back_the_sender_gives_up_what_the_receiver_has() {
    let mut bench = Bench::connected(settings(), 1);
    bench.network.cut(B, A);
    bench.send(A, DIALED, "heard");
    bench.pass_ms(31_000);
    assert_eq!(bench.take(B), ["heard"]);
    assert_eq!(bench.take(A), ["closed"]);
}

#[test]
fn cuts_that_are_mended_in_time_do_not_add_up() {
    let mut bench = Bench::connected(settings(), 1);
    for _ in 0..3 {
        bench.network.cut(A, B);
        bench.network.cut(B, A);
        bench.send(A, DIALED, "patience");
        bench.send(B, ConnId(1), "patience");
        bench.pass_ms(25_000);
        bench.network.mend(A, B);
        bench.network.mend(B, A);
        bench.pass_ms(1_000);
    }
    assert_eq!(bench.take(A), ["patience"; 3]);
    assert_eq!(bench.take(B), ["patience"; 3]);
}

#[test]
fn a_way_back_that_is_mended_in_time_ends_the_waiting_for_it() {
    let mut bench = Bench::connected(settings(), 1);
    bench.network.cut(B, A);
    bench.send(A, DIALED, "heard");
    bench.pass_ms(25_000);
    bench.network.mend(B, A);
    bench.pass_ms(60_000);
    assert_eq!(bench.take(B), ["heard"]);
    assert!(bench.told.is_empty(), "{:?}", bench.told);
}

#[test]
fn a_mended_cut_is_no_new_patience_for_a_machine_that_is_dead() {
    let mut bench = Bench::connected(settings(), 1);
    bench.network.cut(A, B);
    bench.network.machine_died(bench.now_ns, B);
    bench.send(A, DIALED, "hello?");
    bench.pass_ms(20_000);
    bench.network.advance(bench.now_ns, &mut bench.told); // it is told the time
    bench.network.mend(A, B);
    bench.pass_ms(11_000);
    assert_eq!(bench.take(A), ["closed"]);
}
