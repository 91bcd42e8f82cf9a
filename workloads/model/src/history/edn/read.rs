//! One operation from its map.

use super::cursor::{Cursor, Stop, Walk, closer_of, is_delimiter};
use super::quick;
use crate::operation::{
    Atom, Batch, Function, MicroOperation, Names, Operation, Place, Polled, Rebalance, Shape, Stage,
};

/// Reads the map that begins at the cursor into `operation`, which was cleared.
pub(super) fn operation(
    cursor: &mut Cursor,
    names: &mut Names,
    operation: &mut Operation,
) -> Walk<()> {
    let mut reading = Reading { cursor, names, operation, value: None };
    reading.map()?;
    reading.settle_shape()
}

struct Reading<'a, 'b> {
    cursor: &'a mut Cursor<'b>,
    names: &'a mut Names,
    operation: &'a mut Operation,
    /// Where the text of `:value` begins and ends, and what `:f` was when it was read.
    value: Option<(usize, usize, Option<Function>)>,
}

fn text(bytes: &[u8], at: usize) -> Walk<&str> {
    std::str::from_utf8(bytes)
        .map_err(|error| Stop::Wrong { at: at + error.valid_up_to(), expected: "text in UTF-8" })
}

impl Reading<'_, '_> {
    fn map(&mut self) -> Walk<()> {
        self.cursor.at += 1;
        loop {
            match self.cursor.blank()? {
                b'}' => break,
                b':' => {
                    let start = self.cursor.at;
                    let key = self.cursor.token()?;
                    self.cursor.blank()?;
                    self.entry(key, start)?;
                }
                _ => {
                    let start = self.cursor.at;
                    let key = text(self.cursor.form()?, start)?.to_owned();
                    let value = self.form_text()?;
                    self.operation.rest.push((key, value));
                }
            }
        }
        self.cursor.at += 1;
        Ok(())
    }

    /// The value of a key that stood at `key_start`.
    fn entry(&mut self, key: &[u8], key_start: usize) -> Walk<()> {
        let start = self.cursor.at;
        let read = match key {
            b":index" => self.index(),
            b":time" => self.cursor.number().map(|time| self.operation.time_ns = Some(time)),
            b":process" => self.process(),
            b":type" => self.stage(),
            b":f" => self.function(),
            b":value" => self.value(),
            b":error" => self.form_text().map(|error| self.operation.error = Some(error)),
            b":rebalance-log" => self.rebalance_log(),
            b":seek-to-beginning?" => self.seek_to_beginning(),
            b":poll-ms" => self.cursor.number().map(|ms| self.operation.poll_ms = Some(ms)),
            _ => Err(Stop::Odd),
        };
        if read != Err(Stop::Odd) {
            return read;
        }
        self.cursor.at = start;
        let key = text(key, key_start)?.to_owned();
        let value = self.form_text()?;
        self.operation.rest.push((key, value));
        Ok(())
    }

    fn form_text(&mut self) -> Walk<String> {
        self.cursor.blank()?;
        let start = self.cursor.at;
        let form = self.cursor.form()?;
        Ok(text(form, start)?.to_owned())
    }

    fn index(&mut self) -> Walk<()> {
        let index = self.cursor.number()?;
        self.operation.index = Some(u64::try_from(index).map_err(|_| Stop::Odd)?);
        Ok(())
    }

    /// `nil` is nobody, as if it were absent.
    fn process(&mut self) -> Walk<()> {
        let process = self.atom()?;
        let is_nil = self.names.text(process) == Some("nil");
        self.operation.process = (!is_nil).then_some(process);
        Ok(())
    }

    fn stage(&mut self) -> Walk<()> {
        let start = self.cursor.at;
        self.operation.stage = Some(match self.cursor.form()? {
            b":invoke" => Stage::Invoke,
            b":ok" => Stage::Ok,
            b":fail" => Stage::Fail,
            b":info" => Stage::Info,
            b"nil" => return Ok(()),
            _ => {
                return Err(Stop::Wrong { at: start, expected: ":invoke, :ok, :fail or :info" });
            }
        });
        Ok(())
    }

    fn function(&mut self) -> Walk<()> {
        let start = self.cursor.at;
        let form = self.cursor.form()?;
        self.operation.function = Some(match form {
            b":send" => Function::Send,
            b":poll" => Function::Poll,
            b":txn" => Function::Txn,
            b":assign" => Function::Assign,
            b":subscribe" => Function::Subscribe,
            b":crash" => Function::Crash,
            b":debug-topic-partitions" => Function::DebugTopicPartitions,
            b"nil" => return Ok(()),
            _ => Function::Other(self.name(form, start)?),
        });
        Ok(())
    }

