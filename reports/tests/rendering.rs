//! Every rendering of a run, from outside: hostile text stays text, large runs stay small, the same facts give the
//! same bytes, and a run in which nothing happened is told as well.

use highwater_reports as reports;
use model::cluster::{Observation, PartitionState};
use model::fault::{Destroys, FaultRecord, FaultState, Leg, Role};
use model::finding::{Check, CheckVerdict, Counts, Evidence, Finding, Kind};
use model::history::{LogRef, Phase, RecordId, Session, TopicRef};
use model::settings::{Acks, ConsumerSettings, Isolation, ProducerSettings, TopicSettings};
use model::verdict::{Availability, Promise, Reached, Recovery, Verdict, Word};
use reports::facts::{Alert, Cell, Comparison, Excerpt, Facts, Metrics, RunInfo, Series, Silence};
use std::collections::BTreeMap;

/// Everything that could end a text node, an attribute, a comment, a script, a style, a CDATA section or a terminal's
/// patience.
const HOSTILE: &str = "</pre></title></style></svg><script>alert(1)</script><img src=\"http://x.test/a.png\" \
                       onerror='alert(2)'>&lt;]]>--><!-- \u{1b}[31m\u{0}\u{8}\u{7f} ${x} {{ x }} {% x %} | ` \\ é";
const REPORT_BYTES_MAX: usize = 2_000_000;

/// How much of everything a made-up run has.
#[derive(Clone, Copy)]
struct Size {
    buckets: usize,
    partitions: u32,
    observations: usize,
    faults: u32,
    excerpts: usize,
}

const SMALL: Size = Size { buckets: 120, partitions: 3, observations: 40, faults: 4, excerpts: 2 };
const LARGE: Size =
    Size { buckets: 1000, partitions: 64, observations: 2000, faults: 300, excerpts: 24 };

/// A run of a size, with `text` wherever text from outside can come from.
fn facts(size: Size, text: &str) -> Facts {
    let properties = BTreeMap::from([("min.insync.replicas".to_string(), text.to_string())]);
    let node = |n: u32| format!("n{}", n % 3 + 1);
    let brokers = (0..3).map(|n| (node(n), properties.clone())).collect();
    let duration_ms = size.buckets as u64 * 250;
    Facts {
        info: RunInfo {
            plan: text.to_string(),
            target: "bundled ×3".into(),
            settings: text.to_string(),
            seed: 42,
            started_wall_ms: 1_795_246_440_123,
            duration_ms,
            again: text.to_string(),
            next: Some(text.to_string()),
            directory: text.to_string(),
            versions: BTreeMap::from([("client".into(), text.to_string())]),
            machine: BTreeMap::from([("cores".into(), "2".into())]),
            workload: "queue".into(),
            profile: "timeouts: fast profile, deadline 1000 ms".into(),
            interrupted: true,
        },
        verdict: verdict(size, text),
        observations: (0..size.observations)
            .map(|n| observation(n as u64, size.partitions, text))
            .collect(),
        topics: BTreeMap::from([("events".into(), topic(size.partitions, &properties))]),
        producers: vec![ProducerSettings {
            transactional_id: None,
            acks: Acks::All,
            idempotence: true,
            retries: 5,
            in_flight_requests_max: 5,
            properties: properties.clone(),
            library: text.to_string(),
        }],
        consumers: vec![ConsumerSettings {
            group: None,
            isolation: Isolation::ReadCommitted,
            properties,
            library: text.to_string(),
        }],
        brokers,
        series: series(size.buckets),
        metrics: metrics(size.buckets, text),
        errors: BTreeMap::from([(text.to_string(), 3)]),
        excerpts: (0..size.excerpts)
            .map(|n| Excerpt {
                node: node(n as u32),
                at_ms: n as u64 * 100,
                around: text.to_string(),
                lines: vec![text.chars().cycle().take(300).collect(); 30],
            })
            .collect(),
        files: vec![("verdict.json".into(), text.to_string())],
    }
}

