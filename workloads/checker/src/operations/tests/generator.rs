//! Histories of a small cluster, from a seed: clean ones, and ones of a cluster with every kind of defect.

use model::operation::*;
use std::collections::BTreeMap;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Of a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        permille > 0 && self.below(1000) < permille
    }
}

#[derive(Clone, Copy)]
pub struct Shape {
    pub steps: u64,
    pub clients: u64,
    pub keys: u64,
    /// Micro-operations in an operation, at most.
    pub micro_operations_max: u64,
    /// Of a thousand completions.
    pub fail: u64,
    pub info: u64,
    /// Of a thousand operations.
    pub assign: u64,
    pub records_max: u64,
    /// Of a thousand places where something may go wrong.
    pub defects: u64,
    /// A key gives way to a new one after so many records.
    pub records_of_key_max: u64,
    pub final_reads: bool,
    /// Every micro-operation takes effect by itself, seen by everybody: what Kafka's transactions keep apart is not.
    pub interleaved: bool,
    /// A reader that is given a key again goes on where it was, as with committed offsets.
    pub resumed: bool,
}

impl Shape {
    pub fn small() -> Shape {
        Shape {
            steps: 60,
            clients: 3,
            keys: 2,
            micro_operations_max: 3,
            fail: 100,
            info: 100,
            assign: 100,
            records_max: 3,
            defects: 0,
            records_of_key_max: u64::MAX,
            final_reads: true,
            interleaved: false,
            resumed: false,
        }
    }
}

#[derive(Default)]
struct Log {
    records: Vec<(i64, u32)>,
    sent: u32,
    next_offset: i64,
}

#[derive(Default)]
struct Client {
    process: u32,
    keys: Vec<u32>,
    positions: BTreeMap<u32, usize>,
    open: Option<Operation>,
    /// Of an interleaved operation: its completion so far, and where its reader stood before.
    partial: Operation,
    rewind: BTreeMap<u32, usize>,
}

pub struct Generator {
    pub random: Random,
    shape: Shape,
    logs: Vec<Log>,
    /// The keys in use.
    keys: Vec<u32>,
    clients: Vec<Client>,
    processes: u32,
    now: u64,
    ready: Vec<Operation>,
}

fn atom(number: u32) -> Atom {
    Atom::from(number)
}

/// One poll's records, into an operation.
fn push_poll(operation: &mut Operation, batches: &[(u32, Vec<(i64, u32)>)]) {
    let first = operation.batches.len() as u32;
    for (key, records) in batches {
        let (first, count) = (operation.polled.len() as u32, records.len() as u32);
        operation.batches.push(Batch { key: atom(*key), first, count });
        operation.polled.extend(
            records
                .iter()
                .map(|(offset, value)| Polled { offset: Some(*offset), value: atom(*value) }),
        );
    }
    operation.micro_operations.push(MicroOperation::Poll { first, count: batches.len() as u32 });
}

impl Generator {
    pub fn new(seed: u64, shape: Shape) -> Generator {
        let mut generator = Generator {
            random: Random(seed),
            shape,
            logs: Vec::new(),
            keys: Vec::new(),
            clients: Vec::new(),
            processes: 0,
            now: 0,
            ready: Vec::new(),
        };
        for _ in 0..shape.keys {
            generator.new_key();
        }
        for _ in 0..shape.clients {
            generator.new_client();
        }
        generator
    }

    /// The whole history, the final reads with it.
    pub fn history(mut self) -> Vec<Operation> {
        let mut history = Vec::new();
        for _ in 0..self.shape.steps {
            self.step();
            history.append(&mut self.ready);
        }
        self.finish();
        history.append(&mut self.ready);
        history
    }