    fn seek_to_beginning(&mut self) -> Walk<()> {
        self.operation.seek_to_beginning = Some(match self.cursor.form()? {
            b"true" => true,
            b"false" => false,
            _ => return Err(Stop::Odd),
        });
        Ok(())
    }

    fn name(&mut self, form: &[u8], at: usize) -> Walk<Atom> {
        let too_many = Stop::Wrong { at, expected: "fewer different names" };
        self.names.atom(text(form, at)?).ok_or(too_many)
    }

    #[inline]
    fn atom(&mut self) -> Walk<Atom> {
        match self.cursor.number() {
            Ok(number) => match Atom::number(number) {
                Some(atom) => Ok(atom),
                None => self.name(number.to_string().as_bytes(), self.cursor.at),
            },
            Err(Stop::Odd) => {
                let start = self.cursor.at;
                let form = self.cursor.form()?;
                self.name(form, start)
            }
            Err(stop) => Err(stop),
        }
    }

    /// Into a vector or a list: what closes it.
    #[inline]
    fn open(&mut self) -> Walk<u8> {
        let byte = self.cursor.peek()?;
        if byte != b'[' && byte != b'(' {
            return Err(Stop::Odd);
        }
        self.cursor.at += 1;
        Ok(closer_of(byte))
    }

    /// Out of a collection, if this is its end.
    #[inline]
    fn is_closed(&mut self, closer: u8) -> Walk<bool> {
        let closed = self.cursor.blank()? == closer;
        self.cursor.at += usize::from(closed);
        Ok(closed)
    }

    fn value(&mut self) -> Walk<()> {
        let start = self.cursor.at;
        self.operation.clear_value();
        let read = match self.operation.function {
            Some(Function::Send | Function::Poll | Function::Txn) => self.micro_operations(),
            Some(Function::Assign | Function::Subscribe) => self.keys(),
            Some(_) => Err(Stop::Odd),
            // `:f` is still to come: micro-operations are vectors, keys hardly ever.
            None => match self.micro_operations() {
                Err(Stop::Odd) => {
                    self.cursor.at = start;
                    self.operation.clear_value();
                    self.keys()
                }
                read => read,
            },
        };
        match read {
            Ok(()) => {}
            Err(Stop::Odd) => {
                self.cursor.at = start;
                self.operation.clear_value();
                self.operation.shape = Shape::Verbatim(self.form_text()?);
            }
            Err(stop) => return Err(stop),
        }
        self.value = Some((start, self.cursor.at, self.operation.function));
        Ok(())
    }

    /// Where `:value` came before `:f`, or there are two of these, its form was a guess.
    fn settle_shape(&mut self) -> Walk<()> {
        let Some((start, end, then)) = self.value else { return Ok(()) };
        let now = self.operation.function;
        let fits = match now {
            Some(Function::Send | Function::Poll | Function::Txn) => {
                self.operation.shape == Shape::MicroOperations
            }
            Some(Function::Assign | Function::Subscribe) => self.operation.shape == Shape::Keys,
            _ => matches!(self.operation.shape, Shape::Verbatim(_)),
        };
        if fits || (now.is_some() && now == then) {
            return Ok(());
        }
        let past = self.cursor.at;
        self.cursor.at = start;
        if self.operation.function.is_some() {
            self.value()?;
        } else {
            let verbatim = text(&self.cursor.bytes[start..end], start)?.to_owned();
            self.operation.clear_value();
            self.operation.shape = Shape::Verbatim(verbatim);
        }
        self.cursor.at = past;
        Ok(())
    }

    fn keys(&mut self) -> Walk<()> {
        let closer = self.open()?;
        while !self.is_closed(closer)? {
            let key = self.atom()?;
            self.operation.keys.push(key);
        }
        self.operation.shape = Shape::Keys;
        Ok(())
    }

    fn micro_operations(&mut self) -> Walk<()> {
        let closer = self.open()?;
        while !self.is_closed(closer)? {
            let start = self.cursor.at;
            let (batches, polled) = (self.operation.batches.len(), self.operation.polled.len());
            match self.micro_operation() {
                Ok(micro_operation) => self.operation.micro_operations.push(micro_operation),
                Err(Stop::Odd) if matches!(self.cursor.bytes.get(start), Some(b'[' | b'(')) => {
                    self.operation.batches.truncate(batches);
                    self.operation.polled.truncate(polled);
                    self.cursor.at = start;
                    let verbatim = self.form_text()?;
                    let index = self.operation.verbatim.len() as u32;
                    self.operation.verbatim.push(verbatim);
                    self.operation.micro_operations.push(MicroOperation::Verbatim(index));
                }
                Err(stop) => return Err(stop),
            }
        }
        self.operation.shape = Shape::MicroOperations;
        Ok(())
    }