fn verdict(size: Size, text: &str) -> Verdict {
    Verdict {
        schema: "highwater/verdict/1".into(),
        plan: text.to_string(),
        target: "bundled ×3".into(),
        seed: 42,
        defects: vec![text.to_string()],
        promise: text.to_string(),
        verdict: Word::Broken,
        because: text.to_string(),
        promises: vec![
            promise("durability", Word::Broken, text),
            promise("order", Word::Held, text),
            promise("isolation", Word::NotPromised, text),
            promise("liveness", Word::Unknown, text),
        ],
        checks: vec![
            Check {
                name: "lost-write".into(),
                verdict: CheckVerdict::Invalid,
                count: 1000,
                because: None,
                findings: (0..60).map(|n| finding(n, text)).collect(),
            },
            Check {
                name: "unseen".into(),
                verdict: CheckVerdict::Unknown,
                count: 0,
                because: Some(text.to_string()),
                findings: Vec::new(),
            },
        ],
        counts: Counts { ok: 1_234_567, fail: 1, info: 2, read: 1_234_000, ..Counts::default() },
        availability: Availability { request: 0.99999, deadline_ms: 1000, ..Default::default() },
        faults: (1..=size.faults).map(|id| fault(id, text)).collect(),
        recoveries: (1..=size.faults)
            .map(|fault| Recovery { fault, pause_ms: 310, ..Recovery::default() })
            .collect(),
        reached: vec![Reached { state: text.to_string(), count: 0 }],
        warnings: vec![text.to_string()],
        injections: u64::from(size.faults),
        loss_bound: Some(0.01),
        duration_ms: size.buckets as u64 * 250,
    }
}

fn promise(name: &str, verdict: Word, text: &str) -> Promise {
    let (promised, because) = (text.to_string(), text.to_string());
    Promise { name: name.to_string(), verdict, promised, because, count: 1 }
}

fn finding(number: u64, text: &str) -> Finding {
    let id = RecordId { session: Session(1), sequence: number };
    let evidence = |at_ms| Evidence {
        index: None,
        at_ms,
        what: text.to_string(),
        session: 1,
        id: Some(id),
        offset: Some(9),
    };
    Finding {
        cycle: Vec::new(),
        kind: Kind::LostWrite,
        log: LogRef { topic: TopicRef(0), partition: 0 },
        topic: text.to_string(),
        count: number + 1,
        first_offset: Some(number as i64),
        last_offset: Some(number as i64 + 7),
        ids: vec![id],
        outcome: Some("ok".into()),
        first_ack_ms: Some(100),
        last_ack_ms: Some(2000),
        because: text.to_string(),
        evidence: (0..6).map(evidence).collect(),
    }
}

fn fault(id: u32, text: &str) -> FaultRecord {
    let at_ms = u64::from(id) * 700;
    FaultRecord {
        id,
        name: if id.is_multiple_of(2) { "kill".into() } else { text.to_string() },
        recipe: Some(text.to_string()),
        role: if id.is_multiple_of(3) { Role::Node(text.to_string()) } else { Role::Leader },
        partition: Some(text.to_string()),
        nodes: vec![if id.is_multiple_of(5) {
            text.to_string()
        } else {
            format!("n{}", id % 3 + 1)
        }],
        state: FaultState::Cleared,
        destroys: Destroys::Nothing,
        planned_ms: at_ms,
        asked_ms: Some(at_ms),
        confirmed_ms: Some(at_ms + 5),
        healed_ms: Some(at_ms + 300),
        cleared_ms: Some(at_ms + 400),
        for_ms: Some(300),
        evidence: vec![text.to_string()],
        parameters: BTreeMap::new(),
        legs: Vec::new(),
    }
}

fn observation(number: u64, partitions: u32, text: &str) -> Observation {
    let at_ms = number * 100;
    match number % 50 {
        7 => Observation::Blind { at_ms, error: text.to_string() },
        8 => Observation::Node { at_ms, node: text.to_string(), pid: 0, state: text.to_string() },
        _ => Observation::Partition(PartitionState {
            at_ms,
            topic: text.to_string(),
            partition: (number % u64::from(partitions)) as u32,
            leader: (number % 4) as i32 - 1,
            leader_epoch: number as i32,
            replicas: vec![1, 2, 3],
            isr: vec![1, 2],
            elr: vec![3],
            offline: Vec::new(),
            anew: None,
        }),
    }
}