    pub fn finish(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].open.is_some() {
                while self.shape.interleaved && self.advance(client) {}
                self.complete(client);
            }
        }
        self.shape.interleaved = false;
        if !self.shape.final_reads {
            return;
        }
        self.shape.defects = 0;
        let all: Vec<u32> = (0..self.logs.len() as u32).collect();
        self.new_client();
        let client = self.clients.len() - 1;
        let process = self.clients[client].process;
        for stage in [Stage::Invoke, Stage::Ok] {
            let mut assign = self.operation(process, stage, Function::Assign);
            (assign.shape, assign.keys) =
                (model::operation::Shape::Keys, all.iter().map(|key| atom(*key)).collect());
            assign.seek_to_beginning = Some(true);
            self.ready.push(assign);
        }
        self.clients[client].keys = all;
        loop {
            self.invoke_with(client, &[MicroOperation::PollPending]);
            let Some(open) = self.clients[client].open.take() else { break };
            let mut done = self.operation(process, Stage::Ok, Function::Poll);
            done.shape = model::operation::Shape::MicroOperations;
            let found = self.read(client, true);
            assert_eq!(open.micro_operations.len(), 1);
            let over = found.is_empty();
            push_poll(&mut done, &found);
            self.ready.push(done);
            if over {
                break;
            }
        }
    }

    fn new_key(&mut self) {
        let key = self.logs.len() as u32;
        let next_offset = if self.random.chance(100) { 1_000_000_000_000 } else { 0 };
        self.logs.push(Log { next_offset, ..Log::default() });
        self.keys.push(key);
    }

    fn new_client(&mut self) {
        self.clients.push(Client { process: self.processes, ..Client::default() });
        self.processes += 1;
    }

    fn operation(&mut self, process: u32, stage: Stage, function: Function) -> Operation {
        self.now += 1;
        Operation {
            index: Some(self.now - 1),
            time_ns: Some(self.now as i64 * 1_000_000),
            process: Some(atom(process)),
            stage: Some(stage),
            function: Some(function),
            ..Operation::default()
        }
    }

    pub fn step(&mut self) {
        let client = self.random.below(self.shape.clients) as usize;
        if self.clients[client].open.is_some() {
            if !self.shape.interleaved || !self.advance(client) {
                self.complete(client);
            }
        } else if self.clients[client].keys.is_empty() || self.random.chance(self.shape.assign) {
            self.assign(client);
        } else {
            self.invoke(client);
        }
    }

    fn assign(&mut self, client: usize) {
        let keys = self.keys.clone();
        let mut chosen: Vec<u32> =
            keys.iter().copied().filter(|_| self.random.chance(600)).collect();
        if chosen.is_empty() {
            chosen.push(keys[0]);
        }
        let process = self.clients[client].process;
        for stage in [Stage::Invoke, Stage::Ok] {
            let mut assign = self.operation(process, stage, Function::Assign);
            (assign.shape, assign.keys) =
                (model::operation::Shape::Keys, chosen.iter().map(|key| atom(*key)).collect());
            self.ready.push(assign);
        }
        let resumed = self.shape.resumed;
        let client = &mut self.clients[client];
        client.positions.retain(|key, _| resumed || chosen.contains(key));
        client.keys = chosen;
    }

    fn invoke(&mut self, client: usize) {
        let mut micro_operations = Vec::new();
        for _ in 0..=self.random.below(self.shape.micro_operations_max) {
            if self.random.chance(400) {
                micro_operations.push(MicroOperation::PollPending);
                continue;
            }
            let at = self.random.below(self.keys.len() as u64) as usize;
            let key = self.keys[at];
            self.logs[key as usize].sent += 1;
            let value = self.logs[key as usize].sent;
            let (key, value) = (atom(key), atom(value));
            micro_operations.push(MicroOperation::Send { key, value, place: Place::Unsaid });
            if u64::from(self.logs[self.keys[at] as usize].sent) >= self.shape.records_of_key_max {
                self.keys.remove(at);
                self.new_key();
            }
        }
        self.invoke_with(client, &micro_operations);
    }

    fn invoke_with(&mut self, client: usize, micro_operations: &[MicroOperation]) {
        let process = self.clients[client].process;
        let function = match micro_operations {
            [MicroOperation::Send { .. }] => Function::Send,
            [MicroOperation::PollPending] => Function::Poll,
            _ => Function::Txn,
        };
        let mut invoke = self.operation(process, Stage::Invoke, function);
        invoke.shape = model::operation::Shape::MicroOperations;
        invoke.micro_operations.extend_from_slice(micro_operations);
        self.clients[client].open = Some(invoke.clone());
        self.ready.push(invoke);
    }

    fn defect(&mut self) -> bool {
        self.random.chance(self.shape.defects)
    }

    /// The next micro-operation of an interleaved operation takes effect; `false`: there is none.
    fn advance(&mut self, client: usize) -> bool {
        let mut partial = std::mem::take(&mut self.clients[client].partial);
        let Some(open) = &self.clients[client].open else { return false };
        let next = open.micro_operations.get(partial.micro_operations.len()).copied();
        if partial.micro_operations.is_empty() {
            self.clients[client].rewind = self.clients[client].positions.clone();
        }
        match next {
            Some(MicroOperation::Send { key, value, .. }) => {
                let number = value.as_number().unwrap_or(0) as u32;
                let offset = self.place(key.as_number().unwrap_or(0) as usize, number);
                let place = Place::At(offset);
                partial.micro_operations.push(MicroOperation::Send { key, value, place });
            }
            Some(_) => push_poll(&mut partial, &self.read(client, true)),
            None => {}
        }
        self.clients[client].partial = partial;
        next.is_some()
    }

    fn complete(&mut self, client: usize) {
        let Some(open) = self.clients[client].open.take() else { return };
        if self.shape.interleaved {
            let partial = std::mem::take(&mut self.clients[client].partial);
            let stage = if self.random.chance(900) { Stage::Ok } else { Stage::Info };
            let (process, function) = (self.clients[client].process, open.function);
            let head = self.operation(process, stage, function.unwrap_or(Function::Txn));
            let (batches, polled) = (partial.batches, partial.polled);
            let micro_operations = partial.micro_operations;
            let shape = model::operation::Shape::MicroOperations;
            self.ready.push(Operation { shape, batches, polled, micro_operations, ..head });
            if stage != Stage::Ok {
                self.clients[client].positions = std::mem::take(&mut self.clients[client].rewind);
            }
            return;
        }
        let outcome = self.random.below(1000);
        let stage = match outcome {
            _ if outcome < self.shape.fail => Stage::Fail,
            _ if outcome < self.shape.fail + self.shape.info => Stage::Info,
            _ => Stage::Ok,
        };
        let mut applied = stage == Stage::Ok || stage == Stage::Info && self.random.chance(500);
        applied ^= self.defect();
        let (process, function) = (self.clients[client].process, open.function);
        let mut done = self.operation(process, stage, function.unwrap_or(Function::Txn));
        done.shape = model::operation::Shape::MicroOperations;
        // A defect: it sees its own records.
        let own_first = self.defect();
        let sent = own_first.then(|| self.append(&open, applied, stage));
        let positions = self.clients[client].positions.clone();
        let mut polls = Vec::new();
        for micro_operation in &open.micro_operations {
            if *micro_operation == MicroOperation::PollPending {
                polls.push(self.read(client, true));
            }
        }
        if stage != Stage::Ok && !self.defect() {
            self.clients[client].positions = positions;
        }
        let sent = sent.unwrap_or_else(|| self.append(&open, applied, stage));
        let (mut polls, mut sent) = (polls.into_iter(), sent.into_iter());
        for micro_operation in &open.micro_operations {
            match micro_operation {
                MicroOperation::PollPending => {
                    push_poll(&mut done, &polls.next().unwrap_or_default())
                }
                _ => done.micro_operations.extend(sent.next()),
            }
        }
        if self.shape.defects > 0 && self.random.chance(50) {
            let keys = vec![atom(self.keys[0])];
            let rebalance = Rebalance { what: Some(":assigned".into()), keys, rest: Vec::new() };
            done.rebalance_log = Some(vec![rebalance]);
        }
        if stage == Stage::Info {
            self.clients[client] = Client { process: self.processes, ..Client::default() };
            self.processes += 1;
        }
        // A defect: nobody wrote down how it ended.
        if !self.defect() {
            self.ready.push(done);
        }
    }

    /// Its sends, as far as they took effect.
    fn append(&mut self, open: &Operation, applied: bool, stage: Stage) -> Vec<MicroOperation> {
        let mut sent = Vec::new();
        for micro_operation in &open.micro_operations {
            let MicroOperation::Send { key, value, .. } = *micro_operation else { continue };
            let log_key = key.as_number().unwrap_or(0) as usize;
            let number = value.as_number().unwrap_or(0) as u32;
            let mut offset = self.logs[log_key].next_offset;
            if applied {
                offset = self.place(log_key, number);
            }
            let told = match stage {
                Stage::Ok => !self.random.chance(50),
                _ => self.random.chance(500) && applied,
            };
            let place = match told {
                true if self.defect() => Place::At(offset + 1),
                true => Place::At(offset),
                false if self.random.chance(500) => Place::Unknown,
                false => Place::Unsaid,
            };
            sent.push(MicroOperation::Send { key, value, place });
        }
        sent
    }

    /// Where a record comes to stand.
    fn place(&mut self, key: usize, value: u32) -> i64 {
        let lost = self.defect();
        let (twice, before) = (self.defect(), self.defect());
        let hole = i64::from(self.random.chance(200));
        let log = &mut self.logs[key];
        let offset = log.next_offset + hole;
        log.next_offset = offset + 1;
        if !lost {
            log.records.push((offset, value));
        }
        if twice {
            log.records.push((offset + 1, value));
            log.next_offset += 1;
        }
        if before && log.records.len() > 1 {
            // The order of the last two is not that in which they came.
            let last = log.records.len() - 1;
            let (a, b) = (log.records[last - 1].1, log.records[last].1);
            (log.records[last - 1].1, log.records[last].1) = (b, a);
        }
        offset
    }

    /// What a poll of each of its keys finds, the reader's position going on.
    fn read(&mut self, client: usize, moves: bool) -> Vec<(u32, Vec<(i64, u32)>)> {
        let mut found = Vec::new();
        for key in self.clients[client].keys.clone() {
            let end = self.logs[key as usize].records.len();
            let mut at = self.clients[client].positions.get(&key).copied().unwrap_or(0);
            if self.defect() {
                at = (at + self.random.below(3) as usize).saturating_sub(1);
            }
            let count = 1 + self.random.below(self.shape.records_max) as usize;
            let mut records = Vec::new();
            for record in at..end.min(at + count) {
                if self.defect() {
                    continue;
                }
                let (offset, value) = self.logs[key as usize].records[record];
                // A defect: a record that nobody sent.
                records.push((offset, if self.defect() { value + 1000 } else { value }));
            }
            if self.defect() {
                // A defect: what will only be sent.
                let log = &self.logs[key as usize];
                records.push((log.next_offset, log.sent + 1));
            }
            if records.is_empty() {
                continue;
            }
            if moves {
                self.clients[client].positions.insert(key, end.min(at + count));
            }
            found.push((key, records));
        }
        found
    }
}
