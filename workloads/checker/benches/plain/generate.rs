//! A plain history, as a run of highwater writes it, made piece by piece: nothing is lost, late or twice.
//!
//! Four producers wake every millisecond, write down what is due over ten logs and commit; acknowledgements come 3 to
//! 9 ms later and are committed with whatever is committed next; a live reader is handed some 100 records of a log at
//! a time. Then every log is read twice more, by two readers, from its start to its end. Nothing but what is under way
//! is held: the final reads do the same run over again and tell only what was appended.

use model::history::codec::Encoder;
use model::history::{
    Event, LogRef, Outcome, PassKind, ReaderEvent, RecordId, Seen, Session, Time, TopicRef,
};
use model::settings::{Acks, ProducerSettings, TopicSettings};

pub const LOGS: u32 = 10;
pub const PRODUCERS: u32 = 4;
const LIVE: u32 = 10;
const FINAL: [u32; 2] = [20, 21];
const SENDS_PER_MS: u64 = 10;
const POLL_RECORDS: usize = 100;
const ACKNOWLEDGED_WITHIN_MS: usize = 16;

/// What a history is to hold.
#[derive(Clone, Copy)]
pub struct Shape {
    pub records: u64,
    /// The offset at which every log begins.
    pub first_offset: i64,
    /// The final reads take one log after the other, each from its start to its end.
    pub log_by_log: bool,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

/// The cluster: what was appended where. The same seed appends the same.
struct Cluster {
    random: Random,
    now_ms: u64,
    left: u64,
    sequences: [u64; PRODUCERS as usize],
    ends: [i64; LOGS as usize],
    /// Sends of this millisecond, producer by producer.
    sent: Vec<(RecordId, u32, i64)>,
}

impl Cluster {
    fn new(shape: &Shape) -> Cluster {
        Cluster {
            random: Random(0x9e37_79b9_7f4a_7c15),
            now_ms: 1000,
            left: shape.records,
            sequences: [0; PRODUCERS as usize],
            ends: [shape.first_offset; LOGS as usize],
            sent: Vec::new(),
        }
    }

    /// Sends of the next millisecond with the offsets that they get; nothing once all are sent.
    fn step(&mut self) {
        self.sent.clear();
        self.now_ms += 1;
        for index in 0..SENDS_PER_MS.min(self.left) {
            let producer = (index * u64::from(PRODUCERS) / SENDS_PER_MS) as usize;
            let id = RecordId {
                session: Session(producer as u32 + 1),
                sequence: self.sequences[producer],
            };
            self.sequences[producer] += 1;
            let log = self.random.below(u64::from(LOGS)) as usize;
            self.sent.push((id, log as u32, self.ends[log]));
            self.ends[log] += 1;
            self.left -= 1;
        }
    }
}

enum Stage {
    Load,
    Final { reader: usize, log: u32 },
    Done,
}

pub struct Generator {
    shape: Shape,
    cluster: Cluster,
    stage: Stage,
    encoder: Encoder,
    now_ns: u64,
    acknowledgements: Vec<Vec<(RecordId, i64)>>,
    /// By log: appended and not yet polled.
    waiting: Vec<Vec<(i64, Seen)>>,
    /// Apart from the cluster's: the final reads do its choices over again.
    lateness: Random,
}

fn log_ref(partition: u32) -> LogRef {
    LogRef { topic: TopicRef(0), partition }
}

impl Generator {
    pub fn new(shape: Shape) -> Generator {
        Generator {
            shape,
            cluster: Cluster::new(&shape),
            stage: Stage::Load,
            encoder: Encoder::new(),
            now_ns: 0,
            acknowledgements: vec![Vec::new(); ACKNOWLEDGED_WITHIN_MS],
            waiting: vec![Vec::new(); LOGS as usize],
            lateness: Random(0x2545_f491_4f6c_dd1d),
        }
    }

    /// Adds a piece of the history to `out`; answers whether there is more.
    pub fn piece(&mut self, bytes: usize, out: &mut Vec<u8>) -> bool {
        if self.now_ns == 0 {
            self.opening(out);
        }
        while out.len() < bytes {
            match self.stage {
                Stage::Load => self.load(out),
                Stage::Final { reader, log } => self.final_reads(reader, log, out),
                Stage::Done => {
                    self.encoder.flush_block(out);
                    return false;
                }
            }
        }
        true
    }

    fn append(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.now_ns += 1_700;
        let wall_ms = 1_790_000_000_000 + (self.now_ns / 1_000_000) as i64;
        self.encoder.append(&Time { mono_ns: self.now_ns, wall_ms }, event, out);
    }

    fn opening(&mut self, out: &mut Vec<u8>) {
        self.append(&Event::Run { run: 1, seed: 1, plan: "plain".into() }, out);
        let (topic, name, settings) = (TopicRef(0), "queue".to_string(), topic_settings());
        self.append(&Event::Topic { topic, name, topic_id: [1; 16], settings }, out);
        for producer in 1..=PRODUCERS {
            let (session, name) = (Session(producer), format!("p{producer}"));
            let settings = producer_settings();
            self.append(&Event::ProducerOpened { session, name, settings }, out);
        }
        self.begin_pass(LIVE, PassKind::Live, out);
    }