fn topic(partitions: u32, properties: &BTreeMap<String, String>) -> TopicSettings {
    TopicSettings {
        partitions,
        replication_factor: 3,
        min_insync_replicas: 2,
        unclean_leader_election: false,
        cleanup_policy: "delete".into(),
        retention_ms: -1,
        retention_bytes: -1,
        message_timestamp_type: "CreateTime".into(),
        flush_messages: i64::MAX,
        flush_ms: i64::MAX,
        properties: properties.clone(),
    }
}

fn series(buckets: usize) -> Series {
    let wave = |n: usize| 2000 + (n * 7919 % 777) as u32;
    let milliseconds = |n: usize| (!n.is_multiple_of(9)).then_some((n * 31 % 997) as f32 / 3.0);
    Series {
        bucket_ms: 250,
        offered: (0..buckets).map(wave).collect(),
        ok: (0..buckets).map(|n| wave(n) - 300).collect(),
        fail: (0..buckets).map(|n| (n % 100) as u32).collect(),
        info: (0..buckets).map(|n| (n % 90) as u32).collect(),
        unacknowledged: vec![0; buckets],
        late: (0..buckets).map(|n| (n % 110) as u32).collect(),
        latency_p50_ms: (0..buckets).map(milliseconds).collect(),
        latency_p99_ms: (0..buckets).map(|n| milliseconds(n + 1)).collect(),
        latency_max_ms: (0..buckets).map(|n| milliseconds(n + 2)).collect(),
        unread: (0..buckets as u64).map(|n| n * 13 % 4001).collect(),
        phases: vec![(Phase::Baseline, 0), (Phase::Faults, 6000), (Phase::Done, 90_000)],
    }
}

/// A run that ended before anything was sent.
fn metrics(buckets: usize, text: &str) -> Metrics {
    let number = |at: usize| (at % 5 != 4).then_some((at % 3) as u64 * 7_000);
    let numbers: Vec<Option<u64>> = (0..buckets.min(600)).map(number).collect();
    let fired: Vec<(u64, u64)> = (0..20).map(|at| (at * 2_000, at * 2_000 + 1_000)).collect();
    Metrics {
        missing: None,
        bucket_ms: 1_000,
        under_replicated: numbers.clone(),
        offline: numbers.clone(),
        isr_shrinks: numbers.clone(),
        lag_max: numbers.clone(),
        active_controllers: numbers,
        silences: (0..400)
            .map(|at| Silence {
                node: format!("n{}{text}", at % 20),
                from_ms: at * 100,
                to_ms: at * 100 + 70,
                why: text.to_string(),
            })
            .collect(),
        alerts: vec![
            Alert { rule: text.to_string(), fired, could_not: None },
            Alert { rule: text.to_string(), fired: Vec::new(), could_not: Some(text.to_string()) },
        ],
        untold: vec![text.to_string(); 20],
    }
}

fn nothing() -> Facts {
    let mut facts = facts(SMALL, "");
    facts.info = RunInfo::default();
    facts.observations.clear();
    facts.topics.clear();
    facts.producers.clear();
    facts.consumers.clear();
    facts.brokers.clear();
    facts.series = Series::default();
    facts.metrics = Metrics::default();
    facts.errors.clear();
    facts.excerpts.clear();
    facts.files.clear();
    let verdict = &mut facts.verdict;
    verdict.verdict = Word::Unknown;
    verdict.defects.clear();
    verdict.promises.clear();
    verdict.checks.clear();
    verdict.counts = Counts::default();
    verdict.availability = Availability::default();
    verdict.faults.clear();
    verdict.recoveries.clear();
    verdict.reached.clear();
    verdict.warnings.clear();
    (verdict.injections, verdict.loss_bound, verdict.duration_ms) = (0, None, 0);
    facts
}

/// The tags and attribute names of a page, in order: all that text must not be able to change.
fn structure(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in page.split('<').skip(1) {
        let name = |c: char| c.is_ascii_alphanumeric() || "/!-".contains(c);
        let tag: String = part.chars().take_while(|c| name(*c)).collect();
        let inside = part.split('>').next().unwrap_or_default();
        let attributes: Vec<&str> =
            inside.split('"').step_by(2).filter(|words| words.trim_end().ends_with('=')).collect();
        found.push(format!("{tag} {}", attributes.concat()));
    }
    found
}

