//! Takes operations: pairs invocations with completions, and puts what they say into the tables.

use super::logs::{Fate, NO_OFFSET};
use super::table::{Assignment, Done, DoneKind};
use super::{Claim, Open, OperationChecker, Process};
use model::operation::{Atom, MicroOperation, Operation, Place, Shape, Stage};

impl OperationChecker {
    /// Takes the next line of the history.
    pub fn feed(&mut self, operation: &Operation) {
        let index = operation.index.unwrap_or(self.lines);
        self.lines += 1;
        let client = operation.process.filter(|process| process.as_number().is_some());
        let (Some(process), Some(function)) = (client, operation.function) else { return };
        let Some(kind) = DoneKind::of(function) else { return };
        let Some(stage) = operation.stage else {
            self.odd.without_type += 1;
            return;
        };
        let nanoseconds = u64::try_from(operation.time_ns.unwrap_or(0)).unwrap_or(0);
        let at_ms = u32::try_from(nanoseconds / 1_000_000).unwrap_or(u32::MAX);
        let process = self.process(process);
        let done = Done::new(index, at_ms, process, stage, kind);
        match (stage, kind) {
            (Stage::Invoke, DoneKind::Records) => self.invoke(operation, &done),
            (Stage::Invoke, _) => self.abandon(process),
            (_, DoneKind::Records) => self.complete(operation, done),
            _ => self.moved(operation, done),
        }
    }

    fn process(&mut self, number: Atom) -> u32 {
        *self.process_index.entry(number).or_insert_with(|| {
            self.processes.push(Process { number, open: None, last: None });
            self.processes.len() as u32 - 1
        })
    }

    fn invoke(&mut self, operation: &Operation, done: &Done) {
        self.abandon(done.process);
        if self.ended_in_epoch {
            self.epoch += 1;
            self.ended_in_epoch = false;
        }
        let mut sends = self.spare.pop().unwrap_or_default();
        for micro_operation in &operation.micro_operations {
            if let MicroOperation::Send { key, value, .. } = micro_operation {
                sends.push((*key, *value));
            }
        }
        let open = Open { index: done.index, at_ms: done.at_ms, begin: self.epoch, sends };
        let process = &mut self.processes[done.process as usize];
        process.open = Some(open);
        process.last = None;
    }

    /// An invocation that was never completed: nobody knows.
    fn abandon(&mut self, process: u32) {
        self.processes[process as usize].last = None;
        let Some(open) = self.processes[process as usize].open.take() else { return };
        self.odd.never_completed += 1;
        let mut done = Done::new(open.index, open.at_ms, process, Stage::Info, DoneKind::Records);
        (done.begin, done.end) = (open.begin, self.epoch);
        let number = self.table.list.len() as u32;
        self.intended(&open.sends, number, Fate::Info);
        self.table.push(done);
        self.recycle(open.sends);
    }

    pub(super) fn close(&mut self) {
        for process in 0..self.processes.len() as u32 {
            self.abandon(process);
        }
    }

    fn recycle(&mut self, mut sends: Vec<(Atom, Atom)>) {
        sends.clear();
        if self.spare.len() < 1024 {
            self.spare.push(sends);
        }
    }

    fn intended(&mut self, sends: &[(Atom, Atom)], number: u32, fate: Fate) {
        for (key, value) in sends {
            let key = self.logs.number(*key);
            let row = self.logs.get_mut(key).main_of(*value);
            self.sent(key, row, number, fate);
        }
    }

    fn sent(&mut self, key: u32, row: u32, number: u32, fate: Fate) {
        let log = self.logs.get_mut(key);
        let main = log.main(row);
        self.odd.sent_twice += u64::from(!log.sent(main, number, fate));
        self.table.sent(key, row);
    }

    fn complete(&mut self, operation: &Operation, mut done: Done) {
        let process = &mut self.processes[done.process as usize];
        let open = process.open.take();
        if open.is_none() {
            if let Some(last) = process.last
                && self.is_again(operation, last)
            {
                self.odd.repeated += 1;
                return self.amend(operation, last);
            }
            self.odd.without_invocation += 1;
        }
        done.end = self.epoch;
        let number = self.table.list.len() as u32;
        let mut sends = Vec::new();
        if let Some(open) = open {
            done.begin = open.begin;
            sends = open.sends;
        }
        let fate = fate_of(done.stage);
        if operation.shape != Shape::MicroOperations || operation.micro_operations.is_empty() {
            // It does not say what was sent; its invocation did.
            self.intended(&sends, number, fate);
        }
        self.recycle(sends);
        self.micro_operations(operation, &mut done, number, fate);
        self.rebalanced(operation, &mut done);
        self.ended_in_epoch |= done.stage == Stage::Ok;
        let number = self.table.push(done);
        self.processes[done.process as usize].last = Some(number);
    }