    fn begin_pass(&mut self, reader: u32, kind: PassKind, out: &mut Vec<u8>) {
        let (reader, pass) = (Session(reader), 0);
        self.append(&Event::PassBegan { reader, pass, kind }, out);
        let logs = (0..LOGS).map(|log| (log_ref(log), None)).collect();
        let what = ReaderEvent::Assigned { logs };
        self.append(&Event::Reader { reader, pass, what }, out);
    }

    fn load(&mut self, out: &mut Vec<u8>) {
        self.cluster.step();
        let now_ms = self.cluster.now_ms;
        self.now_ns = now_ms * 1_000_000;
        let sent = std::mem::take(&mut self.cluster.sent);
        for of_producer in sent.chunk_by(|one, next| one.0.session == next.0.session) {
            for (id, log, _) in of_producer {
                let intended_mono_ns = self.now_ns - 400_000;
                let (id, log) = (*id, log_ref(*log));
                self.append(&Event::Send { id, log, intended_mono_ns }, out);
            }
            self.encoder.flush_block(out);
            let late = 3 + self.lateness.below(6);
            let due = (now_ms + late) as usize % ACKNOWLEDGED_WITHIN_MS;
            let acknowledged = of_producer.iter().map(|(id, _, offset)| (*id, *offset));
            self.acknowledgements[due].extend(acknowledged);
        }
        let due = now_ms as usize % ACKNOWLEDGED_WITHIN_MS;
        let acknowledged = std::mem::take(&mut self.acknowledgements[due]);
        for (id, offset) in &acknowledged {
            let outcome = Outcome::Ok { offset: Some(*offset) };
            self.append(&Event::Sent { id: *id, outcome, error: None }, out);
        }
        for (id, log, offset) in &sent {
            self.hand_out(LIVE, *log, *offset, *id, out);
        }
        let drained = sent.is_empty() && self.acknowledgements.iter().all(Vec::is_empty);
        self.cluster.sent = sent;
        self.acknowledgements[due] = acknowledged;
        self.acknowledgements[due].clear();
        if drained {
            self.end_of_load(out);
        }
    }

    fn hand_out(&mut self, reader: u32, log: u32, offset: i64, id: RecordId, out: &mut Vec<u8>) {
        let waiting = &mut self.waiting[log as usize];
        waiting.push((offset, Seen::Record(id)));
        if waiting.len() >= POLL_RECORDS {
            self.poll(reader, log, out);
        }
    }

    fn poll(&mut self, reader: u32, log: u32, out: &mut Vec<u8>) {
        let records = std::mem::take(&mut self.waiting[log as usize]);
        if records.is_empty() {
            return;
        }
        let event = Event::Polled { reader: Session(reader), pass: 0, log: log_ref(log), records };
        self.append(&event, out);
        let Event::Polled { mut records, .. } = event else { unreachable!("made above") };
        records.clear();
        self.waiting[log as usize] = records;
    }

    fn end_of_load(&mut self, out: &mut Vec<u8>) {
        for log in 0..LOGS {
            self.poll(LIVE, log, out);
            let (start, end) = (self.shape.first_offset, self.cluster.ends[log as usize]);
            let log = log_ref(log);
            self.append(&Event::LogBounds { log, leader_epoch: 1, start, end, settled: true }, out);
        }
        self.begin_final(0, out);
    }

    fn begin_final(&mut self, reader: usize, out: &mut Vec<u8>) {
        self.begin_pass(FINAL[reader], PassKind::Final, out);
        self.cluster = Cluster::new(&self.shape);
        self.stage = Stage::Final { reader, log: 0 };
    }

    fn final_reads(&mut self, reader: usize, only: u32, out: &mut Vec<u8>) {
        self.cluster.step();
        let sent = std::mem::take(&mut self.cluster.sent);
        for (id, log, offset) in &sent {
            if !self.shape.log_by_log || *log == only {
                self.hand_out(FINAL[reader], *log, *offset, *id, out);
            }
        }
        let ended = sent.is_empty();
        self.cluster.sent = sent;
        if !ended {
            return;
        }
        (0..LOGS).for_each(|log| self.poll(FINAL[reader], log, out));
        if self.shape.log_by_log && only + 1 < LOGS {
            self.cluster = Cluster::new(&self.shape);
            self.stage = Stage::Final { reader, log: only + 1 };
            return;
        }
        self.append(
            &Event::PassEnded { reader: Session(FINAL[reader]), pass: 0, complete: true },
            out,
        );
        match reader + 1 < FINAL.len() {
            true => self.begin_final(reader + 1, out),
            false => self.stage = Stage::Done,
        }
    }
}

fn topic_settings() -> TopicSettings {
    TopicSettings {
        partitions: LOGS,
        replication_factor: 3,
        min_insync_replicas: 2,
        unclean_leader_election: false,
        cleanup_policy: "delete".into(),
        retention_ms: -1,
        retention_bytes: -1,
        message_timestamp_type: "CreateTime".into(),
        flush_messages: i64::MAX,
        flush_ms: i64::MAX,
        properties: Default::default(),
    }
}

fn producer_settings() -> ProducerSettings {
    ProducerSettings {
        transactional_id: None,
        acks: Acks::All,
        idempotence: true,
        retries: u32::MAX,
        in_flight_requests_max: 5,
        properties: Default::default(),
        library: "none: generated".into(),
    }
}