#[test]
fn hostile_text_stays_text_in_the_page() {
    let (hostile, plain) =
        (reports::html::render(&facts(SMALL, HOSTILE)), reports::html::render(&facts(SMALL, "x")));
    assert!(
        !hostile.contains("<script") && !hostile.contains("<img") && !hostile.contains("<!-- ")
    );
    assert!(hostile.contains("&lt;script&gt;") || hostile.contains("&#60;script&#62;"));
    let (hostile, plain) = (structure(&hostile), structure(&plain));
    for (number, (hostile, plain)) in hostile.iter().zip(&plain).enumerate() {
        assert_eq!(hostile, plain, "tag {number} of the page");
    }
    assert_eq!(hostile.len(), plain.len());
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let page = reports::html::render(&facts(SMALL, "x"));
    assert!(page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';"));
    for word in ["http://", "https://", "<script", "<link", "<iframe", "@import", " src=", "url("] {
        assert!(!page.contains(word), "the page holds {word}");
    }
}

#[test]
fn every_tag_that_opens_is_closed() {
    for facts in [facts(SMALL, HOSTILE), facts(LARGE, "x"), nothing()] {
        let mut open: Vec<String> = Vec::new();
        for part in reports::html::render(&facts).split('<').skip(1) {
            let inside = part.split('>').next().expect("a tag");
            let name = inside.split([' ', '\n']).next().expect("a name").to_string();
            let void = ["meta", "!DOCTYPE", "br", "img"].contains(&name.as_str());
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop().as_deref(), Some(name)),
                None if void || inside.ends_with('/') => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
    }
}

#[test]
fn a_large_run_stays_a_small_page() {
    for text in ["a log line of a broker that has a lot to say about its replicas", HOSTILE] {
        let page = reports::html::render(&facts(LARGE, text));
        assert!(page.len() < REPORT_BYTES_MAX, "{} bytes", page.len());
    }
}

#[test]
fn what_is_left_out_is_said() {
    let page = reports::html::render(&facts(LARGE, "x"));
    assert!(page.contains("Showing 40 of 60 findings"));
    assert!(page.contains("Showing 32 of 64 partitions"));
    assert!(page.contains("300 faults as a table"));
}

#[test]
fn a_fault_that_followed_its_role_is_drawn_where_it_was() {
    let mut facts = facts(SMALL, "x");
    let leg = |node: &str, asked_ms, cleared_ms| Leg {
        nodes: vec![node.into()],
        peers: vec!["n3".into()],
        asked_ms,
        cleared_ms,
    };
    let legs = vec![leg("n1", 700, Some(800)), leg("n2", 800, Some(900)), leg("n1", 900, None)];
    let nodes = vec!["n1".into(), "n2".into()];
    facts.verdict.faults = vec![FaultRecord { nodes, legs, ..fault(1, "stall") }];
    let page = reports::html::render(&facts);
    assert_eq!(page.matches("class=\"fault stall\"").count(), 3);
}

#[test]
fn metrics_are_shown_where_there_are_any() {
    let mut facts = facts(SMALL, "x");
    let heading = "<b>Metrics</b>";
    let page = reports::html::render(&facts);
    assert!(page.contains(heading) && page.contains("would have fired"));
    assert!(page.contains("did not answer from"), "silence is no zero");
    facts.metrics = Metrics { missing: Some("bring the <jar>".into()), ..Metrics::default() };
    let page = reports::html::render(&facts);
    assert!(!page.contains(heading) && page.contains("<b>No metrics:</b> bring the &lt;jar&gt;."));
    assert!(!page.contains("would have fired"));
    facts.metrics.missing = None;
    assert!(
        !reports::html::render(&facts).contains("etrics</b>"),
        "a run of before they were asked"
    );
}

#[test]
fn the_same_facts_give_the_same_bytes() {
    let (one, two) = (facts(SMALL, HOSTILE), facts(SMALL, HOSTILE));
    assert_eq!(reports::html::render(&one), reports::html::render(&two));
    assert_eq!(reports::junit::render(&one), reports::junit::render(&two));
    assert_eq!(reports::markdown::render(&one), reports::markdown::render(&two));
    assert_eq!(reports::text::run(&one), reports::text::run(&two));
}

#[test]
fn stored_facts_render_as_the_ones_in_memory() {
    let facts = facts(SMALL, HOSTILE);
    let stored = serde_json::to_string(&facts).expect("facts are data");
    let read: Facts = serde_json::from_str(&stored).expect("what was written can be read");
    assert_eq!(reports::html::render(&facts), reports::html::render(&read));
}

#[test]
fn junit_is_xml_whose_counts_are_the_promises() {
    for text in [HOSTILE, "x", ""] {
        let xml = reports::junit::render(&facts(SMALL, text));
        let report = quick_junit::Report::deserialize_from_str(&xml)
            .unwrap_or_else(|error| panic!("not JUnit: {error}\n{xml}"));
        // Four promises and the run itself: broken and unknown must both turn a build red.
        assert_eq!((report.tests, report.failures, report.errors), (5, 2, 1));
        assert!(!xml.contains("<skipped"), "skipped would be green");
        assert!(xml.chars().all(|c| c >= ' ' || "\n\t\r".contains(c)), "not XML 1.0");
    }
}

#[test]
fn a_table_of_markdown_keeps_its_columns() {
    let summary = reports::markdown::render(&facts(SMALL, HOSTILE));
    let rows: Vec<&str> = summary.lines().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 1 + 4, "a head and four promises:\n{summary}");
    for row in rows {
        let bars = row.replace("\\\\", "").replace("\\|", "").matches('|').count();
        assert_eq!(bars, 4, "{row}");
    }
    // In the span of code no text is markup, and nothing in it may end it.
    let (code, others): (Vec<&str>, Vec<&str>) =
        summary.lines().partition(|line| line.starts_with("Again: "));
    assert_eq!(code.concat().matches('`').count(), 2);
    assert!(others.iter().all(|line| !line.contains("<script") && !line.contains("<img")));
}