    fn micro_operations(
        &mut self,
        operation: &Operation,
        done: &mut Done,
        number: u32,
        fate: Fate,
    ) {
        for micro_operation in &operation.micro_operations {
            match *micro_operation {
                MicroOperation::Send { key, value, place } => {
                    let key = self.logs.number(key);
                    let row = self.sent_at(key, value, place, number, fate);
                    self.sent(key, row, number, fate);
                }
                MicroOperation::PollPending => done.polls = true,
                MicroOperation::Poll { first, count } => {
                    done.polls = true;
                    for batch in operation.batches_of(first, count) {
                        self.found(operation.polled_of(batch), batch.key, done.stage);
                    }
                }
                MicroOperation::Verbatim(_) => self.odd.not_understood += 1,
            }
        }
        self.odd.not_understood += u64::from(matches!(&operation.shape,
            Shape::Verbatim(text) if text != "nil"));
    }

    /// The row that a send says it has.
    fn sent_at(&mut self, key: u32, value: Atom, place: Place, number: u32, fate: Fate) -> u32 {
        let offset = match place {
            Place::At(offset) => self.offset(Some(offset)),
            Place::Unsaid | Place::Unknown => NO_OFFSET,
        };
        if fate == Fate::Ok {
            return self.logs.get_mut(key).row_at(value, offset);
        }
        if fate == Fate::Info && offset != NO_OFFSET {
            self.claims.push(Claim { key, value, offset, operation: number });
        }
        self.logs.get_mut(key).main_of(value)
    }

    fn offset(&mut self, offset: Option<i64>) -> i64 {
        match offset {
            Some(offset) if offset >= 0 => offset,
            Some(_) => {
                self.odd.negative_offsets += 1;
                NO_OFFSET
            }
            None => NO_OFFSET,
        }
    }

    fn found(&mut self, records: &[model::operation::Polled], key: Atom, stage: Stage) {
        if records.is_empty() {
            return;
        }
        self.polled += records.len() as u64;
        let key = self.logs.number(key);
        self.table.begin_batch();
        for record in records {
            let offset = self.offset(record.offset);
            let log = self.logs.get_mut(key);
            let expected = self.table.expected(log);
            let row = match expected.filter(|row| log.is_at(*row, record.value, offset)) {
                Some(row) => row,
                None => log.row_at(record.value, offset),
            };
            log.polled(row, stage == Stage::Ok);
            self.table.read(log, key, row);
        }
    }

    /// An assign, a subscribe or a crash is over.
    fn moved(&mut self, operation: &Operation, mut done: Done) {
        self.abandon(done.process);
        let mut assignment = Assignment {
            keys: operation.keys.iter().map(|key| self.logs.number(*key)).collect(),
            seek_to_beginning: operation.seek_to_beginning == Some(true),
            rebalanced: Vec::new(),
        };
        assignment.rebalanced = self.rebalanced_keys(operation);
        done.end = self.epoch;
        done.assignment = self.table.assign(assignment);
        self.table.push(done);
    }

    fn rebalanced_keys(&mut self, operation: &Operation) -> Vec<u32> {
        let log = operation.rebalance_log.iter().flatten();
        log.flat_map(|entry| &entry.keys).map(|key| self.logs.number(*key)).collect()
    }

    fn rebalanced(&mut self, operation: &Operation, done: &mut Done) {
        let rebalanced = self.rebalanced_keys(operation);
        if !rebalanced.is_empty() {
            done.assignment = self.table.assign(Assignment { rebalanced, ..Default::default() });
        }
    }

    /// Whether this says the same as the completion that the process had already.
    fn is_again(&mut self, operation: &Operation, last: u32) -> bool {
        let mut sends = Vec::new();
        let mut reads = Vec::new();
        for micro_operation in &operation.micro_operations {
            match *micro_operation {
                MicroOperation::Send { key, value, .. } => sends.push((key, value.raw())),
                MicroOperation::Poll { first, count } => {
                    for batch in operation.batches_of(first, count) {
                        let records = operation.polled_of(batch);
                        reads.extend(records.iter().map(|record| (batch.key, record.value.raw())));
                    }
                }
                _ => {}
            }
        }
        let said = |(key, row): (u32, u32)| {
            let log = self.logs.get(key);
            (log.key, log.row(row).value)
        };
        let sent = self.table.sends(last).iter().map(|sent| said((sent.key, sent.row)));
        let read = self.table.reads(&self.logs, last).map(said);
        (!sends.is_empty() || !reads.is_empty()) && sent.eq(sends) && read.eq(reads)
    }

    /// A second completion of the same operation may still say that its records were acknowledged, and where. When it
    /// ended is not known any better for that.
    fn amend(&mut self, operation: &Operation, last: u32) {
        if operation.stage != Some(Stage::Ok) || self.table.done(last).stage != Stage::Info {
            return;
        }
        for micro_operation in &operation.micro_operations {
            if let MicroOperation::Send { key, value, place } = *micro_operation {
                let key = self.logs.number(key);
                let row = self.sent_at(key, value, place, last, Fate::Ok);
                let log = self.logs.get_mut(key);
                let main = log.main(row);
                log.sent(main, last, Fate::Ok);
            }
        }
        let reads: Vec<(u32, u32)> = self.table.reads(&self.logs, last).collect();
        for (key, row) in reads {
            self.logs.get_mut(key).polled(row, true);
        }
    }
}

fn fate_of(stage: Stage) -> Fate {
    match stage {
        Stage::Ok => Fate::Ok,
        Stage::Fail => Fate::Fail,
        Stage::Info | Stage::Invoke => Fate::Info,
    }
}
