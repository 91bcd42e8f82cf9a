use super::*;
use plan::units::{Drift, Millis, Shift as By};

const NODE: &str = "n1";

/// A node that tells its time at once, or not at all, and may be wrong by more than it was told to be.
#[derive(Default)]
struct Node {
    table: Option<Table>,
    silent: bool,
    stray_ms: i64,
}

impl Timekeeper for Node {
    fn set(&mut self, _: &str, table: &Table) -> io::Result<()> {
        self.table = Some(*table);
        Ok(())
    }

    fn told(&mut self, _: &str, since_ns: i64) -> Result<Option<Told>, String> {
        if self.silent {
            return Err("connection refused".to_string());
        }
        let asked_ns = clock::true_ns().max(since_ns);
        let node_ns = asked_ns + self.table.unwrap_or(Table::TRUE).at(asked_ns);
        let node_ms = node_ns / MS_NS + self.stray_ms;
        Ok(Some(Told { node_ms, asked_ns, answered_ns: asked_ns + MS_NS }))
    }
}

fn jump(ms: i64) -> ClockDeed {
    ClockDeed::Jump { by: By { ms } }
}

/// Looks until it is answered with yes.
fn eventually(mut look: impl FnMut() -> Result<String, String>) -> String {
    let began_ns = clock::true_ns();
    loop {
        match look() {
            Ok(words) => return words,
            Err(words) => assert!(clock::true_ns() < began_ns + 20_000 * MS_NS, "{words}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_jump_is_proved_by_the_nodes_time_and_so_is_its_end() {
    let (mut clocks, mut node) = (Clocks::default(), Node::default());
    clocks.inject(1, NODE, jump(300_000), &mut node).unwrap();
    let words = clocks.in_effect(1, NODE, &mut node).unwrap();
    assert!(
        words.starts_with("its clock is 300.00") || words.starts_with("its clock is 299.99"),
        "{words}"
    );
    assert!(words.contains("ahead of ours (round trip 1.0 ms)"), "{words}");
    assert_eq!(clocks.over(1, NODE, &mut node), Err("it still stands".to_string()));
    clocks.heal(1, NODE, &mut node).unwrap();
    let words = clocks.over(1, NODE, &mut node).unwrap();
    assert!(words.starts_with("its clock is 0.00"), "{words}");
}

#[test]
fn a_node_that_tells_another_time_or_none_proves_nothing() {
    let (mut clocks, mut node) = (Clocks::default(), Node::default());
    clocks.inject(1, NODE, jump(-60_000), &mut node).unwrap();
    for stray_ms in [60_000, 10, -10, 1_000] {
        node.stray_ms = stray_ms;
        let words = clocks.in_effect(1, NODE, &mut node).unwrap_err();
        assert!(words.contains("where it should be 60.000 s behind ours"), "{words}");
    }
    (node.stray_ms, node.silent) = (0, true);
    assert_eq!(clocks.in_effect(1, NODE, &mut node), Err("connection refused".to_string()));
    node.silent = false;
    clocks.in_effect(1, NODE, &mut node).unwrap();
    clocks.heal(1, NODE, &mut node).unwrap();
    // Healed, but the node does not know.
    node.stray_ms = -60_000;
    clocks.over(1, NODE, &mut node).unwrap_err();
    node.stray_ms = 0;
    clocks.over(1, NODE, &mut node).unwrap();
}

#[test]
fn several_on_one_node_are_proved_each_and_end_in_any_order() {
    let drift = ClockDeed::Drift { rate: Drift { ppm: 900_000 } };
    let strobe = ClockDeed::Strobe { by: By { ms: -60_000 }, period: Millis(100) };
    let deeds = [jump(3_600_000), drift, strobe];
    for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
        let (mut clocks, mut node) = (Clocks::default(), Node::default());
        for (fault, deed) in (1..).zip(deeds) {
            clocks.inject(fault, NODE, deed, &mut node).unwrap();
        }
        for fault in 1..=3 {
            let words = eventually(|| clocks.in_effect(fault, NODE, &mut node));
            assert!(words.contains(" counted in"), "{words}");
        }
        for (gone, fault) in order.into_iter().enumerate() {
            clocks.heal(fault, NODE, &mut node).unwrap();
            assert_eq!(node.table.unwrap().shifts().len(), 2 - gone);
            eventually(|| clocks.over(fault, NODE, &mut node));
        }
        assert_eq!(node.table, Some(Table::TRUE));
    }
}

#[test]
fn a_time_beyond_all_numbers_is_wrong_and_no_more() {
    for node_ms in [i64::MAX, i64::MIN] {
        let asked_ns = clock::true_ns();
        let told = Told { node_ms, asked_ns, answered_ns: asked_ns + MS_NS };
        let reading = Reading { told, table: Table::TRUE, own_ns: 0, others: Vec::new() };
        assert!(reading.agrees().unwrap_err().contains("where it should be 0.000 s"));
    }
}
