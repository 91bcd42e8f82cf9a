//! Operations as EDN, in the form in which Jepsen writes them.

use crate::operation::{
    Atom, Batch, Function, MicroOperation, Names, Operation, Place, Polled, Rebalance, Shape, Stage,
};
use std::fmt::Write as _;

/// One operation as one line, without the line feed; text that was kept verbatim keeps the line feeds within it.
pub fn to_line(operation: &Operation, names: &Names) -> String {
    let mut line = String::new();
    write_line(&mut line, operation, names);
    line
}

/// One operation, appended to `line`.
pub fn write_line(line: &mut String, operation: &Operation, names: &Names) {
    let mut writing = Writing { line, names };
    writing.operation(operation);
}

struct Writing<'a> {
    line: &'a mut String,
    names: &'a Names,
}

impl Writing<'_> {
    fn text(&mut self, text: &str) {
        self.line.push_str(text);
    }

    fn number(&mut self, number: i64) {
        write!(self.line, "{number}").expect("writing to memory does not fail");
    }

    fn atom(&mut self, atom: Atom) {
        match (atom.as_number(), self.names.text(atom)) {
            (Some(number), _) => self.number(number),
            (None, Some(text)) => self.line.push_str(text),
            (None, None) => self.line.push_str(&self.names.show(atom)),
        }
    }

    fn key(&mut self, key: &str) {
        if !self.line.ends_with('{') {
            self.line.push_str(", ");
        }
        self.line.push_str(key);
        self.line.push(' ');
    }

    fn operation(&mut self, operation: &Operation) {
        self.line.push('{');
        if let Some(index) = operation.index {
            self.key(":index");
            write!(self.line, "{index}").expect("writing to memory does not fail");
        }
        if let Some(time_ns) = operation.time_ns {
            self.key(":time");
            self.number(time_ns);
        }
        if let Some(process) = operation.process {
            self.key(":process");
            self.atom(process);
        }
        if let Some(stage) = operation.stage {
            self.key(":type");
            self.text(stage_text(stage));
        }
        if let Some(function) = operation.function {
            self.key(":f");
            self.function(function);
        }
        self.value(operation);
        if let Some(error) = &operation.error {
            self.key(":error");
            self.text(error);
        }
        if let Some(log) = &operation.rebalance_log {
            self.key(":rebalance-log");
            self.vector(log, |writing, entry| writing.rebalance(entry));
        }
        if let Some(seek) = operation.seek_to_beginning {
            self.key(":seek-to-beginning?");
            self.text(if seek { "true" } else { "false" });
        }
        if let Some(poll_ms) = operation.poll_ms {
            self.key(":poll-ms");
            self.number(poll_ms);
        }
        for (key, value) in &operation.rest {
            self.key(key);
            self.text(value);
        }
        self.line.push('}');
    }

    fn function(&mut self, function: Function) {
        match function {
            Function::Send => self.text(":send"),
            Function::Poll => self.text(":poll"),
            Function::Txn => self.text(":txn"),
            Function::Assign => self.text(":assign"),
            Function::Subscribe => self.text(":subscribe"),
            Function::Crash => self.text(":crash"),
            Function::DebugTopicPartitions => self.text(":debug-topic-partitions"),
            Function::Other(name) => self.atom(name),
        }
    }

    fn value(&mut self, operation: &Operation) {
        match &operation.shape {
            Shape::Absent => {}
            Shape::Verbatim(text) => {
                self.key(":value");
                self.text(text);
            }
            Shape::Keys => {
                self.key(":value");
                self.vector(&operation.keys, |writing, key| writing.atom(*key));
            }
            Shape::MicroOperations => {
                self.key(":value");
                self.vector(&operation.micro_operations, |writing, micro_operation| {
                    writing.micro_operation(operation, *micro_operation);
                });
            }
        }
    }

    fn micro_operation(&mut self, operation: &Operation, micro_operation: MicroOperation) {
        match micro_operation {
            MicroOperation::Send { key, value, place } => {
                self.line.push_str("[:send ");
                self.atom(key);
                self.line.push(' ');
                match place {
                    Place::Unsaid => self.atom(value),
                    Place::Unknown => self.pair(None, value),
                    Place::At(offset) => self.pair(Some(offset), value),
                }
                self.line.push(']');
            }
            MicroOperation::PollPending => self.line.push_str("[:poll]"),
            MicroOperation::Poll { first, count } => {
                self.line.push_str("[:poll {");
                for (index, batch) in operation.batches_of(first, count).iter().enumerate() {
                    if index > 0 {
                        self.line.push_str(", ");
                    }
                    self.batch(batch, operation.polled_of(batch));
                }
                self.line.push_str("}]");
            }
            MicroOperation::Verbatim(index) => {
                let text = operation.verbatim.get(index as usize);
                self.line.push_str(text.map_or("nil", String::as_str));
            }
        }
    }

    fn batch(&mut self, batch: &Batch, polled: &[Polled]) {
        self.atom(batch.key);
        self.line.push(' ');
        self.vector(polled, |writing, record| writing.pair(record.offset, record.value));
    }

    fn pair(&mut self, offset: Option<i64>, value: Atom) {
        self.line.push('[');
        match offset {
            Some(offset) => self.number(offset),
            None => self.line.push_str("nil"),
        }
        self.line.push(' ');
        self.atom(value);
        self.line.push(']');
    }

    fn rebalance(&mut self, rebalance: &Rebalance) {
        self.line.push('{');
        if let Some(what) = &rebalance.what {
            self.key(":type");
            self.text(what);
        }
        self.key(":keys");
        self.vector(&rebalance.keys, |writing, key| writing.atom(*key));
        for (key, value) in &rebalance.rest {
            self.key(key);
            self.text(value);
        }
        self.line.push('}');
    }

    fn vector<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.line.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.line.push(' ');
            }
            each(self, item);
        }
        self.line.push(']');
    }
}

fn stage_text(stage: Stage) -> &'static str {
    match stage {
        Stage::Invoke => ":invoke",
        Stage::Ok => ":ok",
        Stage::Fail => ":fail",
        Stage::Info => ":info",
    }
}