#[test]
fn text_for_a_terminal_holds_no_control_characters() {
    let texts = [
        reports::text::run(&facts(SMALL, HOSTILE)),
        reports::text::comparison(&comparison(HOSTILE)),
    ];
    for text in texts {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
}

#[test]
fn an_empty_run_is_told() {
    let facts = nothing();
    let page = reports::html::render(&facts);
    assert!(page.contains("unknown") && page.ends_with("</html>"));
    assert!(!page.contains("NaN") && !page.contains(">inf"), "nothing to divide by");
    assert!(reports::text::run(&facts).contains("UNKNOWN"));
    assert!(!reports::text::run(&facts).contains("NaN"));
    assert!(reports::markdown::render(&facts).contains("| promise |"));
    let xml = reports::junit::render(&facts);
    let report = quick_junit::Report::deserialize_from_str(&xml).expect("JUnit");
    assert_eq!((report.tests, report.errors), (1, 1));
}

fn comparison(text: &str) -> Comparison {
    let cell = |acks: &str, recipe: &str, run: bool| Cell {
        settings: vec![("acks".into(), acks.into()), ("recipe".into(), recipe.into())],
        recipe: recipe.to_string(),
        verdict: run.then(|| verdict(SMALL, text)),
        reason: (!run).then(|| text.to_string()),
        report: run.then(|| format!("cells/{acks}/report.html")),
        covered: run,
        lost: 7,
        duplicates: 0,
        throughput_per_s: 1999.6,
    };
    Comparison {
        info: facts(SMALL, text).info,
        cells: vec![cell("0", text, true), cell("1", text, false), cell(text, "other", true)],
        cheapest: Some(text.to_string()),
        ordered_by: text.to_string(),
    }
}

#[test]
fn a_comparison_is_as_safe_as_a_run() {
    let hostile = reports::compare::render(&comparison(HOSTILE));
    let plain = reports::compare::render(&comparison("x"));
    assert_eq!(structure(&hostile), structure(&plain));
    assert!(hostile.contains("Content-Security-Policy"));
    for word in ["http://", "https://", "<script", "<link", " src=", "url("] {
        assert!(!plain.contains(word), "the page holds {word}");
    }
    assert!(plain.contains("href=\"cells/0/report.html\""), "each cell links to its run");
    assert_eq!(plain, reports::compare::render(&comparison("x")));
}

#[test]
fn a_comparison_of_nothing_is_told() {
    let mut empty = comparison("");
    (empty.cells, empty.cheapest) = (Vec::new(), None);
    let page = reports::compare::render(&empty);
    assert!(page.ends_with("</html>") && !page.contains("NaN"));
    assert!(!reports::text::comparison(&empty).is_empty());
}
