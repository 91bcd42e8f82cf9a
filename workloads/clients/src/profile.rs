//! Client properties by profile, by librdkafka's names. Whatever a plan sets wins over these.

use model::settings::{
    Acks, Commits, ConsumerSettings, GroupSettings, Isolation, ProducerSettings,
};
use std::collections::BTreeMap;

/// How patient clients are. The timeouts of a profile are printed in every report: what a fault costs depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Sub-second reactions, to go with a cluster on the `fast` profile.
    Fast,
    /// librdkafka's own defaults.
    KafkaDefaults,
}

/// What a plan may choose of a producer; `None` leaves it to the library.
#[derive(Clone, Debug)]
pub struct ProducerChoice {
    pub acks: Acks,
    pub idempotence: bool,
    pub retries: Option<u32>,
    pub in_flight_requests_max: Option<u32>,
    /// Of a producer with transactions.
    pub transactional_id: Option<String>,
    /// Further librdkafka properties.
    pub properties: BTreeMap<String, String>,
}

type Properties = BTreeMap<String, String>;

fn set(properties: &mut Properties, pairs: &[(&str, &str)]) {
    for (name, value) in pairs {
        properties.insert((*name).to_string(), (*value).to_string());
    }
}

/// Connections and metadata: a moved leader is found within about a hundred milliseconds, a silent one given up after two
/// seconds.
fn common(profile: Profile, client_id: &str) -> Properties {
    let mut properties = Properties::new();
    set(
        &mut properties,
        &[
            ("client.id", client_id),
            ("log.connection.close", "false"),
            ("socket.nagle.disable", "true"),
        ],
    );
    if profile == Profile::Fast {
        set(
            &mut properties,
            &[
                ("reconnect.backoff.ms", "20"),
                ("reconnect.backoff.max.ms", "200"),
                ("retry.backoff.ms", "20"),
                ("retry.backoff.max.ms", "200"),
                ("topic.metadata.refresh.fast.interval.ms", "20"),
                // A query right after a disconnect often still gets the old leader, and librdkafka then falls back to this.
                ("topic.metadata.refresh.interval.ms", "100"),
                ("metadata.max.age.ms", "3000"),
                ("socket.timeout.ms", "2000"),
                ("socket.connection.setup.timeout.ms", "1000"),
            ],
        );
    }
    properties
}

/// The properties of a producer session and the settings that the history records of it.
pub fn producer(profile: Profile, client_id: &str, choice: &ProducerChoice) -> ProducerSettings {
    let mut properties = common(profile, client_id);
    set(
        &mut properties,
        &[
            ("acks", choice.acks.as_str()),
            ("enable.idempotence", if choice.idempotence { "true" } else { "false" }),
            // Partitions are chosen by the generator, timestamps and sizes are ours: leave nothing to chance.
            ("queue.buffering.max.messages", "2000000"),
            ("queue.buffering.max.kbytes", "2097151"),
        ],
    );
    if profile == Profile::Fast {
        set(
            &mut properties,
            &[("linger.ms", "5"), ("message.timeout.ms", "20000"), ("request.timeout.ms", "1500")],
        );
    }
    if let Some(id) = &choice.transactional_id {
        properties.insert("transactional.id".into(), id.clone());
        if profile == Profile::Fast {
            // Sends may not outlive their transaction; one that hangs is ended by the coordinator after this.
            set(&mut properties, &[("transaction.timeout.ms", "20000")]);
        }
    }
    if let Some(retries) = choice.retries {
        properties.insert("retries".into(), retries.to_string());
    }
    if let Some(in_flight) = choice.in_flight_requests_max {
        properties.insert("max.in.flight.requests.per.connection".into(), in_flight.to_string());
    }
    properties.extend(choice.properties.clone());
    let number = |name: &str, default: u32| {
        properties.get(name).and_then(|v| v.parse().ok()).unwrap_or(default)
    };
    ProducerSettings {
        transactional_id: choice.transactional_id.clone(),
        acks: choice.acks,
        idempotence: choice.idempotence,
        retries: number("retries", i32::MAX as u32),
        in_flight_requests_max: number(
            "max.in.flight.requests.per.connection",
            // librdkafka's defaults: 1,000,000, and 5 under idempotence.
            if choice.idempotence { 5 } else { 1_000_000 },
        ),
        properties,
        library: crate::library(),
    }
}

/// The properties of a reader session. Readers are assigned partitions and commit nothing.
pub fn reader(
    profile: Profile,
    client_id: &str,
    isolation: Isolation,
    chosen: &Properties,
) -> ConsumerSettings {
    let mut properties = common(profile, client_id);
    set(
        &mut properties,
        &[
            ("group.id", "highwater-readers"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            // A position that is not in the log is an event of the history, never silently mended.
            ("auto.offset.reset", "error"),
            ("check.crcs", "true"),
            ("fetch.message.max.bytes", "1048576"),
            ("queued.max.messages.kbytes", "65536"),
            (
                "isolation.level",
                match isolation {
                    Isolation::ReadUncommitted => "read_uncommitted",
                    Isolation::ReadCommitted => "read_committed",
                },
            ),
        ],
    );
    if profile == Profile::Fast {
        set(&mut properties, &[("fetch.wait.max.ms", "100"), ("fetch.error.backoff.ms", "50")]);
    }
    properties.extend(chosen.clone());
    ConsumerSettings { group: None, isolation, properties, library: crate::library() }
}

/// The properties of a group's member. Where it begins without a committed offset is its own affair: at the start.
pub fn member(
    profile: Profile,
    client_id: &str,
    isolation: Isolation,
    group: GroupSettings,
    chosen: &Properties,
) -> ConsumerSettings {
    let mut settings = reader(profile, client_id, isolation, &Properties::new());
    let automatic = group.commits == Commits::Automatic;
    set(
        &mut settings.properties,
        &[
            ("group.id", &group.name),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", if automatic { "true" } else { "false" }),
        ],
    );
    if profile == Profile::Fast {
        set(
            &mut settings.properties,
            &[
                // A member whose last word went to a coordinator that died holds up its group for as long as this.
                ("session.timeout.ms", "2000"),
                ("heartbeat.interval.ms", "400"),
                ("auto.commit.interval.ms", "500"),
                ("coordinator.query.interval.ms", "1000"),
            ],
        );
    }
    settings.properties.extend(chosen.clone());
    ConsumerSettings { group: Some(group), ..settings }
}
