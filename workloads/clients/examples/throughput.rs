//! How fast does a cluster take acknowledged records from one librdkafka producer?
//!
//!     throughput BOOTSTRAP TOPIC RECORDS [RECORD_BYTES] [ACKS]
//!
//! Sends as fast as the client's queue takes them, round robin over the topic's partitions, and prints records and
//! MiB per second until the last acknowledgement. Compare clusters by alternating runs on one machine, as ratios:
//! scripts/throughput.sh does.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use std::cell::Cell;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Acks {
    ok: Cell<u64>,
    failed: Cell<u64>,
}

// Delivery reports come from `poll`, which only the one thread of this program calls.
struct Context(std::sync::Mutex<Acks>);

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        let acks = self.0.lock().expect("one thread");
        let counter = if report.is_ok() { &acks.ok } else { &acks.failed };
        counter.set(counter.get() + 1);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, records, rest @ ..] = args.as_slice() else {
        return Err("usage: throughput BOOTSTRAP TOPIC RECORDS [RECORD_BYTES] [ACKS]".into());
    };
    let records: u64 = records.parse()?;
    let record_bytes: usize = rest.first().map_or(Ok(1024), |text| text.parse())?;
    let acks = rest.get(1).map_or("all", String::as_str);
    let probe: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap).create()?;
    let metadata = probe.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let partitions = metadata.topics().first().map_or(0, |t| t.partitions().len());
    if partitions == 0 {
        return Err(format!("there is no topic {topic}").into());
    }
    let producer: BaseProducer<Context> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", acks)
        .set("linger.ms", "5")
        .set("queue.buffering.max.messages", "200000")
        .create_with_context(Context(std::sync::Mutex::default()))?;
    let value: Vec<u8> =
        (0..record_bytes).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
    let began = Instant::now();
    for number in 0..records {
        let partition = (number % partitions as u64) as i32;
        loop {
            let record: BaseRecord<'_, (), [u8]> =
                BaseRecord::to(topic).partition(partition).payload(&value);
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    producer.poll(Duration::from_millis(1))
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        if number % 64 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(120))?;
    let seconds = began.elapsed().as_secs_f64();
    let acks = producer.context().0.lock().expect("one thread");
    let (ok, failed) = (acks.ok.get(), acks.failed.get());
    let mib = (ok * record_bytes as u64) as f64 / (1 << 20) as f64;
    println!(
        "{ok} acknowledged, {failed} failed, {seconds:.2} s, {:.0} records/s, {:.1} MiB/s",
        ok as f64 / seconds,
        mib / seconds
    );
    if failed > 0 { Err("some sends failed".into()) } else { Ok(()) }
}
