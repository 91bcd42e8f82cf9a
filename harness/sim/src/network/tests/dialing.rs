use super::*;

#[test]
fn inbound_connections_are_numbered_for_each_host_also_after_its_restart() {
    let mut bench = Bench::fine();
    for (from, to) in [(A, B), (C, B), (A, C)] {
        bench.connect(from, to);
        bench.pass_ms(100);
    }
    bench.network.process_died(bench.now_ns, B);
    bench.network.listen(B, 9000, Listener::Broker);
    bench.connect(A, B);
    bench.pass_ms(100);
    assert_eq!(bench.told_to(B), ["opened 1 by n1", "opened 2 by n3", "opened 3 by n1"]);
    assert_eq!(bench.told_to(C), ["dialed", "opened 1 by n1", "closed"]);
}

#[test]
fn the_listener_is_told_by_its_port() {
    let mut bench = Bench::fine();
    bench.network.listen(B, 9100, Listener::Controller);
    bench.network.dial(0, Host(1003), DIALED, Some((B, 9100)));
    bench.pass_ms(100);
    let opened = bench.told.iter().find(|(host, _)| *host == B);
    assert!(
        matches!(
            opened,
            Some((_, Input::Opened { listener: Listener::Controller, peer_host, .. })) if peer_host == "c3"
        ),
        "{opened:?}"
    );
}

#[test]
fn a_host_may_dial_itself() {
    let mut bench = Bench::fine();
    let conn = bench.connect(A, A);
    bench.send(A, conn, "self");
    bench.pass_ms(100);
    assert_eq!(bench.take(A), ["dialed", "opened 1 by n1", "self"]);
    bench.network.reset_all(bench.now_ns, A);
    bench.pass_ms(100);
    assert_eq!(bench.take(A), ["closed", "closed"]);
}

#[test]
fn a_closed_port_refuses_at_once_and_an_unknown_name_fails() {
    let mut bench = Bench::fine();
    bench.network.dial(0, A, DIALED, Some((B, 1)));
    bench.network.dial(0, A, ConnId(ConnId::DIALED + 1), None);
    bench.pass_ms(100);
    let mut told = bench.take(A);
    told.sort();
    assert_eq!(told, ["failed", "refused"]);
    assert_eq!(bench.network.stats().dials_refused, 1);
    assert_eq!(bench.network.connections(), 0);
}

#[test]
fn a_dead_process_refuses_and_a_dead_machine_does_not_answer() {
    let mut bench = Bench::fine();
    bench.network.process_died(0, B);
    bench.network.machine_died(0, C);
    bench.connect(A, B);
    bench.connect(A, C);
    bench.pass_ms(9_900);
    assert_eq!(bench.take(A), ["refused"]);
    bench.pass_ms(200);
    assert_eq!(bench.take(A), ["failed"]);
    bench.network.machine_up(bench.now_ns, C);
    bench.connect(A, C);
    bench.pass_ms(100);
    assert_eq!(bench.take(A), ["refused"]);
    bench.network.listen(C, 9000, Listener::Broker);
    bench.connect(A, C);
    bench.pass_ms(100);
    assert_eq!(bench.take(A), ["dialed"]);
    assert_eq!(bench.network.stats().dials_timed_out, 1);
}

#[test]
fn a_cut_of_either_way_makes_a_dial_time_out_unless_it_is_mended_in_time() {
    for (from, to) in [(A, B), (B, A)] {
        let mut bench = Bench::fine();
        bench.network.cut(from, to);
        bench.connect(A, B);
        bench.pass_ms(10_100);
        assert_eq!(bench.take(A), ["failed"]);
        bench.connect(A, B);
        bench.pass_ms(2_000);
        bench.network.mend(from, to);
        bench.pass_ms(2_000);
        assert_eq!(bench.take(A), ["dialed"]);
        assert_eq!(bench.take(B).len(), 1);
    }
}

#[test]
fn healing_does_not_let_a_dial_wait_for_its_next_turn() {
    let mut bench = Bench::fine();
    bench.network.cut(A, B);
    bench.connect(A, B);
    bench.pass_ms(4_000);
    bench.network.heal(bench.now_ns);
    bench.pass_ms(10);
    assert_eq!(bench.take(A), ["dialed"]);
}

#[test]
fn what_is_sent_before_the_connection_is_up_comes_first() {
    let mut bench = Bench::fine();
    let conn = bench.connect(A, B);
    bench.send(A, conn, "early");
    bench.pass_ms(100);
    bench.send(A, conn, "late");
    bench.pass_ms(100);
    assert_eq!(bench.take(B), ["opened 1 by n1", "early", "late"]);
}

#[test]
fn a_dial_that_is_given_up_is_never_heard_of() {
    let mut bench = Bench::fine();
    let conn = bench.connect(A, B);
    bench.send(A, conn, "early");
    bench.close(A, conn);
    bench.connect(C, B);
    bench.network.process_died(bench.now_ns, C);
    bench.pass_ms(20_000);
    assert!(bench.told.is_empty());
    assert_eq!((bench.network.connections(), bench.network.next_ns()), (0, None));
}

#[test]
fn a_connection_that_is_closed_as_soon_as_it_is_up_is_heard_of() {
    let mut bench = Bench::fine();
    let conn = bench.connect(A, B);
    bench.until_told();
    assert_eq!(bench.take(A), ["dialed"]);
    bench.close(A, conn);
    bench.pass_ms(100);
    assert_eq!(bench.take(B), ["opened 1 by n1", "closed"]);
}

#[test]
fn a_connection_may_be_up_for_one_and_never_come_to_be_for_the_other() {
    let mut bench = Bench::fine();
    let conn = bench.connect(A, B);
    bench.until_told();
    assert_eq!(bench.take(A), ["dialed"]);
    bench.send(A, conn, "nobody reads this");
    bench.network.process_died(bench.now_ns, B);
    bench.network.listen(B, 9000, Listener::Broker);
    bench.pass_ms(100);
    assert_eq!((bench.take(A), bench.take(B)), (vec!["closed".into()], vec![]));
    assert_eq!(bench.network.connections(), 0);
}
