//! Plans with link and protocol faults.

use super::*;
use crate::link::Link;

fn with(fault: &str) -> String {
    format!("schema = 1\nname = \"x\"\n[limits]\ndamaged = 3\n{fault}")
}

const ALL: &str = r#"
[[fault]]
name = "delay"
on = "followers"
peers = "brokers"
delay = "100ms"
spread = "20ms"
distribution = "pareto"
direction = "in"
[[fault]]
name = "rate"
on = "leader"
peers = "all"
bytes_per_second = "100KiB"
[[fault]]
name = "reset"
on = "n1"
peers = "clients"
again = "200ms"
[[fault]]
name = "half-open"
on = "leader"
peers = "followers"
[[fault]]
name = "slice"
on = "leader"
peers = "clients"
bytes = "100B"
[[fault]]
name = "limit-bytes"
on = "leader"
peers = "clients"
bytes = "1MiB"
[[fault]]
name = "loss"
on = "leader"
peers = "clients"
percent = 5
[[fault]]
name = "lose-response"
on = "leader"
percent = 20
[[fault]]
name = "delay-api"
on = "one"
api = "end-txn"
delay = "2s"
[[fault]]
name = "fail-api"
on = "leader"
error = "NOT_ENOUGH_REPLICAS"
[[fault]]
name = "stale-metadata"
on = "one"
"#;

#[test]
fn every_fault_of_links_is_read_and_written_back() {
    let plan = load("p.toml", &with(ALL), &[]).unwrap_or_else(|e| panic!("{e}")).plan;
    assert_eq!(plan.needs().into_iter().collect::<Vec<_>>(), [Needs::Proxy]);
    let names: Vec<&str> = plan.faults.iter().map(|fault| fault.deed.as_str()).collect();
    let all: Vec<&str> = Needs::Proxy.deeds().map(|name| name.as_str()).collect();
    assert_eq!(names, all, "one of each");
    assert_eq!(plan.faults[0].peers, Some(Peers::Brokers));
    assert_eq!(plan.faults[1].peers, Some(Peers::BrokersAndClients));
    assert_eq!(plan.faults[7].peers, Some(Peers::Clients), "the default of protocol faults");
    assert!(matches!(
        plan.faults[9].deed,
        Deed::Link(Link::FailApi { api, error, percent: 100 }) if api.key == 0 && error.code == 19
    ));
    let resolved = plan.to_toml();
    let again = load("resolved", &resolved, &[]).unwrap_or_else(|e| panic!("{e}\n{resolved}"));
    assert_eq!(again.plan, plan);
}

#[test]
fn what_a_link_can_not_be_is_told_with_what_it_can() {
    let wrong = [
        ("delay = \"100ms\"\nspread", "spread", "how long?"),
        ("peers = \"brokers\"", "peers = \"nodes\"", "links with controllers"),
        ("peers = \"brokers\"", "", "on the links with whom?"),
        ("percent = 5", "percent = 100", "from 1 to 90"),
        ("percent = 20", "percent = 0", "from 1 to 100"),
        ("api = \"end-txn\"", "api = \"end-tx\"", "did you mean `end-txn`?"),
        (
            "\"NOT_ENOUGH_REPLICAS\"",
            "\"NOT_ENOUGH_REPLICA\"",
            "did you mean `NOT_ENOUGH_REPLICAS`?",
        ),
        ("\"NOT_ENOUGH_REPLICAS\"", "\"NO\"\napi = \"fetch\"", "no answer with an error"),
        ("again = \"200ms\"", "again = \"1ms\"", "50ms or more"),
        ("bytes = \"100B\"", "bytes = \"0B\"", "nothing at all"),
        ("bytes = \"100B\"", "percent = 3\nbytes = \"100B\"", "`percent` means nothing to `slice`"),
        ("name = \"stale-metadata\"", "name = \"stale-metadata\"\npeers = \"all\"", "only clients"),
        ("distribution = \"pareto\"", "distribution = \"gauss\"", "uniform"),
    ];
    for (from, to, expected) in wrong {
        let text = with(&ALL.replacen(from, to, 1));
        let shown = problem(&text);
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let apart =
        "[target]\ncontrollers = 1\n[[fault]]\nname = \"half-open\"\npeers = \"clients\"\non = ";
    for who in ["c1", "controller"] {
        let shown = problem(&with(&format!("{apart}\"{who}\"\n")));
        assert!(shown.contains("of a controller don't go through a proxy"), "{shown}");
    }
    let cut = "[[fault]]\nname = \"cut\"\non = \"leader\"\npeers = \"clients\"\n";
    let shown = problem(&with(&format!("{ALL}{cut}")));
    assert!(shown.contains("in one plan with cut"), "{shown}");
}