    fn micro_operation(&mut self) -> Walk<MicroOperation> {
        let closer = self.open()?;
        if self.cursor.blank()? != b':' {
            return Err(Stop::Odd);
        }
        match self.cursor.token()? {
            b":send" => {
                self.cursor.blank()?;
                let key = self.atom()?;
                self.cursor.blank()?;
                let (place, value) = self.sent()?;
                self.end(closer)?;
                Ok(MicroOperation::Send { key, value, place })
            }
            b":poll" => {
                if self.is_closed(closer)? {
                    return Ok(MicroOperation::PollPending);
                }
                let first = self.operation.batches.len() as u32;
                self.found()?;
                self.end(closer)?;
                let count = self.operation.batches.len() as u32 - first;
                Ok(MicroOperation::Poll { first, count })
            }
            _ => Err(Stop::Odd),
        }
    }

    fn end(&mut self, closer: u8) -> Walk<()> {
        if self.is_closed(closer)? { Ok(()) } else { Err(Stop::Odd) }
    }

    /// A value, or the pair of an offset and a value.
    fn sent(&mut self) -> Walk<(Place, Atom)> {
        if self.cursor.peek()? != b'[' {
            return Ok((Place::Unsaid, self.atom()?));
        }
        let start = self.cursor.at;
        match self.pair() {
            Ok((offset, value)) => Ok((offset.map_or(Place::Unknown, Place::At), value)),
            Err(Stop::Odd) => {
                self.cursor.at = start;
                Ok((Place::Unsaid, self.atom()?))
            }
            Err(stop) => Err(stop),
        }
    }

    #[inline]
    fn pair(&mut self) -> Walk<(Option<i64>, Atom)> {
        let closer = self.open()?;
        let offset = match self.cursor.blank()? {
            b'n' => match self.cursor.token()? {
                b"nil" => None,
                _ => return Err(Stop::Odd),
            },
            _ => Some(self.cursor.number()?),
        };
        if self.cursor.blank()? == closer {
            return Err(Stop::Odd);
        }
        let value = self.atom()?;
        self.end(closer)?;
        Ok((offset, value))
    }

    /// `{key [[offset value] …], …}`
    fn found(&mut self) -> Walk<()> {
        if self.cursor.peek()? != b'{' {
            return Err(Stop::Odd);
        }
        self.cursor.at += 1;
        while !self.is_closed(b'}')? {
            let key = self.atom()?;
            if !is_delimiter(self.cursor.peek()?) {
                return self.cursor.wrong("a blank after a key");
            }
            self.cursor.blank()?;
            let closer = self.open()?;
            let first = self.operation.polled.len() as u32;
            self.quick_pairs();
            while !self.is_closed(closer)? {
                let (offset, value) = self.pair()?;
                self.operation.polled.push(Polled { offset, value });
            }
            let count = self.operation.polled.len() as u32 - first;
            self.operation.batches.push(Batch { key, first, count });
        }
        Ok(())
    }

    /// As many records as stand there in the commonest form; whatever follows is for the general rules.
    fn quick_pairs(&mut self) {
        let Cursor { bytes, at } = self.cursor;
        while let Some((polled, past)) = quick::pair(bytes, *at) {
            self.operation.polled.push(polled);
            *at = past + usize::from(bytes.get(past) == Some(&b' '));
        }
    }

    fn rebalance_log(&mut self) -> Walk<()> {
        let closer = self.open()?;
        let mut log = Vec::new();
        while !self.is_closed(closer)? {
            log.push(self.rebalance()?);
        }
        self.operation.rebalance_log = Some(log);
        Ok(())
    }

    fn rebalance(&mut self) -> Walk<Rebalance> {
        if self.cursor.peek()? != b'{' {
            return Err(Stop::Odd);
        }
        self.cursor.at += 1;
        let mut rebalance = Rebalance { what: None, keys: Vec::new(), rest: Vec::new() };
        while !self.is_closed(b'}')? {
            let key = self.form_text()?;
            self.cursor.blank()?;
            match key.as_str() {
                ":type" => rebalance.what = Some(self.form_text()?),
                ":keys" => {
                    let closer = self.open()?;
                    while !self.is_closed(closer)? {
                        rebalance.keys.push(self.atom()?);
                    }
                }
                _ => {
                    let value = self.form_text()?;
                    rebalance.rest.push((key, value));
                }
            }
        }
        Ok(rebalance)
    }
}
